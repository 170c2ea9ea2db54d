"""What a killed process left behind in a library, and modes that are too wide: mended at opening.

Only what nobody is writing is removed: a writer holds the lock of its draft
(:mod:`medembed.privacy.private_files`), or that of its model. Checkpoints stay, since the next
training continues from them.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from medembed.library.faults import DATABASE_NAME
from medembed.library.locks import is_locked
from medembed.privacy.private_files import DRAFT_SUFFIX, is_being_written, keep_private

__all__ = ["sweep", "tighten"]

_LOG = logging.getLogger("medembed")
_YOUNG_SECONDS = 60.0  # between a draft's making and its lock
_UNLOCKED_SECONDS = 3600.0  # a model's folder whose writer may hold no lock


def sweep(folder: Path) -> None:
    """Remove the drafts that no living process is writing."""
    for path in _drafts(folder):
        with suppress(OSError):
            if time.time() - _changed(path) < _age(path) or is_being_written(path):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _drafts(folder: Path) -> Iterator[Path]:
    yield from folder.glob(f".{DATABASE_NAME}.*")
    for place in (folder, folder / "cache", folder / "models", folder / "index"):
        yield from place.glob(f".*{DRAFT_SUFFIX}")
    yield from (folder / "thumbnails").glob("*.part")
    yield from folder.glob("ingest-refusals.new")
    for place in (folder / "models", folder / "index"):
        yield from place.glob(f"*/.*{DRAFT_SUFFIX}")


def _age(path: Path) -> float:
    """How long ago a draft must have changed last to count as abandoned."""
    if path.parent.name != "models" or not path.is_dir():
        return _YOUNG_SECONDS
    lock = path.with_name(f"{path.name.removesuffix(DRAFT_SUFFIX)}.lock")
    if is_locked(lock):
        return float("inf")
    return _YOUNG_SECONDS if lock.exists() else _UNLOCKED_SECONDS


def _changed(path: Path) -> float:
    inner = path.rglob("*") if path.is_dir() else ()
    return float(max(found.stat().st_mtime for found in (path, *inner)))


def tighten(folder: Path) -> None:
    """Take the rights on a library and all in it from everybody but its owner, and say so once."""
    try:
        here = (folder, *folder.iterdir())
        if not any(keep_private(path) for path in here if not path.is_symlink()):
            return
        for path in folder.rglob("*"):
            if not path.is_symlink():
                keep_private(path)
        _LOG.warning("%s: its files are now readable by their owner only", folder.name)
    except OSError:  # of another owner: that is theirs to decide
        return
