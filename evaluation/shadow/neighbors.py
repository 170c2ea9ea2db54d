"""The nearest cases of each query under one model, and how alike two such lists are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.relevance import Pairs
from evaluation.retrieval.scores import Scorer

__all__ = ["first_kept", "nearest", "overlap", "rank_biased_overlap"]

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

_CELLS = 8_000_000
_PERSISTENCE = 0.9


def nearest(queries: Floats, gallery: Floats, left_out: Pairs, k: int) -> Rows:
    """Return the k nearest items of each query by cosine, nearest first.

    Parameters
    ----------
    queries, gallery : float32 arrays of shape (n_queries, d) and (n_items, d)
        Unit vectors of one model.
    left_out : Pairs
        Items that are no hits of a query.
    k : int

    Returns
    -------
    int64 array of shape (n_queries, k)
        Equal scores in the order of the gallery; -1 where no more items are left.
    """
    found = np.full((len(queries), k), -1, dtype=np.int64)
    scorer = Scorer(queries, gallery)  # equal items have equal scores, to the last bit
    step = max(1, _CELLS // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        stop = min(start + step, len(queries))
        scores = scorer.rows(start, stop)
        scores[left_out.rows(start, stop)] = -np.inf
        for row, line in enumerate(scores, start):
            take = min(k, int(np.isfinite(line).sum()))
            if not take:
                continue
            least = np.partition(line, len(line) - take)[len(line) - take]
            among = np.flatnonzero(line >= least)
            found[row, :take] = among[np.argsort(-line[among], kind="stable")][:take]
    return found


def overlap(one: Rows, other: Rows) -> NDArray[np.float64]:
    """Return the share of each list that the other has too, shape (n_queries,).

    NaN where both are empty. Each row holds an item once, and -1 behind the last.

    Examples
    --------
    >>> overlap(np.array([[1, 2, 3, -1]]), np.array([[3, 4, 1, -1]]))
    array([0.66666667])
    """
    shared = np.array(
        [len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in zip(one, other, strict=True)]
    )
    length = np.maximum((one >= 0).sum(axis=1), (other >= 0).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(length > 0, shared / length, np.nan), dtype=np.float64)


def rank_biased_overlap(
    one: Rows, other: Rows, persistence: float = _PERSISTENCE
) -> NDArray[np.float64]:
    r"""Return the extrapolated rank-biased overlap of each pair of lists, shape (n_queries,).

    With :math:`A_i` the share of the first i that both lists have, :math:`A_k p^k + (1-p)
    \sum_{i=1}^k p^{i-1} A_i`: a change at the top counts more than one further down.

    References
    ----------
    Webber, Moffat and Zobel, A similarity measure for indefinite rankings, ACM TOIS 28:20, 2010,
    equation 30, for lists of one length.

    Examples
    --------
    >>> ranked, swapped = np.array([[1, 2, 3]]), np.array([[2, 1, 3]])
    >>> rank_biased_overlap(ranked, ranked).round(3), rank_biased_overlap(ranked, swapped).round(3)
    (array([1.]), array([0.9]))
    """
    k = one.shape[1]
    agreement = np.stack([overlap(one[:, :i], other[:, :i]) for i in range(1, k + 1)], axis=1)
    weights = (1 - persistence) * persistence ** np.arange(k)
    return np.asarray(agreement @ weights + agreement[:, -1] * persistence**k, dtype=np.float64)


def first_kept(one: Rows, other: Rows) -> NDArray[np.float64]:
    """Return 1 where both lists begin with the same item, else 0; NaN without any item."""
    none = (one[:, 0] < 0) & (other[:, 0] < 0)
    return np.where(none, np.nan, np.where(one[:, 0] == other[:, 0], 1.0, 0.0))
