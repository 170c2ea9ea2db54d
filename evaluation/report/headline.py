"""The answer in plain words: what was found, what was ruled out, and what nobody can tell.

An established gap outranks everything; then doubt; "no gap" is claimed only of groups that could be
assessed, and only if none of them is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isfinite
from statistics import median_low
from typing import Any

from markupsafe import Markup

from evaluation.report import markup as html
from evaluation.report.contrasts import ESTABLISHED, Compared, louder_first
from evaluation.report.model import Question, Report
from evaluation.report.names import Names
from evaluation.report.outcome_tables import flag_texts
from evaluation.report.tables import counted, within_note
from evaluation.report.texts import PLACES, TEXTS, verdict_text
from evaluation.stats.verdict import Verdict

__all__ = ["answer", "by_adjusting"]

MOST_NAMED = 6
MOST_BETTER = 3
"""Findings that the answer names, to a group's harm and in its favor; the tables hold all."""
MOST_ROWS_OF_A_QUESTION = 4
MOST_SENTENCES = 8
"""Of declared questions: groups of one, and sentences of all."""

Finding = tuple[str, str, "list[Markup]"]
"""Title of the outcome, the harm, and a sentence for each group."""


def answer(report: Report, compared: Sequence[Compared]) -> dict[str, Any]:
    """Sum up the table of outcomes for the first sheet; only comparisons with the rest count.

    Returns
    -------
    dict
        ``state`` (gap, doubt, clear, none), ``headline, details``; ``counts`` and ``total`` of
        comparisons; ``group`` and ``intersection`` that are affected most; ``questions``, a
        sentence for each declared one; findings ``worse`` and ``better``, and how many ``more``;
        ``doubts``; ``unassessed`` groups, without any number that could be tested.
    """
    rest = [one for one in compared if one.row.decides]
    found = sorted(
        (one for one in rest if one.established),
        key=lambda one: (not one.primary, one.row.is_intersection, -abs(one.loss or 0.0)),
    )
    worse = [one for one in found if one.loss is None or one.loss >= 0]
    better = [one for one in found if one.loss is not None and one.loss < 0]
    open_ = [one for one in rest if one.undecided]
    state, headline, details = _state(report, rest, worse, better, open_)
    if open_:
        details.append(_noticed(report, open_))
    told = [one for one in rest if one.verdict != Verdict.NOT_ASSESSABLE]
    tested = {(row.attribute, row.group) for one in told for row in one.rows}
    unassessed = _once(
        one.group for one in _single(rest) if (one.row.attribute, one.row.group) not in tested
    )
    if unassessed:
        details.append(html.say("answer.unassessed", groups=html.listed(unassessed)))
    crossed = [one for one in rest if one.row.is_intersection and one.loss is not None]
    no_crossed = "worst.none.intersection" if crossed else "worst.undeclared"
    return {
        "state": state,
        "headline": headline,
        "details": details,
        "counts": counted(verdict_text(one.verdict) for one in rest),
        "total": len(rest),
        "group": _worst(report, _single(rest), "worst.none"),
        "intersection": _worst(report, crossed, no_crossed),
        "questions": _questions(report, rest),
        "worse": _by_outcome(report, worse[:MOST_NAMED]),
        "better": _by_outcome(report, better[:MOST_BETTER]),
        "more": max(0, len(worse) - MOST_NAMED) + max(0, len(better) - MOST_BETTER),
        "doubts": _doubts(open_, rest),
        "unassessed": unassessed,
    }


def _state(
    report: Report,
    rest: Sequence[Compared],
    worse: Sequence[Compared],
    better: Sequence[Compared],
    open_: Sequence[Compared],
) -> tuple[str, Markup, list[Markup]]:
    """Say in one line what the audit found, and what it means."""
    elsewhere = sum(row.verdict in ESTABLISHED for row in report.zero_shot.rows)
    undecided = {"n": html.tally(len(open_)), "total": html.tally(len(rest))}
    if worse or better or elsewhere:
        found = worse or better
        named = html.listed(_once(one.group for one in _single(found) or found))
        if found:
            key = "answer.gap.better"
            if worse:
                key = "answer.gap"
            elif not all(one.row.against_rest for one in better):
                key = "answer.gap.better.named"
            headline = html.say(key, groups=named)
        else:
            headline = html.count("answer.gap.findings", elsewhere)
        more = [html.say("answer.gap.more", **undecided)] if open_ else []
        return "gap", headline, [html.say("answer.gap.detail"), *more]
    margin = _margin(report)
    if open_:
        details = [html.say("answer.doubt.detail", margin=margin)]
        return "doubt", html.say("answer.doubt", **undecided), details
    if any(one.verdict == Verdict.WITHIN for one in rest):
        return "clear", html.say("answer.clear", margin=margin), [html.say("answer.clear.detail")]
    return "none", html.say("answer.none"), [html.say("answer.none.detail")]


def _margin(report: Report) -> Markup:
    """Write the margin: as points, or as a score where no outcome is a proportion."""
    if report.margin is None:
        return html.say("margin.none")
    if {info.unit for info in report.describe_outcomes.values()} == {"score"}:
        return html.say("margin.score", size=html.number(report.margin, "score"))
    size = html.number(report.margin, "margin")
    if report.ratio_margin is not None:
        return html.say("margin.ratio", size=size, ratio=html.number(report.ratio_margin, "plain"))
    return html.say("margin", size=size)


def _noticed(report: Report, asked: Sequence[Compared]) -> Markup:
    """Say which gap the audit would notice, in the middle one of these comparisons.

    Those of proportions decide where there are any. Where the audit did not simulate itself, it is
    the middle half-width of their intervals.
    """
    smallest = {
        (row.attribute, row.group, row.outcome): row.smallest_gap for row in report.instrument.rows
    }
    for unit, kind in (("proportion", "size_0"), ("score", "away_2")):
        own = [one.row for one in asked if one.unit == unit]
        sizes = [smallest.get((row.attribute, row.group, row.outcome)) for row in own]
        widths = [row.interval("gap_ci").half_width for row in own]
        for values, key, mark in (
            (sizes, "answer.noticed", ""), (widths, "answer.noticed.width", "derived")
        ):  # fmt: skip
            # One that no gap could be noticed in is worse than any size.
            ordered = [inf if value is None else value for value in values]
            if ordered and isfinite(middle := median_low(ordered)):
                return html.say(key, size=html.gap(middle, kind, mark))
    return html.say("answer.noticed.none")


def _single(found: Iterable[Compared]) -> list[Compared]:
    return [one for one in found if not one.row.is_intersection]


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _worst(report: Report, found: Sequence[Compared], none: str) -> Markup:
    """Say who loses most: established losses first, then those in declared outcomes."""
    declared = {question.outcome for question in report.protocol.primary}
    worst = min(
        (one for one in found if (one.loss or 0.0) > 0),
        key=lambda one: (not one.established, one.row.outcome not in declared, -(one.loss or 0.0)),
        default=None,
    )
    return html.say(none) if worst is None else _sentence(report, worst)


def _sentence(report: Report, one: Compared) -> Markup:
    """Say in one sentence what was found of a group: size, interval, patients, verdict."""
    start = html.say("sentence.start", group=html.wrapped(one.group, "strong"), outcome=one.outcome)
    return html.joined([start, _found(report, one)], " ")


def _found(report: Report, one: Compared) -> Markup:
    """Write what was found, without the group's name."""
    row, kind, shown = one.row, one.kind("gap"), html.badge(verdict_text(one.verdict))
    people = html.patients(row, report.minimum.reported)
    if one.verdict == Verdict.NOT_ASSESSABLE:
        reason = people if row.is_suppressed else row.reason or html.say("no_reason")
        return html.joined([html.say("sentence.not_assessable", reason=reason), shown], " ")
    if row.gap is None:
        return html.joined([html.say("sentence.no_size"), shown], " ")
    way = "equal" if not row.gap else "lower" if row.gap < 0 else "higher"
    details = html.joined(
        [
            html.interval(report, html.span(row.interval("gap_ci"), kind)),
            within_note(report, row, kind),
            html.some("sentence.unadjusted", row.gap_naive, kind, "gap"),
            people,
        ]
    )
    parts = [
        html.say(f"sentence.{way}", size=html.gap(row.gap, one.kind("size")), other=one.other),
        html.wrapped(html.joined(["(", details, ")."], ""), name="small"),
        shown,
        *flag_texts(row),
        _notice(report, one) if one.undecided else "",
    ]
    return html.joined(parts, " ")


def _notice(report: Report, one: Compared) -> Markup | str:
    """Say which gap the audit would notice in this very comparison."""
    asked = {(row.attribute, row.group, row.outcome) for row in one.rows}
    sizes = [
        row.smallest_gap
        for row in report.instrument.rows
        if row.smallest_gap is not None and (row.attribute, row.group, row.outcome) in asked
    ]
    return html.say("sentence.notice", size=html.gap(max(sizes), one.kind("size"))) if sizes else ""


def _by_outcome(report: Report, found: Sequence[Compared]) -> list[Finding]:
    """Gather findings by outcome, so that each harm is named once."""
    gathered: dict[str, list[Markup]] = {}
    for one in found:
        line = html.joined([html.wrapped(one.group, "strong"), _found(report, one)], ": ")
        gathered.setdefault(one.row.outcome, []).append(line)
    names = Names(report)
    return [
        (names.outcome(outcome), names.describe(outcome).harm, lines)
        for outcome, lines in gathered.items()
    ]


def _questions(report: Report, rest: Sequence[Compared]) -> list[Markup]:
    """Answer each declared question; without a protocol, rows are marked as declared."""
    sentences = [
        line for question in report.protocol.primary for line in _question(report, question, rest)
    ]
    if not report.protocol.primary:
        sentences = [_sentence(report, one) for one in rest if one.primary]
    more = len(sentences) - MOST_SENTENCES
    if more > 0:
        last = html.say("questions.more", n=html.tally(more), place=PLACES["groups"])
        sentences = [*sentences[:MOST_SENTENCES], last]
    return sentences


def _question(report: Report, question: Question, rest: Sequence[Compared]) -> list[Markup]:
    """Answer a question by its loudest rows; one that the audit does not hold is named too."""
    names = Names(report)
    own = [
        one.seen_from(question.group)
        for one in rest
        if (one.row.attribute, one.row.outcome) == (question.attribute, question.outcome)
    ]
    own = [one for one in own if question.group in {None, one.row.group}]
    outcome, attribute = names.outcome(question.outcome), names.attribute(question.attribute)
    if not own:
        group = names.group(question.attribute, question.group) if question.group else attribute
        return [html.say("questions.missing", group=group, outcome=outcome)]
    lines = [_sentence(report, one) for one in louder_first(own)[:MOST_ROWS_OF_A_QUESTION]]
    left = {"attribute": attribute, "outcome": outcome, "file": PLACES["groups"]}
    more = len(own) - len(lines)
    return [*lines, html.count("questions.left", more, **left)] if more else lines


def _doubts(open_: Sequence[Compared], rest: Sequence[Compared]) -> list[Markup]:
    doubts = []
    if open_:
        groups = html.listed(_once(one.group for one in _single(open_) or open_), 8)
        numbers = {"n": html.tally(len(open_)), "total": html.tally(len(rest))}
        doubts.append(html.say("doubt.undecided", groups=groups, **numbers))
    unexplained = _once(
        one.group
        for one in rest
        if one.row.verdict_naive in ESTABLISHED
        and one.verdict in {Verdict.INCONCLUSIVE, Verdict.NOT_ASSESSABLE}
    )
    if unexplained:
        doubts.append(html.say("doubt.unexplained", groups=html.listed(unexplained, 8)))
    return doubts


def by_adjusting(compared: Sequence[Compared]) -> list[Markup]:
    """Gather the comparisons whose verdict depends on the adjustment, by group and verdict.

    Gaps that the mix of cases hid come first.
    """
    gathered: dict[tuple[bool, str, str], list[Markup]] = {}
    for one in compared:
        row, kind, before = one.row, one.kind("gap"), one.row.verdict_naive
        if not row.decides or before in {"", one.verdict}:
            continue
        if not ESTABLISHED & {before, one.verdict}:
            continue
        key = "like.line" if row.gap is None else "like.line.both"
        sizes = {"naive": html.gap(row.gap_naive, kind), "gap": html.gap(row.gap, kind)}
        ending = "like.exceeds" if one.established else f"like.{one.verdict}"
        ending = ending if ending in TEXTS else "like.inconclusive"
        gathered.setdefault((not one.established, one.group, ending), []).append(
            html.say(key, outcome=one.outcome, **sizes)
        )
    return [
        html.wrapped(group, "strong") + ": " + html.joined(lines) + ". " + html.say(ending)
        for (_, group, ending), lines in sorted(gathered.items(), key=lambda item: item[0][0])
    ]
