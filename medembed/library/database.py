"""The SQLite file of a library: making it, checking that it is ours, and a connection a thread."""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medembed.errors import LibraryError
from medembed.library.faults import DATABASE_NAME
from medembed.library.schema import APPLICATION_ID, SCHEMA_VERSION, migrate, write_schema
from medembed.library.seals import row_seal, vector_seal

__all__ = ["APPLICATION_ID", "DATABASE_NAME", "SCHEMA_VERSION", "Database"]

_BUSY_SECONDS = 60.0


class Database:
    """Connections to one ``library.sqlite``, one for each thread and process.

    WAL and ``synchronous=FULL``: what a committed transaction wrote survives ``kill -9`` and a
    power cut. Foreign keys are enforced.

    Parameters
    ----------
    path : Path
        The file. It must exist; :meth:`create` makes it.

    Raises
    ------
    LibraryError
        Where it is missing, not SQLite, of another program, or of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connections: dict[tuple[int, int], sqlite3.Connection] = {}
        self._lock = threading.Lock()
        if not path.is_file() or path.stat().st_size == 0:
            raise LibraryError(
                "no case library here",
                where=path.parent.name or str(path.parent),
                hint="medembed ingest LIBRARY SOURCE makes one",
            )
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path) -> Database:
        """Make the file with its schema, identity and key, readable by its owner only.

        It is made under another name and then given its own, so that no half-made one is found.
        """
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            _write_schema(draft)
            try:
                os.link(draft, path)  # never over a file that another process made meanwhile
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                if not path.exists():
                    draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)
        return cls(path)

    def _check(self) -> None:
        where = self.path.name
        try:
            application = int(self.read().execute("PRAGMA application_id").fetchone()[0])
            version = int(self.read().execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.DatabaseError as error:
            raise LibraryError("not a readable SQLite file", where=where) from error
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

    def _migrate(self) -> None:
        folder = self.path.parent
        if not (os.access(self.path, os.W_OK) and os.access(folder, os.W_OK)):
            raise LibraryError(
                "made by an older MedEmbed, and cannot be brought up to date where it is read-only",
                where=self.path.name,
                hint="open it once where it can be written, for example with medembed show LIBRARY",
            )
        with self.write() as db:
            migrate(db)

    def read(self) -> sqlite3.Connection:
        """Give this thread's connection."""
        key = (os.getpid(), threading.get_ident())
        connection = self._connections.get(key)
        if connection is None:
            connection = sqlite3.connect(
                self.path, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False
            )
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA recursive_triggers = ON")  # a replaced row is a removed one
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -65536")  # KiB
            _add_functions(connection)
            with self._lock:
                self._connections[key] = connection
        return connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on leaving it is on disk, on an error nothing of it is."""
        connection = self.read()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connections of this process."""
        with self._lock:
            for (process, _), connection in self._connections.items():
                if process == os.getpid():
                    connection.close()
            self._connections.clear()

    def __del__(self) -> None:
        self.close()


def _write_schema(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA page_size = 16384")  # several vectors of a KiB or two a page
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _add_functions(connection)
        connection.execute("BEGIN IMMEDIATE")
        write_schema(connection)
        connection.execute("COMMIT")
    finally:
        connection.close()


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
