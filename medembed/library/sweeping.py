"""Clean-up when a library is opened: remove leftovers of killed processes, restrict permissions.

Only abandoned drafts are removed: a writer holds the lock of its draft
(:mod:`medembed.privacy.private_files`) or of its model. Checkpoints stay, since training resumes
from them.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from glob import escape
from pathlib import Path

from medembed.library.faults import DATABASE_NAME
from medembed.library.locks import is_locked
from medembed.privacy.private_files import DRAFT_SUFFIX, is_being_written, keep_private

__all__ = ["drafts", "sweep", "sweep_beside", "tighten"]

_LOG = logging.getLogger("medembed")
_YOUNG_SECONDS = 60.0  # between creating a draft and locking it
_UNLOCKED_SECONDS = 3600.0  # for the folder of a model whose writer may hold no lock


def sweep(folder: Path) -> None:
    """Remove drafts that no running process is writing."""
    for path in drafts(folder):
        with suppress(OSError):
            if time.time() - _changed(path) < _age(path) or is_being_written(path):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def drafts(folder: Path) -> Iterator[Path]:
    """Yield files and folders that a writer prepares, or left when it was killed."""
    yield from folder.glob(f".{DATABASE_NAME}.*")
    for place in (folder, folder / "cache", folder / "models", folder / "index"):
        yield from place.glob(f".*{DRAFT_SUFFIX}")
    yield from (folder / "thumbnails").glob("*.part")
    yield from folder.glob("ingest-refusals.new")
    for place in (folder / "models", folder / "index"):
        yield from place.glob(f"*/.*{DRAFT_SUFFIX}")


def sweep_beside(path: Path) -> None:
    """Remove drafts of one file or folder outside a library that no running process is writing."""
    for draft in path.parent.glob(f".{escape(path.name)}.*{DRAFT_SUFFIX}"):
        with suppress(OSError):
            if time.time() - _changed(draft) < _YOUNG_SECONDS or is_being_written(draft):
                continue
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink()


def _age(path: Path) -> float:
    """Return the age in seconds from which a draft counts as abandoned."""
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
    """Restrict a library and its files to their owner, and log it once."""
    try:
        here = (folder, *folder.iterdir())
        if not any(keep_private(path) for path in here if not path.is_symlink()):
            return
        for path in folder.rglob("*"):
            if not path.is_symlink():
                keep_private(path)
        _LOG.warning("%s: restricted the files to their owner", folder.name)
    except OSError:  # files of another owner: leave them
        return
