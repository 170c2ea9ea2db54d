"""The noun :class:`LibraryColumns`: the columns of a library, up to date whenever asked for."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, NamedTuple

from medembed.columns.case_columns import CaseColumns, joined
from medembed.columns.column_files import columns_folder, hash_key, read_file, write_file
from medembed.columns.reading import (
    Stamp,
    all_seals,
    consistent,
    numbers_after,
    read_columns,
    read_stamp,
)
from medembed.errors import LibraryError
from medembed.library.locks import writer_lock

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["Held", "LibraryColumns"]

_WRITTEN_AGAIN = 0.05
"""Share of cases that must differ from the file before it is written again."""


class Held(NamedTuple):
    """Columns, and the state of the library that they are of."""

    columns: CaseColumns
    stamp: Stamp


class LibraryColumns:
    """The columns of one library.

    Read from the file beside the index, brought up to date by reading what has changed, and written
    when much has. Only cases that were added are read; after another change also the number and the
    seal of every case, to tell which. Can be used from several threads.

    Parameters
    ----------
    library : CaseLibrary
    """

    def __init__(self, library: CaseLibrary) -> None:
        self._library = library
        self._key = hash_key(library)
        self._held: Held | None = None
        self._lock = threading.Lock()

    def current(self) -> Held:
        """Return the columns of the library as it is now.

        Raises
        ------
        LibraryError
            If ``library.sqlite`` cannot be read.
        """
        db = self._library.database.read()
        with self._lock:
            with consistent(db):
                stamp = read_stamp(db)
                if self._held is not None and self._held.stamp == stamp:
                    return self._held
                kept = self._held or self._from_file(db, stamp)
                columns, n_read = self._up_to_date(db, kept, stamp)
            self._held = Held(columns, stamp)
            folder = columns_folder(self._library)
            if not (folder / "index.json").exists() or n_read > _WRITTEN_AGAIN * len(columns):
                self._write(self._held)
            return self._held

    def _from_file(self, db: sqlite3.Connection, stamp: Stamp) -> Held | None:
        """Return the file's columns, if the state of the library can have come from theirs."""
        found = read_file(self._library)
        if found is None:
            return None
        held = Held(*found)
        if held.stamp.revision == stamp.revision and held.stamp.newest:
            seal = db.execute("SELECT seal FROM cases WHERE id = ?", (held.stamp.newest,))
            if seal.fetchone() != (held.stamp.seal,):  # both grew from one backup
                return None
        return held

    def _up_to_date(
        self, db: sqlite3.Connection, kept: Held | None, stamp: Stamp
    ) -> tuple[CaseColumns, int]:
        """Return the columns of a state, and how many cases were read for them."""
        if kept is None:
            columns = read_columns(db, numbers_after(db, 0), self._key)
            return columns, len(columns)
        columns = kept.columns
        if stamp.revision == kept.stamp.revision:
            numbers = numbers_after(db, kept.stamp.newest)
        else:
            rows, seals = all_seals(db)
            at = columns.positions_of(rows)
            same = at >= 0
            same[same] = columns.seals[at[same]] == seals[same]
            numbers = rows[~same].tolist()
            if same.sum() < len(columns):
                columns = columns.take(at[same])
        if not numbers:
            return columns, len(kept.columns) - len(columns)
        fresh = read_columns(db, numbers, self._key)
        return joined([columns, fresh], self._key), len(numbers)

    def _write(self, held: Held) -> None:
        """Write the file, if nothing has changed and nobody else is writing it."""
        folder = columns_folder(self._library)
        lock = folder.with_name(f".{folder.name}.lock")
        try:
            with writer_lock(lock, "writing the columns of the cases", 0.0):
                # Erased meanwhile? That must not come back in a file; a later search writes.
                if read_stamp(self._library.database.read()) == held.stamp:
                    write_file(self._library, held.columns, held.stamp)
        except (OSError, LibraryError):
            return
