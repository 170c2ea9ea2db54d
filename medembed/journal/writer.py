"""Appending to a journal: one entry at a time, whoever else appends, and never a head too far."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medembed.errors import LibraryBusyError, LibraryError
from medembed.journal.chain import Tail
from medembed.journal.entry import Details
from medembed.journal.head import HEAD_NAME, Head, HeadFault, HeadFile
from medembed.journal.journal_file import (
    JOURNAL_NAME,
    foreign,
    new_name,
    open_writer,
    publish_new,
)
from medembed.machine_faults import file_errors
from medembed.privacy import Pseudonymizer

__all__ = ["WAIT_SECONDS", "JournalWriter"]

WAIT_SECONDS = 10.0
"""Longest wait for another process that writes."""

_SYNC_SECONDS = 1.0
_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


class JournalWriter:
    """The connection of this process to its journal, and the locks around it.

    Parameters
    ----------
    folder : Path
        The library's folder.
    names : Pseudonymizer
    known : str
        Name of the journal as the library knows it; empty if it had none so far.
    """

    def __init__(self, folder: Path, names: Pseudonymizer, known: str) -> None:
        self.path = folder / JOURNAL_NAME
        self.known = known
        self.head = HeadFile(folder / HEAD_NAME, names)
        self._names = names
        self._lock = threading.Lock()
        # by process: SQLite's connection must not be used, nor closed, by a forked child
        self._open: dict[int, tuple[sqlite3.Connection, tuple[int, int]]] = {}
        self._synced = 0.0
        _writers.add(self)

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written here, for want of permission."""
        if not os.access(self.path.parent, os.W_OK):
            return True
        # in this order: another thread may make the file in between
        return self.path.exists() and not os.access(self.path, os.W_OK)

    def begin(self) -> str:
        """Start the journal if there is none; return its name.

        If the library knows a journal of another name, this is recorded as a loss.
        """
        with self._locked():
            row = self._connection().execute("SELECT journal FROM start").fetchone()
        if row is None:
            raise foreign()
        name = str(row[0])
        if self.known and name != self.known:
            with self.appending():
                pass  # records the loss
        self.known = name
        return name

    @contextmanager
    def appending(self) -> Iterator[Tail]:
        """Open a transaction at the chain's end; on exit it is committed, and the head is sealed.

        Raises
        ------
        LibraryBusyError
            If another process holds the lock for long.
        LibraryError
            If it cannot be written; nothing is, then.
        """
        with self._locked():
            db = self._connection()
            now = time.monotonic()
            is_due = now - self._synced >= _SYNC_SECONDS
            # a synced commit syncs the entries before it, too: they are in the same log
            db.execute(f"PRAGMA synchronous = {'FULL' if is_due else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                tail = self._end_of(db)
                yield tail
                db.execute("COMMIT")
            except BaseException:
                self._roll_back(db)
                raise
            if is_due:
                self._synced = now
            self.known = tail.journal
            self.head.write(tail.head)  # after the commit: a head must never be ahead of the chain

    def _end_of(self, db: sqlite3.Connection) -> Tail:
        """Find the chain's end; what is missing before it is recorded."""
        try:
            tail = Tail.of(db, self._names)
            tail.note_losses(self.head.read(), self.known)
        except (TypeError, ValueError) as error:  # of values that no entry has
            raise foreign() from error
        return tail

    def rewrite(self, wait_seconds: float) -> None:
        """Write every page anew and empty the log: deleted bytes are in neither.

        Parameters
        ----------
        wait_seconds : float
            Longest wait for a reader of an older state.

        Raises
        ------
        LibraryBusyError
            If a reader keeps an older state.
        """
        with self._locked():
            db = self._connection()
            db.execute("VACUUM")
            db.execute(f"PRAGMA busy_timeout = {int(1000 * wait_seconds)}")
            try:
                (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                db.execute(f"PRAGMA busy_timeout = {int(1000 * WAIT_SECONDS)}")
        if busy:
            raise LibraryBusyError(
                "another process is reading an older state of the journal", where=self.path.name
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self.is_read_only:
            raise LibraryError(
                "the journal is read-only here",
                where=self.path.name,
                hint="grant write permission on the library's folder, or copy it",
            )
        with self._lock, self.head.locked(WAIT_SECONDS), file_errors(self.path.name):
            try:
                yield
            except sqlite3.Error as error:  # of its tables: those of the machine are LibraryErrors
                raise foreign() from error

    def _roll_back(self, db: sqlite3.Connection) -> None:
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except (sqlite3.Error, LibraryError):  # unusable: the next call opens another
            self._open.pop(os.getpid(), None)
            with suppress(sqlite3.Error):
                db.close()

    def _connection(self) -> sqlite3.Connection:
        """Return the connection of this process; start the journal if its file is missing."""
        found = self._open.get(os.getpid())
        here = _identity(self.path)
        if found is not None and found[1] == here:
            return found[0]
        if found is not None:  # removed or replaced while open
            self._open.pop(os.getpid())
            found[0].close()
        if here is None:
            self._start()
        db = open_writer(self.path, WAIT_SECONDS)
        self._open[os.getpid()] = (db, _identity(self.path) or (0, 0))
        return db

    def _start(self) -> None:
        head = self.head.read()
        before = head.count if isinstance(head, Head) else 0
        loss: Details | None = None
        if self.known or before > 1 or head is HeadFault.DAMAGED:
            loss = {"reason": "journal_missing", "expected": before}
        name = self.known or (head.journal if isinstance(head, Head) else new_name())
        publish_new(self.path, self._names, name, loss, self.head.write)

    def forked(self) -> None:
        """Let go, in a forked child, of what belongs to its parent: a lock may be held there."""
        self._lock = threading.Lock()
        self.head.forked()

    def close(self) -> None:
        """Close the files of this process; the next call opens them again."""
        with self._lock:
            found = self._open.pop(os.getpid(), None)
            if found is not None:
                with suppress(sqlite3.Error, LibraryError):
                    found[0].close()
            self.head.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _after_fork() -> None:
    for writer in list(_writers):
        writer.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
