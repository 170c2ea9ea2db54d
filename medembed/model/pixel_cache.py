"""Cache of preprocessed pixels, decoded once and kept in the library's folder.

The files are derived: deleted, they are built again. An entry is written only after its rows are on
disk, so that an interrupted run resumes.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from medembed.cases import Case, ScanRef
from medembed.errors import LibraryError, ScanError
from medembed.library import CaseLibrary
from medembed.library.locks import writer_lock
from medembed.model.onnx_side import usable_cores
from medembed.preprocess import Pixels, Preprocess
from medembed.privacy.private_files import open_private
from medembed.progress import Progress
from medembed.scans import Scan, ScanReader

__all__ = ["PixelCache", "decode_pixels", "read_pixels"]

_Entry: TypeAlias = tuple[int, list[int]]  # first row, and a checksum for each row
_SYNC_EVERY = 256
_LOG = logging.getLogger("medembed")


def read_pixels(
    library: CaseLibrary,
    wanted: Sequence[tuple[Case, int]],
    preprocess: Preprocess,
    workers: int = 0,
    reader: ScanReader | None = None,
) -> Iterator[Pixels | ScanError]:
    """Decode and preprocess scans on all cores.

    Parameters
    ----------
    library : CaseLibrary
    wanted : sequence of (Case, int)
        A case and the position of one of its scans.
    preprocess : Preprocess
    workers : int
        Decoding processes; 0 means one per core.
    reader : ScanReader, optional
        Use its workers, which stay alive, instead of starting some.

    Yields
    ------
    uint8 or uint16 array, or ScanError
        One per scan, in order; an error if a scan no longer decodes, its files have changed since
        they were ingested, or the model does not read its kind.
    """
    if not wanted:
        return
    if reader is None:
        with ScanReader(workers=min(workers or usable_cores(), len(wanted))) as own:
            yield from read_pixels(library, wanted, preprocess, workers, own)
        return

    scans = [
        (case.scans[at], [str(path) for path in library.scan_files(case)[at]])
        for case, at in wanted
    ]
    for (ref, _), pixels in zip(scans, decode_pixels(scans, preprocess, reader), strict=True):
        if not isinstance(pixels, ScanError) and library.has_changed_files(ref):
            yield ScanError("the file has changed since it was ingested", reason="changed")
        else:
            yield pixels


def decode_pixels(
    scans: Sequence[tuple[ScanRef, Sequence[str]]], preprocess: Preprocess, reader: ScanReader
) -> Iterator[Pixels | ScanError]:
    """Decode and preprocess scans from their files, whether or not these have changed.

    Parameters
    ----------
    scans : sequence of (ScanRef, sequence of str)
        Each with its files as absolute paths.
    preprocess : Preprocess
    reader : ScanReader

    Yields
    ------
    uint8 or uint16 array, or ScanError
        One per scan, in order.
    """
    items = ((files[0] if len(files) == 1 else list(files), ref.frame) for ref, files in scans)
    for (ref, _), scan in zip(scans, reader.map("read", items), strict=True):
        if not isinstance(scan, Scan):
            yield scan if isinstance(scan, ScanError) else ScanError("no pixels")
            continue
        try:
            yield preprocess.pixels(ref.declared(scan))
        except ScanError as error:
            yield error


class PixelCache:
    """Rows of 8-bit or 16-bit pixels in one file, indexed by the scans' digests.

    Several processes and threads may use one cache; one at a time adds to it while the others wait.
    Rows are appended and never overwritten, since others may be reading them. Each has a checksum
    over its pixels and its scan, which is verified when the scan is first requested: a damaged row
    is not used and is decoded again.

    Parameters
    ----------
    folder : Path
        The library's folder ``cache``.
    preprocess : Preprocess
        Its fingerprint is in the file names, so other settings never read these rows.
    """

    def __init__(self, folder: Path, preprocess: Preprocess) -> None:
        self.preprocess = preprocess
        self.folder = folder
        name = f"pixels-{preprocess.fingerprint[:16]}"
        self._rows_path = folder / f"{name}.u{preprocess.bits}"
        self._index_path = folder / f"{name}.jsonl"
        self._lock_path = folder / f"{name}.lock"
        self._row_bytes = int(np.prod(preprocess.shape)) * preprocess.dtype.itemsize
        self._dtype = preprocess.dtype.newbyteorder("<")  # the same file on every machine
        self._rows: BinaryIO | None = None
        self._forget()
        self._refresh()

    def _forget(self) -> None:
        if self._rows is not None:
            self._rows.close()
        self._rows = None
        self._entries: dict[str, _Entry] = {}
        self._checked: set[str] = set()
        self._damaged: set[str] = set()
        self._index_bytes = 0

    def _refresh(self) -> None:
        """Read what was added to the files since the last refresh."""
        if not self._is_same_file():
            self._forget()
        try:
            if self._rows is None:
                self._rows = self._rows_path.open("rb", buffering=0)
            with self._index_path.open("rb") as index:
                index.seek(self._index_bytes)
                added = index.read()
        except (FileNotFoundError, IsADirectoryError):
            return
        available = os.fstat(self._rows.fileno()).st_size // self._row_bytes
        for line in added.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break  # still being written, or truncated: read again next time
            self._index_bytes += len(line)
            found = _parse(line, available)
            if found is not None:
                key, entry = found
                self._entries[key] = entry
                self._checked.discard(key)
                self._damaged.discard(key)

    def _is_same_file(self) -> bool:
        if self._rows is None:
            return True
        try:
            return os.path.samestat(os.fstat(self._rows.fileno()), self._rows_path.stat())
        except FileNotFoundError:
            return False

    def __del__(self) -> None:
        if getattr(self, "_rows", None) is not None:
            self._forget()

    @staticmethod
    def key_of(ref: ScanRef) -> str:
        """Key of a scan's rows: its files, and how the source says to read them."""
        parts = (ref.sha256, "" if ref.frame is None else str(ref.frame), ref.units)
        return ":".join(part for part in parts if part)

    def __contains__(self, ref: ScanRef) -> bool:
        return self._is_whole(self.key_of(ref))

    def _is_whole(self, key: str) -> bool:
        """Whether a scan's rows exist and match their checksums."""
        if key in self._checked:
            return True
        entry = self._entries.get(key)
        if entry is None or key in self._damaged:
            return False
        start, sums = entry
        if sums == _checksums(key, self._read(np.arange(start, start + len(sums)))):
            self._checked.add(key)
            return True
        if not self._damaged:
            _LOG.warning("%s: damaged pixels are decoded again", self._rows_path.name)
        self._damaged.add(key)
        return False

    def span(self, ref: ScanRef) -> tuple[int, int]:
        """Return a scan's first row and number of rows.

        Raises
        ------
        KeyError
            If the scan is not in the cache.
        """
        key = self.key_of(ref)
        if not self._is_whole(key):
            raise KeyError(key)
        start, sums = self._entries[key]
        return start, len(sums)

    def rows(self, at: npt.NDArray[np.int64] | slice) -> Pixels:
        """Read the pixels ``(n, 1, …)`` of some rows.

        Pass rows from :meth:`span`, which has verified them.
        """
        if isinstance(at, slice):
            n_rows = 0
            if self._rows is not None:
                n_rows = os.fstat(self._rows.fileno()).st_size // self._row_bytes
            at = np.arange(*at.indices(n_rows))
        return self._read(at)

    def _read(self, at: npt.NDArray[np.int64]) -> Pixels:
        pixels = np.empty((len(at), *self.preprocess.shape), self._dtype)
        raw = pixels.reshape(-1).view(np.uint8).data
        done = 0
        # consecutive rows are read at once
        for run in np.split(at, np.flatnonzero(np.diff(at) != 1) + 1):
            if len(run) == 0 or self._rows is None:
                continue
            size = len(run) * self._row_bytes
            got = _read_at(self._rows, raw[done : done + size], int(run[0]) * self._row_bytes)
            if got != size:
                raise LibraryError(
                    "the pixel cache was truncated while it was in use",
                    where=self._rows_path.name,
                    hint="run the same command again",
                )
            done += size
        return pixels

    def fill(
        self,
        library: CaseLibrary,
        cases: Iterable[Case],
        *,
        workers: int = 0,
        progress: Progress | None = None,
        waiting: Callable[[str], None] | None = None,
        first_only: bool = False,
    ) -> dict[str, int]:
        """Add the scans of ``cases`` that are not cached yet.

        If another process is adding to this cache, wait for it and use what it has added.

        Parameters
        ----------
        library : CaseLibrary
        cases : iterable of Case
        workers : int
            As in :func:`read_pixels`.
        progress : callable, optional
            Called with (scans done, scans in total).
        waiting : callable, optional
            Called once with a line naming the process that adds to the cache, if there is a wait.
        first_only : bool
            Add the first scan of each case only.

        Returns
        -------
        dict of str to int
            Scans that could not be read, by reason.
        """
        every: dict[str, tuple[Case, int]] = {}
        for case in cases:
            for at, ref in enumerate(case.scans[:1] if first_only else case.scans):
                every.setdefault(self.key_of(ref), (case, at))
        if all(self._is_whole(key) for key in every):
            return {}
        with writer_lock(self._lock_path, "decoding scans", waiting=waiting):
            self._refresh()
            wanted = {key: at for key, at in every.items() if not self._is_whole(key)}
            return self._add(library, wanted, workers, progress) if wanted else {}

    def _add(
        self,
        library: CaseLibrary,
        wanted: Mapping[str, tuple[Case, int]],
        workers: int,
        progress: Progress | None,
    ) -> dict[str, int]:
        refused: dict[str, int] = {}
        if not self._entries:  # unusable, or of an older MedEmbed; readers keep their open file
            for path in (self._rows_path, self._index_path):
                if path.is_dir():  # put there by nobody's program, and in the way
                    shutil.rmtree(path)
                path.unlink(missing_ok=True)
        append = os.O_RDWR | os.O_CREAT | os.O_APPEND
        with (
            os.fdopen(open_private(self._rows_path, append), "r+b") as rows,
            os.fdopen(open_private(self._index_path, append), "r+b") as index,
        ):
            start = os.fstat(rows.fileno()).st_size // self._row_bytes
            rows.truncate(start * self._row_bytes)  # drops a truncated row
            if (size := os.fstat(index.fileno()).st_size) and os.pread(
                index.fileno(), 1, size - 1
            ) != b"\n":
                index.write(b"\n")  # ends a truncated line
            lines: list[bytes] = []

            def flush_to_disk() -> None:
                rows.flush()
                os.fsync(rows.fileno())
                index.write(b"".join(lines))
                index.flush()
                os.fsync(index.fileno())
                lines.clear()

            results = read_pixels(library, list(wanted.values()), self.preprocess, workers)
            try:
                for done, (key, pixels) in enumerate(zip(wanted, results, strict=True), start=1):
                    if isinstance(pixels, ScanError):
                        refused[reason_of(pixels)] = refused.get(reason_of(pixels), 0) + 1
                    else:
                        rows.write(pixels.astype(self._dtype).tobytes())
                        entry = json.dumps([key, start, len(pixels), _checksums(key, pixels)])
                        lines.append(entry.encode() + b"\n")
                        start += len(pixels)
                    if len(lines) >= _SYNC_EVERY:
                        flush_to_disk()
                    if progress:
                        progress(done, len(wanted))
            finally:
                flush_to_disk()
                self._refresh()
        return refused


def _parse(line: bytes, available: int) -> tuple[str, _Entry] | None:
    """Parse a line of the index; None if it is damaged or of an older MedEmbed."""
    try:
        key, start, count, sums = json.loads(line)
        if type(key) is str and type(start) is int and 0 <= start <= available - count:
            return (key, (start, sums)) if count == len(sums) else None
    except (ValueError, TypeError):
        pass
    return None


def _checksums(key: str, pixels: Pixels) -> list[int]:
    """Compute the checksum of each row of a scan over its pixels, its scan and its position."""
    own = zlib.crc32(key.encode())
    return [zlib.crc32(row.tobytes(), own ^ position) for position, row in enumerate(pixels)]


def _read_at(file: BinaryIO, into: memoryview, offset: int) -> int:
    done = 0
    while done < len(into) and (got := os.preadv(file.fileno(), [into[done:]], offset + done)):
        done += got
    return done


def reason_of(error: ScanError) -> str:
    """Return the short code for why a scan was refused; never a path or a value."""
    return str(getattr(error, "reason", "") or "unreadable")
