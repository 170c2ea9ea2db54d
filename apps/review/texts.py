"""Words of the exports, and texts of cases and readers as characters that mean nothing."""

from __future__ import annotations

from collections.abc import Sequence

from apps.case_lookup.html import escaped
from evaluation.reader_study import ReaderMeasures, Share, Stage, Times
from evaluation.stats.kappa import Kappa, KappaReason
from medembed.cases import Case
from medembed.reviews import Impression, Mark, ReadingState, ReviewQuery

__all__ = [
    "MARKS",
    "STAGES",
    "STATES",
    "case_facts",
    "clock_text",
    "findings_text",
    "impression_lines",
    "kappa_text",
    "measure_lines",
    "plain_lines",
    "query_text",
    "report_text",
]

STATES = {
    ReadingState.OPENED: "opened, blind",
    ReadingState.IMPRESSION: "first impression",
    ReadingState.REVEALED: "revealed",
    ReadingState.FINISHED: "finished",
}
MARKS = {Mark.SHORTLIST: "shortlist for the tumor board", Mark.TEACHING: "teaching file"}
STAGES = {Stage.FIRST: "first impressions (blind)", Stage.FINAL: "final impressions"}

_KAPPA_REASONS = {
    KappaReason.NO_CASE: "nothing to compare",
    KappaReason.CONSTANT: "not defined: each reader gave one answer throughout",
    KappaReason.RARE: "too few patients for an interval",
}


def plain_lines(text: str) -> list[str]:
    """Return the lines of a text; an invisible character or direction mark becomes its code."""
    return [escaped(line, "text") for line in text.splitlines()]


def findings_text(findings: Sequence[str]) -> str:
    """Name findings: ``"effusion (right), nodule"``."""
    named = []
    for finding in findings:
        label, _, side = finding.partition(":")
        named.append(f"{label} ({side})" if side else label)
    return escaped(", ".join(named), "text")


def impression_lines(impression: Impression | None) -> list[str]:
    """Return findings and text of an impression, line by line."""
    if impression is None:
        return ["(none)"]
    lines = plain_lines(impression.text)
    if impression.findings:
        lines.insert(0, f"Findings: {findings_text(impression.findings)}")
    return lines or ["(none)"]


def clock_text(seconds: float | None) -> str:
    """Give a time as minutes and seconds.

    Examples
    --------
    >>> clock_text(75.4), clock_text(None)
    ('1:15 min', '-')
    """
    if seconds is None:
        return "-"
    whole = int(seconds + 0.5)
    return f"{whole // 60}:{whole % 60:02d} min"


def case_facts(case: Case) -> str:
    """Give what is known of a case without its report: ``"64 y F, CR PA"``."""
    age = "age unknown" if case.age_years is None else f"{int(case.age_years)} y"
    sex = "sex unknown" if case.sex == "unknown" else case.sex
    kind = " ".join(word for word in (case.modality, case.view) if word != "unknown")
    return escaped(f"{age} {sex}, {kind or 'modality unknown'}", "text")


def report_text(case: Case) -> str:
    """Return the report of a case; empty if there is none."""
    return case.note.text if case.note is not None else ""


def query_text(query: ReviewQuery | None) -> str:
    """Say in one line by which query a case came into the session; empty if by none."""
    if query is None:
        return ""
    words = [f"query by {' and '.join(query.parts) or 'filters'}"]
    if query.case_id:
        words.append(f"case {query.case_id}")
    if query.terms:
        words.append(f"read as {', '.join(query.terms)}")
    for condition in query.where:
        values = ", ".join("unknown" if v is None else str(v) for v in condition.values)
        words.append(f"{condition.field} {condition.op} {values}")
    if query.rank:
        words.append(f"rank {query.rank}")
    return escaped("; ".join(words), "text")


def measure_lines(measures: ReaderMeasures) -> list[str]:
    """Put the measures of one reader into lines."""
    return [
        f"Finished {measures.n_finished} of {measures.n_opened} opened",
        f"Revised after the reveal: {_share(measures.revised)}",
        f"Findings revised: {_share(measures.findings_revised)}",
        f"Time to first impression: {_times(measures.to_impression)}",
        f"Time to the end: {_times(measures.to_end)}",
    ]


def _share(share: Share) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "- (no finished reading)"
    return (
        f"{share.count} of {share.n}, {100 * share.value:.0f}% "
        f"(95% interval {100 * share.low:.0f} to {100 * share.high:.0f}%)"
    )


def _times(times: Times) -> str:
    if times.median is None:
        return "-"
    return (
        f"median {clock_text(times.median)}, quartiles {clock_text(times.lower)} and "
        f"{clock_text(times.upper)}, n = {times.n}"
    )


def kappa_text(kappa: Kappa) -> str:
    """Put an agreement into words, with its interval or why there is none."""
    reason = _KAPPA_REASONS.get(kappa.reason, "")
    if kappa.value is None or kappa.agreement is None:
        return reason
    ends = (
        f"95% interval {kappa.low:.2f} to {kappa.high:.2f}"
        if kappa.low is not None and kappa.high is not None
        else reason
    )
    return f"kappa {kappa.value:.2f} ({ends}), agreement {100 * kappa.agreement:.0f}%"
