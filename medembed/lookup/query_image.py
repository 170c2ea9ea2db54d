"""Read the image files of a query in a worker of their own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from medembed.errors import ScanError

if TYPE_CHECKING:
    from medembed.scans import Limits, Scan, ScanHeader, ScanReader

__all__ = ["QueryImageReader"]


class QueryImageReader:
    """Reads image files by a worker that starts with the first one. Safe to use from threads.

    Parameters
    ----------
    limits : Limits, optional
        Resource limits of the worker.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits
        self._reader: ScanReader | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Stop the worker; a later read starts a new one."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def read(self, files: tuple[Path, ...]) -> tuple[Scan, ScanHeader]:
        """Read the files of one series, and the header of the first.

        Raises
        ------
        ScanError
            If they cannot be read; it names no path.
        """
        reader = self._open()
        try:
            scan = reader.read(files if len(files) > 1 else files[0])
            return scan, _first_header(reader, files[0])
        except ScanError as error:  # its place is a path, which may name a patient
            raise ScanError(
                error.what, where="image", hint=error.hint, reason=error.reason
            ) from None

    def read_frame(self, files: tuple[Path, ...], frame: int | None) -> Scan:
        """Read a scan of the library, or one frame of it.

        Raises
        ------
        ScanError
            If it cannot be read.
        """
        return self._open().read(files if len(files) > 1 else files[0], frame)

    def _open(self) -> ScanReader:
        from medembed.scans import ScanReader

        with self._lock:
            if self._reader is None:
                self._reader = ScanReader(self._limits)
            return self._reader


def _first_header(reader: ScanReader, path: Path) -> ScanHeader:
    """Read the header of a file, or of the first readable file in a folder."""
    if not path.is_dir():
        return reader.header(path)
    for file in sorted(path.rglob("*")):
        if file.is_file():
            try:
                return reader.header(file)
            except ScanError:
                continue
    raise ScanError("no readable file in this folder", where=path.name)
