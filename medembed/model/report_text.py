"""The part of a report that the text side reads, in training and in a library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from medembed.cases import is_unknown
from medembed.library.statements import body_part_of
from medembed.notes import Note
from medembed.notes.exam_words import MODALITY_FAMILIES

if TYPE_CHECKING:
    from medembed.cases import Case

__all__ = ["case_text", "header_phrase", "header_words", "note_text", "sentences"]

_READ = ("impression", "findings")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\s|$)|[.!?](?=\S)[^.!?\n]*)*[.!?]?")
_LATERAL = frozenset({"LATERAL", "LL", "RL", "L", "LAT"})


def note_text(note: Note) -> str:
    """Return the impression and the findings, or the whole report if it has neither.

    A model truncates at ``max_length``, so the impression comes first.
    """
    parts = [part for part in map(note.section, _READ) if part]
    return "\n".join(parts) or note.text


def case_text(case: Case, *, header: bool) -> str:
    """Return the text of a case with a note: :func:`note_text`, below the header if asked.

    Training and embedding read it, so that they agree. A typed query has no header: it is read as
    it is, as sentences and phrases are in training.

    Parameters
    ----------
    case : Case
    header : bool
        Whether the model reads it (:attr:`medembed.model.DualEncoder.reads_header`).
    """
    assert case.note is not None  # the caller's
    said = header_phrase(case) if header else ""
    return "\n".join(filter(None, (said, note_text(case.note))))


def header_phrase(case: Case) -> str:
    """Return what headers or table say about the examination, as a sentence; empty if nothing.

    ``"Chest radiograph, PA and lateral view."``
    """
    modalities, views, part = _said(case)
    named = " ".join(filter(None, (part, " and ".join(modalities))))
    seen = f"{' and '.join(views)} view" if views else ""
    text = ", ".join(filter(None, (named, seen)))
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def header_words(case: Case) -> tuple[str, ...]:
    """Return the same as separate names, ``("chest", "radiograph", "PA view", "lateral view")``."""
    modalities, views, part = _said(case)
    return tuple(filter(None, (part, *modalities, *(f"{view} view" for view in views))))


def _said(case: Case) -> tuple[list[str], list[str], str]:
    """Words for the modalities and views of the scans, and for the body part."""
    modalities = dict.fromkeys(_modality(scan.modality) for scan in case.scans)
    views = dict.fromkeys(_view(scan.view) for scan in case.scans)
    part = _plain(body_part_of(case.attributes)).lower()
    return list(filter(None, modalities)), list(filter(None, views)), part


def _modality(code: str) -> str:
    for word, codes in MODALITY_FAMILIES.items():
        if code.upper() in codes:
            return word
    return "" if is_unknown(code) else _plain(code)


def _view(code: str) -> str:
    if is_unknown(code):
        return ""
    if code.upper() in _LATERAL:
        return "lateral"
    return " ".join(word if len(word) <= 3 else word.lower() for word in _plain(code).split())


def _plain(text: str) -> str:
    return " ".join(text.replace(":", " ").split())


def sentences(note: Note) -> Iterator[tuple[int, int]]:
    """Yield the spans of the sentences in the sections that :func:`note_text` reads."""
    spans = [(s.start, s.end) for name in _READ for s in note.sections if s.name == name]
    for start, end in spans or [(0, len(note.text))]:
        for match in _SENTENCE.finditer(note.text, start, end):
            text = match.group()
            if any(c.isalpha() for c in text):
                left = len(text) - len(text.lstrip())
                yield match.start() + left, match.start() + len(text.rstrip())
