"""Check the file of a library's columns, and build one again that does not match the library."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from medembed.columns.case_columns import CaseColumns
from medembed.columns.column_files import columns_folder, hash_key, read_file
from medembed.columns.library_columns import LibraryColumns
from medembed.columns.reading import consistent, numbers_after, read_columns
from medembed.counted import counted
from medembed.library.verification import Check, CheckState

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["is_same", "verify_columns"]


def verify_columns(library: CaseLibrary) -> Iterator[Check]:
    """Check that the columns, brought up to date, state what ``library.sqlite`` states.

    Nothing is built that was not there.
    """
    what, folder = "columns of the cases", columns_folder(library)
    if not folder.is_dir() or folder.is_symlink():
        return
    found = read_file(library)
    current = LibraryColumns(library).current().columns if found else None
    db = library.database.read()
    with consistent(db):
        right = read_columns(db, numbers_after(db, 0), hash_key(library))
    if current is not None and is_same(current, right):
        yield Check(what, CheckState.OK, counted(len(right), "case"))
        return
    if library.database.read_only:
        yield Check(what, CheckState.LEFT, "not those of the library; a search builds them again")
        return
    shutil.rmtree(folder, ignore_errors=True)
    LibraryColumns(library).current()
    yield Check(what, CheckState.REPAIRED, "built again from the cases")


def is_same(one: CaseColumns, other: CaseColumns) -> bool:
    """Return whether two columns state the same of the same cases."""
    (arrays, values), (others, other_values) = one.parts(), other.parts()
    return (
        values == other_values
        and arrays.keys() == others.keys()
        and all(
            np.array_equal(array, others[name], equal_nan=name == "ages")
            for name, array in arrays.items()
        )
    )
