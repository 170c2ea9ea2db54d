"""Tables with one drawing a row: of the outcomes, of each further section, and of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from evaluation.report.contrasts import Compared, louder_first
from evaluation.report.forest_svg import Axis, Interval, gap_axis, row_svg, span_axis
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
from evaluation.report.model import OutcomeRow, Report, Row, RowVerdict, SectionRow
from evaluation.report.names import Names
from evaluation.report.number_format import Kind, finite, gap_kind, in_steps, level_kind
from evaluation.report.texts import MEASURES, TEXTS, VERDICTS, VerdictText

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = [
    "MOST_ROWS", "Line", "Table", "counted", "cut", "outcome_tables", "section_tables", "spread",
    "within_note",
]  # fmt: skip

MOST_ROWS = 100
"""Rows of a table on the page; established ones at four times as many."""
MOST_OPEN = 6
MOST_TABLES = 2
"""Rows of a declared outcome that stay in sight, and such outcomes."""
_LOUD = frozenset({"exceeds", "differs", "worse", "other"})
_ORDER = [*VERDICTS, "other"]
_MEASURED = {
    "FNR": (False, "proportion"), "FPR": (False, "proportion"), "EO": (False, "proportion"),
    "AUC": (True, "score"), "calibration": (False, "score"),
}  # fmt: skip
"""Of a measure of named findings: whether higher is better, and its unit."""

Counts = list[tuple[VerdictText, int]]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Parameters
    ----------
    name : str
    level, value : Markup or str
        Cells beside the drawing.
    spread : Interval
        What is drawn.
    verdict : VerdictText
    subs : Markup or str
        Beneath the name.
    tag : str
        That it was declared, or what a mitigation aims at.
    second : Interval, optional
        Drawn beneath, hollow.
    band : (low, high), optional
        Drawn behind.
    heading : str
        Rows of one heading follow one another.
    svg : str
        The drawing.
    """

    name: str
    level: Markup | str
    value: Markup | str
    spread: Interval
    verdict: VerdictText
    subs: Markup | str = ""
    tag: str = ""
    second: Interval | None = None
    band: tuple[float, float] | None = None
    heading: str = ""
    svg: str = ""

    @property
    def established(self) -> bool:
        """Whether something was established that a reader has to know."""
        return self.verdict.name in _LOUD


@dataclass(frozen=True)
class Table:
    """A table and what is folded away of it.

    Parameters
    ----------
    title, caption : str
    columns : list of str
        Heads of name, level, drawing, value and verdict.
    axis : Axis
    shown, folded : list of Line
    counts : list of (VerdictText, int)
        Of every row that is not in sight.
    left_out : int
        Rows that only the files hold.
    higher : bool or None
        Whether higher is better; None where the axis has no better end.
    harm, tag : str
    """

    title: str
    caption: str
    columns: list[str]
    axis: Axis
    shown: list[Line]
    folded: list[Line]
    counts: Counts
    left_out: int = 0
    higher: bool | None = None
    harm: str = ""
    tag: str = ""

    @property
    def hidden(self) -> int:
        """How many rows are not in sight."""
        return sum(n for _, n in self.counts)


def counted(verdicts: Iterable[VerdictText]) -> Counts:
    """Count verdicts, those that weigh first."""
    found: dict[VerdictText, int] = {}
    for verdict in verdicts:
        found[verdict] = found.get(verdict, 0) + 1
    return sorted(found.items(), key=lambda pair: (_ORDER.index(pair[0].name), pair[0].words))


def cut(rows: Sequence[_T], loud: Callable[[_T], bool]) -> list[_T]:
    """Keep as many rows as a page can hold; those that weigh are cut last."""
    weigh = [row for row in rows if loud(row)]
    kept = set(map(id, weigh[: 4 * MOST_ROWS]))
    others = [row for row in rows if id(row) not in kept and not loud(row)]
    kept |= set(map(id, others[: max(0, MOST_ROWS - len(kept))]))
    return [row for row in rows if id(row) in kept]


def drawn(lines: Iterable[Line], axis: Axis, reference: float | None = 0.0) -> list[Line]:
    """Draw each row on the axis."""
    return [
        replace(
            line,
            svg=row_svg(
                axis, line.spread, line.second, band=line.band, reference=reference,
                tone=line.verdict.name,
            ),
        )
        for line in lines
    ]  # fmt: skip


def spread(row: Row, point: str, low: str = "ci_low", high: str = "ci_high") -> Interval:
    """Take a point and its interval out of a row."""
    return Interval(*(finite(getattr(row, name)) for name in (point, low, high)))


def columns(key: str) -> list[str]:
    """Heads of a table's columns."""
    return TEXTS[f"{key}.columns"].split("|")


# Outcomes


def outcome_tables(report: Report, compared: Sequence[Compared]) -> list[Table]:
    """Lay out a table for each outcome, declared ones first.

    Of a declared outcome (of the first, where none is declared) the rows that matter most stay in
    sight; all others are folded.
    """
    by_outcome: dict[str, list[Compared]] = {}
    for one in compared:
        by_outcome.setdefault(one.row.outcome, []).append(one)
    declared = [q.outcome for q in report.protocol.primary if q.outcome in by_outcome]
    opened = list(dict.fromkeys(declared))[:MOST_TABLES] or list(by_outcome)[:1]
    made = [
        _outcome_table(report, own, name in opened, bool(declared))
        for name, own in by_outcome.items()
    ]
    return sorted(made, key=lambda table: not table.tag)


def _outcome_table(
    report: Report, found: Sequence[Compared], opened: bool, declared: bool
) -> Table:
    names = Names(report)
    louder = louder_first(found)
    in_sight = [one for one in louder if one.row.against_rest and not one.row.is_intersection]
    stay = in_sight[:MOST_OPEN] if opened else []
    rest = [one for one in sorted(found, key=_block) if one not in stay]
    behind = cut(rest, lambda one: one.primary or one.established)
    lines = [outcome_line(report, one) for one in [*stay, *behind]]
    drawings = [drawing for line in lines for drawing in (line.spread, line.second) if drawing]
    axis = gap_axis(drawings, report.margin, gap_kind(found[0].unit))
    pictures = drawn(lines, axis)
    first = found[0].row.outcome
    higher = names.higher_is_better(first)
    title = names.outcome(first)
    return Table(
        title=title,
        caption=str(say("groups.caption" if higher else "groups.caption.lower", outcome=title)),
        columns=columns("groups"),
        axis=axis,
        shown=[replace(line, heading="") for line in pictures[: len(stay)]],
        folded=pictures[len(stay) :],
        counts=counted(verdict_text(one.verdict) for one in rest),
        left_out=len(rest) - len(behind),
        higher=higher,
        harm=names.describe(first).harm,
        tag=TEXTS["groups.declared" if declared else "groups.first"] if opened else "",
    )


def _block(one: Compared) -> tuple[bool, bool]:
    return not one.row.against_rest, one.row.is_intersection


def outcome_line(report: Report, one: Compared) -> Line:
    """Lay out a comparison of an outcome."""
    row = one.row
    verdict = verdict_text(one.verdict)
    naive = spread(row, "gap_naive", "gap_naive_ci_low", "gap_naive_ci_high")
    if not row.against_rest:
        heading = TEXTS["other_contrasts"]
    elif row.is_intersection:
        heading = TEXTS["intersections"]
    else:
        heading = one.names.attribute(row.attribute)
    versus = one.twin is not None or not row.against_rest
    unadjusted = (
        say("sentence.unadjusted", gap=number(row.gap_naive, one.gap_kind))
        if finite(row.gap_naive) is not None
        else ""
    )
    naive_span = span(row.gap_naive_ci_low, row.gap_naive_ci_high, one.gap_kind)
    value = withheld(
        row,
        wrapped(gap(row.gap, one.gap_kind), "strong"),
        sub(span(row.gap_ci_low, row.gap_ci_high, one.gap_kind), p_value(row.p_adjusted)),
        sub(within_note(report, row, one.gap_kind)),
        sub(joined([unadjusted, naive_span], ", ")),
    )
    level = _level(row, one.level_kind)
    if one.twin is not None:
        level = joined([level, sub(one.other), _level(one.twin, one.level_kind)], "")
    return Line(
        name=str(say("against", group=one.group, other=one.other)) if versus else one.group,
        level=level,
        value=value,
        spread=spread(row, "gap", "gap_ci_low", "gap_ci_high"),
        verdict=verdict,
        subs=joined(
            [
                sub(_sizes(row, report)),
                sub(joined([one.other, _sizes(one.twin, report)], ": ")) if one.twin else "",
                sub(_why(row, verdict)),
            ],
            "",
        ),
        tag=TEXTS["groups.declared"] if one.primary else "",
        second=naive if naive.known else None,
        band=_margin_band(report),
        heading=heading,
    )


def within_note(report: Report, row: OutcomeRow | SectionRow, kind: Kind) -> Markup | str:
    """Explain ``within`` beside an interval that reaches beyond the margin."""
    margin, alpha = report.margin, report.alpha
    low, high = finite(row.gap_ci_low), finite(row.gap_ci_high)
    if row.verdict != RowVerdict.WITHIN or alpha is None:
        return ""
    level = number(1 - 2 * alpha, "share", name="derived")
    inner = span(row.inner_low, row.inner_high, kind)
    if inner:
        return say("within.inner", level=level, span=inner)
    if margin is None or low is None or high is None or max(-low, high) < margin:
        return ""
    return say("within.explained", level=level)


def _level(row: OutcomeRow, kind: Kind) -> Markup | str:
    return withheld(row, number(row.estimate, kind), sub(span(row.ci_low, row.ci_high, kind)))


def _sizes(row: OutcomeRow, report: Report) -> Markup:
    """How many patients, queries and events, and what limits them."""
    step = max(finite(row.step) or 0.0, finite(row.step_rest) or 0.0)
    unit = Names(report).unit(row.outcome)
    return joined(
        [
            patients(row, report.minimum.reported),
            _some("queries", row.n_queries, "count", "n"),
            _some("events", row.n_events, "count", "n"),
            _some("design_effect", row.design_effect, "ratio", "value"),
            _some("unmeasured", row.n_unmeasured or None, "count", "n"),
            say("low_precision") if row.precision == "low" else "",
            say("in_steps", step=number(step, "share" if unit == "proportion" else "plain"))
            if step >= 0.01
            else "",
        ],
        ", ",
    )


def _some(key: str, value: float | None, kind: Kind, name: str) -> Markup | str:
    return "" if finite(value) is None else say(key, **{name: number(value, kind)})


def withheld(row: Row, *cells: Markup | str) -> Markup:
    """Join the parts of a cell; of a suppressed row they are withheld."""
    return wrapped(say("withheld"), name="none") if row.is_suppressed else joined(cells, "")


def _why(row: Row, verdict: VerdictText) -> str:
    """Give the reason where there is no number."""
    return row.reason or "" if verdict.name == "not_assessable" and not row.is_suppressed else ""


def _margin_band(report: Report) -> tuple[float, float] | None:
    return None if report.margin is None else (-report.margin, report.margin)


# Further sections


def section_tables(report: Report, name: str) -> list[Table]:
    """Lay out the tables of a section: one for each measure, or one for all."""
    rows = getattr(report, name).rows
    make = _SECTIONS[name]
    if name not in {"zero_shot", "counterfactual"}:
        if name == "label_quality":
            rows = sorted(rows, key=lambda row: (row.measure, row.attribute))
        return [_section_table(report, name, rows, make, "")] if rows else []
    order = list(MEASURES)
    measures = sorted(
        dict.fromkeys(row.measure for row in rows),
        key=lambda one: order.index(one) if one in order else len(order),
    )
    return [
        _section_table(report, name, [row for row in rows if row.measure == one], make, one)
        for one in measures
    ]


def _section_table(
    report: Report,
    name: str,
    rows: Sequence[SectionRow],
    make: Callable[[Report, Names, SectionRow, VerdictText], Line],
    measure: str,
) -> Table:
    names = Names(report)
    lines = [make(report, names, row, verdict_text(row.verdict, name)) for row in rows]
    lines.sort(key=lambda line: _ORDER.index(line.verdict.name))
    kept = cut(lines, lambda line: line.established)
    title, words = MEASURES.get(measure, (measure, ""))
    higher, unit = _MEASURED.get(measure, (True, "score"))
    spreads = [line.spread for line in kept]
    reference: float | None = 0.0
    if name in {"exposure", "leakage", "label_quality"}:
        reference = {"exposure": 1.0, "leakage": 0.5}.get(name)
        ends = [end for one in spreads for end in (one.point, one.low, one.high)]
        ends += [end for line in kept for end in line.band or ()]
        ends += [line.second.point for line in kept if line.second]
        axis = span_axis(
            ends,
            "percent" if name == "label_quality" else "ratio",
            () if reference is None else (reference,),
        )
    else:
        margin = report.margin if name == "zero_shot" else None
        axis = gap_axis(spreads, margin, gap_kind(unit) if name == "zero_shot" else "signed")
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


def _exposure(report: Report, names: Names, row: SectionRow, verdict: VerdictText) -> Line:
    plain = row.ratio_given_relevance is None
    point = row.ratio if plain else row.ratio_given_relevance
    band = None if row.null_low is None or row.null_high is None else (row.null_low, row.null_high)
    chance = span(row.null_low, row.null_high, "ratio")
    return Line(
        name=names.of(row),
        level=withheld(
            row, number(row.share_archive, "percent"), ", ", number(row.exposure, "percent")
        ),
        value=withheld(
            row,
            wrapped(number(point, "ratio"), "strong"),
            sub(span(row.ci_low, row.ci_high, "ratio")),
            sub(say("exposure.chance", span=chance) if chance else "", p_value(row.p_adjusted)),
            "" if plain else sub(_some("exposure.plain", row.ratio, "ratio", "ratio")),
        ),
        spread=Interval(finite(point), finite(row.ci_low), finite(row.ci_high)),
        verdict=verdict,
        subs=_section_subs(report, row, verdict, names.attribute(row.attribute)),
        second=None if plain else Interval(finite(row.ratio), None, None),
        band=band,
    )


def _leakage(report: Report, names: Names, row: SectionRow, verdict: VerdictText) -> Line:
    p = row.p if row.p_adjusted is None else row.p_adjusted
    probe = say("leakage.probe", space=row.space, probe=row.probe)
    return Line(
        name=names.attribute(row.attribute),
        level=number(row.null_mean, "score"),
        value=_value(row, number(row.auc, "score"), span(row.ci_low, row.ci_high, "score"), p),
        spread=spread(row, "auc"),
        verdict=verdict,
        subs=_section_subs(report, row, verdict, probe),
    )


def _modality_gap(report: Report, names: Names, row: SectionRow, verdict: VerdictText) -> Line:
    ends = (row.difference_ci_low, row.difference_ci_high)
    return Line(
        name=names.of(row),
        level=withheld(row, number(row.gap, "score"), sub(span(row.ci_low, row.ci_high, "score"))),
        value=_value(row, gap(row.difference, "signed"), span(*ends, "signed"), row.p_adjusted),
        spread=spread(row, "difference", "difference_ci_low", "difference_ci_high"),
        verdict=verdict,
        subs=_section_subs(report, row, verdict, names.attribute(row.attribute)),
    )


def _label_quality(report: Report, names: Names, row: SectionRow, verdict: VerdictText) -> Line:
    level, points = in_steps("percent", row.step), in_steps("points", row.step)
    ends = span(row.gap_ci_low, row.gap_ci_high, points)
    return Line(
        name=names.of(row),
        level=withheld(row, number(row.estimate, level), sub(span(row.ci_low, row.ci_high, level))),
        value=_value(row, gap(row.gap, points), ends, row.p_adjusted),
        spread=spread(row, "estimate"),
        verdict=verdict,
        subs=_section_subs(report, row, verdict, row.measure.replace("_", " ")),
    )


def _zero_shot(report: Report, names: Names, row: SectionRow, verdict: VerdictText) -> Line:
    unit = _MEASURED.get(row.measure, (True, "score"))[1]
    level, kind = in_steps(level_kind(unit), row.step), in_steps(gap_kind(unit), row.step)
    ends = span(row.gap_ci_low, row.gap_ci_high, kind)
    return Line(
        name=joined([row.finding, names.of(row)], ", "),
        level=withheld(row, number(row.estimate, level), sub(span(row.ci_low, row.ci_high, level))),
        value=_value(row, gap(row.gap, kind), ends, row.p_adjusted, within_note(report, row, kind)),
        spread=spread(row, "gap", "gap_ci_low", "gap_ci_high"),
        verdict=verdict,
        subs=_section_subs(report, row, verdict, _some("events", row.n_events, "count", "n")),
        band=_margin_band(report),
    )


def _counterfactual(report: Report, names: Names, row: SectionRow, verdict: VerdictText) -> Line:
    attribute = names.attribute(row.attribute)
    on = say("counterfactual.on", attribute=attribute, group=names.of(row))
    placebo = finite(row.placebo)
    return Line(
        name=row.swap,
        level=number(row.placebo, "score"),
        value=_value(
            row, number(row.effect, "signed"), span(row.ci_low, row.ci_high, "signed"),
            row.p_adjusted,
        ),
        spread=spread(row, "effect"),
        verdict=verdict,
        subs=joined(
            [
                sub(on if row.group else attribute, _some("queries", row.n_queries, "count", "n")),
                sub(_why(row, verdict)),
            ],
            "",
        ),
        # The effect on the order is what is left of it beside the placebos already.
        band=None
        if placebo is None or row.measure == "ranking"
        else (-abs(placebo), abs(placebo)),
    )  # fmt: skip


_SECTIONS: dict[str, Callable[[Report, Names, SectionRow, VerdictText], Line]] = {
    "zero_shot": _zero_shot,
    "exposure": _exposure,
    "counterfactual": _counterfactual,
    "leakage": _leakage,
    "modality_gap": _modality_gap,
    "label_quality": _label_quality,
}


def _value(
    row: Row, shown: Markup, ends: Markup | str, p: float | None, note: Markup | str = ""
) -> Markup:
    return withheld(row, wrapped(shown, "strong"), sub(ends, p_value(p)), sub(note))


def _section_subs(report: Report, row: SectionRow, verdict: VerdictText, what: object) -> Markup:
    sizes = patients(row, report.minimum.reported)
    return joined([sub(what, sizes), sub(_why(row, verdict))], "")
