"""Whether a library is as it was written, byte for byte, and when that was last looked at.

The whole file is checked when it is opened, unless it is the very file that was checked or closed
before: same inode, size and times of change. What decays on the disk changes no time, so that a
check is also repeated when the last is a day old.
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
from medembed.library.seals import SEALED_TABLES, schema_seal
from medembed.privacy.private_files import replace_private

__all__ = ["STAMP_NAME", "check_whole", "needs_check", "stamp"]

STAMP_NAME = ".library.checked"

_SMALL_BYTES = 4 << 20  # checked in a few hundredths of a second: not worth remembering
_CLOCK_SECONDS = 0.02  # two changes within one tick of a file system's clock have the same time
_DAY_SECONDS = 86400.0


def check_whole(db: sqlite3.Connection) -> None:
    """Compare all that a library holds with its checksums.

    Raises
    ------
    LibraryError
        Where something is not as it was written.
    """
    try:
        db.execute("BEGIN")  # one moment of the library: others may be writing
        try:
            _check_rows(db)
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        _check_words(db)
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise damaged("part of it") from error  # names and types that the schema had not


def _check_rows(db: sqlite3.Connection) -> None:
    sealed = db.execute("SELECT seal FROM seals WHERE owner = 'schema'").fetchall()
    if sealed != [(schema_seal(db),)]:
        raise damaged("its schema")
    (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok" or db.execute("PRAGMA foreign_key_check").fetchone():
        raise damaged("part of it")
    for table, columns in SEALED_TABLES.items():
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
    """Compare the index of words with the notes: SQLite takes the order as a write."""
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
        pass  # another process is writing: it has opened the library and checked it
    finally:
        db.execute(f"PRAGMA busy_timeout = {wait}")


def _order_check(db: sqlite3.Connection) -> None:
    try:
        db.execute("INSERT INTO note_words (note_words) VALUES ('integrity-check')")
    except sqlite3.DatabaseError as error:
        raise damaged("the index of words") from error


def needs_check(path: Path) -> bool:
    """Whether the file is another one than was last checked, or that was too long ago."""
    try:
        known = json.loads(path.with_name(STAMP_NAME).read_bytes())
        age = time.time() - float(known["checked"])
        return bool(known["file"] != _state(path) or not 0 <= age < _DAY_SECONDS)
    except (OSError, ValueError, KeyError, TypeError):
        return True


def stamp(path: Path, checked: float | None = None) -> None:
    """Remember the file as it is now as whole.

    Parameters
    ----------
    path : Path
        Of the database.
    checked : float, optional
        When all of it was checked; None keeps the time of the last check.
    """
    beside = path.with_name(STAMP_NAME)
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
