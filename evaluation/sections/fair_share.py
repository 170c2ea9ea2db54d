"""What each item of a gallery was shown, and what it would be due; sums for groups of items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.relevance import Pairs
from medembed.errors import InputError

__all__ = ["Dues", "dues", "sight"]

_CELLS = 2_000_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Dues:
    """Exposure given and due.

    Parameters
    ----------
    given, archive : float64 arrays of shape (n_items,)
        Weight that the item got; that it would get were its pools ranked at random.
    relevance : float64 array of shape (n_items,) or None
        That it would get were relevant items of a query alike, and the others alike.
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


def sight(hits: Ints, discount: Literal["log", "none"]) -> Floats:
    r"""Weight of each hit: :math:`1/\log_2(1 + r)` at rank r, or 1; 0 where there is no hit.

    Examples
    --------
    >>> sight(np.array([[4, 2, -1]]), "log").round(3)
    array([[1.   , 0.631, 0.   ]])
    """
    if discount not in ("log", "none"):
        raise InputError("a discount is log or none")
    ranks = np.arange(1, hits.shape[1] + 1)
    weight = 1 / np.log2(1 + ranks) if discount == "log" else np.ones(len(ranks))
    return np.where(hits >= 0, weight, 0.0)


def dues(
    hits: Ints,
    weights: Floats,
    member: Floats,
    asking: Ints,
    holding: Ints,
    *,
    leave_out_own: bool = True,
    relevant: Pairs | None = None,
    excluded: Pairs | None = None,
) -> Dues:
    """Add up what was given and what was due.

    Parameters
    ----------
    hits : int array of shape (n_queries, k)
        -1 where there was none.
    weights : float64 array of shape (n_queries, k)
    member : float64 array of shape (n_items, n_groups)
        1 where the item belongs to the group.
    asking, holding : int arrays of shape (n_queries,) and (n_items,)
        Patients, from 0.
    leave_out_own : bool
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
    held = hits >= 0
    if not held.any():
        raise InputError("no query has a hit")
    if leave_out_own and (held & (holding[hits] == asking[:, None])).any():
        raise InputError(
            "a hit of the query's own patient",
            hint="leave the own patient out of the search, or say leave_out_own=False",
        )
    given = np.bincount(hits[held], weights[held], n_items).astype(np.float64)
    query_given = np.zeros((n_queries, member.shape[1]))
    for rank in range(hits.shape[1]):
        query_given += weights[:, [rank]] * member[hits[:, rank]]  # weight 0 where there is none
    if relevant is None and excluded is None:
        archive, share = _at_once(weights.sum(axis=1), member, asking, holding, leave_out_own)
        return Dues(given, archive, None, query_given, None, share)
    found = _block_by_block(
        hits, weights, member, asking, holding, leave_out_own, relevant, excluded
    )
    return Dues(given, found[0], found[1], query_given, found[3], found[2])


def _at_once(
    total: Floats, member: Floats, asking: Ints, holding: Ints, leave_out_own: bool
) -> tuple[Floats, Floats]:
    """Only the own patient is left out: its items are few, and subtracted."""
    n = int(max(asking.max(), holding.max())) + 1
    own_items = np.bincount(holding, minlength=n) * float(leave_out_own)
    own_member = float(leave_out_own) * np.stack(
        [np.bincount(holding, column, n) for column in member.T], axis=1
    )
    pool = len(holding) - own_items[asking]
    if (pool <= 0).any():
        raise InputError("a query without a pool")
    share = (member.sum(axis=0) - own_member[asking]) / pool[:, None]
    each = total / pool
    lost = np.bincount(asking, each, n) * float(leave_out_own)
    return each.sum() - lost[holding], share


def _block_by_block(
    hits: Ints,
    weights: Floats,
    member: Floats,
    asking: Ints,
    holding: Ints,
    leave_out_own: bool,
    relevant: Pairs | None,
    excluded: Pairs | None,
) -> tuple[Floats, Floats | None, Floats, Floats | None]:
    n_queries, n_items = len(asking), len(holding)
    archive, by_relevance = np.zeros(n_items), np.zeros(n_items)
    share, query_relevance = np.zeros((2, n_queries, member.shape[1]))
    step = max(1, _CELLS // n_items)
    for start in range(0, n_queries, step):
        rows = slice(start, min(start + step, n_queries))
        pool = np.ones((rows.stop - start, n_items), dtype=np.bool_)
        if leave_out_own:
            pool = asking[rows, None] != holding[None, :]
        if excluded is not None:
            pool &= ~excluded.rows(rows.start, rows.stop)
        here, w = hits[rows], weights[rows]
        line = np.arange(len(here))[:, None]
        if ((here >= 0) & ~pool[line, here]).any():
            raise InputError("a hit that was excluded from its query's pool")
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
    if relevant is None:
        return archive, None, share, None
    return archive, by_relevance, share, query_relevance
