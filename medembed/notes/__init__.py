"""Reports: text into :class:`Note`, with sections and assertions."""

from medembed.notes.note import Assertion, Note, Section, Side, Status
from medembed.notes.vocabulary import FINDINGS, SIDED_FINDINGS, canonical_label

__all__ = [
    "FINDINGS",
    "SIDED_FINDINGS",
    "Assertion",
    "Note",
    "Section",
    "Side",
    "Status",
    "canonical_label",
]
