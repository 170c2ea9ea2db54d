"""The SQLite file of a library: making it, checking that it is ours, and a connection a thread."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from medembed.errors import LibraryError
from medembed.library.faults import DATABASE_NAME, connect, file_errors
from medembed.library.integrity import check_whole, needs_check, stamp
from medembed.library.schema import APPLICATION_ID, SCHEMA_VERSION, migrate, write_schema
from medembed.library.seals import row_seal, vector_seal
from medembed.library.sweeping import sweep, tighten
from medembed.privacy.private_files import draft_folder, open_private, sync_folder

__all__ = ["APPLICATION_ID", "DATABASE_NAME", "SCHEMA_VERSION", "Database"]

_BUSY_SECONDS = 60.0


class Database:
    """Connections to one ``library.sqlite``, one for each thread and process.

    WAL and ``synchronous=FULL``: what a committed transaction wrote survives ``kill -9`` and a
    power cut. Foreign keys are enforced. Errors of the machine are a :class:`LibraryError`.

    Parameters
    ----------
    path : Path
        The file. It must exist; :meth:`create` makes it.

    Attributes
    ----------
    read_only : bool
        Whether the file or its folder cannot be written to.

    Raises
    ------
    LibraryError
        Where it is missing, not SQLite, of another program, of another schema version, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_only = False
        self._opened = ""
        self._connections: dict[tuple[int, int], sqlite3.Connection] = {}
        self._lock = threading.Lock()
        with file_errors(path.name):
            if not path.is_file() or path.stat().st_size == 0:
                raise LibraryError(
                    "no case library here",
                    where=path.parent.name or str(path.parent),
                    hint="medembed ingest LIBRARY SOURCE makes one",
                )
            self._file = _state(path)
            self.read_only = not (_is_writable(path) and _is_writable(path.parent))
        try:
            self._check()
            if not self.read_only:
                tighten(path.parent)
                sweep(path.parent)
        except BaseException:
            self._close_connections()
            raise

    @classmethod
    def create(cls, path: Path) -> Database:
        """Make the file with its schema, identity and key, readable by its owner only.

        It is made in a folder of its own, closed, checked and on disk before it gets its name, so
        that no half-made one is found, on a full disk either.
        """
        with file_errors(path.name), draft_folder(path) as folder:
            draft = folder / path.name
            os.close(open_private(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR))
            _write_schema(draft)
            try:
                os.link(draft, path)  # never over a file that another process made meanwhile
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                if not path.exists():
                    draft.rename(path)
            sync_folder(path.parent)
        return cls(path)

    def _check(self) -> None:
        where = self.path.name
        db = self.read()
        application = int(db.execute("PRAGMA application_id").fetchone()[0])
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if application != APPLICATION_ID:
            raise LibraryError("a SQLite file of another program", where=where)
        if version > SCHEMA_VERSION:
            raise LibraryError(
                f"made by a newer MedEmbed (schema {version}, known is {SCHEMA_VERSION})",
                where=where,
                hint="update MedEmbed",
            )
        if version < 1:
            raise LibraryError(f"of an unknown schema version {version}", where=where)
        if version < SCHEMA_VERSION:
            self._migrate()
        if needs_check(self.path):
            began = time.time()
            check_whole(db)
            if not self.read_only:
                stamp(self.path, began)

    def _migrate(self) -> None:
        if self.read_only:
            raise LibraryError(
                "made by an older MedEmbed, and cannot be brought up to date where it is read-only",
                where=self.path.name,
                hint="open it once where it can be written, for example with medembed show LIBRARY",
            )
        with self.write() as db:
            migrate(db)

    def read(self) -> sqlite3.Connection:
        """Give this thread's connection.

        Raises
        ------
        LibraryError
            Where the file is no longer the one that was opened.
        """
        self._expect_same_file()
        key = (os.getpid(), threading.get_ident())
        connection = self._connections.get(key)
        if connection is None:
            self._opened = self._options()
            connection = connect(self.path, self._opened, _BUSY_SECONDS)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA recursive_triggers = ON")  # a replaced row is a removed one
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -65536")  # KiB
            connection.execute(f"PRAGMA query_only = {int(self.read_only)}")
            _add_functions(connection)
            with self._lock:
                self._connections[key] = connection
        return connection

    def _options(self) -> str:
        """How to open the file: without any right to write, SQLite's own files may not be there."""
        if not self.read_only:
            return "mode=rw"
        return "mode=ro" if self._has_log() else "immutable=1"

    def _has_log(self) -> bool:
        log = self.path.with_name(f"{self.path.name}-wal")
        return log.exists() and log.stat().st_size > 0

    def _expect_same_file(self) -> None:
        """Notice a library that was removed or replaced, and a writer beside a read-only one."""
        try:
            found = _state(self.path)
        except OSError as error:
            raise LibraryError(
                "it was moved or removed while it was open, or its file system is gone",
                where=self.path.name,
                hint="run the same command again when it is back",
            ) from error
        if found[:2] != self._file[:2]:
            raise LibraryError(
                "it was replaced while it was open",
                where=self.path.name,
                hint="run the same command again",
            )
        if self.read_only and (found != self._file or self._options() != self._opened):
            self._file = found
            self._close_connections()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on leaving it is on disk, on an error nothing of it is.

        Raises
        ------
        LibraryError
            Where it cannot be written; the connection stays of use.
        """
        if self.read_only:
            raise LibraryError(
                "cannot be written to: it is read-only here",
                where=self.path.name,
                hint="give write permission on the library's folder, or copy it",
            )
        connection = self.read()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            try:
                connection.execute("COMMIT")
            except sqlite3.IntegrityError as error:
                raise LibraryError(
                    "the changes contradict what is stored; none of them is kept",
                    where=self.path.name,
                    hint="please report it",
                ) from error
        except BaseException:
            self._roll_back(connection)
            raise

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error, LibraryError):
            if connection.in_transaction:  # SQLite may have ended it by itself
                connection.execute("ROLLBACK")
            return
        with self._lock:  # it is of no more use: the next call opens another one
            self._connections.pop((os.getpid(), threading.get_ident()), None)
        with suppress(sqlite3.Error):
            connection.close()

    def close(self) -> None:
        """Close the connections of this process."""
        if self._close_connections() and not self.read_only:
            stamp(self.path)

    def _close_connections(self) -> bool:
        with self._lock:
            own = [c for (pid, _), c in self._connections.items() if pid == os.getpid()]
            for connection in own:
                with suppress(sqlite3.Error):
                    connection.close()
            self._connections.clear()
        return bool(own)

    def __del__(self) -> None:
        self._close_connections()


def _state(path: Path) -> tuple[int, int, int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _write_schema(path: Path) -> None:
    with closing(connect(path)) as db:
        db.execute("PRAGMA page_size = 16384")  # several vectors of a KiB or two a page
        db.execute("PRAGMA synchronous = FULL")
        _add_functions(db)
        db.execute("BEGIN IMMEDIATE")
        write_schema(db)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")  # last: until here all is in the one file
    with closing(connect(path, "immutable=1")) as db:  # without any file beside it
        _add_functions(db)
        db.execute("PRAGMA query_only = 1")
        check_whole(db)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _add_functions(connection: sqlite3.Connection) -> None:
    connection.create_function("as_number", 1, as_number, deterministic=True)
    connection.create_function("row_seal", -1, row_seal, deterministic=True)
    connection.create_function("vector_seal", 2, vector_seal, deterministic=True)


def as_number(text: object) -> float | None:
    """Read a kept attribute as a finite number; None where it is none.

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
