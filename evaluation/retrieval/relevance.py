"""Which items are relevant to which queries, and which are left out, a block of rows at a time.

Ground truth of a large archive does not fit in memory as a matrix. Everything here answers
``rows(start, stop)`` with the truth of a few queries, whatever it is kept as.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medembed.errors import InputError

__all__ = ["ButNot", "Listed", "Matrix", "Pairs", "SameLabel", "SharedTrait", "as_pairs", "codes"]


@runtime_checkable
class Pairs(Protocol):
    """A relation between queries and items of the gallery."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        ...

    def rows(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Truth for queries ``start`` to ``stop``, shape ``(stop - start, n_items)``, own copy."""
        ...


@dataclass(frozen=True)
class Matrix:
    """The whole relation as an array.

    Parameters
    ----------
    values : bool array of shape (n_queries, n_items)
    """

    values: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.bool_:
            raise InputError(
                f"a relation of shape {self.values.shape} and type {self.values.dtype}",
                hint="give a bool array of shape (n_queries, n_items)",
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        return self.values.shape[0], self.values.shape[1]

    def rows(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Truth for queries ``start`` to ``stop``."""
        return self.values[start:stop].copy()


@dataclass(frozen=True)
class Listed:
    """For each query the indices of its items.

    Parameters
    ----------
    indices : sequence of int arrays, one per query
    n_items : int

    Examples
    --------
    >>> Listed([[0, 2], []], 3).rows(0, 2).astype(int)
    array([[1, 0, 1],
           [0, 0, 0]])
    """

    indices: Sequence[ArrayLike]
    n_items: int

    def __post_init__(self) -> None:
        kept = []
        for row in self.indices:
            index = np.asarray(row)
            if index.size == 0:
                index = index.astype(np.intp)
            if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
                raise InputError("a list of relevant items that are not whole numbers")
            if index.size and (index.min() < 0 or index.max() >= self.n_items):
                raise InputError(f"an item outside the gallery of {self.n_items}")
            kept.append(index)
        object.__setattr__(self, "indices", tuple(kept))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        return len(self.indices), self.n_items

    def rows(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Truth for queries ``start`` to ``stop``."""
        block = np.zeros((stop - start, self.n_items), dtype=np.bool_)
        for row, index in enumerate(self.indices[start:stop]):
            block[row, np.asarray(index)] = True
        return block


@dataclass(frozen=True)
class SameLabel:
    """A query and an item belong together where their labels are equal.

    Parameters
    ----------
    queries : array of shape (n_queries,)
        Integers or text; integers below 0 and empty text belong to nothing.
    items : array of shape (n_items,)

    Examples
    --------
    >>> SameLabel([7, -1], [7, 7, -1]).rows(0, 2).astype(int)
    array([[1, 1, 0],
           [0, 0, 0]])
    """

    queries: ArrayLike
    items: ArrayLike

    def __post_init__(self) -> None:
        queries, items = np.asarray(self.queries), np.asarray(self.items)
        if queries.ndim != 1 or items.ndim != 1:
            raise InputError("labels of queries and items are one array each, one value per row")
        both = codes(np.concatenate([queries, items]))
        object.__setattr__(self, "queries", both[: len(queries)])
        object.__setattr__(self, "items", both[len(queries) :])

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        return len(np.asarray(self.queries)), len(np.asarray(self.items))

    def rows(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Truth for queries ``start`` to ``stop``."""
        wanted = np.asarray(self.queries)[start:stop, None]
        equal: NDArray[np.bool_] = wanted == np.asarray(self.items)[None, :]
        return equal & (wanted >= 0)


@dataclass(frozen=True)
class SharedTrait:
    """A query and an item belong together where they have at least one trait in common.

    Parameters
    ----------
    queries : bool array of shape (n_queries, n_traits)
    items : bool array of shape (n_items, n_traits)
    """

    queries: NDArray[np.bool_]
    items: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.queries.ndim != 2 or self.queries.shape[1:] != self.items.shape[1:]:
            raise InputError("queries and items with other traits than each other")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        return len(self.queries), len(self.items)

    def rows(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Truth for queries ``start`` to ``stop``."""
        wanted = self.queries[start:stop].astype(np.float32)
        return np.asarray(wanted @ self.items.T.astype(np.float32) > 0.5)


@dataclass(frozen=True)
class ButNot:
    """What belongs to ``these`` and not to ``those``."""

    these: Pairs
    those: Pairs

    def __post_init__(self) -> None:
        if self.these.shape != self.those.shape:
            raise InputError("two relations of different shape")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        return self.these.shape

    def rows(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Truth for queries ``start`` to ``stop``."""
        return self.these.rows(start, stop) & ~self.those.rows(start, stop)


def as_pairs(relation: Any, shape: tuple[int, int], name: str) -> Pairs:
    """Bring any accepted form of a relation to :class:`Pairs` and check its shape.

    Parameters
    ----------
    relation : Pairs, bool array, scipy sparse matrix, or sequence of index arrays
        A sequence holds for each query the indices of its items.
    shape : (n_queries, n_items)
    name : str
        For the message.

    Raises
    ------
    InputError
        Where the form or the shape does not fit.
    """
    pairs: Pairs
    if isinstance(relation, Pairs):
        pairs = relation
    elif isinstance(relation, np.ndarray):
        pairs = Matrix(relation)
    elif hasattr(relation, "tocsr"):
        csr = relation.tocsr()
        ends = zip(csr.indptr[:-1], csr.indptr[1:], strict=True)
        pairs = Listed(
            [csr.indices[a:b][np.asarray(csr.data[a:b]) != 0] for a, b in ends], csr.shape[1]
        )
    elif isinstance(relation, Sequence) and not isinstance(relation, str):
        pairs = Listed(relation, shape[1])
    else:
        raise InputError(
            f"{name} given as {type(relation).__name__}",
            hint="give a bool array (n_queries, n_items) or a list of index arrays",
        )
    if pairs.shape != shape:
        raise InputError(
            f"{name} for {pairs.shape[0]} queries and {pairs.shape[1]} items, "
            f"but there are {shape[0]} and {shape[1]}"
        )
    return pairs


def codes(labels: ArrayLike) -> NDArray[np.int64]:
    """Number labels from 0; what belongs to nothing (below 0, empty text, None) becomes -1.

    Examples
    --------
    >>> codes(["b", "a", "", "b"])
    array([ 1,  0, -1,  1])
    """
    values = np.asarray(labels)
    if values.dtype == object:
        values = np.array(["" if v is None else str(v) for v in values.tolist()], dtype=str)
    if values.ndim != 1:
        raise InputError("labels are one array, one value per row")
    if np.issubdtype(values.dtype, np.floating):
        raise InputError("labels given as decimal numbers", hint="give whole numbers or text")
    kept = values != "" if values.dtype.kind in "US" else values.astype(np.int64) >= 0
    out = np.full(len(values), -1, dtype=np.int64)
    if kept.any():
        out[kept] = np.unique(values[kept], return_inverse=True)[1]
    return out
