"""Integrity check of a library, and the record of the last check.

The whole file is checked when it is opened, unless it is unchanged since the last check or close:
same inode, size and times. Decay on the disk changes no time, so the check is also repeated after
a day.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from medembed.errors import LibraryBusyError
from medembed.library.case_rows import read_cases
from medembed.library.faults import damaged
from medembed.library.seals import REVIEW_TABLES, SEALED_TABLES, schema_seal
from medembed.privacy.private_files import replace_private

__all__ = ["CHECK_RECORD_NAME", "check_integrity", "needs_check", "record_check"]

CHECK_RECORD_NAME = ".library.checked"

_SMALL_BYTES = 4 << 20  # checked within a few hundredths of a second: not worth recording
_CLOCK_SECONDS = 0.02  # changes within one tick of the file system clock have equal times
_DAY_SECONDS = 86400.0


def check_integrity(db: sqlite3.Connection) -> None:
    """Verify the checksums of everything in a library.

    Raises
    ------
    LibraryError
        If a checksum does not match.
    """
    try:
        db.execute("BEGIN")  # a consistent snapshot: others may be writing
        try:
            _check_rows(db)
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        _check_words(db)
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise damaged(
            "part of the library"
        ) from error  # names and types that the schema does not have


def _check_rows(db: sqlite3.Connection) -> None:
    sealed = db.execute("SELECT seal FROM seals WHERE owner = 'schema'").fetchall()
    if sealed != [(schema_seal(db),)]:
        raise damaged("its schema")
    (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok" or db.execute("PRAGMA foreign_key_check").fetchone():
        raise damaged("part of the library")
    for table, columns in (SEALED_TABLES | REVIEW_TABLES).items():
        wanted = {
            seal for (seal,) in db.execute("SELECT seal FROM seals WHERE owner = ?", (table,))
        }
        row = f"row_seal({', '.join(columns)})"
        if wanted != {seal for (seal,) in db.execute(f"SELECT {row} FROM {table}")}:  # noqa: S608
            raise damaged(f"a row of the table {table}")
    for _ in read_cases(db, [row for (row,) in db.execute("SELECT id FROM cases")]):
        pass
    if db.execute("SELECT 1 FROM vectors WHERE seal <> vector_seal(id, vector)").fetchone():
        raise damaged("a vector")


def _check_words(db: sqlite3.Connection) -> None:
    """Verify the full-text index against the notes; SQLite treats this command as a write."""
    if db.execute("PRAGMA query_only").fetchone()[0]:
        with closing(sqlite3.connect(":memory:")) as copy:
            db.backup(copy)
            _order_check(copy)
        return
    (wait,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute("PRAGMA busy_timeout = 0")
    try:
        _order_check(db)
    except LibraryBusyError:
        pass  # another process is writing and has checked the library on opening it
    finally:
        db.execute(f"PRAGMA busy_timeout = {wait}")


def _order_check(db: sqlite3.Connection) -> None:
    try:
        # rank 1 compares with the notes, too: a changed byte may leave the index in order
        db.execute("INSERT INTO note_words (note_words, rank) VALUES ('integrity-check', 1)")
    except sqlite3.DatabaseError as error:
        raise damaged("the full-text index") from error


def needs_check(path: Path) -> bool:
    """Return whether the file changed since the last check, or the check is a day old."""
    try:
        known = json.loads(path.with_name(CHECK_RECORD_NAME).read_bytes())
        age = time.time() - float(known["checked"])
        return bool(known["file"] != _state(path) or not 0 <= age < _DAY_SECONDS)
    except (OSError, ValueError, KeyError, TypeError):
        return True


def record_check(path: Path, checked: float | None = None) -> None:
    """Record that the file in its current state is intact.

    Parameters
    ----------
    path : Path
        Path of the database.
    checked : float, optional
        Time of the full check; None keeps the time of the last one.
    """
    beside = path.with_name(CHECK_RECORD_NAME)
    with suppress(OSError, ValueError, KeyError, TypeError):
        if path.stat().st_size < _SMALL_BYTES:
            return
        if checked is None:
            known = json.loads(beside.read_bytes())
            if known["file"] == _state(path):
                return
            checked = float(known["checked"])
        if time.time() - path.stat().st_ctime < _CLOCK_SECONDS:
            time.sleep(_CLOCK_SECONDS)
        with replace_private(beside) as file:
            file.write(json.dumps({"file": _state(path), "checked": checked}).encode())


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
