"""What is known of each case as arrays, so that conditions cost a comparison and not a query."""

from __future__ import annotations

from medembed.columns.case_filter import CaseFilter
from medembed.columns.library_columns import LibraryColumns

__all__ = ["CaseFilter", "LibraryColumns"]
