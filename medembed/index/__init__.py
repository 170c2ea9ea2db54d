"""Nearest cases: :class:`CaseIndex` over bare vectors, and the index files of a library."""

from medembed.index.case_index import AUTO_EXACT_ROWS, CaseIndex, IndexKind
from medembed.index.hits import Hits, Method, Plan

__all__ = ["AUTO_EXACT_ROWS", "CaseIndex", "Hits", "IndexKind", "Method", "Plan"]
