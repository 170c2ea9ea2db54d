"""Pixels as a model reads them, decoded once and kept beside the library.

A derived file: delete it and it is made again. Rows are appended, and an entry is written only
after its rows are on disk, so that an interrupted run is continued.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medembed.cases import Case, ScanRef
from medembed.errors import ScanError
from medembed.library import CaseLibrary
from medembed.preprocess import Preprocess
from medembed.scans import Scan, ScanReader

__all__ = ["PixelCache", "read_pixels"]

Progress = Callable[[int, int | None], None]
Pixels = npt.NDArray[np.uint8]
_SYNC_EVERY = 256


def read_pixels(
    library: CaseLibrary,
    wanted: Sequence[tuple[Case, int]],
    preprocess: Preprocess,
    workers: int = 0,
) -> Iterator[Pixels | ScanError]:
    """Decode and preprocess scans, on all cores.

    Parameters
    ----------
    library : CaseLibrary
    wanted : sequence of (Case, int)
        A case and which of its scans.
    preprocess : Preprocess
    workers : int
        Processes; 0 takes one for each core.

    Yields
    ------
    uint8 array or ScanError
        One for each, in order; an error where a scan no longer decodes or is of another kind
        than the model reads.
    """

    def items() -> Iterator[tuple[str | list[str], int | None]]:
        for case, at in wanted:
            files = [str(path) for path in library.scan_files(case)[at]]
            yield (files[0] if len(files) == 1 else files), case.scans[at].frame

    if not wanted:
        return
    count = workers or (os.cpu_count() or 1)
    with ScanReader(workers=min(count, len(wanted))) as reader:
        for scan in reader.map("read", items()):
            if not isinstance(scan, Scan):
                yield scan if isinstance(scan, ScanError) else ScanError("no pixels")
                continue
            try:
                yield preprocess.pixels(scan)
            except ScanError as error:
                yield error


class PixelCache:
    """Rows of 8-bit pixels in one memory-mapped file, found by the scans' digests.

    Parameters
    ----------
    folder : Path
        ``cache`` of the library.
    preprocess : Preprocess
        Its fingerprint names the files: other settings never meet these rows.
    """

    def __init__(self, folder: Path, preprocess: Preprocess) -> None:
        self.preprocess = preprocess
        name = f"pixels-{preprocess.fingerprint[:16]}"
        self._rows_path = folder / f"{name}.u8"
        self._index_path = folder / f"{name}.jsonl"
        self._row_bytes = int(np.prod(preprocess.shape))
        self._entries: dict[str, tuple[int, int]] = {}
        self._n_rows = 0
        self._valid_index_bytes = 0
        self._mapped: npt.NDArray[np.uint8] | None = None
        self._read_index()

    def _read_index(self) -> None:
        if not self._index_path.is_file() or not self._rows_path.is_file():
            return
        available = self._rows_path.stat().st_size // self._row_bytes
        for line in self._index_path.read_bytes().splitlines(keepends=True):
            try:
                key, start, count = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n") or start != self._n_rows or start + count > available:
                break
            self._entries[key] = (start, count)
            self._n_rows = start + count
            self._valid_index_bytes += len(line)

    @staticmethod
    def key_of(ref: ScanRef) -> str:
        """Name of a scan's rows."""
        return ref.sha256 if ref.frame is None else f"{ref.sha256}:{ref.frame}"

    def __contains__(self, ref: ScanRef) -> bool:
        return self.key_of(ref) in self._entries

    def span(self, ref: ScanRef) -> tuple[int, int]:
        """First row of a scan, and how many it has."""
        return self._entries[self.key_of(ref)]

    def rows(self, at: npt.NDArray[np.int64] | slice) -> Pixels:
        """Pixels ``(n, 1, …)`` of some rows, copied out of the file."""
        if self._mapped is None or len(self._mapped) < self._n_rows:
            self._mapped = np.memmap(
                self._rows_path, np.uint8, "r", shape=(self._n_rows, *self.preprocess.shape)
            )
        return np.array(self._mapped[at])

    def fill(
        self,
        library: CaseLibrary,
        cases: Iterable[Case],
        *,
        workers: int = 0,
        progress: Progress | None = None,
    ) -> dict[str, int]:
        """Add what is not there yet of the scans of ``cases``.

        Returns
        -------
        dict of str to int
            Scans that could not be read, by reason.
        """
        wanted: dict[str, tuple[Case, int]] = {}
        for case in cases:
            for at, ref in enumerate(case.scans):
                if ref not in self:
                    wanted.setdefault(self.key_of(ref), (case, at))
        refused: dict[str, int] = {}
        if not wanted:
            return refused
        self._rows_path.parent.mkdir(parents=True, exist_ok=True)
        with self._rows_path.open("ab") as rows, self._index_path.open("ab") as index:
            rows.truncate(self._n_rows * self._row_bytes)
            index.truncate(self._valid_index_bytes)
            lines: list[bytes] = []

            def settle() -> None:
                rows.flush()
                os.fsync(rows.fileno())
                index.write(b"".join(lines))
                index.flush()
                self._valid_index_bytes += sum(map(len, lines))
                lines.clear()

            results = read_pixels(library, list(wanted.values()), self.preprocess, workers)
            try:
                for done, (key, pixels) in enumerate(zip(wanted, results, strict=True), start=1):
                    if isinstance(pixels, ScanError):
                        refused[reason_of(pixels)] = refused.get(reason_of(pixels), 0) + 1
                    else:
                        rows.write(pixels.tobytes())
                        self._entries[key] = (self._n_rows, len(pixels))
                        entry = json.dumps([key, self._n_rows, len(pixels)])
                        lines.append(entry.encode() + b"\n")
                        self._n_rows += len(pixels)
                    if len(lines) >= _SYNC_EVERY:
                        settle()
                    if progress:
                        progress(done, len(wanted))
            finally:
                settle()
        return refused


def reason_of(error: ScanError) -> str:
    """Short code of why a scan was refused; never a path or a value."""
    return str(getattr(error, "reason", "") or "unreadable")
