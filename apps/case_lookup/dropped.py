"""Decode the files that a visitor drops, in a folder that does not outlive the process."""

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

from apps.case_lookup.dropped_series import FoundSeries
from medembed.scans import Scan

__all__ = ["DroppedImage", "Upload", "decoding_folder", "remove_abandoned_folders", "write_uploads"]

_PREFIX = "medembed-drop-"
_EXTENSIONS = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".dcm")
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Upload(Protocol):
    """An upload, as Streamlit passes it."""

    name: str
    file_id: str

    def getbuffer(self) -> memoryview:
        """Give the bytes."""


@dataclass(frozen=True)
class DroppedImage:
    """Files dropped on the page: decoded, or refused with one line.

    Parameters
    ----------
    key : tuple of str
        Streamlit's ids of the uploads.
    scan : Scan or None
    refusal : str
        Why they cannot be used; empty if they can.
    cases, patients : tuple of str
        Cases of the library that hold this image, and its patients there; mostly none or one.
    sex : str
        As the header says; "unknown" without one.
    age_years : float or None
    series : tuple of FoundSeries
        The series that the files form, if there are several.
    chosen : int
        Which of them the scan is.
    token : str
        Under which the page's address has it.
    """

    key: tuple[str, ...]
    scan: Scan | None = None
    refusal: str = ""
    cases: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    sex: str = "unknown"
    age_years: float | None = None
    series: tuple[FoundSeries, ...] = ()
    chosen: int = 0
    token: str = ""


@contextmanager
def decoding_folder() -> Iterator[Path]:
    """Make a folder of mode 0700 for one decoding, and remove it with its content.

    This process holds a lock on the folder. A folder without a lock was left by a process that
    was killed; :func:`remove_abandoned_folders` removes it.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = os.open(folder, _OPEN_FOLDER)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # not removed by another process before it was locked
            break
        os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_abandoned_folders() -> int:
    """Remove the folders that this user's killed processes left; return how many."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder, _OPEN_FOLDER)
        except OSError:  # gone, a link, or another user's
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        except BlockingIOError:  # a running process decodes in it
            pass
        finally:
            os.close(lock)
    return removed


def write_uploads(uploads: Sequence[Upload], folder: Path) -> list[Path]:
    """Write uploads under numbers, with mode 0600; only the extension of their names is kept."""
    files = []
    for number, upload in enumerate(uploads):
        file = folder / f"{number:05d}{_extension(upload.name)}"
        file.touch(mode=0o600)
        file.write_bytes(upload.getbuffer())
        files.append(file)
    return files


def _extension(name: str) -> str:
    """Give the extension that names the format."""
    lower = name.lower()
    return next((known for known in _EXTENSIONS if lower.endswith(known)), "")
