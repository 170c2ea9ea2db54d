"""Files that only their owner can read, independent of the umask: 0600 in folders of 0700."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # pragma: no cover  not POSIX
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "DRAFT_SUFFIX",
    "draft_folder",
    "draft_name",
    "is_being_written",
    "keep_private",
    "open_private",
    "private_folder",
    "replace_private",
    "sync_folder",
]

DRAFT_SUFFIX = ".writing"
"""Suffix of drafts; one without a running writer may be removed."""

_FILE_MODE, _FOLDER_MODE = 0o600, 0o700


def keep_private(path: Path) -> bool:
    """Restrict a file or folder to its owner.

    Returns
    -------
    bool
        Whether the permissions changed.

    Raises
    ------
    OSError
        If the file belongs to another user.
    """
    mode = path.stat().st_mode
    if not mode & 0o077:
        return False
    path.chmod(mode & 0o700)
    return True


def private_folder(path: Path) -> Path:
    """Create a folder with mode 0700, or set this mode on an existing one.

    Missing parents are created in the same way; existing parents are not changed.
    """
    if not path.is_dir():
        missing = [path, *(parent for parent in path.parents if not parent.exists())]
        for folder in reversed(missing):
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            folder.chmod(_FOLDER_MODE)
    else:
        keep_private(path)
    return path


def open_private(path: Path, flags: int) -> int:
    """Open a file with mode 0600, creating it if ``flags`` require it; return its descriptor.

    Parameters
    ----------
    path : Path
    flags : int
        Flags of :func:`os.open`, for example ``os.O_RDWR | os.O_CREAT``.
    """
    descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), _FILE_MODE)
    try:
        if os.fstat(descriptor).st_mode & 0o077:
            os.fchmod(descriptor, _FILE_MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def replace_private(path: Path) -> Iterator[IO[bytes]]:
    r"""Replace ``path`` by a file of mode 0600 atomically and durably.

    Examples
    --------
    >>> with replace_private(Path("report.csv")) as file:  # doctest: +SKIP
    ...     file.write(b"one,two\n")
    """
    draft = draft_name(path)
    try:
        with os.fdopen(open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            _lock(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def draft_folder(path: Path) -> Iterator[Path]:
    """Create a temporary folder of mode 0700 beside ``path`` to prepare it in.

    The caller links or renames the result to its place; the folder is removed after the block.
    """
    draft = draft_name(path)
    draft.mkdir(_FOLDER_MODE)
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(descriptor)


def draft_name(path: Path) -> Path:
    """Return a new name beside ``path`` for its replacement."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}{DRAFT_SUFFIX}")


def is_being_written(draft: Path) -> bool:
    """Return whether a running process is writing this draft."""
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Try to lock an open file until its process ends; True also if locks are unsupported."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (OSError, AttributeError):  # no locks here, or no POSIX
        pass
    return True


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
