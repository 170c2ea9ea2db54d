"""The tables of the sections beyond the outcomes: one layout for each, one way to write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.report.forest_svg import Interval, gap_axis, span_axis
from evaluation.report.markup import (
    gap,
    joined,
    number,
    p_value,
    patients,
    say,
    span,
    sub,
    verdict_text,
    wrapped,
)
from evaluation.report.model import Report
from evaluation.report.names import Names
from evaluation.report.number_format import Kind, finite, gap_kind, in_steps, level_kind
from evaluation.report.rows import SectionRow
from evaluation.report.tables import (
    ORDER,
    Line,
    Table,
    columns,
    counted,
    cut,
    drawn,
    margin_band,
    some,
    why,
    withheld,
    within_note,
)
from evaluation.report.texts import MEASURES, RECORDS, TEXTS

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["section_tables"]

_MEASURED = {
    "FNR": (False, "proportion"), "FPR": (False, "proportion"), "EO": (False, "proportion"),
    "AUC": (True, "score"), "calibration": (False, "score"),
}  # fmt: skip
"""Of a measure of named findings: whether higher is better, and its unit."""


@dataclass(frozen=True)
class Layout:
    """Which fields of a section's rows are shown, and how.

    Parameters
    ----------
    value, ends : str
        The number beside the drawing, and the start of the names of its interval's ends.
    kind : str
        How it is written; "" for a gap in the unit of its measure.
    level : tuple of str
        Before the drawing.
    level_kind : str
    level_ends : bool
        Whether ``ci_low`` and ``ci_high`` are of the level.
    drawn : str
        "value" or "level".
    chance : float or None
        Where chance is on an axis that is not one of gaps.
    is_gap : bool
        Whether the axis is one of gaps.
    """

    value: str
    ends: str
    kind: Kind
    level: tuple[str, ...]
    level_kind: Kind
    level_ends: bool = False
    drawn: str = "value"
    chance: float | None = None
    is_gap: bool = True


_LAYOUTS = {
    "zero_shot": Layout("gap", "gap_ci", "", ("estimate",), "", level_ends=True),
    "exposure": Layout(
        "ratio_given_relevance", "ci", "ratio", ("share_archive", "exposure"), "percent",
        chance=1.0, is_gap=False,
    ),
    "counterfactual": Layout("effect", "ci", "signed", ("placebo",), "score"),
    "leakage": Layout("auc", "ci", "score", ("null_mean",), "score", chance=0.5, is_gap=False),
    "modality_gap": Layout(
        "difference", "difference_ci", "signed", ("gap",), "score", level_ends=True
    ),
    "label_quality": Layout(
        "gap", "gap_ci", "points", ("estimate",), "percent", level_ends=True, drawn="level",
        is_gap=False,
    ),
}  # fmt: skip


def section_tables(report: Report, name: str) -> list[Table]:
    """Lay out the tables of a section: one for each measure, or one for all rows."""
    rows: Sequence[SectionRow] = getattr(report, name).rows
    if name not in {"zero_shot", "counterfactual"}:
        return [_table(report, name, rows, "")] if rows else []
    order = list(MEASURES)
    found = dict.fromkeys(row.measure for row in rows)
    measures = sorted(found, key=lambda one: order.index(one) if one in order else len(order))
    return [
        _table(report, name, [row for row in rows if row.measure == one], one) for one in measures
    ]


def _table(report: Report, name: str, rows: Sequence[SectionRow], measure: str) -> Table:
    layout = _LAYOUTS[name]
    lines = [_line(report, name, layout, row) for row in rows]
    lines.sort(key=lambda line: ORDER.index(line.verdict.name))
    kept = cut(lines, lambda line: line.established)
    title, words = MEASURES.get(measure, (measure, ""))
    higher, unit = _MEASURED.get(measure, (True, "score"))
    spreads = [line.spread for line in kept]
    reference: float | None = 0.0
    if layout.is_gap:
        margin = report.margin if name == "zero_shot" else None
        axis = gap_axis(spreads, margin, layout.kind or gap_kind(unit))
    else:
        reference = layout.chance
        ends = [end for one in spreads for end in (one.point, one.low, one.high)]
        ends += [end for line in kept for end in line.band or ()]
        ends += [line.second.point for line in kept if line.second]
        kind = layout.level_kind if layout.drawn == "level" else "ratio"
        axis = span_axis(ends, kind, () if reference is None else (reference,))
    return Table(
        title=title if measure else "",
        caption=words or TEXTS.get(f"{name}.caption", title),
        columns=columns(name),
        axis=axis,
        shown=[],
        folded=drawn(kept, axis, reference),
        counts=counted(line.verdict for line in lines),
        left_out=len(lines) - len(kept),
        higher=higher if name == "zero_shot" else None,
    )


def _line(report: Report, name: str, layout: Layout, row: SectionRow) -> Line:
    names, verdict = Names(report), verdict_text(row.verdict, name)
    unit = _MEASURED.get(row.measure, (True, "score"))[1]
    kind = in_steps(layout.kind or gap_kind(unit), row.step)
    level = in_steps(layout.level_kind or level_kind(unit), row.step)
    value = getattr(row, layout.value)
    plain = row.ratio if name == "exposure" and value is None else None
    value = value if plain is None else plain
    low, high = getattr(row, f"{layout.ends}_low"), getattr(row, f"{layout.ends}_high")
    p = row.p if name == "leakage" and row.p_adjusted is None else row.p_adjusted
    chance = span(row.null_low, row.null_high, "ratio")
    second = row.ratio if name == "exposure" and plain is None else None
    first = finite(getattr(row, layout.level[0]))
    drawing = Interval(finite(value), finite(low), finite(high))
    if layout.drawn == "level":
        drawing = Interval(first, finite(row.ci_low), finite(row.ci_high))
    return Line(
        name=_who(names, name, row),
        level=withheld(
            row,
            joined([number(getattr(row, field), level) for field in layout.level], ", "),
            sub(span(row.ci_low, row.ci_high, level)) if layout.level_ends else "",
        ),
        value=withheld(
            row,
            wrapped(gap(value, kind), "strong"),
            sub(span(low, high, kind), p_value(p)),
            sub(say("exposure.chance", span=chance) if chance else ""),
            sub(some("exposure.plain", second, "ratio", "ratio")),
            sub(within_note(report, row, kind) if name == "zero_shot" else ""),
        ),
        spread=drawing,
        verdict=verdict,
        subs=joined(
            [
                sub(
                    _what(names, name, row),
                    some("queries", row.n_queries, "count", "n")
                    if name == "counterfactual"
                    else patients(row, report.minimum.reported),
                ),
                sub(why(row, verdict)),
            ],
            "",
        ),
        second=None if second is None else Interval(finite(second), None, None),
        band=_band(report, name, row),
    )


def _who(names: Names, name: str, row: SectionRow) -> str:
    if name == "leakage":
        return names.attribute(row.attribute)
    if name == "counterfactual":
        return row.swap
    return f"{row.finding}, {names.of(row)}" if row.finding else names.of(row)


def _what(names: Names, name: str, row: SectionRow) -> Markup | str:
    """Say beneath the name what the row is about."""
    attribute = names.attribute(row.attribute)
    if name == "zero_shot":
        return some("events", row.n_events, "count", "n")
    if name == "leakage":
        return say("leakage.probe", space=row.space, probe=row.probe)
    if name == "label_quality":
        return RECORDS.get(row.measure, row.measure.replace("_", " "))
    if name == "counterfactual" and row.group:
        return say("counterfactual.on", attribute=attribute, group=names.of(row))
    return attribute


def _band(report: Report, name: str, row: SectionRow) -> tuple[float, float] | None:
    """Give what is drawn behind: the margin, what chance gives, or what a placebo does."""
    if name == "zero_shot":
        return margin_band(report)
    if row.null_low is not None and row.null_high is not None:
        return row.null_low, row.null_high
    # The effect on the order is already what is left of it beside the placebos.
    if row.placebo is None or row.measure == "ranking":
        return None
    return -abs(row.placebo), abs(row.placebo)
