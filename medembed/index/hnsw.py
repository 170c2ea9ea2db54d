"""Approximate search: a FAISS HNSW graph beside the exact vectors.

FAISS cannot delete a vector from such a graph, and a graph search under a narrow filter silently
misses cases (recall@10 0.28 if 1% of 200,000 cases are eligible). So the graph keeps its own node
numbers and a map to rows. Deleted nodes are skipped at once and removed by the next rebuild or
save, and :class:`medembed.index.CaseIndex` searches the graph only if few rows are filtered out.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError
from medembed.index.faiss_bytes import index_from_bytes, index_to_bytes
from medembed.index.hits import Recall

__all__ = ["EF_SEARCH", "HnswGraph", "graph_bytes"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

_NEIGHBORS = 32
_EF_CONSTRUCTION = 80
EF_SEARCH = (64, 128, 256)
"""How many nodes a search keeps at least: the usual number, and what to try where it is too few."""

_COUNTING = threading.Lock()
"""Held during a search: FAISS counts the comparisons of all graphs in one place."""


def graph_bytes(n: int, dim: int) -> int:
    """Return about how much memory a graph over ``n`` vectors takes: its own copy, and links."""
    return n * (4 * dim + 4 * 2 * _NEIGHBORS + 32)


class HnswGraph:
    """An HNSW graph over unit vectors, by inner product.

    Parameters
    ----------
    index : faiss.IndexHNSWFlat
    rows : int array, shape ``(index.ntotal,)``
        Row of each node; -1 if the row was deleted.
    ef_search : int
        How many nodes a search keeps at least.
    recall : Recall, optional
        The lowest recall that was measured of it.
    """

    def __init__(
        self, index: Any, rows: Rows, ef_search: int = EF_SEARCH[0], recall: Recall | None = None
    ) -> None:
        self._index = index
        self._rows = rows
        self.ef_search = ef_search
        self.recall = recall

    def measured(self, ef_search: int, recall: Recall | None) -> HnswGraph:
        """Return the same graph, searched in another way, with what was measured of it."""
        return HnswGraph(self._index, self._rows, ef_search, recall)

    @classmethod
    def build(cls, vectors: Floats) -> HnswGraph:
        """Build over ``vectors``, shape ``(n, d)``."""
        import faiss

        index = faiss.IndexHNSWFlat(vectors.shape[1], _NEIGHBORS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _EF_CONSTRUCTION
        if vectors.shape[0]:
            index.add(np.ascontiguousarray(vectors))
        return cls(index, np.arange(vectors.shape[0], dtype=np.intp))

    @property
    def n_deleted(self) -> int:
        """Number of nodes whose row was deleted."""
        return int((self._rows < 0).sum())

    def __len__(self) -> int:
        return int(self._rows.size)

    def add(self, vectors: Floats, first_row: int) -> None:
        """Add ``vectors`` as the rows starting at ``first_row``."""
        self._index.add(np.ascontiguousarray(vectors))
        new = np.arange(first_row, first_row + vectors.shape[0], dtype=np.intp)
        self._rows = np.concatenate([self._rows, new])

    def renumbered(self, new_row: Rows) -> HnswGraph:
        """Apply a renumbering of rows: ``new_row[old]`` is the new row, or -1 if deleted."""
        alive = self._rows >= 0
        rows = np.full_like(self._rows, -1)
        rows[alive] = new_row[self._rows[alive]]
        return HnswGraph(self._index, rows, self.ef_search, self.recall)

    def candidates(self, queries: Floats, take: int) -> tuple[list[Rows], int]:
        """Search the graph.

        Returns the existing rows among the ``take`` nodes near each query, and how many nodes
        were compared for all queries together.

        Nothing is filtered during the search: FAISS continues from the nearest nodes whether or
        not they are eligible and stops after ``efSearch`` of them, so a filtered search returns
        far rows or none if the nodes near the query are filtered out. Callers over-fetch and
        filter.
        """
        import faiss

        take = min(take, len(self))
        ef = min(max(self.ef_search, 2 * take), len(self))
        hnsw: Any = faiss  # its type annotations lack this class
        parameters = hnsw.SearchParametersHNSW(efSearch=ef)
        with _COUNTING:
            before = hnsw.cvar.hnsw_stats.ndis
            _, labels = self._index.search(np.ascontiguousarray(queries), take, params=parameters)
            compared = int(hnsw.cvar.hnsw_stats.ndis - before)
        # A search that began before a change can meet nodes added since: ignore them.
        known = [line[(line >= 0) & (line < len(self))] for line in labels]
        found = [self._rows[line] for line in known]
        return [rows[rows >= 0] for rows in found], compared

    def to_bytes(self) -> bytes:
        """Serialize; refuses a graph with deleted nodes, which still hold their vectors."""
        if self.n_deleted:
            raise InputError("a graph with deleted nodes must be rebuilt before saving")
        order = self._rows.astype("<i8").tobytes()
        return order + index_to_bytes(self._index)

    @classmethod
    def from_bytes(cls, data: bytes, n: int, dim: int) -> HnswGraph:
        """Read what :meth:`to_bytes` wrote. Check a digest of ``data`` first: FAISS does not.

        Raises
        ------
        InputError
            If it is not an HNSW graph over ``n`` rows of dimension ``dim``.
        """
        import faiss

        rows = (
            np.frombuffer(data, dtype="<i8", count=n).astype(np.intp)
            if n * 8 <= len(data)
            else None
        )
        if rows is None or not np.array_equal(np.sort(rows), np.arange(n)):
            raise InputError("an index file with wrong row numbers")
        index = index_from_bytes(memoryview(data)[8 * n :])
        if (
            not isinstance(index, faiss.IndexHNSWFlat)
            or index.metric_type != faiss.METRIC_INNER_PRODUCT
            or (index.ntotal, index.d) != (n, dim)
        ):
            raise InputError("an index file of another kind or size")
        return cls(index, rows)
