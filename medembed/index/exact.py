"""Exact nearest neighbors by cosine similarity, with a defined order among ties.

The order is that of :func:`cosine` (float64 products summed row by row, rounded to float32) and,
among equal scores, of the case ids. Faster passes only select candidates, with proven bounds of
their error: codes of one byte per dimension (:mod:`medembed.index.first_pass`) for one query among
many rows, float32 products otherwise. So block size, number of threads, batch size and the way that
was taken never change a result.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from medembed.index.cores import n_cores, side_by_side
from medembed.index.first_pass import FirstPass
from medembed.index.selection import nearest_selected

__all__ = [
    "CODED_QUERIES",
    "RowOrder",
    "best_rows",
    "cosine",
    "order_candidates",
    "settle",
    "top_labels",
]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class RowOrder(Protocol):
    """The order of rows among each other by case id, as an array of ranks has it."""

    def __getitem__(self, rows: Rows, /) -> Rows:
        """Return numbers that order these rows."""


_NUMPY_QUERIES = 8
"""Up to this many queries, numpy is as fast as FAISS, which then need not be imported."""
_FAISS_WORK = 2_000_000
"""Below this many pairs of query and row, FAISS is not worth importing."""
CODED_QUERIES = 4
"""Up to this many queries, codes beat products of whole matrices."""
_FEWEST_CODED = 0.15
"""Share of eligible rows from which comparing all codes beats comparing the eligible rows."""
_MOST_GATHERED = 1 << 21
"""Up to this many numbers, copying the eligible rows beats skipping the others."""
_FEWEST_WHOLE = 0.3
"""Share of eligible rows from which scoring the others, too, costs less than gathering these."""
_FEW_TAIL = 256
"""Up to this many rows without a code, scoring them all costs less than a fast pass before."""
_BLOCK_ROWS = 1 << 16
_GATHERED_ROWS = 1 << 8
"""Rows that are copied at a time for one query: they stay in a core's cache."""
_BLOCK_FLOATS = 1 << 24
_SPARE = 16
_SPARE_FEW = 246
"""For a few queries: a filter can leave rows that lie far off, within rounding of each other."""


def cosine(query: Floats, rows: Floats) -> Floats:
    """Cosine of one unit query ``(d,)`` with unit rows ``(n, d)``: float32 ``(n,)`` in [-1, 1]."""
    products = rows.astype(np.float64) * query.astype(np.float64)
    scores: Floats = np.clip(products.sum(axis=1), -1.0, 1.0).astype(np.float32)
    return scores


def order_candidates(
    query: Floats, vectors: Floats, rank: RowOrder, candidates: Rows, k: int
) -> tuple[Rows, Floats]:
    """Score ``candidates`` (rows of ``vectors``); return the best ``k``, ties by ``rank``."""
    scores = cosine(query, vectors[candidates])
    if k < len(scores):  # only what can be among them is put in order
        near = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
        candidates, scores = candidates[near], scores[near]
    order = np.lexsort((rank[candidates], -scores))[:k]
    return candidates[order], scores[order]


def best_rows(
    queries: Floats,
    vectors: Floats,
    rank: RowOrder,
    k: int,
    mask: Mask | None = None,
    first_pass: FirstPass | None = None,
) -> tuple[Rows, Floats]:
    """Find the ``k`` nearest rows of each query, exactly.

    Parameters
    ----------
    queries : float32 array, shape ``(q, d)``, unit rows
    vectors : float32 array, shape ``(n, d)``, unit rows
    rank : RowOrder, or int array of shape ``(n,)``
        Orders rows by case id.
    k : int
        1 to the number of eligible rows.
    mask : bool array, shape ``(n,)``, optional
        The eligible rows; None is all.
    first_pass : FirstPass, optional
        Codes of the rows.

    Returns
    -------
    rows : int array, shape ``(q, k)``
    scores : float32 array, shape ``(q, k)``
    """
    n = len(vectors)
    eligible = n if mask is None else int(np.count_nonzero(mask))
    if eligible == n:
        mask = None
    found = np.empty((len(queries), k), dtype=np.intp)
    scores = np.empty((len(queries), k), dtype=np.float32)
    pending = np.arange(len(queries), dtype=np.intp)
    if first_pass is not None and len(queries) <= CODED_QUERIES and eligible >= _FEWEST_CODED * n:
        pending = _by_codes(queries, vectors, rank, k, mask, first_pass, found, scores)
    if not pending.size:
        return found, scores
    if mask is not None and pending.size <= CODED_QUERIES and first_pass is not None:
        is_large = eligible * vectors.shape[1] > _MOST_GATHERED
    else:
        is_large = pending.size > _NUMPY_QUERIES or first_pass is not None
        is_large = is_large and pending.size * eligible > _FAISS_WORK
    if is_large and k + _SPARE_FEW < eligible // 4:
        pending = _with_faiss(queries, vectors, rank, k, mask, pending, found, scores)
    _with_numpy(queries, vectors, rank, k, mask, pending, found, scores)
    return found, scores


def _slack(dim: int) -> np.float32:
    """Twice the rounding error of a fast score: each errs by at most ``d * 2**-24``, twice over."""
    return np.float32(4 * dim * 2.0**-24)


def _by_codes(
    queries: Floats,
    vectors: Floats,
    rank: RowOrder,
    k: int,
    mask: Mask | None,
    first_pass: FirstPass,
    found: Rows,
    scores: Floats,
) -> Rows:
    """Fill in what the codes prove; return the queries that are still open.

    Of the rows without a code, only those whose float32 product, rounding allowed for, reaches the
    ``k``-th score among the others can be an answer.
    """
    still_open = []
    coded = len(first_pass)
    tail = np.arange(coded, len(vectors), dtype=np.intp)
    if mask is not None:
        tail = tail[mask[coded:]]
    for query in range(len(queries)):
        near, limit = first_pass.best(queries[query], k, mask)
        behind = tail
        if near.size >= k and tail.size > _FEW_TAIL:
            _, least = order_candidates(queries[query], vectors, rank, near, k)
            fast = (vectors[coded:] @ queries[query])[tail - coded]
            behind = tail[fast >= least[-1] - _slack(vectors.shape[1])]
        near = np.concatenate([near, behind])
        if near.size >= k:
            rows, own = order_candidates(queries[query], vectors, rank, near, k)
            if own[-1] > limit:
                found[query], scores[query] = rows, own
                continue
        still_open.append(query)
    return np.array(still_open, dtype=np.intp)


def _with_faiss(
    queries: Floats,
    vectors: Floats,
    rank: RowOrder,
    k: int,
    mask: Mask | None,
    pending: Rows,
    found: Rows,
    scores: Floats,
) -> Rows:
    """Fill in what float32 products decide; return the queries whose k-th place is still open.

    Rows are taken block by block. A few queries skip what the filter excludes, and blocks are
    searched side by side; for many, the eligible rows of a block are copied.
    """
    import faiss

    asked = np.ascontiguousarray(queries[pending])
    few = pending.size <= CODED_QUERIES
    wanted = k + (_SPARE_FEW if few else _SPARE)
    size = -(-len(vectors) // (2 * n_cores())) if few else _BLOCK_ROWS

    def one(at: int) -> tuple[Floats, Rows]:
        block = vectors[at : at + size]
        own = None if mask is None else mask[at : at + size]
        n_own = len(block) if own is None else int(np.count_nonzero(own))
        take = min(wanted, n_own)
        if not take:
            fast, rows = np.empty((len(asked), 0), np.float32), np.empty((len(asked), 0), np.intp)
        elif own is None or n_own == len(block):
            fast, rows = faiss.knn(asked, block, take, metric=faiss.METRIC_INNER_PRODUCT)
        elif few:
            fast, rows = nearest_selected(asked, block, take, own)
        else:
            kept = np.flatnonzero(own)
            fast, rows = faiss.knn(asked, block[kept], take, metric=faiss.METRIC_INNER_PRODUCT)
            rows = kept[rows]
        return fast, rows + at

    best = np.full((pending.size, 0), -np.inf, dtype=np.float32)
    labels = np.empty((pending.size, 0), dtype=np.intp)
    starts = range(0, len(vectors), size)
    for fast, rows in side_by_side(one, starts) if few else map(one, starts):
        best = np.concatenate([best, fast], axis=1)
        labels = np.concatenate([labels, rows], axis=1)
        if best.shape[1] > 4 * wanted:
            best, labels = top_labels(best, labels, wanted)
    best, labels = top_labels(best, labels, wanted)
    return settle(queries, vectors, rank, k, best, labels, best[:, -1], pending, found, scores)


def settle(
    queries: Floats,
    vectors: Floats,
    rank: RowOrder,
    k: int,
    fast: Floats,
    labels: Rows,
    bound: Floats,
    pending: Rows,
    found: Rows,
    scores: Floats,
) -> Rows:
    """Fill in the answers that float32 products prove; return the queries that are still open.

    Two scores are in doubt only if they lie within rounding of each other. So the answer is among
    the rows that do not lie further below the k-th best fast score, if those are all named.

    Parameters
    ----------
    queries, vectors, rank, k
        As in :func:`best_rows`.
    fast : float32 array, shape ``(p, m)``, ``m`` at least ``k``
        Scores of the named rows, descending; -inf behind the last.
    labels : int array, shape ``(p, m)``
        These rows, each once.
    bound : float32 array, shape ``(p,)``
        What no fast score of an eligible row exceeds that is not named.
    pending : int array, shape ``(p,)``
        Which queries these are.
    found, scores : arrays, shape ``(q, k)``
        The answers.
    """
    slack = _slack(vectors.shape[1])
    kth = fast[:, k - 1] - slack
    still_open = ~(bound < kth)
    for place in np.flatnonzero(~still_open):
        query = pending[place]
        candidates = labels[place][fast[place] >= kth[place]]
        rows, own = order_candidates(queries[query], vectors, rank, candidates, k)
        # products that are further off than float32 can be (TF32, a fault of memory) prove nothing
        if np.abs(own - fast[place, :k]).max() > slack:
            still_open[place] = True
            continue
        found[query], scores[query] = rows, own
    return pending[still_open]


def top_labels(best: Floats, labels: Rows, wanted: int) -> tuple[Floats, Rows]:
    """Return the ``wanted`` best scores of each query, descending, and their rows."""
    order = np.argsort(-best, axis=1, kind="stable")[:, :wanted]
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(labels, order, axis=1)


def _with_numpy(
    queries: Floats,
    vectors: Floats,
    rank: RowOrder,
    k: int,
    mask: Mask | None,
    pending: Rows,
    found: Rows,
    scores: Floats,
) -> None:
    """Fill in the other queries: every score, and all rows within rounding of the k-th."""
    rows = None if mask is None else np.flatnonzero(mask)
    n = len(vectors) if rows is None else rows.size
    slack = _slack(vectors.shape[1])
    step = max(1, _BLOCK_FLOATS // max(n, 1))
    for start in range(0, pending.size, step):
        block = pending[start : start + step]
        fast = _products(queries[block], vectors, rows)
        for query, row_scores in zip(block, fast, strict=True):
            kth = np.partition(row_scores, n - k)[n - k]
            near = np.flatnonzero(row_scores >= kth - slack)
            found[query], scores[query] = order_candidates(
                queries[query], vectors, rank, near if rows is None else rows[near], k
            )


def _products(queries: Floats, vectors: Floats, rows: Rows | None) -> Floats:
    """Float32 scores ``(q, n)``; eligible rows are gathered block by block."""
    if rows is None:
        return (vectors @ queries[0])[np.newaxis] if len(queries) == 1 else queries @ vectors.T
    if rows.size >= _FEWEST_WHOLE * len(vectors):
        return _products(queries, vectors, None)[:, rows]
    out = np.empty((len(queries), rows.size), dtype=np.float32)
    size = _GATHERED_ROWS if len(queries) == 1 else _BLOCK_ROWS
    room = np.empty((min(size, rows.size), vectors.shape[1]), dtype=np.float32)
    for at in range(0, rows.size, size):
        own = rows[at : at + size]
        block = np.take(vectors, own, axis=0, out=room[: own.size], mode="clip")
        out[:, at : at + size] = queries @ block.T
    return out
