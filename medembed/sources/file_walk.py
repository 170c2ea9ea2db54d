"""The files of a folder, each once, following links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["walk_files"]

_OPEN_IN_SQLITE = frozenset(f"library.sqlite{end}" for end in ("", "-wal", "-shm", "-journal"))
"""Files of a case library inside the folder. POSIX drops a process's locks on a file when it closes
any descriptor of it: reading these would leave a database that is in use unlocked."""


def walk_files(root: Path) -> Iterator[Path]:
    """Yield everything under ``root`` that is not a folder, sorted within each folder.

    A link to a folder is followed once, so that loops end; real folders come first. A link to a
    folder already walked, or a broken link, is yielded like a file for the reader to refuse. The
    database of a case library is left out.
    """
    seen: set[tuple[int, int]] = set()
    links: list[Path] = []
    yield from _walk(root, seen, links)
    while links:
        link = links.pop(0)
        if _identity(link) in seen:
            yield link
        else:
            yield from _walk(link, seen, links)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _walk(root: Path, seen: set[tuple[int, int]], links: list[Path]) -> Iterator[Path]:
    stack = [root]
    while stack:
        folder = stack.pop()
        identity = _identity(folder)
        if identity is None or identity in seen:
            continue
        seen.add(identity)
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            yield folder  # cannot be listed: yielded like a file, to be refused
            continue
        below = []
        for entry in entries:
            path = Path(entry.path)
            if entry.name in _OPEN_IN_SQLITE:
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(path)
            elif entry.is_symlink() and path.is_dir():
                links.append(path)
            else:
                yield path
        stack.extend(reversed(below))
