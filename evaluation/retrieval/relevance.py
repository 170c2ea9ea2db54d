"""Which items are relevant to which queries, and how relevant, a block of queries at a time.

The ground truth of a large archive does not fit in memory as a matrix. A relation is its shape and
a function that gives the truth of a few queries, however it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from medembed.errors import InputError

__all__ = ["Listed", "Matrix", "Pairs", "SameLabel", "SharedTrait", "as_pairs", "but_not"]

_Lists = Sequence[ArrayLike]


@dataclass(frozen=True, eq=False)
class Pairs:
    """A relation between queries and items of the gallery.

    Parameters
    ----------
    shape : (n_queries, n_items)
    rows : callable of (start, stop)
        Truth for these queries, a new array of shape ``(stop - start, n_items)``: bool for yes or
        no, float64 for grades, 0 being not relevant.
    graded : bool
        Whether there are grades.
    """

    shape: tuple[int, int]
    rows: Callable[[int, int], NDArray[Any]]
    graded: bool = False


class Matrix(Pairs):
    """The whole relation as a bool array of shape (n_queries, n_items), or one of grades >= 0."""

    def __init__(self, values: NDArray[Any]) -> None:
        if values.ndim != 2 or values.dtype.kind not in "biuf":
            raise InputError(
                f"a relation of shape {values.shape} and type {values.dtype}",
                hint="give a bool array, or one of grades, of shape (n_queries, n_items)",
            )
        graded = values.dtype != np.bool_
        kept = _grades(values) if graded else values
        shape = values.shape[0], values.shape[1]
        super().__init__(shape, lambda start, stop: kept[start:stop].copy(), graded)


class Listed(Pairs):
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

    def __init__(self, indices: _Lists, n_items: int, grades: _Lists | None = None) -> None:
        items = [item_indices(row, n_items, "relevant items") for row in indices]
        values: list[Any] = [True] * len(items)
        if grades is not None:
            values = [_grades(row) for row in grades]
            if [len(row) for row in values] != [len(row) for row in items]:
                raise InputError("relevant items without exactly one grade each")

        def rows(start: int, stop: int) -> NDArray[Any]:
            block = np.zeros((stop - start, n_items), dtype=bool if grades is None else float)
            for row in range(start, stop):
                block[row - start, items[row]] = values[row]
            return block

        super().__init__((len(items), n_items), rows, grades is not None)


class SameLabel(Pairs):
    """A query and an item belong together if their labels are equal.

    Parameters
    ----------
    queries, items : arrays of shape (n_queries,) and (n_items,)
        Integers or text; integers below 0 and empty text match nothing.

    Examples
    --------
    >>> SameLabel([7, -1], [7, 7, -1]).rows(0, 2).astype(int)
    array([[1, 1, 0],
           [0, 0, 0]])
    """

    def __init__(self, queries: ArrayLike, items: ArrayLike) -> None:
        wanted, given = np.asarray(queries), np.asarray(items)
        if wanted.ndim != 1 or given.ndim != 1:
            raise InputError("labels of queries and items are one array each, one value per row")
        n = len(wanted)
        both = codes(np.concatenate([wanted, given]))

        asked = both[:n, None]
        super().__init__(
            (n, len(given)),
            lambda start, stop: (asked[start:stop] == both[n:]) & (asked[start:stop] >= 0),
        )


class SharedTrait(Pairs):
    """A query and an item belong together if they have at least one trait in common.

    Parameters
    ----------
    queries, items : bool arrays of shape (n_queries, n_traits) and (n_items, n_traits)
    """

    def __init__(self, queries: NDArray[np.bool_], items: NDArray[np.bool_]) -> None:
        if queries.ndim != 2 or queries.shape[1:] != items.shape[1:]:
            raise InputError("queries and items with different traits")
        held = items.T.astype(np.float32)
        super().__init__(
            (len(queries), len(items)),
            lambda start, stop: queries[start:stop].astype(np.float32) @ held > 0.5,
        )


def but_not(these: Pairs, those: Pairs) -> Pairs:
    """What belongs to ``these`` and not to ``those``, by any grade; both have one shape."""
    return Pairs(
        these.shape,
        lambda start, stop: (these.rows(start, stop) > 0) & ~(those.rows(start, stop) > 0),
    )


def as_pairs(relation: Any, shape: tuple[int, int], name: str, *, graded: bool = False) -> Pairs:
    """Turn any form of a relation that :func:`evaluation.retrieval_scores` takes into Pairs.

    Parameters
    ----------
    relation : Pairs, array, scipy sparse matrix, or sequence
    shape : (n_queries, n_items)
        InputError if the form or the shape does not fit; ``name`` is for its message.
    graded : bool
        Whether grades are accepted; without it any value but 0 of a sparse matrix is a yes.
    """
    if isinstance(relation, Pairs):
        pairs = relation
    elif isinstance(relation, np.ndarray):
        pairs = Matrix(relation)
    elif hasattr(relation, "tocsr"):
        pairs = _sparse(relation.tocsr(), graded)
    elif isinstance(relation, Sequence) and not isinstance(relation, str):
        indices, grades = relation, None
        if relation and all(isinstance(row, Mapping) for row in relation):
            indices, grades = [[*row] for row in relation], [[*row.values()] for row in relation]
        pairs = Listed(indices, shape[1], grades)
    else:
        raise InputError(
            f"{name} given as {type(relation).__name__}",
            hint="give a bool array (n_queries, n_items) or a list of index arrays",
        )
    if pairs.graded and not graded:
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
    if index.ndim != 1 or (index.size and not np.issubdtype(index.dtype, np.integer)):
        raise InputError(f"a list of {what} that are not whole numbers")
    if index.size and (index.min() < 0 or index.max() >= n_items):
        raise InputError(f"an item outside the gallery of {n_items}")
    return index.astype(np.intp)


def _sparse(table: Any, graded: bool) -> Pairs:
    graded = graded and table.dtype != np.bool_
    if graded:
        _grades(table.data)
    kept = table.astype(np.float64 if graded else np.bool_)
    return Pairs(kept.shape, lambda start, stop: kept[start:stop].toarray(), graded)


def _grades(values: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(values)
    if given.size and given.dtype.kind not in "biuf":
        raise InputError("grades of relevance that are not numbers")
    grades = given.astype(np.float64)
    if not np.isfinite(grades).all() or (grades < 0).any():
        raise InputError("grades of relevance that are not finite numbers of 0 or above")
    return grades
