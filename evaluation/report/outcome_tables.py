"""The table of each outcome: its groups against everyone else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from evaluation.report import markup as html
from evaluation.report.axes import gap_axis
from evaluation.report.contrasts import Compared, louder_first
from evaluation.report.model import Report, Row
from evaluation.report.names import Names
from evaluation.report.number_format import Kind, kind_of
from evaluation.report.tables import Line, Table, counted, cut, why, withheld, within_note
from evaluation.report.texts import FLAGS, TEXTS, heads, verdict_text

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
    tag = TEXTS["groups.declared" if declared else "groups.first"]
    made = [
        _outcome_table(report, own, tag if name in opened else "")
        for name, own in by_outcome.items()
    ]
    return sorted(made, key=lambda table: not table.tag)


def _outcome_table(report: Report, found: Sequence[Compared], tag: str) -> Table:
    info, title = Names(report).describe(found[0].row.outcome), found[0].outcome
    in_sight = [
        one for one in louder_first(found)
        if one.row.decides and not one.row.is_intersection
    ]  # fmt: skip
    stay = in_sight[:MOST_OPEN] if tag else []
    blocks = sorted(found, key=lambda one: (not one.row.decides, one.row.is_intersection))
    rest = [one for one in blocks if one not in stay]
    behind = cut(rest, lambda one: one.primary or one.established)
    lines = [_line(report, one) for one in [*stay, *behind]]
    drawings = [drawing for line in lines for drawing in (line.spread, line.second) if drawing]
    caption = "groups.caption" if info.higher_is_better else "groups.caption.lower"
    chosen = any(one.row.decides and not one.row.against_rest for one in found)
    other = "everyone_else_or_named" if chosen else "everyone_else"
    return Table(
        title=title,
        caption=html.say(caption, outcome=title, other=TEXTS[other]),
        columns=heads("groups"),
        axis=gap_axis(drawings, report.margin, kind_of("gap", found[0].unit)),
        shown=[replace(line, heading="") for line in lines[: len(stay)]],
        folded=lines[len(stay) :],
        counts=counted(verdict_text(one.verdict) for one in rest),
        left_out=len(rest) - len(behind),
        higher=info.higher_is_better,
        harm=info.harm,
        tag=tag,
    )


def _line(report: Report, one: Compared) -> Line:
    row, twin, kind, verdict = one.row, one.twin, one.kind("gap"), verdict_text(one.verdict)
    if not row.decides:
        heading = TEXTS["other_contrasts"]
    elif row.is_intersection:
        heading = TEXTS["intersections"]
    else:
        heading = one.names.attribute(row.attribute)
    versus = twin is not None or not row.against_rest
    found, naive = row.interval("gap_ci"), row.interval("gap_naive_ci", "gap_naive")
    unadjusted = html.some("sentence.unadjusted", row.gap_naive, kind, "gap")
    level = _level(row, one.kind("level"))
    sizes = html.sub(_sizes(report, one, row))
    if twin is not None:
        own = _level(twin, one.kind("level"))
        level = html.joined([level, html.joined([html.sub(one.other), own], " ")], "")
        sizes += html.sub(html.joined([one.other, _sizes(report, one, twin)], ": "))
    return Line(
        name=html.say("against", group=one.group, other=one.other) if versus else one.group,
        level=level,
        value=withheld(
            row,
            html.effect(found, kind, row.p_adjusted),
            html.sub(within_note(report, row, kind)),
            html.sub(html.joined([unadjusted, html.span(naive, kind)], ", ")),
            *map(html.sub, _beside(row, kind)),
        ),
        spread=found,
        verdict=verdict,
        subs=sizes + html.sub(why(row, one.verdict)),
        tag=TEXTS["groups.declared"] if one.primary else "",
        second=None if naive.point is None else naive,
        band=report.band,
        heading=heading,
    )


def _beside(row: Row, kind: Kind) -> list[Markup]:
    """Write what has to be read beside the gap: its ratio, bounds for the missing, warnings."""
    shown = []
    if row.ratio is not None:
        ends = html.span(row.interval("ratio_ci"), "ratio")
        ratio = html.say("ratio", of=row.ratio_of, ratio=html.number(row.ratio, "ratio"))
        shown.append(html.joined([ratio, ends], ", "))
    if row.gap_missing_low is not None:
        bounds = html.span(row.interval("gap_missing"), kind)
        shown.append(html.say("missing.bounds", span=bounds))
    return [*shown, *flag_texts(row)]


def flag_texts(row: Row) -> list[Markup]:
    """Write the warnings that the audit sets beside a verdict."""
    return [
        html.say("flag", text=FLAGS.get(flag, flag.replace("_", " ")))
        for flag in re.findall(r"[a-z_]+", row.flags)
    ]


def _level(row: Row, kind: Kind) -> Markup:
    return withheld(row, html.level([row.estimate], row.interval("ci"), kind))


def _sizes(report: Report, one: Compared, row: Row) -> Markup:
    """How many patients, queries and events, and what limits them."""
    step = max(row.step or 0.0, row.step_rest or 0.0)
    steps = html.number(step, "share" if one.unit == "proportion" else "plain")
    return html.joined(
        [
            html.patients(row, report.minimum.reported),
            html.some("queries", row.n_queries, "count", "n"),
            html.some("events", row.n_events, "count", "n"),
            html.some("design_effect", row.design_effect, "ratio", "value"),
            html.some("unmeasured", row.n_unmeasured or None, "count", "n"),
            html.say("low_precision") if row.precision == "low" else "",
            html.say("in_steps", step=steps) if step >= 0.01 and not row.is_suppressed else "",
        ],
        ", ",
    )
