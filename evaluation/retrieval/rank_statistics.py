r"""Ranks of the relevant items of each query, with ties at their expected value.

A ranking with ties is all orders of the tied items, each equally likely. If ``above`` items score
higher than the best relevant one, ``tied`` (t) the same, and ``tied_relevant`` (r) of these are
relevant, the first relevant item has rank ``above + J``, J the least of r ranks out of t, with

.. math:: P(J > j) = \binom{t-r}{j} \Big/ \binom{t}{j}, \qquad E[J] = \frac{t+1}{r+1}.

References
----------
McSherry and Najork, *Computing information retrieval performance measures efficiently in the
presence of tied scores*, ECIR 2008; Järvelin and Kekäläinen, ACM TOIS 20(4), 2002 (nDCG).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.relevance import Pairs
from medembed.errors import InputError

__all__ = ["RankStatistics", "ScoreRows", "depth_of", "measure", "rank"]

ScoreRows = Callable[[int, int], NDArray[np.floating]]
"""Called with (start, stop): scores of those queries against all items, higher is nearer, a new
array of shape ``(stop - start, n_items)``."""

_CELLS = 4_000_000
"""Scores held at once: 16 MB of float32, and some 60 MB of masks and places beside it."""


@dataclass(frozen=True)
class RankStatistics:
    """What the measures of each query are computed from.

    Parameters
    ----------
    pool, relevant : int arrays of shape (n_queries,)
        Items that the query was ranked against, after exclusions; relevant ones among them.
    above, tied, tied_relevant : int arrays of shape (n_queries,)
        See the module. Without meaning if ``relevant`` is 0; ``tied`` is 0 if no relevant item was
        retrieved.
    hits, gains, best_gains : float64 arrays of shape (n_queries, depth)
        Expected relevance, 0 to 1, and expected grade (the same if relevance is yes or no) at ranks
        1 to ``depth``; the highest grades of the pool, falling.
    mean_gain : float64 array of shape (n_queries,)
        Mean grade of the pool.
    """

    pool: NDArray[np.int64]
    relevant: NDArray[np.int64]
    above: NDArray[np.int64]
    tied: NDArray[np.int64]
    tied_relevant: NDArray[np.int64]
    hits: NDArray[np.float64]
    gains: NDArray[np.float64]
    best_gains: NDArray[np.float64]
    mean_gain: NDArray[np.float64]

    def of_answerable(self) -> tuple[NDArray[np.int64], RankStatistics]:
        """Queries that have a relevant item, and the same for these; InputError without any."""
        kept = np.flatnonzero(self.relevant > 0)
        if not len(kept):
            raise InputError("no query has a relevant item", hint="nothing can be measured here")
        return kept, RankStatistics(*(getattr(self, part.name)[kept] for part in fields(self)))

    def at_chance(self) -> RankStatistics:
        """The same queries ranked at random: every item of the pool tied with every other."""
        inside = np.arange(self.hits.shape[1])[None, :] < self.pool[:, None]
        share = self.relevant / np.maximum(self.pool, 1)
        return replace(
            self,
            above=np.zeros_like(self.above),
            tied=self.pool,
            tied_relevant=self.relevant,
            hits=np.where(inside, share[:, None], 0.0),
            gains=np.where(inside, self.mean_gain[:, None], 0.0),
        )


def rank(
    score_rows: ScoreRows,
    relevant: Pairs,
    excluded: Mapping[str, Pairs] | None = None,
    *,
    depth: int = 10,
    min_grade: float = 0.0,
    truncated: bool = False,
    cells: int = _CELLS,
) -> tuple[RankStatistics, dict[str, int]]:
    """Rank each query's pool, a block of ``cells`` scores at a time.

    Parameters
    ----------
    score_rows : callable of (start, stop)
        See :data:`ScoreRows`. The array is written into.
    relevant : Pairs
    excluded : mapping of str to Pairs, optional
        Reasons to leave an item out of a pool; one with several counts under the first.
    depth : int
        Ranks to keep in ``hits`` and ``gains``.
    min_grade : float
        Smallest grade that counts as relevant, if there are grades; any above 0 by default.
    truncated : bool
        Whether items may score -inf: not retrieved. Scores are then not checked here.

    Returns
    -------
    statistics : RankStatistics
    n_excluded : dict of str to int
        Pairs of query and item left out, by reason.
    """
    n_queries, n_items = relevant.shape
    excluded = excluded or {}
    n_excluded = dict.fromkeys(excluded, 0)
    step = max(1, cells // max(1, n_items))
    kept = min(depth, n_items)
    blocks = []
    for start in range(0, max(1, n_queries), step):
        stop = min(start + step, n_queries)
        scores = score_rows(start, stop)
        if not truncated and not np.isfinite(scores).all():
            raise InputError("scores that are not finite numbers")
        grades = relevant.rows(start, stop)
        out = np.zeros(grades.shape, dtype=np.bool_)
        for reason, pairs in excluded.items():
            fresh = pairs.rows(start, stop) & ~out
            n_excluded[reason] += int(fresh.sum())
            out |= fresh
        scores[out] = -np.inf
        grades[out] = 0
        binary = grades.dtype == np.bool_
        right = grades if binary else (grades > 0) & (grades >= min_grade)
        pool, wanted = n_items - out.sum(axis=1), right.sum(axis=1)
        best = np.max(scores, axis=1, where=right, initial=-np.inf, keepdims=True)
        level = (scores == best) & (best > -np.inf)
        places = (scores > best).sum(axis=1), level.sum(axis=1), (level & right).sum(axis=1)
        hits, gains, best_gains = np.zeros((3, len(scores), depth))
        if kept:
            hits[:, :kept] = _expected(scores, right, kept)
            gains[:, :kept] = hits[:, :kept] if binary else _expected(scores, grades, kept)
            best_gains[:, :kept] = (
                np.arange(kept) < wanted[:, None]
                if binary
                else -np.sort(np.partition(-grades, kept - 1, axis=1)[:, :kept], axis=1)
            )
        mean_gain = grades.sum(axis=1) / np.maximum(pool, 1)
        blocks.append((pool, wanted, *places, hits, gains, best_gains, mean_gain))
    return RankStatistics(*map(np.concatenate, zip(*blocks, strict=True))), n_excluded


def _expected(
    scores: NDArray[np.floating], values: NDArray[np.floating] | NDArray[np.bool_], depth: int
) -> NDArray[np.float64]:
    """Mean value of the tie group that each of the first ranks falls into; 0 past the last item."""
    n_rows, n_items = scores.shape
    first = np.argpartition(scores, n_items - depth, axis=1)[:, n_items - depth :]
    order = np.argsort(-np.take_along_axis(scores, first, axis=1), axis=1, kind="stable")
    first = np.take_along_axis(first, order, axis=1)
    top = np.take_along_axis(scores, first, axis=1)  # (rows, depth), falling
    fresh = np.ones((n_rows, depth), dtype=np.bool_)
    fresh[:, 1:] = top[:, 1:] != top[:, :-1]
    run = np.cumsum(fresh.ravel()) - 1
    inside = np.take_along_axis(values, first, axis=1).ravel().astype(np.float64)
    mean = (np.bincount(run, inside) / np.bincount(run))[run].reshape(n_rows, depth)
    # The last group may extend beyond the depth: it is counted over the whole row.
    last = top[:, -1:]
    level = scores == last
    share = (level * values).sum(axis=1) / level.sum(axis=1)
    mean = np.where(top == last, share[:, None], mean)
    return np.where(np.isneginf(top), 0.0, mean)


def _parse(name: str) -> tuple[str, int]:
    """Split ``"R@10"`` into its kind and its k; ``"MRR"`` and ``"median_rank"`` have k 0."""
    kind, _, k = name.partition("@")
    if kind in ("R", "Recall", "P", "nDCG") and k.isdigit() and int(k) > 0:
        return kind, int(k)
    if name in ("MRR", "median_rank"):
        return name, 0
    raise InputError(
        f"no measure is called {name!r}",
        hint="choose from R@k, Recall@k, P@k, nDCG@k, MRR and median_rank",
    )


def depth_of(measures: Sequence[str]) -> int:
    """Ranks that these measures look at item by item."""
    parsed = [_parse(name) for name in measures]
    return max((k for kind, k in parsed if kind in ("P", "Recall", "nDCG")), default=0)


def measure(name: str, statistics: RankStatistics) -> NDArray[np.float64]:
    """One value per query: the expectation of the measure over the orders of tied items.

    Parameters
    ----------
    name : str
        ``"R@k"``: whether a relevant item is among the first k (hit rate, Success@k).
        ``"Recall@k"``: share of the relevant items that are among the first k. ``"MRR"`` and
        ``"median_rank"``: reciprocal rank and rank of the first relevant item. ``"P@k"``: share of
        the first k that are relevant (over k in a smaller pool too). ``"nDCG@k"``: the grade as
        gain, discount 1 / log2(1 + rank), against the best order.
    statistics : RankStatistics
        Each query with at least one relevant item.

    Returns
    -------
    float64 array of shape (n_queries,)
        0 if no relevant item was retrieved, except that ``median_rank`` is then infinite.
    """
    kind, k = _parse(name)
    if kind == "R":
        return _hit(statistics, k)
    if kind == "MRR":
        return _reciprocal_rank(statistics)
    if kind == "median_rank":
        expected = statistics.above + (statistics.tied + 1) / (statistics.tied_relevant + 1)
        return np.where(statistics.tied > 0, expected, np.inf)
    if k > statistics.hits.shape[1]:
        raise InputError(f"{name} of a ranking kept to {statistics.hits.shape[1]} ranks")
    if kind == "nDCG":
        weight = 1.0 / np.log2(np.arange(2, k + 2))
        best = np.cumsum(statistics.best_gains[:, :k] * weight, axis=1)[:, -1]
        return np.asarray(statistics.gains[:, :k] @ weight / best)
    of = k if kind == "P" else statistics.relevant
    return np.asarray(statistics.hits[:, :k].sum(axis=1) / of)


def _hit(statistics: RankStatistics, k: int) -> NDArray[np.float64]:
    """1 - P(no relevant item among the first k), a product of at most k factors."""
    draws = np.where(statistics.tied > 0, k - statistics.above, 0)
    miss = np.ones(len(statistics.pool))
    others = statistics.tied - statistics.tied_relevant
    for i in range(min(k, int(statistics.tied.max(initial=0)))):
        left = np.maximum(others - i, 0) / np.maximum(statistics.tied - i, 1)
        miss = np.where(i < draws, miss * left, miss)
    return np.where(draws > 0, 1.0 - miss, 0.0)


def _reciprocal_rank(statistics: RankStatistics) -> NDArray[np.float64]:
    """E[1 / (above + J)], summed over J once for each distinct tie."""
    keys = np.stack([statistics.above, statistics.tied, statistics.tied_relevant], axis=1)
    distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
    values = np.empty(len(distinct))
    for row, (above, tied, right) in enumerate(distinct.tolist()):
        if tied == right:
            values[row] = 1.0 / (above + 1) if tied else 0.0
            continue
        j = np.arange(1, tied - right + 2)  # the ranks within the tie that J can take
        miss = (tied - right - j[:-1] + 1) / (tied - j[:-1] + 1)
        beyond = np.concatenate([[1.0], np.cumprod(miss)])  # P(J >= j)
        values[row] = np.sum(beyond * right / (tied - j + 1) / (above + j))
    return values[inverse.ravel()]
