"""Exact nearest neighbors by cosine similarity, with a defined order among ties.

The order is that of :func:`cosine` (float64 products summed row by row, rounded to float32) and,
among equal scores, of the case ids. A fast float32 pass only selects candidates: every row whose
fast score is within twice the rounding bound of the k-th is kept and rescored, so that block
size, number of threads and batch size never change a result.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["best_rows", "cosine", "order_candidates"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

_NUMPY_QUERIES = 8
"""Up to this many queries, numpy is as fast as FAISS, which then need not be imported."""
_FAISS_WORK = 2_000_000
"""Below this many pairs of query and row, FAISS is not worth importing."""
_BLOCK_FLOATS = 1 << 24
_SPARE = 16


def cosine(query: Floats, rows: Floats) -> Floats:
    """Cosine of one unit query ``(d,)`` with unit rows ``(n, d)``: float32 ``(n,)`` in [-1, 1]."""
    products = rows.astype(np.float64) * query.astype(np.float64)
    scores: Floats = np.clip(products.sum(axis=1), -1.0, 1.0).astype(np.float32)
    return scores


def order_candidates(
    query: Floats, vectors: Floats, rank: Rows, candidates: Rows, k: int
) -> tuple[Rows, Floats]:
    """Score ``candidates`` (rows of ``vectors``); return the best ``k``, ties by ``rank``."""
    scores = cosine(query, vectors[candidates])
    order = np.lexsort((rank[candidates], -scores))[:k]
    return candidates[order], scores[order]


def best_rows(
    queries: Floats, vectors: Floats, rank: Rows, k: int, rows: Rows | None = None
) -> tuple[Rows, Floats]:
    """Find the ``k`` nearest rows of each query, exactly.

    Parameters
    ----------
    queries : float32 array, shape ``(q, d)``, unit rows
    vectors : float32 array, shape ``(n, d)``, unit rows
    rank : int array, shape ``(n,)``
        Position of each row's case id among the sorted ids.
    k : int
        1 to the number of eligible rows.
    rows : int array, optional
        The eligible rows; None is all.

    Returns
    -------
    rows : int array, shape ``(q, k)``
    scores : float32 array, shape ``(q, k)``
    """
    count, dim = queries.shape
    n = vectors.shape[0] if rows is None else rows.size
    found = np.empty((count, k), dtype=np.intp)
    scores = np.empty((count, k), dtype=np.float32)
    # Each fast score has an error of at most d * 2**-24 (unit vectors, any order of summing).
    slack = np.float32(4 * dim * 2.0**-24)
    gallery = vectors if rows is None or rows.size == vectors.shape[0] else vectors[rows]
    own = rows if gallery is not vectors else None

    if count > _NUMPY_QUERIES and count * n > _FAISS_WORK and k + _SPARE < n // 4:
        pending = _with_faiss(queries, gallery, vectors, rank, k, own, slack, found, scores)
    else:
        pending = np.arange(count, dtype=np.intp)

    step = max(1, _BLOCK_FLOATS // max(n, 1))
    for start in range(0, pending.size, step):
        block = pending[start : start + step]
        fast = gallery @ queries[block[0]] if block.size == 1 else queries[block] @ gallery.T
        for query, row_scores in zip(block, np.atleast_2d(fast), strict=True):
            kth = np.partition(row_scores, n - k)[n - k]
            local = np.flatnonzero(row_scores >= kth - slack)
            candidates = local if own is None else own[local]
            found[query], scores[query] = order_candidates(
                queries[query], vectors, rank, candidates, k
            )
    return found, scores


def _with_faiss(
    queries: Floats,
    gallery: Floats,
    vectors: Floats,
    rank: Rows,
    k: int,
    own: Rows | None,
    slack: np.float32,
    found: Rows,
    scores: Floats,
) -> Rows:
    """Fill in what FAISS decides; return the queries whose k-th place is still open."""
    import faiss

    fast, labels = faiss.knn(queries, gallery, k + _SPARE, metric=faiss.METRIC_INNER_PRODUCT)
    settled = fast[:, -1] < fast[:, k - 1] - slack
    for query in np.flatnonzero(settled):
        kept = labels[query][fast[query] >= fast[query, k - 1] - slack].astype(np.intp)
        candidates = kept if own is None else own[kept]
        found[query], scores[query] = order_candidates(queries[query], vectors, rank, candidates, k)
    return np.flatnonzero(~settled)
