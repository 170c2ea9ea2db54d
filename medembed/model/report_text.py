"""The part of a report that the text side reads, in training and in a library."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medembed.notes import Note

__all__ = ["note_text", "sentences"]

_READ = ("impression", "findings")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\s|$)|[.!?](?=\S)[^.!?\n]*)*[.!?]?")


def note_text(note: Note) -> str:
    """Return the impression and the findings, or the whole report if it has neither.

    A model truncates at ``max_length``, so the impression comes first.
    """
    parts = [part for part in map(note.section, _READ) if part]
    return "\n".join(parts) or note.text


def sentences(note: Note) -> Iterator[tuple[int, int]]:
    """Yield the spans of the sentences in the sections that :func:`note_text` reads."""
    spans = [(s.start, s.end) for name in _READ for s in note.sections if s.name == name]
    for start, end in spans or [(0, len(note.text))]:
        for match in _SENTENCE.finditer(note.text, start, end):
            text = match.group()
            if any(c.isalpha() for c in text):
                left = len(text) - len(text.lstrip())
                yield match.start() + left, match.start() + len(text.rstrip())
