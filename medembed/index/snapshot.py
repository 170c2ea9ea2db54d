"""What a search reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.index.hnsw import Graph

__all__ = ["State", "state_of"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class State:
    """What a search reads, replaced as a whole by each change."""

    ids: tuple[str, ...]
    names: npt.NDArray[np.object_]
    vectors: Floats
    rank: npt.NDArray[np.intp]
    row_of: dict[str, int]
    graph: Graph | None


def state_of(ids: tuple[str, ...], vectors: Floats, graph: Graph | None) -> State:
    """Work out what follows from ids and vectors."""
    names = np.empty(len(ids), dtype=object)
    names[:] = ids
    rank = np.empty(len(ids), dtype=np.intp)
    rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    row_of = {name: row for row, name in enumerate(ids)}
    vectors.setflags(write=False)
    return State(ids, names, vectors, rank, row_of, graph)
