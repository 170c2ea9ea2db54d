"""The files of a folder, each once, whatever links there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["walk_files"]


def walk_files(root: Path) -> Iterator[Path]:
    """Give all that is not a folder under ``root``, sorted within each folder.

    A link to a folder is followed unless that folder was walked already, so that loops end;
    folders that are no links go first. A link to a folder that was walked, or that leads nowhere,
    is given like a file, for the reader to refuse.
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
            yield folder  # may not be listed: given like a file, to be refused
            continue
        below = []
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                below.append(path)
            elif entry.is_symlink() and path.is_dir():
                links.append(path)
            else:
                yield path
        stack.extend(reversed(below))
