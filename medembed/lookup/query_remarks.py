"""Notes on findings of a query that the library does not know."""

from __future__ import annotations

from collections.abc import Iterable

from medembed.cases import Finding
from medembed.index import SearchNote, SearchNoteKind
from medembed.library import CaseLibrary, Condition, library_vocabulary
from medembed.library.statements import is_recorded
from medembed.notes import is_known_finding, unknown_findings

__all__ = ["unknown_labels", "unknown_words"]

_MOST = 5


def unknown_words(library: CaseLibrary, text: str) -> list[SearchNote]:
    """Report findings of a query text that are missing from the library's vocabulary."""
    unknown = unknown_findings(text, library_vocabulary(library))[:_MOST]
    return [SearchNote(SearchNoteKind.UNKNOWN_WORDS, names=unknown)] if unknown else []


def unknown_labels(library: CaseLibrary, conditions: Iterable[Condition]) -> list[SearchNote]:
    """Report findings of conditions that neither the vocabulary nor any case has."""
    vocabulary = library_vocabulary(library)
    labels = {
        Finding.parse(str(value)).label
        for condition in conditions
        if condition.field == "finding"
        for value in condition.values
    }
    unknown = tuple(
        label
        for label in sorted(labels)
        if not is_known_finding(label, vocabulary) and not is_recorded(library, label)
    )
    return [SearchNote(SearchNoteKind.UNKNOWN_FINDINGS, names=unknown)] if unknown else []
