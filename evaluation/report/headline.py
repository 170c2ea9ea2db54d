"""The answer in plain words: what was found, what was ruled out, and what nobody can tell.

An established gap outranks everything; then doubt; "no gap" is claimed only of groups that could be
assessed, and only if none of them is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evaluation.report.contrasts import ESTABLISHED, Compared, louder_first, noticed
from evaluation.report.markup import (
    badge,
    count,
    gap,
    joined,
    listed,
    number,
    patients,
    say,
    span,
    tally,
    verdict_text,
    wrapped,
)
from evaluation.report.model import Report
from evaluation.report.names import Names
from evaluation.report.number_format import finite
from evaluation.report.outcome_tables import flag_texts
from evaluation.report.records import RowVerdict
from evaluation.report.tables import Counts, counted, within_note
from evaluation.report.texts import PLACES

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Answer", "answer", "by_adjusting", "margin_words"]

MOST_NAMED = 6
MOST_BETTER = 3
"""Findings that the answer names, to a group's harm and in its favor; the tables hold all."""
MOST_ROWS_OF_A_QUESTION = 4
MOST_SENTENCES = 8
"""Of declared questions: groups of one, and sentences of all."""

Finding = tuple[str, str, "list[Markup]"]
"""Title of the outcome, the harm, and a sentence for each group."""


@dataclass(frozen=True)
class Answer:
    """What the board reads first.

    Parameters
    ----------
    state : {"gap", "doubt", "clear", "none"}
    headline : Markup
    details : list of Markup
    counts : list of (VerdictText, int)
    total : int
        Comparisons; an attribute with two groups counts once for an outcome.
    group, intersection : Markup
        Who is affected most.
    questions : list of Markup
        A sentence for each question declared beforehand.
    worse, better : list of (title, harm, sentences)
    more_worse : int
        Gaps that are not named here.
    doubts : list of Markup
    unassessed : list of str
        Groups without any number that could be tested.
    """

    state: Literal["gap", "doubt", "clear", "none"]
    headline: Markup
    details: list[Markup]
    counts: Counts
    total: int
    group: Markup
    intersection: Markup
    questions: list[Markup]
    worse: list[Finding]
    better: list[Finding]
    more_worse: int
    doubts: list[Markup]
    unassessed: list[str]


def answer(report: Report, compared: Sequence[Compared]) -> Answer:
    """Sum up the table of outcomes.

    Parameters
    ----------
    report : Report
    compared : sequence of Compared
        All comparisons; those with another reference than everyone else are not counted.

    Returns
    -------
    Answer
    """
    rest = [one for one in compared if one.row.against_rest]
    found = sorted(
        (one for one in rest if one.established),
        key=lambda one: (not one.primary, one.row.is_intersection, -abs(one.loss or 0.0)),
    )
    worse = [one for one in found if one.loss is None or one.loss >= 0]
    better = [one for one in found if one.loss is not None and one.loss < 0]
    elsewhere = sum(row.verdict in ESTABLISHED for row in report.zero_shot.rows)
    open_ = [one for one in rest if one.undecided]
    within = any(one.verdict == RowVerdict.WITHIN for one in rest)
    named = _once(one.group for one in (_single(worse or better) or worse or better))
    details, size = [], margin_words(report)
    state: Literal["gap", "doubt", "clear", "none"]
    if found or elsewhere:
        state = "gap"
        if worse:
            headline = say("answer.gap", groups=listed(named))
        elif better:
            headline = say("answer.gap.better", groups=listed(named))
        else:
            headline = count("answer.gap.findings", elsewhere)
        details.append(say("answer.gap.detail"))
        if open_:
            details.append(say("answer.gap.more", n=tally(len(open_)), total=tally(len(rest))))
    elif open_:
        state = "doubt"
        headline = say("answer.doubt", n=tally(len(open_)), total=tally(len(rest)))
        details.append(say("answer.doubt.detail", margin=size))
    elif within:
        state = "clear"
        headline = say("answer.clear", margin=size)
        details.append(say("answer.clear.detail"))
    else:
        state = "none"
        headline = say("answer.none")
        details.append(say("answer.none.detail"))
    if open_:
        details.append(_noticed(report, open_))
    told = [one for one in rest if one.verdict != RowVerdict.NOT_ASSESSABLE]
    tested = {(row.attribute, row.group) for one in told for row in one.rows}
    unassessed = _once(
        one.group for one in _single(rest) if (one.row.attribute, one.row.group) not in tested
    )
    if unassessed:
        details.append(say("answer.unassessed", groups=listed(unassessed)))
    crossed = [one for one in rest if one.row.is_intersection and one.loss is not None]
    worst_group, worst_crossed = _worst(report, _single(rest)), _worst(report, crossed)
    no_crossed = "worst.none.intersection" if crossed else "worst.undeclared"
    return Answer(
        state,
        headline,
        details,
        counted(verdict_text(one.verdict) for one in rest),
        len(rest),
        sentence(report, worst_group) if worst_group else say("worst.none"),
        sentence(report, worst_crossed) if worst_crossed else say(no_crossed),
        _questions(report, rest),
        _by_outcome(report, worse[:MOST_NAMED]),
        _by_outcome(report, better[:MOST_BETTER]),
        max(0, len(worse) - MOST_NAMED) + max(0, len(better) - MOST_BETTER),
        _doubts(open_, rest),
        unassessed,
    )


def margin_words(report: Report) -> Markup:
    """Write the margin: as points, or as a score where no outcome is a proportion."""
    if report.margin is None:
        return say("margin.none")
    units = {info.unit for info in report.describe_outcomes.values()}
    if units == {"score"}:
        return say("margin.score", size=number(report.margin, "score"))
    return say("margin", size=number(report.margin, "margin"))


def _noticed(report: Report, asked: Sequence[Compared]) -> Markup:
    known = noticed(report, asked)
    if known is None:
        return say("answer.noticed.none")
    if known.from_width:
        return say("answer.noticed.width", size=gap(known.size, known.kind, "derived"))
    return say("answer.noticed", size=gap(known.size, known.kind))


def _single(found: Iterable[Compared]) -> list[Compared]:
    return [one for one in found if not one.row.is_intersection]


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _worst(report: Report, found: Sequence[Compared]) -> Compared | None:
    """Find who loses most: established losses first, then those in declared outcomes."""
    declared = {question.outcome for question in report.protocol.primary}
    return min(
        (one for one in found if (one.loss or 0.0) > 0),
        key=lambda one: (not one.established, one.row.outcome not in declared, -(one.loss or 0.0)),
        default=None,
    )


def sentence(report: Report, one: Compared) -> Markup:
    """Say in one sentence what was found of a group: size, interval, patients, verdict.

    Of a comparison that could not be told, also which gap the audit would notice there.
    """
    return joined([say("sentence.start", group=wrapped(one.group, "strong"), outcome=one.outcome),
                   _found(report, one)], " ")  # fmt: skip


def _found(report: Report, one: Compared) -> Markup:
    """Write what was found, without the group's name."""
    row, verdict = one.row, verdict_text(one.verdict)
    value = finite(row.gap)
    if verdict.name == "not_assessable":
        reason = row.reason or say("no_reason")
        few = patients(row, report.minimum.reported)
        what = say("sentence.not_assessable", reason=few if row.is_suppressed else reason)
        return joined([what, badge(verdict)], " ")
    if value is None:
        return joined([say("sentence.no_size"), badge(verdict)], " ")
    size = gap(row.gap, one.size_kind)
    if not value:
        text = say("sentence.equal", other=one.other)
    else:
        way = "sentence.lower" if value < 0 else "sentence.higher"
        text = say(way, size=size, other=one.other)
    ends = span(row.gap_ci_low, row.gap_ci_high, one.gap_kind)
    level = None if report.alpha is None else number(1 - report.alpha, "share", name="derived")
    interval = ""
    if ends:
        interval = (
            say("interval.bare", span=ends)
            if level is None
            else say("interval", level=level, span=ends)
        )
    naive = ""
    if finite(row.gap_naive) is not None:
        naive = say("sentence.unadjusted", gap=number(row.gap_naive, one.gap_kind))
    details = joined([interval, within_note(report, row, one.gap_kind), naive,
                      patients(row, report.minimum.reported)])  # fmt: skip
    parts = [text, wrapped(joined(["(", details, ")."], ""), name="small"), badge(verdict)]
    parts += flag_texts(row)
    if one.undecided:
        parts.append(_notice(report, one))
    return joined(parts, " ")


def _notice(report: Report, one: Compared) -> Markup:
    """Say which gap the audit would notice in this very comparison."""
    asked = {(row.attribute, row.group) for row in one.rows}
    sizes = [
        row.smallest_gap
        for row in report.instrument.detectable
        if row.outcome == one.row.outcome and (row.attribute, row.group) in asked
    ]
    known = [size for size in sizes if size is not None]
    if not known:
        return joined([])
    return say("sentence.notice", size=gap(max(known), one.size_kind))


def _by_outcome(report: Report, found: Sequence[Compared]) -> list[Finding]:
    """Gather findings by outcome, so that each harm is named once."""
    names = Names(report)
    gathered: dict[str, list[Compared]] = {}
    for one in found:
        gathered.setdefault(one.row.outcome, []).append(one)
    return [
        (
            names.outcome(outcome),
            names.describe(outcome).harm,
            [
                joined([wrapped(one.group, "strong"), _found(report, one)], ": ")
                for one in own
            ],
        )
        for outcome, own in gathered.items()
    ]  # fmt: skip


def _questions(report: Report, rest: Sequence[Compared]) -> list[Markup]:
    """Answer each declared question; one that the audit does not hold is named too."""
    names, sentences = Names(report), []
    for question in report.protocol.primary:
        own = [
            one if question.group is None else one.seen_from(question.group)
            for one in rest
            if (one.row.attribute, one.row.outcome) == (question.attribute, question.outcome)
        ]
        own = [one for one in own if question.group in {None, one.row.group}]
        outcome = names.outcome(question.outcome)
        if not own:
            group = (
                names.attribute(question.attribute)
                if question.group is None
                else names.group(question.attribute, question.group)
            )
            sentences.append(say("questions.missing", group=group, outcome=outcome))
        shown = louder_first(own)[:MOST_ROWS_OF_A_QUESTION]
        sentences += [sentence(report, one) for one in shown]
        if len(own) > len(shown):
            sentences.append(
                count(
                    "questions.left",
                    len(own) - len(shown),
                    attribute=names.attribute(question.attribute),
                    outcome=outcome,
                    file=PLACES["groups"],
                )
            )
    if not report.protocol.primary:  # a table without a protocol marks its primary rows itself
        sentences += [sentence(report, one) for one in rest if one.primary]
    more = len(sentences) - MOST_SENTENCES
    if more > 0:
        more_words = say("questions.more", n=tally(more), place=PLACES["groups"])
        sentences = [*sentences[:MOST_SENTENCES], more_words]
    return sentences


def _doubts(open_: Sequence[Compared], rest: Sequence[Compared]) -> list[Markup]:
    doubts = []
    if open_:
        groups = _once(one.group for one in _single(open_) or open_)
        doubts.append(
            say(
                "doubt.undecided",
                n=tally(len(open_)),
                total=tally(len(rest)),
                groups=listed(groups, 8),
            )
        )
    unexplained = _once(
        one.group
        for one in rest
        if one.row.verdict_naive in ESTABLISHED
        and one.verdict in {RowVerdict.INCONCLUSIVE, RowVerdict.NOT_ASSESSABLE}
    )
    if unexplained:
        doubts.append(say("doubt.unexplained", groups=listed(unexplained, 8)))
    return doubts


def by_adjusting(compared: Sequence[Compared]) -> list[Markup]:
    """Gather the comparisons whose verdict depends on the adjustment, by group and verdict.

    Gaps that the mix of cases hid come first.
    """
    gathered: dict[tuple[str, str], list[Markup]] = {}
    for one in compared:
        row, before = one.row, one.row.verdict_naive
        if not row.against_rest or before is None or before == one.verdict:
            continue
        if not ESTABLISHED & {before, one.verdict}:
            continue
        naive = gap(row.gap_naive, one.gap_kind)
        line = (
            say("like.line", outcome=one.outcome, naive=naive)
            if finite(row.gap) is None
            else say(
                "like.line.both", outcome=one.outcome, naive=naive, gap=gap(row.gap, one.gap_kind)
            )
        )
        verdict = "exceeds" if one.established else str(one.verdict)
        gathered.setdefault((one.group, verdict), []).append(line)
    found = sorted(gathered.items(), key=lambda item: item[0][1] != "exceeds")
    return [
        joined([wrapped(group, "strong"), ": ", joined(lines), ". ", say(f"like.{verdict}")], "")
        for (group, verdict), lines in found
    ]
