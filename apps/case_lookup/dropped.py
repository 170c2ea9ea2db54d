"""What a visitor drops on the page: decoded in a folder that does not outlive the room."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from medembed.scans import Scan

__all__ = ["Dropped", "Upload", "decoding_folder", "sweep_drops", "written"]

_PREFIX = "medembed-drop-"
_ENDINGS = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".dcm")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Upload(Protocol):
    """An upload as Streamlit hands it over."""

    name: str
    file_id: str

    def getbuffer(self) -> memoryview:
        """Give the bytes."""


@dataclass(frozen=True)
class Dropped:
    """What was dropped on the page: decoded, or refused with one line.

    Parameters
    ----------
    key : tuple of str
        Streamlit's ids of the uploads.
    scan : Scan or None
    refusal : str
        Why it cannot be used; empty where it can.
    cases, patients : tuple of str
        Cases of the library that it is, and patients whom it belongs to; mostly none or one.
    """

    key: tuple[str, ...]
    scan: Scan | None = None
    refusal: str = ""
    cases: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()


@contextmanager
def decoding_folder() -> Iterator[Path]:
    """Make a folder of mode 0700 for one decoding, and remove it with all that is in it.

    This process holds a lock on it. A folder without its lock was left behind by a process that
    was killed: :func:`sweep_drops` removes it.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = os.open(folder, _FOLDER)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # not swept by another room before it was locked
            break
        os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep_drops() -> int:
    """Remove what killed rooms of this user have left behind; give how many folders."""
    swept = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder, _FOLDER)
        except OSError:  # gone by now, a link, or of another user
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                swept += 1
        except BlockingIOError:  # a living room decodes in it
            pass
        finally:
            os.close(lock)
    return swept


def written(uploads: Sequence[Upload], folder: Path) -> list[Path]:
    """Write uploads under numbers, with mode 0600; of their names only the ending is kept."""
    files = []
    for number, upload in enumerate(uploads):
        file = folder / f"{number:05d}{_ending(upload.name)}"
        file.touch(mode=0o600)
        file.write_bytes(upload.getbuffer())
        files.append(file)
    return files


def _ending(name: str) -> str:
    """The part of a file's name that says its kind."""
    lower = name.lower()
    return next((ending for ending in _ENDINGS if lower.endswith(ending)), "")
