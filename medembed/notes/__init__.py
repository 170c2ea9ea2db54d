"""Reports: text into :class:`Note`, with sections and assertions."""

from medembed.notes.findings import FINDINGS, SIDED_FINDINGS, canonical_label
from medembed.notes.mirror import mirror_sides
from medembed.notes.note import Assertion, Note, Section, Side, Status
from medembed.notes.reading import asserted_findings, read_note

__all__ = [
    "FINDINGS",
    "SIDED_FINDINGS",
    "Assertion",
    "Note",
    "Section",
    "Side",
    "Status",
    "asserted_findings",
    "canonical_label",
    "mirror_sides",
    "read_note",
]
