"""Settings of a library: the table ``meta``."""

from __future__ import annotations

import sqlite3
from typing import Any

from medembed.library.faults import damaged

__all__ = ["MetaStore"]


class MetaStore:
    """Reads and writes the table ``meta`` over a given connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def get(self, name: str) -> Any:
        """Return a setting, None if it is not set.

        Raises
        ------
        LibraryError
            If it is damaged.
        """
        row = self._db.execute(
            "SELECT value, EXISTS (SELECT 1 FROM seals WHERE owner = 'meta' "
            "AND seal = row_seal(name, value)) FROM meta WHERE name = ?",
            (name,),
        ).fetchone()
        if row is None:
            return None
        value, is_whole = row
        if not is_whole:
            raise damaged("a setting")
        return value

    def set(self, name: str, value: str | None) -> None:
        """Store a setting; None deletes it."""
        self._db.execute("DELETE FROM meta WHERE name = ?", (name,))
        if value is not None:
            self._db.execute("INSERT INTO meta VALUES (?, ?)", (name, value))
