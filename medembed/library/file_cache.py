"""Results of files that earlier ingests have read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from medembed.library.database import Database
from medembed.library.seals import FILE_COLUMNS, row_seal
from medembed.privacy import Pseudonymizer
from medembed.scans.scan_hash import scan_sha256
from medembed.sources import FileRecord, FileState

__all__ = ["LibraryFileCache"]

_COLUMNS = ", ".join(FILE_COLUMNS)


class LibraryFileCache:
    """The table ``files``: the result for each file, under a keyed hash of its path.

    A refusal counts only if the running version of MedEmbed recorded it: a newer version may be
    able to read the file.

    Parameters
    ----------
    database : Database
    names : Pseudonymizer
        Holds the key for hashing paths.
    """

    def __init__(self, database: Database, names: Pseudonymizer) -> None:
        self._database = database
        self._names = names
        self._reader = version("medembed")

    def _key(self, path: Path) -> bytes:
        return self._names.digest("file", os.fspath(path))[:16]

    def known(self, path: Path, state: FileState) -> FileRecord | None:
        """Return the record of a file in this state, None if there is none."""
        found = (
            self._database.read()
            .execute(
                f"SELECT {_COLUMNS}, seal FROM files "  # noqa: S608  own names only
                "WHERE path = ? AND size = ? AND mtime_ns = ? AND (code = '' OR reader = ?)",
                (self._key(path), state.size, state.mtime_ns, self._reader),
            )
            .fetchone()
        )
        if found is None or row_seal(*found[:-1]) != found[-1]:
            return None  # never read, or a damaged row: read the file again
        (sha256, modality, view, code, reason, shown, _, header, digests) = found[3:-1]
        frames = tuple(json.loads(digests or "[]"))
        return FileRecord(state, sha256, modality, view, code, reason, shown, header, frames)

    def accessions(self) -> dict[str, set[str]]:
        """Return the studies of each accession number so far, all as keyed hashes."""
        found: dict[str, set[str]] = {}
        rows = self._database.read().execute(
            "SELECT DISTINCT json_extract(header, '$.header.accession'), "
            "json_extract(header, '$.header.study_uid') FROM files WHERE header <> ''"
        )
        for accession, study in rows:
            if accession and study:
                found.setdefault(accession, set()).add(study)
        return found

    def remember(self, records: Mapping[Path, FileRecord]) -> None:
        """Store the records of files; they are on disk when this returns."""
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
                record.header,
                json.dumps(record.frame_digests) if record.frame_digests else "",
            )
            for path, record in records.items()
        ]
        with self._database.write() as db:
            db.executemany(
                f"INSERT OR REPLACE INTO files ({_COLUMNS}, seal) "  # noqa: S608  own names only
                f"VALUES ({', '.join('?' * (len(FILE_COLUMNS) + 1))})",
                [(*row, row_seal(*row)) for row in rows],
            )

    def is_unchanged(self, files: Sequence[Path], sha256: str) -> bool:
        """Return whether a scan's files are unchanged since they were ingested.

        A file is hashed only if its size or modification time differs from the recorded one.

        Parameters
        ----------
        files : sequence of Path
        sha256 : str
            Hash of the scan.

        Raises
        ------
        OSError
            If a file cannot be read.
        """
        digests = [self._digest(path) for path in files]
        if scan_sha256(digests) == sha256:
            return True
        # schema 1 hashed a series in slice order
        return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest() == sha256

    def _digest(self, path: Path) -> str:
        found = path.stat()
        record = self.known(path, FileState(found.st_size, found.st_mtime_ns))
        if record is not None and record.sha256:
            return record.sha256
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
