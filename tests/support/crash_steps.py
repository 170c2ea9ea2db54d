"""The write steps of this process, seen at the functions that make anything lasting.

Nothing of MedEmbed knows of this: the steps are the calls of ``os`` that create, sync, name and
remove files, and the statements that change a database. Each has a name, such as ``"fsync
part-*-vectors"``, so that a test can list the steps of an operation and end the process at any.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medembed import machine_faults as faults

__all__ = ["Fault", "Steps"]

_CALLS = ("fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir")
_WRITES = re.compile(
    r"(COMMIT|VACUUM|PRAGMA wal_checkpoint|PRAGMA journal_mode =|REINDEX"
    r"|(?:INSERT|UPDATE|DELETE)(?: OR \w+)?(?: INTO| FROM)? \w+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Fault:
    """What happens at one step.

    Parameters
    ----------
    at : int
        Number of the step in the operation, from 0.
    kind : {"before", "after", "torn", "full"}
        ``kill -9`` before or after it; before it, with the end of the file cut off that was not
        synced yet; or the disk is full from this step on.
    share : float
        Share of the unsynced end that is cut off.
    """

    at: int
    kind: str
    share: float = 0.5


@dataclass
class Steps:
    """Counts the steps after :meth:`watch`, in a process that is meant to end."""

    fault: Fault | None = None
    names: list[str] = field(default_factory=list)
    _synced: dict[str, int] = field(default_factory=dict)

    def watch(self) -> None:
        """Replace the functions; there is no way back."""
        for name in _CALLS:
            setattr(os, name, self._call(name, getattr(os, name)))
        opened = os.open

        @functools.wraps(opened)
        def create(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if not flags & os.O_CREAT or os.path.lexists(path):
                return opened(path, flags, *args, **kwargs)
            return self._step(f"create {_kind(path)}", lambda: opened(path, flags, *args, **kwargs))

        os.open = create
        cursor: Any = faults._Cursor
        for name in ("execute", "executemany"):
            setattr(cursor, name, self._statement(getattr(cursor, name)))

    def _call(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(first: Any, *args: Any, **kwargs: Any) -> Any:
            path = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else first
            shown = args[0] if name in ("replace", "rename", "link") else path
            step = f"{name} {_kind(shown)}"
            torn = str(path) if name == "fsync" and Path(path).is_file() else None
            result = self._step(step, lambda: function(first, *args, **kwargs), torn)
            if torn:
                self._synced[torn] = Path(torn).stat().st_size
            return result

        return call

    def _statement(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(cursor: Any, sql: str, *args: Any) -> Any:
            found = _WRITES.match(sql)
            if found is None:
                return function(cursor, sql, *args)
            log = Path(f"{cursor.path}-wal")
            size, file = (p.stat() if p.exists() else None for p in (log, cursor.path))
            name = f"sqlite {found[1]}"
            commits = found[1].upper() == "COMMIT"

            def run() -> Any:
                result = function(cursor, sql, *args)
                if commits and self._is_now("torn"):  # before anybody was told
                    # a checkpoint syncs the log before it writes the file: it is whole then
                    if size and file and cursor.path.stat().st_mtime_ns == file.st_mtime_ns:
                        self._cut(log, size.st_size)
                    _die()
                return result

            return self._step(name, run, tears_later=commits)

        return call

    def _step(
        self,
        name: str,
        run: Callable[[], Any],
        torn: str | None = None,
        tears_later: bool = False,
    ) -> Any:
        if self._is_now("before") or (self._is_now("torn") and not tears_later):
            if torn and self._is_now("torn"):
                self._cut(Path(torn), self._synced.get(torn, 0))
            _die()
        if self.fault and self.fault.kind == "full" and len(self.names) >= self.fault.at:
            self.names.append(name)
            if name.startswith(("fsync", "create", "mkdir", "link")):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if name.startswith("sqlite") and not name.endswith("COMMIT"):
                raise faults._translated(_full(), Path("library.sqlite")) or _full()
            return run()
        result = run()
        if self._is_now("after"):
            _die()
        self.names.append(name)
        return result

    def _is_now(self, kind: str) -> bool:
        fault = self.fault
        return fault is not None and fault.kind == kind and fault.at == len(self.names)

    def _cut(self, path: Path, kept: int) -> None:
        """Cut off a part of what follows the first ``kept`` bytes."""
        size, share = path.stat().st_size if path.exists() else 0, self.fault.share  # type: ignore[union-attr]
        if size > kept:
            os.truncate(path, kept + int((size - kept) * share))


def _full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def _kind(path: Any) -> str:
    """Name a file without what is random in its name."""
    name = Path(os.fspath(path)).name
    return re.sub(r"\d+", "#", re.sub(r"[0-9a-f]{6,}", "*", name))
