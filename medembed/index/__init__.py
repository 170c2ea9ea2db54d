"""Nearest-neighbor search: :class:`CaseIndex` over arrays, and the index files of a library."""

from medembed.index.backend import (
    SearchIndex,
    compact_index,
    current_index,
    index_backend,
    open_index,
    set_index_backend,
)
from medembed.index.case_index import CaseIndex, IndexKind
from medembed.index.hits import Hits, Method, Plan
from medembed.index.library_index import LibraryIndex, library_revision
from medembed.index.search_notes import SearchNote, SearchNoteKind

__all__ = [
    "CaseIndex",
    "Hits",
    "IndexKind",
    "LibraryIndex",
    "Method",
    "Plan",
    "SearchIndex",
    "SearchNote",
    "SearchNoteKind",
    "compact_index",
    "current_index",
    "index_backend",
    "library_revision",
    "open_index",
    "set_index_backend",
]
