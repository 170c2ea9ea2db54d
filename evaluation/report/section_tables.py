"""The tables of the sections beyond the outcomes: one layout for each, one way to write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.report.axes import Axis, Interval, gap_axis, span_axis
from evaluation.report.markup import (
    gap,
    joined,
    number,
    p_value,
    patients,
    say,
    some,
    span,
    sub,
    wrapped,
)
from evaluation.report.model import Report, Row
from evaluation.report.names import Names
from evaluation.report.number_format import Kind, gap_kind, in_steps, level_kind
from evaluation.report.tables import ORDER, Line, Table, folded, why, withheld, within_note
from evaluation.report.texts import MEASURES, RECORDS, TEXTS, heads, verdict_text

__all__ = ["section_tables"]

_RATES = frozenset({"FNR", "FPR", "EO"})
"""Measures that are proportions; the others are scores."""
_ERRORS = _RATES | {"calibration"}
"""Measures of which less is better."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which fields of a section's rows are shown, and how.

    ``value`` is the number beside the drawing, ``ends`` the start of the names of its interval's
    ends and ``kind`` how both are written ("" for a gap in the unit of its measure). ``level`` are
    the fields before the drawing; ``level_ends`` says whether ``ci_low`` and ``ci_high`` are of the
    level, ``draws_level`` whether it is the level that is drawn. ``chance`` is where chance is on
    an axis that is not one of gaps.
    """

    value: str
    ends: str = "ci"
    kind: Kind = ""
    level: tuple[str, ...]
    level_kind: Kind = ""
    level_ends: bool = False
    draws_level: bool = False
    is_gap: bool = True
    chance: float | None = None


_LAYOUTS = {
    "zero_shot": Layout(value="gap", ends="gap_ci", level=("estimate",), level_ends=True),
    "exposure": Layout(
        value="ratio_given_relevance", kind="ratio", level=("share_archive", "exposure"),
        level_kind="percent", is_gap=False, chance=1.0,
    ),
    "counterfactual": Layout(
        value="effect", kind="signed", level=("placebo",), level_kind="score"
    ),
    "leakage": Layout(
        value="auc", kind="score", level=("null_mean",), level_kind="score", is_gap=False,
        chance=0.5,
    ),
    "modality_gap": Layout(
        value="difference", ends="difference_ci", kind="signed", level=("gap",),
        level_kind="score", level_ends=True,
    ),
    "label_quality": Layout(
        value="gap", ends="gap_ci", kind="points", level=("estimate",), level_kind="percent",
        level_ends=True, draws_level=True, is_gap=False,
    ),
}  # fmt: skip


def section_tables(report: Report, name: str) -> list[Table]:
    """Lay out the tables of a section: one for each measure, or one for all rows."""
    rows: list[Row] = getattr(report, name).rows
    if name not in {"zero_shot", "counterfactual"}:
        return [_table(report, name, rows, "")] if rows else []
    order = list(MEASURES)
    found = dict.fromkeys(row.measure for row in rows)
    measures = sorted(found, key=lambda one: order.index(one) if one in order else len(order))
    return [
        _table(report, name, [row for row in rows if row.measure == one], one) for one in measures
    ]


def _table(report: Report, name: str, rows: Sequence[Row], measure: str) -> Table:
    layout = _LAYOUTS[name]
    lines = [_line(report, name, layout, row) for row in rows]
    lines.sort(key=lambda line: ORDER.index(line.verdict.name))
    title, words = MEASURES.get(measure, (measure, ""))

    def axis(kept: Sequence[Line]) -> Axis:
        spreads = [line.spread for line in kept]
        if layout.is_gap:
            margin = report.margin if name == "zero_shot" else None
            return gap_axis(spreads, margin, layout.kind or gap_kind(_unit(measure)))
        ends = [end for one in spreads for end in (one.point, one.low, one.high)]
        ends += [end for line in kept for end in line.band or ()]
        ends += [line.second.point for line in kept if line.second]
        return span_axis([*ends, layout.chance], "percent" if layout.draws_level else "ratio")

    return folded(
        lines,
        axis,
        title=title if measure else "",
        caption=words or TEXTS.get(f"{name}.caption", title),
        columns=heads(name),
        reference=0.0 if layout.is_gap else layout.chance,
        higher=measure not in _ERRORS if name == "zero_shot" else None,
    )


def _unit(measure: str) -> str:
    return "proportion" if measure in _RATES else "score"


def _line(report: Report, name: str, layout: Layout, row: Row) -> Line:
    names, verdict = Names(report), verdict_text(row.verdict, name)
    kind = in_steps(layout.kind or gap_kind(_unit(row.measure)), row.step)
    level = in_steps(layout.level_kind or level_kind(_unit(row.measure)), row.step)
    levels: list[float | None] = [getattr(row, field) for field in layout.level]
    value: float | None = getattr(row, layout.value)
    second = None
    if name == "exposure":  # beside the ratio that ignores relevance, or that one alone
        value, second = (row.ratio, None) if value is None else (value, row.ratio)
    low, high = getattr(row, f"{layout.ends}_low"), getattr(row, f"{layout.ends}_high")
    drawing = Interval(value, low, high)
    if layout.draws_level:
        drawing = Interval(levels[0], row.ci_low, row.ci_high)
    p = row.p if name == "leakage" and row.p_adjusted is None else row.p_adjusted
    chance = span(row.null_low, row.null_high, "ratio")
    sizes = patients(row, report.minimum.reported)
    if name == "counterfactual":
        sizes = some("queries", row.n_queries, "count", "n")
    return Line(
        name=_who(names, name, row),
        level=withheld(
            row,
            joined([number(one, level) for one in levels], ", "),
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
        subs=sub(_what(names, name, row), sizes) + sub(why(row, verdict)),
        second=None if second is None else Interval(second),
        band=_band(report, name, row),
    )


def _who(names: Names, name: str, row: Row) -> str:
    if name == "leakage":
        return names.attribute(row.attribute)
    if name == "counterfactual":
        return row.swap
    return f"{row.finding}, {names.of(row)}" if row.finding else names.of(row)


def _what(names: Names, name: str, row: Row) -> str:
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


def _band(report: Report, name: str, row: Row) -> tuple[float, float] | None:
    """Give what is drawn behind: the margin, what chance gives, or what a placebo does."""
    if name == "zero_shot":
        return report.band
    if row.null_low is not None and row.null_high is not None:
        return row.null_low, row.null_high
    # The effect on the order is already what is left of it beside the placebos.
    if row.placebo is None or row.measure == "ranking":
        return None
    return -abs(row.placebo), abs(row.placebo)
