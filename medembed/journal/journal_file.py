"""The SQLite file of a journal: its tables, and a new one."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from medembed.errors import LibraryError
from medembed.journal.action import SYSTEM, Action, Outcome
from medembed.journal.entry import NO_DIGEST, Details, Entry, utc_now
from medembed.journal.head import Head
from medembed.machine_faults import connect
from medembed.privacy import Pseudonymizer
from medembed.privacy.private_files import draft_folder, open_private, sync_folder

__all__ = [
    "APPLICATION_ID",
    "FORMAT",
    "JOURNAL_NAME",
    "SCHEMA",
    "entry_seal",
    "foreign",
    "insert_entry",
    "new_name",
    "open_writer",
    "publish_new",
    "read_options",
    "start_seal",
]

JOURNAL_NAME = "journal.sqlite"
APPLICATION_ID = 0x4D454A4C  # "MEJL"
FORMAT = 1

SCHEMA = (
    # where the kept part begins: number and digest of the last entry that was archived, or 0
    "CREATE TABLE start (journal TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL, "
    "seal BLOB NOT NULL) STRICT",
    "CREATE TABLE entries (number INTEGER PRIMARY KEY, body TEXT NOT NULL, seal BLOB NOT NULL) "
    "STRICT",
    "CREATE TABLE links (lookup BLOB PRIMARY KEY, number BLOB NOT NULL UNIQUE, "
    "seal BLOB NOT NULL) STRICT, WITHOUT ROWID",
)


def entry_seal(names: Pseudonymizer, digest: str) -> bytes:
    """Return the keyed digest of an entry."""
    return names.digest("journal entry", digest)


def start_seal(names: Pseudonymizer, journal: str, number: int, digest: str) -> bytes:
    """Return the keyed digest of the row of ``start``."""
    return names.digest("journal start", journal, str(number), digest)


def new_name() -> str:
    """Return a random name for a new journal: a UUID without its hyphens."""
    return uuid.uuid4().hex


def publish_new(
    path: Path,
    names: Pseudonymizer,
    journal: str,
    loss: Details | None,
    seal_head: Callable[[Head], None],
) -> None:
    """Write a new journal with its first entry; the caller holds the lock.

    The file gets its name when it is complete and synced, and after the head is written: a head of
    one entry without a journal is a start that was interrupted.

    Parameters
    ----------
    path : Path
    names : Pseudonymizer
    journal : str
        Its name.
    loss : mapping or None
        Details of a second entry, if there was a journal before.
    seal_head : callable
        Writes the head.
    """
    first: Details = {"format": FORMAT, "name": journal}
    entries = [Entry(1, utc_now(), SYSTEM, Action.STARTED, Outcome.DONE, (), first)]
    if loss is not None:
        after = entries[0].digest
        entries.append(
            Entry(2, utc_now(), SYSTEM, Action.LOST, Outcome.FAILED, (), loss, previous=after)
        )
    with draft_folder(path) as folder:
        draft = folder / path.name
        os.close(open_private(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR))
        with closing(connect(draft)) as db:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA:
                db.execute(statement)
            seal = start_seal(names, journal, 0, NO_DIGEST)
            db.execute("INSERT INTO start VALUES (?, 0, ?, ?)", (journal, NO_DIGEST, seal))
            for entry in entries:
                insert_entry(db, names, entry)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
            db.execute("COMMIT")
            db.execute("PRAGMA journal_mode = WAL")
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        for ending in ("-wal", "-shm"):  # of a journal that was removed: they belong to nothing
            path.with_name(path.name + ending).unlink(missing_ok=True)
        last = entries[-1]
        seal_head(Head(journal, last.number, last.digest, last.time))
        draft.rename(path)
        sync_folder(path.parent)


def insert_entry(db: sqlite3.Connection, names: Pseudonymizer, entry: Entry) -> None:
    """Write an entry and its seal, within a transaction."""
    seal = entry_seal(names, entry.digest)
    db.execute(
        "INSERT INTO entries (number, body, seal) VALUES (?, ?, ?)",
        (entry.number, entry.body, seal),
    )


def open_writer(path: Path, wait_seconds: float) -> sqlite3.Connection:
    """Open a journal for writing.

    Raises
    ------
    LibraryError
        If the file is no journal, or of a newer version.
    """
    db = connect(path, "mode=rw", wait_seconds)
    try:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application == APPLICATION_ID and version > FORMAT:
            raise LibraryError(
                "written by a newer MedEmbed", where=JOURNAL_NAME, hint="update MedEmbed"
            )
        if (application, version) != (APPLICATION_ID, FORMAT):
            raise foreign()
        # a deleted link leaves no bytes even before the file is written anew
        db.execute("PRAGMA secure_delete = ON")
    except BaseException:
        db.close()
        raise
    return db


def foreign() -> LibraryError:
    """Return the error for a file that is not a journal."""
    return LibraryError(
        "not the journal of a library",
        where=JOURNAL_NAME,
        hint="run medembed verify LIBRARY; docs/guides/journal.md says what to do",
    )


def read_options(path: Path) -> str:
    """Return the URI options for reading: without write permission there may be no log."""
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return "mode=rw"
    log = path.with_name(f"{path.name}-wal")
    return "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
