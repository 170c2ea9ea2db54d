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
from medembed.index.choice import Budget, Choice, Reason
from medembed.index.hits import Hits, LeftOut, Method, Plan, Recall
from medembed.index.library_index import LibraryIndex, library_revision
from medembed.index.search_notes import SearchNote, SearchNoteKind

__all__ = [
    "Budget",
    "CaseIndex",
    "Choice",
    "Hits",
    "IndexKind",
    "LeftOut",
    "LibraryIndex",
    "Method",
    "Plan",
    "Reason",
    "Recall",
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
