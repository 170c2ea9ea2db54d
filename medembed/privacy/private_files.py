"""Files that only their owner can read, whatever the umask: 0600 in folders of 0700."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = [
    "DRAFT_SUFFIX",
    "keep_private",
    "open_private",
    "private_folder",
    "replace_private",
    "sync_folder",
]

DRAFT_SUFFIX = ".writing"
"""Ending of a file that is being written; what bears it and has no writer may be removed."""

_FILE_MODE, _FOLDER_MODE = 0o600, 0o700


def keep_private(path: Path) -> bool:
    """Take all rights on a file or folder from everybody but its owner.

    Returns
    -------
    bool
        Whether there were any to take.

    Raises
    ------
    OSError
        Where the file belongs to somebody else.
    """
    mode = path.stat().st_mode
    if not mode & 0o077:
        return False
    path.chmod(mode & 0o700)
    return True


def private_folder(path: Path) -> Path:
    """Make a folder with mode 0700, and give one that exists this mode.

    Folders above it that are missing are made in the same way; those that exist stay as they are.
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
    """Open a file with mode 0600, made where ``flags`` say so, and give its descriptor.

    Parameters
    ----------
    path : Path
    flags : int
        Of :func:`os.open`, for example ``os.O_RDWR | os.O_CREAT``.
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
    r"""Write a file of mode 0600 in the place of ``path``: wholly and on disk, or not at all.

    Examples
    --------
    >>> with replace_private(Path("report.csv")) as file:  # doctest: +SKIP
    ...     file.write(b"one,two\n")
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}{DRAFT_SUFFIX}")
    try:
        with os.fdopen(open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
