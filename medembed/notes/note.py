"""The noun :class:`Note`: a report with its sections and assertions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from medembed.counted import counted
from medembed.errors import NoteError

__all__ = ["Assertion", "Note", "Section", "Side", "Status"]

Status = Literal["present", "absent", "uncertain"]
Side = Literal["left", "right", "bilateral", ""]


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Parameters
    ----------
    name : str
        ``"findings"``, ``"impression"``, ``"indication"``, ``"technique"``, ``"comparison"``,
        ``"history"``, ``"recommendation"``, ``"addendum"``, or ``"body"`` for text outside any
        heading.
    start, end : int
        Half-open span of characters in the note's text, without the heading.
    """

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Assertion:
    """One finding mentioned in a report.

    Parameters
    ----------
    label : str
        Finding in the terms of ``medembed.notes.FINDINGS``, for example ``"effusion"``.
    status : {"present", "absent", "uncertain"}
    side : {"left", "right", "bilateral", ""}
        The patient's side; empty if the report names none.
    start, end : int
        Span of the words that name the finding.
    historical : bool
        Whether it refers only to an earlier study ("resolved", "previously seen").
    """

    label: str
    status: Status
    side: Side
    start: int
    end: int
    historical: bool = False


@dataclass(frozen=True, repr=False)
class Note:
    """A report.

    Parameters
    ----------
    text : str
        As written; not empty.
    sections : tuple of Section
        In order, not overlapping, inside the text.
    assertions : tuple of Assertion
        In order of their start, inside the text.
    language : str
        ISO 639-1 code of the detected language; a note in a language without a vocabulary has no
        assertions.

    Raises
    ------
    NoteError
        If the text is blank or a span is outside it.
    """

    text: str
    sections: tuple[Section, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    language: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise NoteError("the report is empty")
        spans: tuple[Section | Assertion, ...] = (*self.sections, *self.assertions)
        for span in spans:
            if not 0 <= span.start <= span.end <= len(self.text):
                raise NoteError("a span is outside the report")
        previous = 0
        for section in self.sections:
            if section.start < previous:
                raise NoteError("sections overlap")
            previous = section.end

    def __repr__(self) -> str:
        parts = [
            counted(len(self.text), "character"),
            counted(len(self.sections), "section"),
            counted(len(self.assertions), "assertion"),
        ]
        return f"Note({', '.join([*parts, *filter(None, [self.language])])})"

    def section(self, name: str) -> str:
        """Return the text of a section, its parts joined by newlines; empty if there is none."""
        parts = [self.text[s.start : s.end].strip() for s in self.sections if s.name == name]
        return "\n".join(part for part in parts if part)
