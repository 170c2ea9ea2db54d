r"""Where the relevant items of each query stand, with ties at their expected value.

A ranking with ties is not one ranking but all orders of the tied items, each as likely. What is
kept per query (:class:`Standing`) is enough to give the expectation of each measure over them:

- ``above``: items that score higher than the best relevant item,
- ``tied`` (t): items that score the same as it, ``tied_relevant`` (r) of them relevant,
- ``gains``: the expected relevance at each of the first ranks.

The first relevant item stands ``above + J`` deep, where J, the least of r ranks drawn out of t, has

.. math:: P(J > j) = \binom{t-r}{j} \Big/ \binom{t}{j}, \qquad E[J] = \frac{t+1}{r+1}.

References
----------
McSherry and Najork, *Computing information retrieval performance measures efficiently in the
presence of tied scores*, ECIR 2008 (precision, recall, reciprocal rank, nDCG).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.relevance import Pairs
from medembed.errors import InputError

__all__ = ["Standing", "discounts", "measure", "parse_measure", "stand"]

_CELLS = 4_000_000
"""Scores held at once: 16 MB of float32, and some 60 MB of masks and places beside it."""


@dataclass(frozen=True)
class Standing:
    """Where the relevant items of each query stand.

    Parameters
    ----------
    pool : int array of shape (n_queries,)
        Items that the query was ranked against, after exclusions.
    relevant : int array of shape (n_queries,)
        Relevant ones among them.
    above, tied, tied_relevant : int arrays of shape (n_queries,)
        See the module. Without meaning where ``relevant`` is 0.
    gains : float64 array of shape (n_queries, depth)
        Expected relevance, 0 to 1, at ranks 1 to ``depth``.
    """

    pool: NDArray[np.int64]
    relevant: NDArray[np.int64]
    above: NDArray[np.int64]
    tied: NDArray[np.int64]
    tied_relevant: NDArray[np.int64]
    gains: NDArray[np.float64]

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Standing:
        """The same for some of the queries."""
        return Standing(
            self.pool[which],
            self.relevant[which],
            self.above[which],
            self.tied[which],
            self.tied_relevant[which],
            self.gains[which],
        )

    def at_chance(self) -> Standing:
        """The same queries ranked at random: every item of the pool tied with every other."""
        depth = self.gains.shape[1]
        share = self.relevant / np.maximum(self.pool, 1)
        inside = np.arange(depth)[None, :] < self.pool[:, None]
        return Standing(
            self.pool,
            self.relevant,
            np.zeros_like(self.above),
            self.pool,
            self.relevant,
            np.where(inside, share[:, None], 0.0),
        )


def stand(
    score_rows: Callable[[int, int], NDArray[np.floating]],
    relevant: Pairs,
    excluded: Mapping[str, Pairs] | None = None,
    *,
    depth: int = 10,
    cells: int = _CELLS,
) -> tuple[Standing, dict[str, int]]:
    """Rank each query's pool, a block of queries at a time.

    Parameters
    ----------
    score_rows : callable of (start, stop)
        Scores of those queries against all items, shape ``(stop - start, n_items)``; higher is
        nearer. The array is written into.
    relevant : Pairs
    excluded : mapping of str to Pairs, optional
        Reasons to leave an item out of a query's pool. An item with several reasons is counted
        under the first.
    depth : int
        Ranks to keep in ``gains``.
    cells : int
        Scores to hold at once.

    Returns
    -------
    standing : Standing
    n_excluded : dict of str to int
        Pairs of query and item left out, by reason.
    """
    n_queries, n_items = relevant.shape
    excluded = dict(excluded or {})
    n_excluded = dict.fromkeys(excluded, 0)
    pool, wanted, above, tied, tied_relevant = np.zeros((5, n_queries), dtype=np.int64)
    gains = np.zeros((n_queries, depth), dtype=np.float64)
    step = max(1, cells // max(1, n_items))
    for start in range(0, n_queries, step):
        stop = min(start + step, n_queries)
        rows = slice(start, stop)
        scores = score_rows(start, stop)
        if not np.isfinite(scores).all():
            raise InputError("scores that are not finite numbers")
        right = relevant.rows(start, stop)
        out = np.zeros_like(right)
        for reason, pairs in excluded.items():
            fresh = pairs.rows(start, stop) & ~out
            n_excluded[reason] += int(fresh.sum())
            out |= fresh
        scores[out] = -np.inf
        right &= ~out
        best = np.max(scores, axis=1, where=right, initial=-np.inf, keepdims=True)
        level = scores == best
        pool[rows] = n_items - out.sum(axis=1)
        wanted[rows] = right.sum(axis=1)
        above[rows] = (scores > best).sum(axis=1)
        tied[rows] = level.sum(axis=1)
        tied_relevant[rows] = (level & right).sum(axis=1)
        if depth:
            gains[rows, : min(depth, n_items)] = _expected_gains(scores, right, depth)
    return Standing(pool, wanted, above, tied, tied_relevant, gains), n_excluded


def _expected_gains(
    scores: NDArray[np.floating], right: NDArray[np.bool_], depth: int
) -> NDArray[np.float64]:
    """Mean relevance of the tie group that each of the first ranks falls into."""
    n_rows, n_items = scores.shape
    depth = min(depth, n_items)
    first = np.argpartition(scores, n_items - depth, axis=1)[:, n_items - depth :]
    order = np.argsort(-np.take_along_axis(scores, first, axis=1), axis=1, kind="stable")
    first = np.take_along_axis(first, order, axis=1)
    top = np.take_along_axis(scores, first, axis=1)  # (rows, depth), falling
    fresh = np.ones((n_rows, depth), dtype=np.bool_)
    fresh[:, 1:] = top[:, 1:] != top[:, :-1]
    run = np.cumsum(fresh.ravel()) - 1
    inside = np.take_along_axis(right, first, axis=1).ravel().astype(np.float64)
    mean = (np.bincount(run, inside) / np.bincount(run))[run].reshape(n_rows, depth)
    # The last group may go on beyond the depth: it is counted over the whole row.
    last = top[:, -1:]
    level = scores == last
    share = (level & right).sum(axis=1) / level.sum(axis=1)
    mean = np.where(top == last, share[:, None], mean)
    return np.where(np.isneginf(top), 0.0, mean)


def parse_measure(name: str) -> tuple[str, int]:
    """Split ``"R@10"`` into its kind and its k; ``"MRR"`` and ``"median_rank"`` have k 0.

    Raises
    ------
    InputError
        Where no such measure exists.

    Examples
    --------
    >>> parse_measure("nDCG@10"), parse_measure("MRR")
    (('nDCG', 10), ('MRR', 0))
    """
    kind, _, k = name.partition("@")
    if kind in ("R", "P", "nDCG") and k.isdigit() and int(k) > 0:
        return kind, int(k)
    if name in ("MRR", "median_rank"):
        return name, 0
    raise InputError(
        f"no measure is called {name!r}",
        hint="there are R@k, P@k, nDCG@k, MRR and median_rank",
    )


def measure(name: str, standing: Standing) -> NDArray[np.float64]:
    """One value per query: the expectation of the measure over the orders of tied items.

    Parameters
    ----------
    name : str
        ``"R@k"``: whether a relevant item is among the first k. ``"MRR"``: reciprocal rank of the
        first relevant item. ``"median_rank"``: rank of the first relevant item. ``"P@k"``: share
        of the first k that are relevant (k is the denominator in a smaller pool too).
        ``"nDCG@k"``: binary gain, discount 1 / log2(1 + rank), against the best order.
    standing : Standing
        Each query with at least one relevant item.

    Returns
    -------
    float64 array of shape (n_queries,)
    """
    kind, k = parse_measure(name)
    if k > standing.gains.shape[1] and kind in ("P", "nDCG"):
        raise InputError(f"{name} of a ranking kept to {standing.gains.shape[1]} ranks")
    if kind == "R":
        return _hit(standing, k)
    if kind == "MRR":
        return _reciprocal_rank(standing)
    if kind == "median_rank":
        expected = standing.above + (standing.tied + 1) / (standing.tied_relevant + 1)
        return np.asarray(expected, dtype=np.float64)
    if kind == "P":
        return np.asarray(standing.gains[:, :k].sum(axis=1) / k)
    weight = discounts(k)
    best = np.cumsum(weight)[np.minimum(standing.relevant, k) - 1]
    return np.asarray(standing.gains[:, :k] @ weight / best)


def discounts(k: int) -> NDArray[np.float64]:
    """Weights 1 / log2(1 + rank) of ranks 1 to k (Järvelin and Kekäläinen 2002)."""
    return np.asarray(1.0 / np.log2(np.arange(2, k + 2)))


def _hit(standing: Standing, k: int) -> NDArray[np.float64]:
    """1 - P(no relevant item among the first k), a product of at most k factors."""
    draws = k - standing.above
    miss = np.ones(len(standing.pool))
    others = standing.tied - standing.tied_relevant
    for i in range(min(k, int(standing.tied.max(initial=0)))):
        left = np.maximum(others - i, 0) / np.maximum(standing.tied - i, 1)
        miss = np.where(i < draws, miss * left, miss)
    return np.where(draws > 0, 1.0 - miss, 0.0)


def _reciprocal_rank(standing: Standing) -> NDArray[np.float64]:
    """E[1 / (above + J)], summed over J once for each distinct tie."""
    keys = np.stack([standing.above, standing.tied, standing.tied_relevant], axis=1)
    distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
    values = np.empty(len(distinct))
    for row, (above, tied, right) in enumerate(distinct.tolist()):
        if tied == right:
            values[row] = 1.0 / (above + 1)
            continue
        j = np.arange(1, tied - right + 2)  # the ranks within the tie that J can take
        miss = (tied - right - j[:-1] + 1) / (tied - j[:-1] + 1)
        beyond = np.concatenate([[1.0], np.cumprod(miss)])  # P(J >= j)
        values[row] = np.sum(beyond * right / (tied - j + 1) / (above + j))
    return values[inverse.ravel()]
