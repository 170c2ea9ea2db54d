"""Decode and encode the cases of a task, in whatever process; needs no library, only its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from medembed.errors import ScanError
from medembed.model.embed_task import EmbedOutcome, EmbedTask, ScanTask
from medembed.model.onnx_side import usable_cores
from medembed.model.pixel_cache import PixelCache, decode_pixels, reason_of
from medembed.model.reranking import scan_features
from medembed.scans import ScanReader

if TYPE_CHECKING:
    from pathlib import Path

    from medembed.model.dual_encoder import DualEncoder
    from medembed.preprocess import Pixels

__all__ = ["Decoded", "EmbedWorker"]

_CPU_BATCH, _GPU_BATCH = 32, 256
"""Images per run; on a CPU larger batches are no faster."""


@dataclass
class Decoded:
    """The pixels of a task's scans, and what could not be read; see :class:`EmbedOutcome`."""

    scans: list[ScanTask] = field(default_factory=list)
    pixels: list[Pixels] = field(default_factory=list)
    from_files: list[int] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class EmbedWorker:
    """Decodes and encodes tasks. Its decoding processes start when first needed.

    Parameters
    ----------
    model : DualEncoder
    cache : Path
        The library's folder ``cache``, which may be missing.
    workers : int
        Decoding processes; 0 means one per core.
    """

    def __init__(self, model: DualEncoder, cache: Path, workers: int = 0) -> None:
        self.model = model
        self.cache = PixelCache(cache, model.preprocess)
        self.reader = ScanReader(workers=workers or usable_cores())
        self.batch_size = _GPU_BATCH if model.device.startswith("cuda") else _CPU_BATCH
        self._stopping = False

    def __enter__(self) -> EmbedWorker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.reader.close()

    def stop(self) -> None:
        """Let a decoding that another thread is in end after the scan at hand."""
        self._stopping = True

    def __call__(self, task: EmbedTask) -> EmbedOutcome:
        """Decode and encode a task."""
        return self.encode(task, self.decode(task))

    def decode(self, task: EmbedTask) -> Decoded:
        """Read the pixels of a task's scans, from the cache or from their files."""
        decoded = Decoded()
        # once each, although a scan may also be an earlier study of another case
        absent = {
            (scan.key, scan.files): (scan.ref, list(map(str, scan.files)))
            for scan in task.scans
            if not scan.changed and scan.ref not in self.cache
        }
        fresh = decode_pixels(list(absent.values()), self.model.preprocess, self.reader)
        found: dict[tuple[str, tuple[Path, ...]], Pixels | ScanError] = {}
        reasons: dict[str, str] = {}
        for at, scan in enumerate(task.scans):
            if self._stopping:
                break
            place = scan.key, scan.files
            if place in absent:  # not asked of the cache again, which others fill meanwhile
                if place not in found:
                    found[place] = next(fresh)
                pixels = found[place]
                if not isinstance(pixels, ScanError):
                    decoded.from_files.append(at)
            elif scan.changed and scan.ref not in self.cache:
                pixels = ScanError("the file has changed since it was ingested", reason="changed")
            else:
                first, count = self.cache.span(scan.ref)
                pixels = self.cache.rows(slice(first, first + count))
            if not isinstance(pixels, ScanError):
                decoded.scans.append(scan)
                decoded.pixels.append(pixels)
            elif not scan.days:  # an earlier study counts where it is the case itself
                decoded.unread[scan.owner] = decoded.unread.get(scan.owner, 0) + 1
                reasons[scan.owner] = reason_of(pixels)
        _keep_own(decoded)
        owners = {scan.owner for scan in decoded.scans}
        decoded.refused = {o: why for o, why in reasons.items() if o not in owners}
        return decoded

    def encode(self, task: EmbedTask, decoded: Decoded) -> EmbedOutcome:
        """Compute the vectors of a task's cases from what was decoded."""
        if task.kind == "note":
            return EmbedOutcome(list(task.texts), self.model.encode_notes(task.texts.values()))
        scans = decoded.scans
        vectors = self.model.encode_pixels(
            decoded.pixels,
            self.batch_size,
            scans=[scan.owner for scan in scans],
            sources=[scan.source for scan in scans],
        )
        features = {}
        if self.model.has_reranker:
            by_key = dict(zip((scan.key for scan in scans), decoded.pixels, strict=True))
            features = {key: scan_features(self.model, rows) for key, rows in by_key.items()}
        return EmbedOutcome(
            list(dict.fromkeys(scan.owner for scan in scans)),
            vectors,
            decoded.from_files,
            decoded.unread,
            decoded.refused,
            features,
        )


def _keep_own(decoded: Decoded) -> None:
    """Leave out the scans of cases of which only earlier studies could be read."""
    own = {scan.owner for scan in decoded.scans if not scan.days}
    kept = np.flatnonzero([scan.owner in own for scan in decoded.scans])
    decoded.scans = [decoded.scans[at] for at in kept]
    decoded.pixels = [decoded.pixels[at] for at in kept]
