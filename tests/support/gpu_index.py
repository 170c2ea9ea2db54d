"""Indexes whose candidates a GPU names, and the same with FAISS for processors in its place."""

from __future__ import annotations

import faiss
import numpy as np

from medembed.index import CaseIndex
from medembed.index.gpu_index import GpuIndex
from medembed.index.gpu_rows import GpuRows


class FlatInPlace:
    """FAISS's flat index for processors, with what it shares with the one for GPUs.

    No filter, and no more than 2,048 rows named.
    """

    def __init__(self, dim: int) -> None:
        self._index = faiss.IndexFlatIP(dim)
        self.asked: list[tuple[int, int]] = []
        self.added: list[int] = []

    @property
    def ntotal(self) -> int:
        return self._index.ntotal

    def add(self, rows: np.ndarray) -> None:
        self.added.append(len(rows))
        self._index.add(rows)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 < k <= 2048:
            raise RuntimeError("GPU index only supports min/max-K selection up to 2048")
        self.asked.append((len(queries), k))
        return self._index.search(queries, k)


class CountingIndex(GpuIndex):
    """Counts the queries that the processor had to answer."""

    n_left = 0

    def _ask(self, *given):
        still_open = super()._ask(*given)
        self.n_left += still_open.size
        return still_open


def on_gpu(vectors, ids, fingerprint="", sites=None) -> GpuIndex:
    return GpuIndex.of(CaseIndex.build(vectors, ids, fingerprint=fingerprint))


def in_place_of_a_gpu(vectors, ids, fingerprint="", sites=None, flat=FlatInPlace) -> GpuIndex:
    return GpuIndex.of(CaseIndex.build(vectors, ids, fingerprint=fingerprint), GpuRows(flat))
