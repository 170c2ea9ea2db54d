"""Errors of disk, memory and file system under an SQLite file, in one line with what to do.

SQLite errors become a :class:`LibraryError` in one place: the connection and cursor returned by
:func:`connect`. Bugs of the program (an SQL statement that cannot be parsed, a violated
constraint) remain SQLite errors.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from medembed.errors import LibraryBusyError, LibraryError

__all__ = ["connect", "damaged_file", "explain_os_error", "file_errors"]

P = ParamSpec("P")
T = TypeVar("T")

_RESTORE = "restore the library from a backup, or ingest its sources into a new one"
_AGAIN = "acknowledged changes are kept"
_FULL = ("the disk is full", f"free some space and run the same command again; {_AGAIN}")
_READ_ONLY = ("the file is read-only here", "grant write permission, or copy it")
_GONE = (
    "the file system fails or is not mounted",
    f"mount it and run the same command again; {_AGAIN}",
)
_FILES = ("too many open files", "close some, or raise the limit with ulimit -n")
_UNCLOSED = (
    "a writer was interrupted; its last changes cannot be read from a read-only folder",
    "open it once with write permission, for example with medembed show LIBRARY",
)
_MEMORY = ("out of memory", f"close other programs and run the same command again; {_AGAIN}")

_OF_ERRNO: dict[int, tuple[str, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: ("a file would exceed the size limit", f"raise the limit; {_AGAIN}"),
    errno.EROFS: _READ_ONLY,
    errno.EACCES: ("permission denied", "ask the owner for access"),
    errno.EPERM: ("permission denied", "ask the owner for access"),
    errno.EIO: _GONE,
    errno.ESTALE: _GONE,
    errno.ENODEV: _GONE,
    errno.ENOTCONN: _GONE,
    errno.ETIMEDOUT: _GONE,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOMEM: _MEMORY,
}


def damaged_file(what: str, where: str) -> LibraryError:
    """Return the error for data that fails its checksum."""
    return LibraryError(
        f"{what} fails its checksum; the file is damaged", where=where, hint=_RESTORE
    )


def explain_os_error(error: OSError) -> tuple[str, str | None]:
    """Return what an OSError means and what to do, without a path."""
    if error.errno in _OF_ERRNO:
        return _OF_ERRNO[error.errno]
    return (os.strerror(error.errno) if error.errno else type(error).__name__).lower(), None


@contextmanager
def file_errors(where: str) -> Iterator[None]:
    """Turn an OSError within the block into a :class:`LibraryError`."""
    try:
        yield
    except OSError as error:
        what, hint = explain_os_error(error)
        raise LibraryError(what, where=where, hint=hint) from error


def _translated(error: sqlite3.Error, path: Path) -> LibraryError | None:
    """Return the error for the user; None if it is a bug of the program."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return damaged_file("a text", path.name) if "decode to UTF-8" in str(error) else None
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return LibraryBusyError(
            "locked by another process",
            where=path.name,
            hint=f"wait until it ends and run the same command again; {_AGAIN}",
        )
    if primary == sqlite3.SQLITE_NOTADB:
        return LibraryError("not a readable SQLite file", where=path.name, hint=_RESTORE)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT):
        return damaged_file("part of the library", path.name)
    if primary == sqlite3.SQLITE_FULL:
        words: tuple[str, str | None] = _FULL
    elif primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        words = _READ_ONLY
    elif primary == sqlite3.SQLITE_NOMEM:
        words = _MEMORY
    elif primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH):
        words = _cause(path)
    else:
        return None
    return LibraryError(words[0], where=path.name, hint=words[1])


def _cause(path: Path) -> tuple[str, str | None]:
    """Find out why a file fails: SQLite does not report the cause."""
    log, index = (path.with_name(f"{path.name}-{ending}") for ending in ("wal", "shm"))
    try:
        if log.exists() and not index.exists() and not os.access(path.parent, os.W_OK):
            return _UNCLOSED
        os.close(os.open(path, os.O_RDONLY))
        free = os.statvfs(path)
        if free.f_bavail * free.f_frsize < 1 << 16:
            return _FULL
    except OSError as error:
        return explain_os_error(error) if error.errno in _OF_ERRNO else _GONE
    return (
        "the file could not be read or written",
        f"check the disk and the resource limits; {_AGAIN}",
    )


def _guarded(method: Callable[P, T]) -> Callable[P, T]:
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except sqlite3.Error as error:
            translated = _translated(error, _path_of(args[0]))
            if translated is None:
                raise
            raise translated from error
        except UnicodeDecodeError as error:  # SQLite's message quotes a changed byte of the schema
            raise damaged_file("part of the library", _path_of(args[0]).name) from error
        except MemoryError as error:  # raised for SQLITE_NOMEM
            where = _path_of(args[0]).name
            raise LibraryError(_MEMORY[0], where=where, hint=_MEMORY[1]) from error

    return guarded


def _path_of(opened: object) -> Path:
    path = getattr(opened, "path", None)
    return path if isinstance(path, Path) else Path()


class _Cursor(sqlite3.Cursor):
    def __init__(self, connection: _Connection) -> None:
        super().__init__(connection)
        self.path = connection.path

    execute = _guarded(sqlite3.Cursor.execute)
    executemany = _guarded(sqlite3.Cursor.executemany)
    fetchone = _guarded(sqlite3.Cursor.fetchone)
    fetchmany = _guarded(sqlite3.Cursor.fetchmany)
    fetchall = _guarded(sqlite3.Cursor.fetchall)
    __next__ = _guarded(sqlite3.Cursor.__next__)  # type: ignore[arg-type]


class _Connection(sqlite3.Connection):
    path = Path()

    def cursor(self, *_: Any, **__: Any) -> Any:
        return _Cursor(self)

    def execute(self, *args: Any) -> Any:
        return _Cursor(self).execute(*args)

    def executemany(self, *args: Any) -> Any:
        return _Cursor(self).executemany(*args)


def connect(path: Path, options: str = "", wait_seconds: float = 0.0) -> sqlite3.Connection:
    """Open a file in autocommit mode.

    Parameters
    ----------
    path : Path
    options : str
        Options of the SQLite URI, for example ``"mode=ro"``.
    wait_seconds : float
        Longest wait for a lock of another process.
    """
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{options}",
            uri=True,
            isolation_level=None,
            timeout=wait_seconds,
            check_same_thread=False,
            factory=_Connection,
        )
    except sqlite3.Error as error:
        translated = _translated(error, path)
        if translated is None:
            raise
        raise translated from error
    connection.path = path
    return connection
