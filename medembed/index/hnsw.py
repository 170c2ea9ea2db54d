"""The approximate kind: a FAISS HNSW graph that lives beside the exact vectors.

FAISS cannot take a vector out of such a graph, and a graph walked under a narrow filter silently
misses cases (recall@10 0.28 where 1% of 200,000 may answer). So the graph keeps its own numbering
and a map to rows; what was removed is passed over at once and leaves with the next rebuild or
save, and :class:`medembed.index.CaseIndex` walks the graph only where nearly all rows may answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError

__all__ = ["Graph"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

_NEIGHBOURS = 32
_EF_CONSTRUCTION = 80
_EF_SEARCH = 64
_SLACK_BYTES = 1 << 20


class Graph:
    """An HNSW graph over unit vectors, by inner product.

    Parameters
    ----------
    index : faiss.IndexHNSWFlat
    rows : int array, shape ``(index.ntotal,)``
        Row of each node; -1 where the row was removed.
    """

    def __init__(self, index: Any, rows: Rows) -> None:
        self._index = index
        self._rows = rows

    @classmethod
    def build(cls, vectors: Floats) -> Graph:
        """Build over ``vectors``, shape ``(n, d)``."""
        import faiss

        index = faiss.IndexHNSWFlat(vectors.shape[1], _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _EF_CONSTRUCTION
        if vectors.shape[0]:
            index.add(np.ascontiguousarray(vectors))
        return cls(index, np.arange(vectors.shape[0], dtype=np.intp))

    @property
    def dead(self) -> int:
        """Nodes whose row was removed."""
        return int((self._rows < 0).sum())

    def __len__(self) -> int:
        return int(self._rows.size)

    def add(self, vectors: Floats, first_row: int) -> None:
        """Add ``vectors`` as the rows from ``first_row`` on."""
        self._index.add(np.ascontiguousarray(vectors))
        new = np.arange(first_row, first_row + vectors.shape[0], dtype=np.intp)
        self._rows = np.concatenate([self._rows, new])

    def renumbered(self, new_row: Rows) -> Graph:
        """Follow a change of rows: ``new_row[old]`` is the row now, or -1 where removed."""
        alive = self._rows >= 0
        rows = np.full_like(self._rows, -1)
        rows[alive] = new_row[self._rows[alive]]
        return Graph(self._index, rows)

    def candidates(self, queries: Floats, take: int) -> list[Rows]:
        """Walk the graph: for each query, of its ``take`` near nodes the rows still there.

        Nothing is filtered during the walk: FAISS walks on from the nearest nodes whether or not
        they may answer and stops after ``efSearch`` of them, so where those near the query may
        not, a filtered walk ends with far rows or none. Callers ask for more and drop.
        """
        import faiss

        take = min(take, len(self))
        ef = min(max(_EF_SEARCH, 2 * take), len(self))
        hnsw: Any = faiss  # its annotations leave this class out
        parameters = hnsw.SearchParametersHNSW(efSearch=ef)
        _, labels = self._index.search(np.ascontiguousarray(queries), take, params=parameters)
        # A search begun before a change may meet nodes added since: they are not its own.
        known = [line[(line >= 0) & (line < len(self))] for line in labels]
        found = [self._rows[line] for line in known]
        return [rows[rows >= 0] for rows in found]

    def to_bytes(self) -> bytes:
        """Serialise; a graph with removed nodes is refused, since they still hold their vectors."""
        import faiss

        if self.dead:
            raise InputError("a graph with removed nodes is rebuilt before it is saved")
        order = self._rows.astype("<i8").tobytes()
        return order + bytes(faiss.serialize_index(self._index))

    @classmethod
    def from_bytes(cls, data: bytes, n: int, dim: int) -> Graph:
        """Read what :meth:`to_bytes` wrote. Check a digest of ``data`` first: FAISS does not.

        Raises
        ------
        InputError
            Where it is not such a graph over ``n`` rows of ``dim`` components.
        """
        import faiss

        rows = (
            np.frombuffer(data, dtype="<i8", count=n).astype(np.intp)
            if n * 8 <= len(data)
            else None
        )
        if rows is None or not np.array_equal(np.sort(rows), np.arange(n)):
            raise InputError("an index file whose row numbers do not fit")
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(len(data) + _SLACK_BYTES)
        try:
            index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8, offset=8 * n))
        except RuntimeError:
            raise InputError("an index file that FAISS cannot read") from None
        finally:
            faiss.set_deserialization_vector_byte_limit(before)
        if (
            not isinstance(index, faiss.IndexHNSWFlat)
            or index.metric_type != faiss.METRIC_INNER_PRODUCT
            or (index.ntotal, index.d) != (n, dim)
        ):
            raise InputError("an index file of another kind or size")
        return cls(index, rows)
