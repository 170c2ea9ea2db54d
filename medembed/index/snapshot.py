"""An immutable snapshot of an index, read by searches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.index.hnsw import HnswGraph

__all__ = ["Snapshot", "snapshot_of"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Data that a search reads; each change replaces it as a whole."""

    ids: tuple[str, ...]
    names: npt.NDArray[np.object_]
    vectors: Floats
    rank: npt.NDArray[np.intp]
    row_of: dict[str, int]
    graph: HnswGraph | None


def snapshot_of(ids: tuple[str, ...], vectors: Floats, graph: HnswGraph | None) -> Snapshot:
    """Derive names, ranks and row numbers from ids and vectors."""
    names = np.empty(len(ids), dtype=object)
    names[:] = ids
    rank = np.empty(len(ids), dtype=np.intp)
    rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    row_of = {name: row for row, name in enumerate(ids)}
    vectors.setflags(write=False)
    return Snapshot(ids, names, vectors, rank, row_of, graph)
