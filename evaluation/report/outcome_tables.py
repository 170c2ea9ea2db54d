"""The table of each outcome: its groups against everyone else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evaluation.report.contrasts import Compared, louder_first
from evaluation.report.forest_svg import gap_axis
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
from evaluation.report.number_format import Kind, finite, gap_kind
from evaluation.report.rows import OutcomeRow
from evaluation.report.tables import (
    Line,
    Table,
    columns,
    counted,
    cut,
    drawn,
    margin_band,
    some,
    spread,
    why,
    withheld,
    within_note,
)
from evaluation.report.texts import FLAGS, TEXTS

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["flag_texts", "outcome_tables"]

MOST_OPEN, MOST_TABLES = 6, 2
"""Rows of a declared outcome that stay in sight, and such outcomes."""


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
        *map(sub, _beside(one)),
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
                sub(why(row, verdict)),
            ],
            "",
        ),
        tag=TEXTS["groups.declared"] if one.primary else "",
        second=naive if naive.known else None,
        band=margin_band(report),
        heading=heading,
    )


def _beside(one: Compared) -> list[Markup]:
    """Write what has to be read beside the gap: its ratio, bounds for the missing, warnings."""
    row, shown = one.row, []
    if finite(row.ratio) is not None:
        ends = span(row.ratio_ci_low, row.ratio_ci_high, "ratio")
        ratio = say("ratio", of=row.ratio_of or "", ratio=number(row.ratio, "ratio"))
        shown.append(joined([ratio, ends], ", "))
    if finite(row.gap_missing_low) is not None:
        bounds = span(row.gap_missing_low, row.gap_missing_high, one.gap_kind)
        shown.append(say("missing.bounds", span=bounds))
    return [*shown, *flag_texts(row)]


def flag_texts(row: OutcomeRow) -> list[Markup]:
    """Write the warnings that the audit sets beside a verdict."""
    return [
        say("flag", text=FLAGS.get(flag, flag.replace("_", " ")))
        for flag in re.findall(r"[a-z_]+", row.flags)
    ]


def _level(row: OutcomeRow, kind: Kind) -> Markup | str:
    return withheld(row, number(row.estimate, kind), sub(span(row.ci_low, row.ci_high, kind)))


def _sizes(row: OutcomeRow, report: Report) -> Markup:
    """How many patients, queries and events, and what limits them."""
    step = max(finite(row.step) or 0.0, finite(row.step_rest) or 0.0)
    unit = Names(report).unit(row.outcome)
    return joined(
        [
            patients(row, report.minimum.reported),
            some("queries", row.n_queries, "count", "n"),
            some("events", row.n_events, "count", "n"),
            some("design_effect", row.design_effect, "ratio", "value"),
            some("unmeasured", row.n_unmeasured or None, "count", "n"),
            say("low_precision") if row.precision == "low" else "",
            say("in_steps", step=number(step, "share" if unit == "proportion" else "plain"))
            if step >= 0.01 and not row.is_suppressed
            else "",
        ],
        ", ",
    )
