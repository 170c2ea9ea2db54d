"""How a case is put into words on the page."""

from __future__ import annotations

import re
from collections.abc import Iterable

from apps.case_lookup.html import Markup, join, tag
from medembed.cases import Case, Finding
from medembed.explain import MatchEvidence
from medembed.library import Condition
from medembed.notes import Assertion, Note

__all__ = [
    "chips",
    "condition_words",
    "excerpt",
    "finding_words",
    "kind",
    "marked_note",
    "said",
    "thousands",
    "when",
    "who",
    "why_words",
]

_SEX = {"F": "F", "M": "M", "O": "other"}


def thousands(number: int) -> str:
    """Write a count with its thousands set apart."""
    return f"{number:,}"


def who(case: Case) -> str:
    """Age and sex: ``"64 y F"``; what is unknown is said."""
    if case.age_years is None and case.sex == "unknown":
        return "age and sex unknown"
    age = "age unknown" if case.age_years is None else f"{int(case.age_years)} y"
    return f"{age} {_SEX.get(case.sex, 'sex unknown')}"


def kind(case: Case) -> str:
    """Modality and view: ``"CR PA"``, ``"CT"``."""
    known = [word for word in (case.modality, case.view) if word and word != "unknown"]
    return " ".join(known) or "modality unknown"


def when(case: Case) -> str:
    """Study date as the library keeps it, or that there is none."""
    return case.study_date.isoformat() if case.study_date else "no date"


def finding_words(finding: Finding) -> str:
    """``"right effusion"``."""
    return f"{finding.side} {finding.label}".strip()


def condition_words(condition: Condition) -> str:
    """A condition as a reader says it: ``"view PA or AP"``, ``"age 60 and above"``."""
    values = [str(value) for value in condition.values]
    if condition.field == "finding":
        return finding_words(Finding.parse(values[0]))
    if condition.field == "age":
        return f"age {float(values[0]):.0f} and {'above' if condition.op == '>=' else 'below'}"
    if condition.field == "date":
        return f"{'from' if condition.op == '>=' else 'until'} {values[0]}"
    return f"{condition.field} {' or '.join(values)}"


def chips(findings: Iterable[Finding]) -> Markup:
    """Findings as quiet chips, or that none is recorded."""
    items = [tag("span", finding_words(f), class_="rr-chip") for f in findings]
    if not items:
        return tag("span", "no finding recorded", class_="rr-quiet")
    return join(*items)


def excerpt(note: Note | None, length: int = 220) -> str:
    """The impression, or else how the note begins, cut between words."""
    if note is None:
        return ""
    text = note.section("impression") or note.section("findings") or note.text
    text = re.sub(r"\s+", " ", text).strip()
    if len(text) <= length:
        return text
    return text[: length + 1].rsplit(" ", 1)[0].rstrip(",;: ") + "\u00a0…"


def said(assertion: Assertion) -> str:
    """What the note says of a finding, in a word or three: ``"present, right"``."""
    words = "earlier" if assertion.historical else assertion.status
    return f"{words}, {assertion.side}" if assertion.side else words


def why_words(why: MatchEvidence) -> str:
    """What the case and the query both state; empty where they state nothing in common."""
    parts = [
        ("in common: ", why.shared),
        ("differs: ", why.conflicts),
        ("words in its report: ", why.words),
    ]
    line = "; ".join(f"{name}{', '.join(items)}" for name, items in parts if items)
    line = re.sub(r"([a-z][a-z ]*):(left|right|bilateral)\b", r"\2 \1", line)
    if len(why.parts) > 1:
        cosines = ", ".join(f"{name} {score:.2f}" for name, score in why.parts.items())
        line = f"{line}; {cosines}" if line else cosines
    return line


def _marked(note: Note, start: int, end: int) -> Markup:
    """The span of the note with its assertions marked; overlapping ones keep the first."""
    pieces: list[str] = []
    at = start
    for assertion in note.assertions:
        if assertion.start < at or assertion.end > end:
            continue
        status = "historical" if assertion.historical else assertion.status
        pieces += [
            note.text[at : assertion.start],
            tag(
                "mark",
                note.text[assertion.start : assertion.end],
                tag("small", said(assertion)),
                class_=f"rr-{status}",
            ),
        ]
        at = assertion.end
    return join(*pieces, note.text[at:end])


def marked_note(note: Note) -> Markup:
    """The whole note, headings set apart, each asserted finding marked with what is said of it.

    No character of the note is left out: what lies between the sections stands as a heading.
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
