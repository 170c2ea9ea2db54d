"""What each item of a gallery was shown, what it would be due, and groups handed around."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.relevance import Pairs
from medembed.errors import InputError

__all__ = ["Dues", "dues", "hand_around", "sight"]

_CELLS = 2_000_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Dues:
    """Exposure given and due.

    Parameters
    ----------
    given, archive, relevance : float64 arrays of shape (n_items,); the last or None
        Weight that the item got; that it would get were its pools ranked at random; and were
        relevant items of a query alike, and the others alike.
    query_given, query_relevance : float64 arrays of shape (n_queries, n_groups); the latter or None
        The same for each query, over the items of each group.
    pool_share : float64 array of shape (n_queries, n_groups)
        Of the query's pool.
    """

    given: Floats
    archive: Floats
    relevance: Floats | None
    query_given: Floats
    query_relevance: Floats | None
    pool_share: Floats


def sight(hits: Ints) -> Floats:
    r"""Weight of each hit: :math:`1/\log_2(1 + r)` at rank r; 0 where there is no hit.

    Examples
    --------
    >>> sight(np.array([[4, 2, -1]])).round(3)
    array([[1.   , 0.631, 0.   ]])
    """
    return np.where(hits >= 0, 1 / np.log2(2 + np.arange(hits.shape[1])), 0.0)


def dues(
    hits: Ints,
    member: Floats,
    asking: Ints,
    holding: Ints,
    *,
    relevant: Pairs | None = None,
    excluded: Pairs | None = None,
) -> Dues:
    """Add up what was given and what was due; a query's own patient is not in its pool.

    Parameters
    ----------
    hits : int array of shape (n_queries, k)
        -1 where there was none.
    member : float64 array of shape (n_items, n_groups)
        1 where the item belongs to the group.
    asking, holding : int arrays of shape (n_queries,) and (n_items,)
        Patients, from 0.
    relevant, excluded : Pairs, optional

    Raises
    ------
    InputError
        Where a hit is no item of its query's pool, or is there twice.
    """
    n_queries, n_items = len(asking), len(holding)
    if hits.ndim != 2 or len(hits) != n_queries or not np.issubdtype(hits.dtype, np.integer):
        raise InputError("hits are whole numbers, one row for each query")
    if hits.size and (hits.max() >= n_items or hits.min() < -1):
        raise InputError(f"a hit outside the gallery of {n_items}")
    ranked = np.sort(hits, axis=1)
    if ((ranked[:, 1:] == ranked[:, :-1]) & (ranked[:, 1:] >= 0)).any():
        raise InputError("an item that is twice among the hits of a query")
    held, weights = hits >= 0, sight(hits)
    if not held.any():
        raise InputError("no query has a hit")
    query_given = np.zeros((n_queries, member.shape[1]))
    for rank in range(hits.shape[1]):
        query_given += weights[:, [rank]] * member[hits[:, rank]]  # weight 0 where there is none
    archive, by_relevance = np.zeros((2, n_items))
    share, query_relevance = np.zeros((2, n_queries, member.shape[1]))
    step = max(1, _CELLS // n_items)
    for start in range(0, n_queries, step):
        rows = slice(start, min(start + step, n_queries))
        here, w = hits[rows], weights[rows]
        pool = asking[rows, None] != holding[None, :]
        if excluded is not None:
            pool &= ~excluded.rows(rows.start, rows.stop)
        line = np.arange(len(here))[:, None]
        if ((here >= 0) & ~pool[line, here]).any():
            raise InputError("a hit outside its query's pool: of the own patient, or excluded")
        size = pool.sum(axis=1)
        if (size == 0).any():
            raise InputError("a query without a pool")
        inside = pool.astype(np.float64)
        of_groups = inside @ member
        share[rows] = of_groups / size[:, None]
        archive += (w.sum(axis=1) / size) @ inside
        if relevant is not None:
            good = relevant.rows(rows.start, rows.stop) & pool
            to_good = (w * good[line, here]).sum(axis=1)
            n_good = good.sum(axis=1)
            each_good = to_good / np.maximum(n_good, 1)
            each_other = (w.sum(axis=1) - to_good) / np.maximum(size - n_good, 1)
            extra = each_good - each_other
            chosen = good.astype(np.float64)
            by_relevance += extra @ chosen + each_other @ inside
            query_relevance[rows] = (
                extra[:, None] * (chosen @ member) + each_other[:, None] * of_groups
            )
    given = np.bincount(hits[held], weights[held], n_items).astype(np.float64)
    if relevant is None:
        return Dues(given, archive, None, query_given, None, share)
    return Dues(given, archive, by_relevance, query_given, query_relevance, share)


def hand_around(
    residual: Floats, due: Floats, group: Ints, n_groups: int, permutations: int, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Test each group's sum of residuals by handing the groups around among like expectations.

    Parameters
    ----------
    residual, due : float64 arrays of shape (n_cells,)
        Given less due, and due, of each patient (of each of its groups). Strata are tenths of
        ``due``, 20 cells or more to a tenth.
    group : int array of shape (n_cells,)
    n_groups, permutations, seed : int

    Returns
    -------
    p, low, high : float64 arrays of shape (n_groups,)
        Two-sided p, and where 95% of the permuted ratios of given to due lie.
    """
    bins = max(1, min(10, len(due) // 20))
    edges = np.unique(np.quantile(due, np.linspace(0, 1, bins + 1)[1:-1]))
    stratum = np.searchsorted(edges, due)
    member = np.eye(n_groups)[group]  # (cells, groups)
    places = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    centre = np.zeros(n_groups)
    for place in places:
        centre += residual[place].mean() * member[place].sum(axis=0)
    rng = np.random.default_rng([seed, 0x657870])
    step = max(1, _CELLS // len(residual))
    draws = np.zeros((permutations, n_groups))
    for start in range(0, permutations, step):
        sums = draws[start : start + step]
        for place in places:
            table = np.broadcast_to(residual[place], (len(sums), len(place)))
            sums += rng.permuted(table, axis=1) @ member[place]
    seen = np.abs(residual @ member - centre)
    beyond = (np.abs(draws - centre) >= seen - 1e-9 * np.abs(residual).sum()).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = 1 + np.quantile(draws, [0.025, 0.975], axis=0) / (due @ member)
    return (1 + beyond) / (1 + permutations), low, high
