"""Which items are relevant to which queries, and how relevant, a block of rows at a time.

The ground truth of a large archive does not fit in memory as a matrix. Every relation here gives
``rows(start, stop)``, the truth of a few queries, however it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from medembed.errors import InputError

__all__ = ["ButNot", "Listed", "Matrix", "Pairs", "SameLabel", "SharedTrait", "as_pairs"]


@runtime_checkable
class Pairs(Protocol):
    """A relation between queries and items of the gallery."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        ...

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Truth for queries ``start`` to ``stop``, a new array.

        Shape ``(stop - start, n_items)``; bool for yes or no, float64 for grades, 0 being not
        relevant.
        """
        ...


@dataclass(frozen=True)
class Matrix:
    """The whole relation as an array.

    Parameters
    ----------
    values : bool or number array of shape (n_queries, n_items)
        Numbers are grades, 0 or above.
    """

    values: NDArray[Any]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype.kind not in "biuf":
            raise InputError(
                f"a relation of shape {self.values.shape} and type {self.values.dtype}",
                hint="give a bool array, or one of grades, of shape (n_queries, n_items)",
            )
        if self.graded:
            object.__setattr__(self, "values", _grades(self.values))

    @property
    def graded(self) -> bool:
        """Whether the values are grades."""
        return self.values.dtype != np.bool_

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        return self.values.shape[0], self.values.shape[1]

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Truth for queries ``start`` to ``stop``."""
        return self.values[start:stop].copy()


@dataclass(frozen=True)
class Listed:
    """For each query the indices of its items, with or without grades.

    Parameters
    ----------
    indices : sequence of int arrays, one per query
    n_items : int
    grades : sequence of number arrays, one per query, optional
        0 or above, one for each index.

    Examples
    --------
    >>> Listed([[0, 2], []], 3).rows(0, 2).astype(int)
    array([[1, 0, 1],
           [0, 0, 0]])
    >>> Listed([[0, 2]], 3, [[2, 1]]).rows(0, 1)
    array([[2., 0., 1.]])
    """

    indices: Sequence[ArrayLike]
    n_items: int
    grades: Sequence[ArrayLike] | None = None

    def __post_init__(self) -> None:
        kept = tuple(item_indices(row, self.n_items, "relevant items") for row in self.indices)
        object.__setattr__(self, "indices", kept)
        if self.grades is not None:
            grades = tuple(_grades(row) for row in self.grades)
            if [len(row) for row in grades] != [len(row) for row in kept]:
                raise InputError("relevant items without exactly one grade each")
            object.__setattr__(self, "grades", grades)

    @property
    def graded(self) -> bool:
        """Whether there are grades."""
        return self.grades is not None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        return len(self.indices), self.n_items

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Truth for queries ``start`` to ``stop``."""
        block = np.zeros((stop - start, self.n_items), dtype=float if self.graded else bool)
        for row in range(start, stop):
            value = True if self.grades is None else self.grades[row]
            block[row - start, np.asarray(self.indices[row])] = value
        return block


@dataclass(frozen=True)
class SameLabel:
    """A query and an item belong together if their labels are equal.

    Parameters
    ----------
    queries : array of shape (n_queries,)
        Integers or text; integers below 0 and empty text match nothing.
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

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Truth for queries ``start`` to ``stop``."""
        wanted = np.asarray(self.queries)[start:stop, None]
        equal: NDArray[np.bool_] = wanted == np.asarray(self.items)[None, :]
        return equal & (wanted >= 0)


@dataclass(frozen=True)
class SharedTrait:
    """A query and an item belong together if they have at least one trait in common.

    Parameters
    ----------
    queries : bool array of shape (n_queries, n_traits)
    items : bool array of shape (n_items, n_traits)
    """

    queries: NDArray[np.bool_]
    items: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.queries.ndim != 2 or self.queries.shape[1:] != self.items.shape[1:]:
            raise InputError("queries and items with different traits")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        return len(self.queries), len(self.items)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Truth for queries ``start`` to ``stop``."""
        wanted = self.queries[start:stop].astype(np.float32)
        return np.asarray(wanted @ self.items.T.astype(np.float32) > 0.5)


@dataclass(frozen=True)
class ButNot:
    """What belongs to ``these`` and not to ``those``, by any grade."""

    these: Pairs
    those: Pairs

    def __post_init__(self) -> None:
        if self.these.shape != self.those.shape:
            raise InputError("two relations of different shape")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of items."""
        return self.these.shape

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Truth for queries ``start`` to ``stop``."""
        return np.asarray((self.these.rows(start, stop) > 0) & ~(self.those.rows(start, stop) > 0))


def as_pairs(relation: Any, shape: tuple[int, int], name: str, *, graded: bool = False) -> Pairs:
    """Turn any accepted form of a relation into :class:`Pairs` and check its shape.

    Parameters
    ----------
    relation : Pairs, array, scipy sparse matrix, or sequence
        A sequence holds for each query the indices of its items or, with grades, a mapping of
        index to grade. In a sparse matrix that is not bool, values are grades.
    shape : (n_queries, n_items)
    name : str
        For the message.
    graded : bool
        Whether grades are accepted; without it any value but 0 of a sparse matrix is a yes.

    Raises
    ------
    InputError
        If the form or the shape does not fit.
    """
    pairs: Pairs
    if isinstance(relation, Pairs):
        pairs = relation
    elif isinstance(relation, np.ndarray):
        pairs = Matrix(relation)
    elif hasattr(relation, "tocsr"):
        pairs = _sparse(relation.tocsr(), graded)
    elif isinstance(relation, Sequence) and not isinstance(relation, str):
        if relation and all(isinstance(row, Mapping) for row in relation):
            pairs = Listed(
                [list(row) for row in relation], shape[1], [list(row.values()) for row in relation]
            )
        else:
            pairs = Listed(relation, shape[1])
    else:
        raise InputError(
            f"{name} given as {type(relation).__name__}",
            hint="give a bool array (n_queries, n_items) or a list of index arrays",
        )
    if not graded and getattr(pairs, "graded", False):
        raise InputError(f"{name} with grades", hint="give a bool array or a list of index arrays")
    if pairs.shape != shape:
        raise InputError(
            f"{name} for {pairs.shape[0]} queries and {pairs.shape[1]} items, "
            f"but there are {shape[0]} and {shape[1]}"
        )
    return pairs


def item_indices(row: ArrayLike, n_items: int, what: str) -> NDArray[np.intp]:
    """Check the indices of some items, given as any sequence of whole numbers."""
    index = np.asarray(row)
    if index.size == 0:
        index = index.astype(np.intp)
    if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
        raise InputError(f"a list of {what} that are not whole numbers")
    if index.size and (index.min() < 0 or index.max() >= n_items):
        raise InputError(f"an item outside the gallery of {n_items}")
    return index.astype(np.intp)


def _sparse(csr: Any, graded: bool) -> Listed:
    ends = list(zip(csr.indptr[:-1], csr.indptr[1:], strict=True))
    kept = [np.asarray(csr.data[a:b]) != 0 for a, b in ends]
    indices = [csr.indices[a:b][keep] for (a, b), keep in zip(ends, kept, strict=True)]
    grades = None
    if graded and csr.dtype != np.bool_:
        grades = [csr.data[a:b][keep] for (a, b), keep in zip(ends, kept, strict=True)]
    return Listed(indices, csr.shape[1], grades)


def _grades(values: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(values)
    if given.size and given.dtype.kind not in "biuf":
        raise InputError("grades of relevance that are not numbers")
    grades = given.astype(np.float64)
    if not np.isfinite(grades).all() or (grades < 0).any():
        raise InputError("grades of relevance that are not finite numbers of 0 or above")
    return grades
