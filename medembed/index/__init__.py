"""Nearest-neighbor search: :class:`CaseIndex` over arrays, and the index files of a library."""

from medembed.index.case_index import CaseIndex, IndexKind
from medembed.index.hits import Hits, Method, Plan
from medembed.index.library_index import (
    LibraryIndex,
    compact_index,
    current_index,
    library_revision,
    open_index,
)
from medembed.index.search_notes import SearchNote, SearchNoteKind

__all__ = [
    "CaseIndex",
    "Hits",
    "IndexKind",
    "LibraryIndex",
    "Method",
    "Plan",
    "SearchNote",
    "SearchNoteKind",
    "compact_index",
    "current_index",
    "library_revision",
    "open_index",
]
