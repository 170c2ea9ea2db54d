"""Notes on what a query names or shows and the library does not have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from medembed.cases import Finding
from medembed.index import SearchNote, SearchNoteKind
from medembed.library import CaseLibrary, Condition, library_vocabulary
from medembed.library.statements import is_recorded
from medembed.notes import is_known_finding, unknown_findings

if TYPE_CHECKING:
    from medembed.scans import ScanHeader

__all__ = ["archive_lacks", "unknown_labels", "unknown_words"]

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


def archive_lacks(library: CaseLibrary, header: ScanHeader) -> list[SearchNote]:
    """Report the modality, view and body part of a query image that no case of the library has.

    Only what the image's header names, and only where the library knows it of some of its cases.
    """
    db = library.database.read()

    def lacks(field: str, value: str) -> bool:
        if not value or value == "unknown":
            return False
        table, bound = f"cases WHERE {field}", tuple[str, ...]()  # one of the names below
        if field == "body_part":
            table, bound = "attributes WHERE name = ? AND value", (field,)
        here = f"SELECT 1 FROM {table} = ? COLLATE NOCASE LIMIT 1"  # noqa: S608
        some = f"SELECT 1 FROM {table} NOT IN ('unknown', '') LIMIT 1"  # noqa: S608
        found = db.execute(here, (*bound, value)).fetchone()
        return found is None and db.execute(some, bound).fetchone() is not None

    shown = {"modality": header.modality, "view": header.view, "body_part": header.body_part}
    names = [
        value if field == "modality" else f"{field.replace('_', ' ')} {value}"
        for field, value in shown.items()
        if lacks(field, value)
    ]
    return [SearchNote(SearchNoteKind.ARCHIVE_LACKS, names=tuple(names))] if names else []
