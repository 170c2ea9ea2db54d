"""One writer at a time for a derived file, across processes and threads.

The lock is a kernel lock (``flock``) on a small file beside the guarded one, so that it ends with
its process, however that ends. The file names the holder. It is never removed: two processes that
lock two files of the same name would both write.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from medembed.errors import LibraryBusyError, LibraryError
from medembed.privacy.private_files import open_private, private_folder

try:
    import fcntl
except ImportError:  # pragma: no cover  not POSIX
    fcntl = None  # type: ignore[assignment]

__all__ = ["is_locked", "writer_lock"]

_PAUSE_SECONDS = 0.05
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_held: set[int] = set()


@contextmanager
def writer_lock(
    path: Path,
    what: str,
    wait_seconds: float | None = None,
    *,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the lock at ``path`` while the block runs.

    Parameters
    ----------
    path : Path
        The lock file, created if missing.
    what : str
        Task of the holder, shown to others: ``"training of model small"``. Never a patient's
        value.
    wait_seconds : float or None
        Longest wait for another holder; 0 does not wait, None waits without limit.
    waiting : callable, optional
        Called once with a line that names the holder, if there is a wait.

    Raises
    ------
    LibraryBusyError
        If another holder still has it after that time; the message names the holder.
    LibraryError
        If the file system has no locks.
    """
    deadline = None if wait_seconds is None else time.monotonic() + wait_seconds
    while (descriptor := _try(path)) is None:
        if deadline is not None and time.monotonic() >= deadline:
            raise LibraryBusyError(_holder(path), where=path.parent.name, hint="wait until it ends")
        if waiting is not None:
            waiting(_holder(path))
            waiting = None
        time.sleep(_PAUSE_SECONDS)
    _held.add(descriptor)
    try:
        _write_holder(descriptor, what)
        yield
    finally:
        if descriptor in _held:  # else this is a forked child and the lock belongs to its parent
            _held.discard(descriptor)
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for a child that is being forked now
            os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether the lock at ``path`` is held now; does not create the file."""
    if not path.exists():
        return False
    descriptor = _try(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _try(path: Path) -> int | None:
    if fcntl is None:  # pragma: no cover  not POSIX
        raise LibraryError("this system has no file locks", where=path.name)
    try:
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:
        private_folder(path.parent)
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(descriptor, path):
            return descriptor
    except BlockingIOError:
        pass
    except OSError as error:
        os.close(descriptor)
        if error.errno in _NO_LOCKS:
            raise LibraryError(
                "this file system does not support locks",
                where=path.name,
                hint="keep the library on a local disk, or on NFS with locks",
            ) from error
        raise
    os.close(descriptor)
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether the locked file still has this name: the folder may have been cleared."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write_holder(descriptor: int, what: str) -> None:
    holder = {
        "what": what,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with suppress(OSError):  # on a full disk the lock still holds
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(path: Path) -> str:
    for _ in range(4):
        with suppress(OSError, ValueError, KeyError, TypeError):
            holder = json.loads(path.read_bytes())
            since = datetime.fromisoformat(holder["since"]).astimezone()
            return (
                f"busy with {holder['what']}: process {int(holder['pid'])} on {holder['host']}, "
                f"since {since:%Y-%m-%d %H:%M:%S}"
            )
        time.sleep(_PAUSE_SECONDS)  # a holder writes its name just after it has the lock
    return "busy: another process is writing"


def _release_in_child() -> None:
    """Close the descriptors in a forked child, so that it does not keep its parent's locks."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
