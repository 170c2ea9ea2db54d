"""A report into a :class:`Note`."""

from __future__ import annotations

from collections.abc import Iterator

from medembed.notes.clauses import find_clauses
from medembed.notes.context import read_context
from medembed.notes.findings import FINDINGS
from medembed.notes.lexicon import find_mentions
from medembed.notes.note import Assertion, Note, Side
from medembed.notes.sections import find_sections
from medembed.notes.sides import find_sides

__all__ = ["asserted_findings", "read_note"]

_READ = ("findings", "impression", "body")


def read_note(text: str) -> Note:
    """Read an English chest report: its sections, and what it asserts of :data:`FINDINGS`.

    Indication, history, technique and comparison are found as sections but not read for findings:
    what they ask or remember is no observation of this study. The rules and how well they do are
    in docs/reference/notes.md. The time grows with the length of the text only.

    Parameters
    ----------
    text : str

    Raises
    ------
    NoteError
        Where the text is blank.

    Examples
    --------
    >>> note = read_note("FINDINGS: Small left effusion, no pneumothorax.")
    >>> [(a.label, a.status, a.side) for a in note.assertions]
    [('effusion', 'present', 'left'), ('pneumothorax', 'absent', '')]
    """
    sections = find_sections(text)
    folded = _fold(text)
    assertions = [
        assertion
        for section in sections
        if section.name in _READ
        for start, end in find_clauses(text, section.start, section.end)
        for assertion in _read_clause(text, folded, start, end)
    ]
    return Note(text, sections, tuple(assertions))


def _fold(text: str) -> str:
    """Give the text in lower case, every character at its place."""
    folded = text.lower()
    if len(folded) == len(text):
        return folded
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)


def _read_clause(text: str, folded: str, start: int, end: int) -> Iterator[Assertion]:
    mentions = list(find_mentions(folded, start, end))
    if not mentions:
        return
    readings = read_context(folded, start, end, mentions)
    sides = find_sides(text, folded, start, end, mentions)
    for mention, reading, side in zip(mentions, readings, sides, strict=True):
        yield Assertion(
            mention.label, reading.status, side, mention.start, mention.end, reading.historical
        )


def asserted_findings(note: Note) -> tuple[tuple[str, Side], ...]:
    """Give the findings that a note says are there, each once, with its side.

    What is said of an earlier study only is left out. Left and right together are bilateral; a
    mention without a side adds nothing where another gives one.

    Returns
    -------
    tuple of (label, side)
        In the order of :data:`FINDINGS`.
    """
    sides: dict[str, set[Side]] = {}
    for assertion in note.assertions:
        if assertion.status == "present" and not assertion.historical:
            sides.setdefault(assertion.label, set()).add(assertion.side)
    return tuple((label, _one_side(sides[label])) for label in FINDINGS if label in sides)


def _one_side(sides: set[Side]) -> Side:
    named = sides - {""}
    if len(named) > 1:
        return "bilateral"
    return named.pop() if named else ""
