"""Errors of the machine under a library, each in one line that says what to do.

SQLite's errors become a :class:`LibraryError` in one place: the connection and cursor given by
:func:`connect`. What is a fault of the program (a statement that cannot be parsed, a constraint
that does not hold) stays SQLite's own.
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

__all__ = ["DATABASE_NAME", "connect", "damaged", "file_errors", "words_of"]

DATABASE_NAME = "library.sqlite"

P = ParamSpec("P")
T = TypeVar("T")

_RESTORE = "restore the library from a backup, or ingest its sources into a new one"
_AGAIN = "what was acknowledged is kept"
_FULL = ("no room is left on the disk", f"free some and run the same command again; {_AGAIN}")
_READ_ONLY = ("cannot be written to: it is read-only here", "give write permission, or copy it")
_GONE = ("its file system fails or is gone", f"mount it and run the same command again; {_AGAIN}")
_FILES = ("too many files are open", "close some, or raise the limit with ulimit -n")
_UNCLOSED = (
    "its writer was stopped, and the last changes cannot be read where it is read-only",
    "open it once where it can be written, for example with medembed show LIBRARY",
)
_MEMORY = ("out of memory", f"close other programs and run the same command again; {_AGAIN}")

_OF_ERRNO: dict[int, tuple[str, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: ("a file would be larger than is allowed here", f"raise the limit; {_AGAIN}"),
    errno.EROFS: _READ_ONLY,
    errno.EACCES: ("no permission", "ask its owner for it"),
    errno.EPERM: ("no permission", "ask its owner for it"),
    errno.EIO: _GONE,
    errno.ESTALE: _GONE,
    errno.ENODEV: _GONE,
    errno.ENOTCONN: _GONE,
    errno.ETIMEDOUT: _GONE,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOMEM: _MEMORY,
}


def damaged(what: str) -> LibraryError:
    """Give the error for something that is not as it was written."""
    return LibraryError(
        f"{what} is not as it was written; the file is damaged", where=DATABASE_NAME, hint=_RESTORE
    )


def words_of(error: OSError) -> tuple[str, str | None]:
    """Say what an error of the machine is, and what to do; never a path."""
    if error.errno in _OF_ERRNO:
        return _OF_ERRNO[error.errno]
    return (os.strerror(error.errno) if error.errno else type(error).__name__).lower(), None


@contextmanager
def file_errors(where: str) -> Iterator[None]:
    """Turn an error of the machine within the block into a :class:`LibraryError`."""
    try:
        yield
    except OSError as error:
        what, hint = words_of(error)
        raise LibraryError(what, where=where, hint=hint) from error


def _translated(error: sqlite3.Error, path: Path) -> LibraryError | None:
    """Give the error that a person is told; None where it is a fault of the program."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return damaged("a text") if "decode to UTF-8" in str(error) else None
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return LibraryBusyError(
            "another process keeps it locked",
            where=DATABASE_NAME,
            hint=f"wait for it to end and run the same command again; {_AGAIN}",
        )
    if primary == sqlite3.SQLITE_NOTADB:
        return LibraryError("not a readable SQLite file", where=DATABASE_NAME, hint=_RESTORE)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT):
        return damaged("part of it")
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
    return LibraryError(words[0], where=DATABASE_NAME, hint=words[1])


def _cause(path: Path) -> tuple[str, str | None]:
    """Ask the machine itself why a file fails: SQLite does not tell."""
    log, index = (path.with_name(f"{path.name}-{ending}") for ending in ("wal", "shm"))
    try:
        if log.exists() and not index.exists() and not os.access(path.parent, os.W_OK):
            return _UNCLOSED
        os.close(os.open(path, os.O_RDONLY))
        free = os.statvfs(path)
        if free.f_bavail * free.f_frsize < 1 << 16:
            return _FULL
    except OSError as error:
        return words_of(error) if error.errno in _OF_ERRNO else _GONE
    return "it could not be read or written", f"check the disk and the limits; {_AGAIN}"


def _guarded(method: Callable[P, T]) -> Callable[P, T]:
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except sqlite3.Error as error:
            said = _translated(error, args[0].path)  # type: ignore[attr-defined]
            if said is None:
                raise
            raise said from error
        except MemoryError as error:  # what SQLite's SQLITE_NOMEM becomes
            raise LibraryError(_MEMORY[0], where=DATABASE_NAME, hint=_MEMORY[1]) from error

    return guarded


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
    path = Path(DATABASE_NAME)

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
        Of SQLite's URI, for example ``"mode=ro"``.
    wait_seconds : float
        How long a statement waits for a lock of another process.
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
        said = _translated(error, path)
        if said is None:
            raise
        raise said from error
    connection.path = path
    return connection
