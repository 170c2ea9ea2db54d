"""Put a case, its findings and its report into words for the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date

from apps.case_lookup.html import Markup, join, tag
from apps.case_lookup.texts import TEXTS
from medembed.cases import Case, Finding
from medembed.explain import FindingMatch, MatchEvidence
from medembed.library import Condition
from medembed.notes import Assertion, Note

__all__ = [
    "chips",
    "condition_text",
    "date_text",
    "evidence_text",
    "excerpt",
    "finding_text",
    "marked_note",
    "modality_text",
    "patient_text",
    "status_text",
    "value_text",
]


def patient_text(case: Case) -> str:
    """Give age and sex: ``"64 y F"``, or which of them is unknown."""
    words = TEXTS.words
    if case.age_years is None and case.sex == "unknown":
        return words.unknown_age_and_sex
    age = words.unknown_age if case.age_years is None else words.years(int(case.age_years))
    return f"{age} {words.sexes.get(case.sex, words.unknown_sex)}"


def modality_text(case: Case) -> str:
    """Give modality and view: ``"CR PA"``, ``"CT"``."""
    known = [word for word in (case.modality, case.view) if word and word != "unknown"]
    return " ".join(known) or TEXTS.words.unknown_modality


def date_text(case: Case) -> str:
    """Give the study date in the page's language, or that there is none."""
    return TEXTS.words.day(case.study_date) if case.study_date else TEXTS.words.no_date


def finding_text(finding: Finding) -> str:
    """Name a finding with its side: ``"right effusion"``."""
    return TEXTS.words.finding(finding.label, finding.side)


def condition_text(condition: Condition) -> str:
    """Put a condition into words: ``"view PA or AP"``, ``"age ≥ 60"``."""
    words, values = TEXTS.words, [str(value) for value in condition.values]
    if condition.field == "finding":
        return finding_text(Finding.parse(values[0]))
    if condition.field == "age":
        bound = words.at_least_age if condition.op == ">=" else words.at_most_age
        return bound(float(values[0]))
    if condition.field == "date":
        day = words.day(date.fromisoformat(values[0]))
        return (words.from_date if condition.op == ">=" else words.until_date)(day)
    named = [value_text(condition.field, value) for value in values]
    return f"{words.fields.get(condition.field, condition.field)} {words.one_of(named)}"


def value_text(field: str, value: str) -> str:
    """Name a value of a filter: a sex in words, others as the library has them."""
    return TEXTS.words.sexes.get(value, value) if field == "sex" else value


def chips(findings: Iterable[Finding]) -> Markup:
    """Show findings as chips, or that none is recorded."""
    items = [tag("span", finding_text(f), class_="rr-chip") for f in findings]
    if not items:
        return tag("span", TEXTS.words.no_finding, class_="rr-quiet")
    return join(*items)


def excerpt(note: Note | None, length: int = 220) -> str:
    """Give the impression, or else the beginning of the report, cut between words."""
    if note is None:
        return ""
    text = note.section("impression") or note.section("findings") or note.text
    text = re.sub(r"\s+", " ", text).strip()
    if len(text) <= length:
        return text
    return text[: length + 1].rsplit(" ", 1)[0].rstrip(",;: ") + "\u00a0…"


def status_text(assertion: Assertion) -> str:
    """Give what the report states about a finding: ``"present, right"``."""
    words = TEXTS.words
    status = words.statuses[_status(assertion)]
    side = words.sides.get(assertion.side, assertion.side)
    return f"{status}, {side}" if side else status


def _status(assertion: Assertion) -> str:
    return "historical" if assertion.historical else assertion.status


def evidence_text(evidence: MatchEvidence) -> str:
    """Give what query and case both state; empty if they state nothing in common."""
    texts = TEXTS.results
    parts: list[tuple[Callable[[str], str], Iterable[str]]] = [
        (texts.shared, map(_match_text, evidence.shared)),
        (texts.conflicts, map(_match_text, evidence.conflicts)),
        (texts.report_words, evidence.words),
    ]
    lines = [text(words) for text, items in parts if (words := ", ".join(items))]
    if len(evidence.parts) > 1:
        lines.append(texts.part_scores(evidence.parts))
    return " · ".join(lines)


def _match_text(match: FindingMatch) -> str:
    finding = finding_text(match.finding)
    side = TEXTS.words.sides.get(match.wanted_side, match.wanted_side)
    return TEXTS.results.relations[match.relation](finding, side)


def _marked(note: Note, start: int, end: int) -> Markup:
    """Mark the assertions in a span of the note; of overlapping ones, only the first."""
    pieces: list[str] = []
    at = start
    for assertion in note.assertions:
        if assertion.start < at or assertion.end > end:
            continue
        pieces += [
            note.text[at : assertion.start],
            tag(
                "mark",
                note.text[assertion.start : assertion.end],
                tag("small", status_text(assertion)),
                class_=f"rr-{_status(assertion)}",
            ),
        ]
        at = assertion.end
    return join(*pieces, note.text[at:end])


def marked_note(note: Note) -> Markup:
    """Show the whole note: headings apart, each asserted finding marked with its status.

    No character of the note is left out: text between sections becomes a heading.
    """
    blocks: list[Markup] = []
    at = 0
    for section in note.sections:
        heading = note.text[at : section.start].strip().rstrip(":").strip()
        if heading:
            blocks.append(tag("h4", heading))
        body = note.text[section.start : section.end]
        lead = len(body) - len(body.lstrip())
        if body.strip():
            blocks.append(
                tag("p", _marked(note, section.start + lead, section.start + len(body.rstrip())))
            )
        at = section.end
    if note.text[at:].strip():
        blocks.append(tag("p", _marked(note, at, len(note.text))))
    return tag("div", *blocks, class_="rr-note")
