"""The SQLite file of a library: creation, checks, and one connection per thread."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from medembed.errors import LibraryError
from medembed.journal import Journal
from medembed.library.connections import Connections
from medembed.library.erasing import finish_at_opening
from medembed.library.faults import DATABASE_NAME, connect, file_errors
from medembed.library.integrity import check_integrity, needs_check, record_check
from medembed.library.own_journal import open_journal
from medembed.library.schema import APPLICATION_ID, SCHEMA_VERSION, migrate, write_schema
from medembed.library.seals import row_seal, vector_seal
from medembed.library.sweeping import sweep, tighten
from medembed.privacy.private_files import draft_folder, open_private, sync_folder

__all__ = ["APPLICATION_ID", "DATABASE_NAME", "SCHEMA_VERSION", "Database", "add_functions"]

_BUSY_SECONDS = 60.0

# for a server's many threads, and for thousands of rows that are written at once
_CACHE_TO_READ, _CACHE_TO_WRITE = "PRAGMA cache_size = -8192", "PRAGMA cache_size = -65536"  # KiB


class Database:
    """Connections to one ``library.sqlite``, one for each thread and process.

    With WAL and ``synchronous=FULL``, a committed transaction survives ``kill -9`` and a power
    cut. Foreign keys are enforced. Disk and memory errors become a :class:`LibraryError`.

    Parameters
    ----------
    path : Path
        The file. It must exist; :meth:`create` creates it.
    check : bool
        Check the whole file if it may have changed since the last check.

    Attributes
    ----------
    read_only : bool
        Whether the file or its folder is not writable.

    Raises
    ------
    LibraryError
        If the file is missing, foreign, damaged, or of an unsupported schema version.
    """

    def __init__(self, path: Path, *, check: bool = True) -> None:
        self.path = path
        self.read_only = False
        self._opened = ""
        self._connections = Connections()
        self._journal: Journal | None = None
        with file_errors(path.name):
            if not path.is_file() or path.stat().st_size == 0:
                raise LibraryError(
                    "no case library here",
                    where=path.parent.name or str(path.parent),
                    hint="create one with medembed ingest LIBRARY SOURCE",
                )
            self._file = _state(path)
            self.read_only = not (_is_writable(path) and _is_writable(path.parent))
        try:
            self._check(everything=check)
            if not self.read_only and check:
                tighten(path.parent)
                sweep(path.parent)
                finish_at_opening(self)
        except BaseException:
            self._connections.close()
            raise

    @classmethod
    def create(cls, path: Path) -> Database:
        """Create the file with schema, id and key, readable by its owner only.

        It is written in a draft folder, checked and synced before it gets its name, so that nobody
        finds an incomplete file, even on a full disk.
        """
        with file_errors(path.name), draft_folder(path) as folder:
            draft = folder / path.name
            os.close(open_private(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR))
            _write_schema(draft)
            try:
                os.link(draft, path)  # never overwrites a file of another process
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                if not path.exists():
                    draft.rename(path)
            sync_folder(path.parent)
        return cls(path)

    def _check(self, everything: bool) -> None:
        where = self.path.name
        db = self.read()
        application = int(db.execute("PRAGMA application_id").fetchone()[0])
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if application != APPLICATION_ID:
            raise LibraryError("an SQLite file of another program", where=where)
        if version > SCHEMA_VERSION:
            raise LibraryError(
                f"created by a newer MedEmbed (schema {version}, supported: {SCHEMA_VERSION})",
                where=where,
                hint="update MedEmbed",
            )
        if version < 1:
            raise LibraryError(f"unknown schema version {version}", where=where)
        if version < SCHEMA_VERSION:
            self._migrate()
        if everything and needs_check(self.path):
            began = time.time()
            check_integrity(db)
            if not self.read_only:
                record_check(self.path, began)

    def _migrate(self) -> None:
        if self.read_only:
            raise LibraryError(
                "created by an older MedEmbed; a read-only library cannot be migrated",
                where=self.path.name,
                hint="open it once with write permission, for example with medembed show LIBRARY",
            )
        with self.write() as db:
            migrate(db)

    def read(self) -> sqlite3.Connection:
        """Return the connection of this thread.

        Raises
        ------
        LibraryError
            If the file was replaced or removed since it was opened.
        """
        self._expect_same_file()
        return self._connections.of_thread(self._connect)

    def _connect(self) -> sqlite3.Connection:
        self._opened = self._options()
        connection = connect(self.path, self._opened, _BUSY_SECONDS)
        connection.execute("PRAGMA foreign_keys = ON")
        # so that replacing a row fires the delete triggers
        connection.execute("PRAGMA recursive_triggers = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(_CACHE_TO_READ)
        connection.execute(f"PRAGMA query_only = {int(self.read_only)}")
        add_functions(connection)
        return connection

    def _options(self) -> str:
        """Return the URI options: without write permission, SQLite's own files may be missing."""
        if not self.read_only:
            return "mode=rw"
        return "mode=ro" if self._has_log() else "immutable=1"

    def _has_log(self) -> bool:
        log = self.path.with_name(f"{self.path.name}-wal")
        return log.exists() and log.stat().st_size > 0

    def _expect_same_file(self) -> None:
        """Detect a removed or replaced library, and changes under a read-only connection."""
        try:
            found = _state(self.path)
        except OSError as error:
            raise LibraryError(
                "the library was moved, removed or unmounted while open",
                where=self.path.name,
                hint="run the same command again when it is available",
            ) from error
        if found[:2] != self._file[:2]:
            raise LibraryError(
                "the library was replaced while open",
                where=self.path.name,
                hint="run the same command again",
            )
        if self.read_only and (found != self._file or self._options() != self._opened):
            self._file = found
            self._connections.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction: committed to disk on exit, rolled back on an error.

        Raises
        ------
        LibraryError
            If it cannot be written; the connection remains usable.
        """
        if self.read_only:
            raise LibraryError(
                "the library is read-only here",
                where=self.path.name,
                hint="grant write permission on the library's folder, or copy it",
            )
        connection = self.read()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(_CACHE_TO_WRITE)
            yield connection
            try:
                connection.execute("COMMIT")
            except sqlite3.IntegrityError as error:
                raise LibraryError(
                    "the changes conflict with stored data and were rolled back",
                    where=self.path.name,
                    hint="please report it",
                ) from error
        except BaseException:
            self._roll_back(connection)
            raise
        connection.execute(_CACHE_TO_READ)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error, LibraryError):
            if connection.in_transaction:  # SQLite may have ended the transaction itself
                connection.execute("ROLLBACK")
            connection.execute(_CACHE_TO_READ)
            return
        self._connections.drop()  # unusable: the next call opens another one

    def journal(self) -> Journal:
        """Return the journal of the library; started when it is first asked for."""
        if self._journal is None:
            self._journal = open_journal(self)
        return self._journal

    def close(self) -> None:
        """Close the connections of this process."""
        if self._journal is not None:
            self._journal.close()
        if self._connections.close() and not self.read_only:
            record_check(self.path)

    def __del__(self) -> None:
        self._connections.close()


def _state(path: Path) -> tuple[int, int, int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _write_schema(path: Path) -> None:
    with closing(connect(path)) as db:
        db.execute("PRAGMA page_size = 16384")  # several vectors of 1 to 2 KiB per page
        db.execute("PRAGMA synchronous = FULL")
        add_functions(db)
        db.execute("BEGIN IMMEDIATE")
        write_schema(db)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")  # last: until here everything is in one file
    with closing(connect(path, "immutable=1")) as db:  # without any companion file
        add_functions(db)
        db.execute("PRAGMA query_only = 1")
        check_integrity(db)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def add_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that the schema's triggers and checks call."""
    connection.create_function("as_number", 1, as_number, deterministic=True)
    connection.create_function("row_seal", -1, row_seal, deterministic=True)
    connection.create_function("vector_seal", 2, vector_seal, deterministic=True)


def as_number(text: object) -> float | None:
    """Read a kept attribute as a finite number; None if it is not one.

    Examples
    --------
    >>> as_number(" 3.5 "), as_number("inf"), as_number("high")
    (3.5, None, None)
    """
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
