"""The tables of the further sections and of changes: a layout for each, one way to write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evaluation.report import markup as html
from evaluation.report.axes import gap_axis, span_axis
from evaluation.report.model import Interval, Report, Row
from evaluation.report.names import Names
from evaluation.report.number_format import Kind, in_steps, kind_of
from evaluation.report.tables import (
    LOUD,
    ORDER,
    Line,
    Table,
    counted,
    cut,
    why,
    withheld,
    within_note,
)
from evaluation.report.texts import MEASURES, RECORDS, TEXTS, heads, verdict_text

__all__ = ["section_tables", "table_of"]

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
    "changes": Layout(value="change", level=("before", "after")),
}  # fmt: skip


def section_tables(report: Report, name: str) -> list[Table]:
    """Lay out the tables of a section: one for each measure, or one for all rows."""
    given: list[Row] = getattr(report, name).rows
    rows = sorted(given, key=lambda row: ORDER.index(verdict_text(row.verdict).name))
    if name not in {"zero_shot", "counterfactual"}:
        return [table_of(report, name, rows)] if rows else []
    found = dict.fromkeys(row.measure for row in given)
    known = [one for one in MEASURES if one in found]
    order = dict.fromkeys([*known, *found])
    return [
        table_of(report, name, [row for row in rows if row.measure == one], one) for one in order
    ]


def table_of(report: Report, name: str, rows: Sequence[Row], measure: str = "") -> Table:
    """Lay out the table of a section (of one measure), or of changes, in the order of its rows."""
    layout = _LAYOUTS[name]
    lines = [_line(report, name, row) for row in rows]
    kept = cut(lines, lambda line: line.verdict.name in LOUD)
    spreads = [line.spread for line in kept]
    if layout.is_gap:
        margin = report.margin if name == "zero_shot" else None
        rates = all(_unit(report, name, row) == "proportion" for row in rows)
        axis = gap_axis(spreads, margin, layout.kind or ("points" if rates else "signed"))
    else:
        ends = [end for one in spreads for end in (one.point, one.low, one.high)]
        ends += [end for line in kept for end in line.band or ()]
        ends += [line.second.point for line in kept if line.second]
        axis = span_axis([*ends, layout.chance], "percent" if layout.draws_level else "ratio")
    title, words = MEASURES.get(measure, (measure, ""))
    return Table(
        title=title,
        caption=words or TEXTS.get(f"{name}.caption", title),
        columns=heads(name),
        axis=axis,
        reference=0.0 if layout.is_gap else layout.chance,
        folded=kept,
        counts=counted(line.verdict for line in lines),
        left_out=len(lines) - len(kept),
        higher=measure not in _ERRORS if name == "zero_shot" else None,
    )


def _unit(report: Report, name: str, row: Row) -> str:
    if name == "changes":
        return Names(report).describe(row.measured).unit
    return "proportion" if row.measure in _RATES else "score"


def _line(report: Report, name: str, row: Row) -> Line:
    layout, unit = _LAYOUTS[name], _unit(report, name, row)
    step = None if name == "changes" else row.step
    kind = in_steps(layout.kind or kind_of("gap", unit), step)
    levels: list[float | None] = [getattr(row, field) for field in layout.level]
    level_ends = row.interval("ci", layout.level[0]) if layout.level_ends else Interval()
    level_kind = in_steps(layout.level_kind or kind_of("level", unit), step)
    found, second = row.interval(layout.ends, layout.value), None
    if name == "exposure":  # beside the ratio that ignores relevance, or that one alone
        second = None if found.point is None else row.ratio
        found = found if found.point is not None else row.interval(layout.ends, "ratio")
    p = row.p if name == "leakage" and row.p_adjusted is None else row.p_adjusted
    tag = "changes.meant" if row.target else "groups.declared" if row.primary else ""
    beside = _beside(report, name, row, kind, second)
    return Line(
        name=_who(Names(report), name, row),
        level=withheld(row, html.level(levels, level_ends, level_kind)),
        value=withheld(row, html.effect(found, kind, p), *map(html.sub, beside)),
        spread=level_ends if layout.draws_level else found,
        verdict=verdict_text(row.verdict, name),
        subs=_subs(report, name, row),
        tag=TEXTS[tag] if tag and name == "changes" else "",
        second=None if second is None else Interval(second),
        band=_band(report, name, row),
    )


def _beside(
    report: Report, name: str, row: Row, kind: Kind, plain: float | None
) -> Iterator[Markup | str]:
    """Write what has to be read beside the value."""
    if name == "zero_shot":
        yield within_note(report, row, kind)
    elif name != "changes":
        chance = html.span(row.interval("null"), "ratio")
        yield html.say("exposure.chance", span=chance) if chance else ""
        yield html.some("exposure.plain", plain, "ratio", "ratio")
    elif row.gap_before is not None and row.gap_after is not None:
        before, after = html.number(row.gap_before, kind), html.number(row.gap_after, kind)
        yield html.say("changes.gap", before=before, after=after)


def _who(names: Names, name: str, row: Row) -> str:
    if name == "leakage":
        return names.attribute(row.attribute)
    if name == "counterfactual":
        return row.swap
    return f"{row.finding}, {names.of(row)}" if row.finding else names.of(row)


def _subs(report: Report, name: str, row: Row) -> Markup:
    """Say beneath the name what the row is about, of how many, and why it has no number."""
    names, reason = Names(report), why(row, row.verdict)
    what: str = names.attribute(row.attribute)
    sizes, low = html.patients(row, report.minimum.reported), ""
    if name == "zero_shot":
        what = html.some("events", row.n_events, "count", "n")
    elif name == "leakage":
        what = html.say("leakage.probe", space=row.space, probe=row.probe)
    elif name == "label_quality":
        what = RECORDS.get(row.measure, row.measure.replace("_", " "))
    elif name == "counterfactual":
        sizes = html.some("queries", row.n_queries, "count", "n")
        if row.group:
            what = html.say("counterfactual.on", attribute=what, group=names.of(row))
    elif name == "changes":
        what = names.outcome(row.measured)
        low = html.say("low_precision") if row.precision == "low" else ""
        reason = row.reason if row.name or row.change is None else ""
    return html.sub(what, sizes, low) + html.sub(reason)


def _band(report: Report, name: str, row: Row) -> tuple[float, float] | None:
    """Give what is drawn behind: the margin, what chance gives, or what a placebo does."""
    if name in {"zero_shot", "changes"}:
        return report.band
    if row.null_low is not None and row.null_high is not None:
        return row.null_low, row.null_high
    # The effect on the order is already what is left of it beside the placebos.
    if row.placebo is None or row.measure == "ranking":
        return None
    return -abs(row.placebo), abs(row.placebo)
