"""Report parsing: from text to :class:`Note` with sections and assertions."""

from medembed.notes.findings import FINDINGS, SIDED_FINDINGS, canonical_label
from medembed.notes.note import Assertion, Note, Section, Side, Status
from medembed.notes.parse import asserted_findings, read_note
from medembed.notes.swap_laterality import can_swap_laterality, swap_laterality
from medembed.notes.unknown import is_known_finding, unknown_findings
from medembed.notes.vocabulary import (
    Vocabulary,
    VocabularyDocument,
    load_vocabulary,
    packaged_vocabularies,
    vocabulary_of,
)
from medembed.notes.vocabulary_file import FORMER_LABELS, current_label

__all__ = [
    "FINDINGS",
    "FORMER_LABELS",
    "SIDED_FINDINGS",
    "Assertion",
    "Note",
    "Section",
    "Side",
    "Status",
    "Vocabulary",
    "VocabularyDocument",
    "asserted_findings",
    "can_swap_laterality",
    "canonical_label",
    "current_label",
    "is_known_finding",
    "load_vocabulary",
    "packaged_vocabularies",
    "read_note",
    "swap_laterality",
    "unknown_findings",
    "vocabulary_of",
]
