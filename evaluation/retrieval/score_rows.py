"""Where scores come from: vectors, a matrix of scores, or ranked lists of any system."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.retrieval.rank_statistics import ScoreRows
from evaluation.retrieval.relevance import item_indices
from medembed.errors import InputError

__all__ = ["RankedLists", "Scorer", "rows_of_matrix"]


class Scorer:
    """Cosines of queries and items; equal items have scores that are equal to the last bit.

    Parameters
    ----------
    queries, gallery : float arrays of shape (n_queries, d) and (n_items, d)
        Unit vectors; InputError if they are not, or of different dimensions.
    """

    def __init__(self, queries: ArrayLike, gallery: ArrayLike) -> None:
        self._queries, kept = _unit(queries, "queries"), _unit(gallery, "gallery")
        if self._queries.shape[1] != kept.shape[1]:
            raise InputError(
                f"queries of {self._queries.shape[1]} dimensions and a gallery of {kept.shape[1]}",
                hint="both have to come from one model",
            )
        self.shape = len(self._queries), len(kept)
        # A product of matrices does not promise that equal columns give equal values.
        distinct, inverse = np.unique(kept, axis=0, return_inverse=True)
        self._item: NDArray[np.int64] | None = None
        if len(distinct) < len(kept):
            kept, self._item = distinct, inverse.ravel().astype(np.int64)
        self._kept = kept

    def rows(self, start: int, stop: int) -> NDArray[np.floating]:
        """As :data:`evaluation.retrieval.rank_statistics.ScoreRows`."""
        scores = self._queries[start:stop] @ self._kept.T
        return scores if self._item is None else scores[:, self._item]

    def reordered(self, queries: NDArray[np.int64], items: NDArray[np.int64]) -> ScoreRows:
        """Give ``rows`` for queries and items in another order."""
        index = items if self._item is None else self._item[items]
        return lambda start, stop: (self._queries[queries[start:stop]] @ self._kept.T)[:, index]


class RankedLists:
    """The hits that a system retrieved for each query; all other items score -inf.

    Parameters
    ----------
    lists : sequence of (items, scores), one per query
        Indices of the retrieved items, each once, in any order, and their finite scores, higher is
        nearer; equal scores tie. Both empty for a query without hits.
    n_items : int
        Items in the gallery.

    Examples
    --------
    >>> RankedLists([([2, 0], [0.9, 0.4]), ([], [])], 3).rows(0, 2)
    array([[ 0.4, -inf,  0.9],
           [-inf, -inf, -inf]])
    """

    def __init__(self, lists: Sequence[tuple[ArrayLike, ArrayLike]], n_items: int) -> None:
        self.shape = len(lists), n_items
        self._lists = [_one_list(items, scores, n_items) for items, scores in lists]

    def rows(self, start: int, stop: int) -> NDArray[np.floating]:
        """As :data:`evaluation.retrieval.rank_statistics.ScoreRows`."""
        block = np.full((stop - start, self.shape[1]), -np.inf)
        for row, (items, scores) in enumerate(self._lists[start:stop]):
            block[row, items] = scores
        return block


def rows_of_matrix(scores: ArrayLike) -> tuple[ScoreRows, tuple[int, int]]:
    """Give the rows of a matrix of scores, and (n_queries, n_items)."""
    table = np.asarray(scores)
    if table.ndim != 2 or table.dtype.kind not in "iuf" or 0 in table.shape:
        raise InputError(f"scores of shape {table.shape} and type {table.dtype}, not (n, n_items)")
    kind = table.dtype if table.dtype.kind == "f" else np.float64
    shape = table.shape[0], table.shape[1]
    return lambda start, stop: table[start:stop].astype(kind), shape


def _one_list(
    items: ArrayLike, scores: ArrayLike, n_items: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    index = item_indices(items, n_items, "hits")
    values = np.asarray(scores)
    if values.shape != index.shape or (values.size and values.dtype.kind not in "iuf"):
        raise InputError("a list of hits without exactly one number as the score of each")
    if not np.isfinite(values).all():
        raise InputError("scores that are not finite numbers")
    if len(np.unique(index)) < len(index):
        raise InputError("a query that lists an item twice", hint="keep its best score")
    return index, values.astype(np.float64)


def _unit(vectors: ArrayLike, name: str) -> NDArray[np.floating]:
    given = np.asarray(vectors)
    if given.ndim != 2 or 0 in given.shape:
        raise InputError(f"{name} of shape {given.shape}, not (n, d)")
    kind = given.dtype if given.dtype in (np.float32, np.float64) else np.float64
    array: NDArray[np.floating] = np.ascontiguousarray(given, dtype=kind)
    if not np.isfinite(array).all():
        raise InputError(f"{name} with values that are not finite numbers")
    length = np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
    if np.abs(length - 1).max() > 1e-3:
        raise InputError(f"{name} that are not unit vectors", hint="divide each row by its length")
    return array
