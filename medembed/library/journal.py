"""Files that a library's ingests have looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from medembed.library.database import Database
from medembed.privacy import Pseudonymiser
from medembed.sources import FileRecord, FileState

__all__ = ["LibraryJournal"]


class LibraryJournal:
    """The table ``files``: what became of each file, under a keyed hash of its path.

    A refusal is believed only from the version of MedEmbed that is running: another one may read
    what an older could not.

    Parameters
    ----------
    database : Database
    names : Pseudonymiser
        Its key hashes the paths.
    """

    def __init__(self, database: Database, names: Pseudonymiser) -> None:
        self._database = database
        self._names = names
        self._reader = version("medembed")

    def _key(self, path: Path) -> bytes:
        return self._names.digest("file", os.fspath(path))[:16]

    def known(self, path: Path, state: FileState) -> FileRecord | None:
        """Give what is known of a file in this state."""
        row = self._database.read().execute(
            "SELECT sha256, modality, view, code, reason, shown FROM files "
            "WHERE path = ? AND size = ? AND mtime_ns = ? AND (code = '' OR reader = ?)",
            (self._key(path), state.size, state.mtime_ns, self._reader),
        )
        found = row.fetchone()
        return None if found is None else FileRecord(state, *found)

    def remember(self, records: Mapping[Path, FileRecord]) -> None:
        """Keep what became of files; on disk when this returns."""
        rows = [
            (
                self._key(path),
                record.state.size,
                record.state.mtime_ns,
                record.sha256,
                record.modality,
                record.view,
                record.code,
                record.reason,
                record.shown,
                self._reader,
            )
            for path, record in records.items()
        ]
        with self._database.write() as db:
            db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
