"""The pixels of a library's scans: decoded in worker processes, a few kept in memory."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from PIL import Image

from apps.case_lookup.rendering import DisplaySettings, n_slices, presets, render
from apps.service.problems import Problem, ProblemKind
from medembed.cases import Case, ScanRef
from medembed.errors import ScanError
from medembed.library import CaseLibrary
from medembed.scans import Limits, Scan, ScanReader

__all__ = ["ServedScans"]

_CACHE_BYTES = 256 * 2**20
_THUMBNAIL_PX = 360
_Key = tuple[str, int, ScanRef]


class ServedScans:
    """Reads the scans of cases. Can be used from several threads.

    Parameters
    ----------
    library : CaseLibrary
    limits : Limits, optional
        Of the worker processes.
    counted : callable
        Called with whether a scan was still in memory.
    """

    def __init__(
        self,
        library: CaseLibrary,
        limits: Limits | None = None,
        counted: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._library = library
        self._reader = ScanReader(limits, workers=2)
        self._counted = counted
        self._kept: OrderedDict[_Key, Scan] = OrderedDict()
        self._lock = threading.Lock()
        self._decoding = tuple(threading.Lock() for _ in range(32))  # each scan once at a time

    def close(self) -> None:
        """Stop the worker processes."""
        self._reader.close()

    def scan(self, case: Case, number: int) -> Scan:
        """Return a scan of a case, counted from 1.

        Raises
        ------
        Problem
            NOT_FOUND if the case has fewer scans.
        ScanError
            If its files were moved or replaced, or cannot be read.
        """
        if not 1 <= number <= len(case.scans):
            raise Problem(ProblemKind.NOT_FOUND, f"this case has no scan {number}")
        # the reference holds the digest of the files, so that changed content has another key
        key = (case.case_id, number - 1, case.scans[number - 1])
        with self._decoding[hash(key) % len(self._decoding)]:
            with self._lock:
                kept = self._kept.get(key)
                if kept is not None:
                    self._kept.move_to_end(key)
            self._counted(kept is not None)
            return self._decoded(case, key) if kept is None else kept

    def _decoded(self, case: Case, key: _Key) -> Scan:
        _, position, reference = key
        files = self._library.scan_files(case)[position]
        if not all(file.exists() for file in files):
            raise ScanError("the files of this scan are no longer where they were at ingest")
        if self._library.has_changed_files(reference):  # perhaps another patient's by now
            raise ScanError("the files of this scan were replaced since the ingest")
        read = self._reader.read(files[0] if len(files) == 1 else files, reference.frame)
        scan = reference.declared(read)
        with self._lock:
            self._kept[key] = scan
            size = sum(one.pixels.nbytes for one in self._kept.values())
            while size > _CACHE_BYTES and len(self._kept) > 1:
                size -= self._kept.popitem(last=False)[1].pixels.nbytes
        return scan

    def thumbnail(self, case: Case) -> bytes:
        """Return a PNG of the first scan, kept in the library's ``thumbnails`` (derived)."""
        reference = case.scans[0]
        frame = "" if reference.frame is None else f"-{reference.frame}"
        file = self._library.path / "thumbnails" / f"{reference.sha256}{frame}.png"
        with suppress(OSError, SyntaxError):  # missing or damaged: Pillow raises either
            stored = file.read_bytes()
            with Image.open(BytesIO(stored)) as picture:
                picture.verify()
            return stored
        scan = self.scan(case, 1)
        window = next(iter(presets(scan).values()))
        image = render(scan, DisplaySettings(window, n_slices(scan) // 2), _THUMBNAIL_PX)
        buffer = BytesIO()
        image.save(buffer, "PNG")
        with suppress(OSError):  # a library on a read-only disk can be served, too
            _store(buffer.getvalue(), file)
        return buffer.getvalue()


def _store(content: bytes, file: Path) -> None:
    """Write a thumbnail whole or not at all; of two writers, either is right."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).replace(file)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
