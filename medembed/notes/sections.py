"""Split a report into sections, by its headings and their content."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from medembed.notes.note import Section
from medembed.notes.patterns import tokens_of
from medembed.notes.vocabulary import Vocabulary

__all__ = ["READ", "find_sections"]

READ = ("findings", "impression", "body", "addendum")
"""Sections searched for findings."""

_OBSERVED = ("findings", "addendum")
_ASKED = ("indication", "history")
_LONGEST_HEADING = 70
# What may be a heading: words before a colon at the start of a line or behind the end of a
# sentence, or alone on a line. The vocabulary decides whether they are.
_LINE = re.compile(
    r"^[ \t>*#_]*(?P<line>[^\W\d_][^\n:.;!?]{0,69}?)[ \t*_]*(?::|-(?=\s)|(?=\r?\n|\Z))",
    re.MULTILINE,
)
_INLINE = re.compile(r"(?<=[.;:!?\n])[ \t]*(?P<inline>[^\W\d_][^\n:.;!?]{0,69}?)[ \t]*:")
# "ADDENDUM by Dr. X on Monday:" begins like a heading and continues with arbitrary words.
_LOOSE = re.compile(r"^[ \t>*#_]*(?P<loose>[^\W\d_][^\n:]{0,69}):", re.MULTILINE)
_NEXT_SENTENCE = r"(?<=[.!?])[ \t]+(?=[A-Z])"
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n\s*")
_NEW_LINE = re.compile(r"(?<=[.!?])[ \t]*\r?\n[ \t]*(?=[^\W_])|\r?\n[ \t]*(?=[A-Z])")


@dataclass(frozen=True)
class _Heading:
    name: str
    start: int
    end: int


def find_sections(text: str, vocabulary: Vocabulary, folded: str) -> tuple[Section, ...]:
    """Split a report at its headings.

    Text before the first heading is ``"body"``. A heading that names none of the sections
    (``"Lungs:"``) belongs to its section, but begins findings if that section
    is not searched. If no findings heading follows, a section that is not searched ends at the
    first paragraph of obvious findings, which ``EXAM:`` or ``HISTORY:`` would otherwise contain.

    Returns
    -------
    tuple of Section
        In order, without overlap or blank ones.
    """
    sections: list[Section] = []
    headings = _with_resolved_headings(list(_headings(text, vocabulary, folded)))
    last_observed = max((i for i, h in enumerate(headings) if h.name in _OBSERVED), default=-1)
    name, start = "body", 0
    for i, heading in enumerate(headings):
        if not heading.name and name in READ:
            continue  # a subheading
        observed = i <= last_observed
        _close(sections, name, start, heading.start, text, folded, vocabulary, observed)
        name = heading.name or "findings"
        start = heading.end if heading.name else heading.start
    _close(sections, name, start, len(text), text, folded, vocabulary, False)
    return tuple(sections)


def _with_resolved_headings(headings: list[_Heading]) -> list[_Heading]:
    """Resolve headings with two meanings.

    A bare "DIAGNOSIS:" is the request's if findings follow it, else the reader's. "CHEST X-RAY:"
    begins findings, but names an earlier one under "COMPARISON:".
    """
    resolved: list[_Heading] = []
    for heading in headings:
        if heading.name != "study":
            resolved.append(heading)
        elif not resolved or resolved[-1].name != "comparison":
            resolved.append(replace(heading, name="findings"))
    headings = resolved
    findings = [i for i, heading in enumerate(headings) if heading.name == "findings"]
    return [
        replace(heading, name="indication" if findings and i < findings[0] else "impression")
        if heading.name == "diagnosis"
        else heading
        for i, heading in enumerate(headings)
    ]


def _headings(text: str, vocabulary: Vocabulary, folded: str) -> Iterator[_Heading]:
    matches = sorted(
        (m for pattern in (_LINE, _INLINE, _LOOSE) for m in pattern.finditer(text)),
        key=lambda m: (m.start(m.lastgroup or 0), -m.end()),
    )
    seen = -1
    for match in matches:
        group = match.lastgroup or "line"
        start, end = match.span(group)
        if start < seen:
            continue
        name = _named(folded, start, end, vocabulary, whole=group != "loose")
        if group == "loose" and name != "addendum":
            continue
        colon = match.group().rstrip().endswith(":")
        if name is None or (name == "" and not colon):
            continue
        if group == "line" and not colon and not match.group().rstrip().endswith("-"):
            whole = text[start:end].strip()
            if not (whole[:1].isupper() or whole.isupper()):
                continue
        seen = match.end()
        yield _Heading(name, start, match.end())


def _named(folded: str, start: int, end: int, vocabulary: Vocabulary, *, whole: bool) -> str | None:
    """Return the section of a heading; empty for a subheading, None if it is not a heading."""
    tokens = tokens_of(folded, start, end)
    while tokens and tokens[-1].word in "*_#-":
        tokens.pop()
    hit = vocabulary.headings.longest(tokens, 0, len(tokens)) if tokens else None
    if hit is None or (whole and hit[0] != len(tokens)):
        return None
    return hit[1][0]


def _close(
    sections: list[Section],
    name: str,
    start: int,
    end: int,
    text: str,
    folded: str,
    vocabulary: Vocabulary,
    observed: bool,
) -> None:
    if not text[start:end].strip():
        return
    if name in READ or observed:
        sections.append(Section(name, start, end))
        return
    turn = _turn(text, folded, name, start, end, vocabulary)
    if text[start:turn].strip():
        sections.append(Section(name, start, turn))
    if text[turn:end].strip():
        sections.append(Section("body", turn, end))


def _turn(text: str, folded: str, name: str, start: int, end: int, vocabulary: Vocabulary) -> int:
    """Return where findings begin within a section that is not searched; else its end."""
    turns = [_BLANK_LINE.pattern, _NEW_LINE.pattern]
    if name not in _ASKED:
        turns.append(_NEXT_SENTENCE)  # "COMPARISON: None. Left effusion."
    for match in re.compile("|".join(turns)).finditer(text, start, end):
        if not text[start : match.start()].strip():
            continue  # a heading alone on its line: what follows belongs to it
        stop = text.find("\n", match.end(), end)
        line = folded[match.end() : stop if stop >= 0 else end]
        blank = "\n" in match.group().strip(" \t\r") and match.group().count("\n") > 1
        if _is_findings(line, vocabulary, sure=not blank, asked=name in _ASKED):
            return match.end()
    return end


def _is_findings(line: str, vocabulary: Vocabulary, *, sure: bool, asked: bool) -> bool:
    """Whether a line reports findings: it begins like findings and has no case history."""
    tokens = tokens_of(line)
    if not tokens:
        return False
    patient = any(vocabulary.patient.longest(tokens, at, len(tokens)) for at in range(len(tokens)))
    if patient or line.rstrip().endswith("?"):
        return False
    begins = tokens[0].word in vocabulary.starters
    verb = any(token.word in vocabulary.verbs for token in tokens)
    if sure:
        return begins and (verb or not asked or len(tokens) > 2)
    return begins or verb or not asked
