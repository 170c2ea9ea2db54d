"""How many of the nearest cases a graph finds, measured on vectors of the library.

Each vector asks as a query would: among all cases, with its own patient left out, with its nearest
300 cases left out, and among a random half. The search is the one that answers later, with its
rules for when to compare all cases, so a filter under which it does so loses nothing.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from medembed.index.exact import best_rows
from medembed.index.first_pass import FirstPass
from medembed.index.hits import LeftOut, Recall
from medembed.index.searching import search_snapshot
from medembed.index.snapshot import Snapshot

__all__ = ["K", "measured_recalls", "own_queries"]

K = 10
"""Hits of a query in a measurement."""
_NEAREST = 300
_OWN = 4
_MOST_QUERIES = 1000
_FEWEST_QUERIES = 50
_SHARE = 0.05
"""Share of the cases that ask: measuring must cost less than making the graph."""
_FEW = 100
"""Queries under filters that lead to comparing all cases."""
_SEED = 20_261
_Z = 1.959964

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Codes = Callable[[Snapshot], FirstPass | None]


def own_queries(state: Snapshot, most: int | None = None) -> Floats:
    """Return vectors of cases as queries, shape ``(q, d)``, always the same ones."""
    n = len(state)
    wanted = most or max(_FEWEST_QUERIES, min(_MOST_QUERIES, int(_SHARE * n)))
    chosen = np.random.default_rng(_SEED).choice(n, min(n, wanted), replace=False)
    rows = chosen if state.kept is None else state.kept[chosen]
    queries: Floats = state.rows[np.sort(rows)]
    return queries


def measured_recalls(
    state: Snapshot, queries: Floats, asked: Literal["scans", "notes"], codes: Codes
) -> tuple[Recall, ...]:
    """Compare the hits of a snapshot with those of an exact search.

    A hit counts as found if its exact score is at least that of the k-th nearest case: of cases
    with equal vectors, any will do.

    Parameters
    ----------
    state : Snapshot
        With a graph.
    queries : float32 array, shape ``(q, d)``, unit rows
        At least one.
    asked : {"scans", "notes"}
        Whose vectors they are.
    codes : callable
        As ``first_pass`` of :func:`medembed.index.searching.search_snapshot`.

    Returns
    -------
    tuple of Recall
        One for each :class:`LeftOut` that leaves cases to be found.
    """
    depth = min(len(state), _NEAREST + K)
    rows, scores = best_rows(queries, state.rows, state.ids, depth, state.alive)
    lock = threading.RLock()
    everything = np.ones(state.n_rows, dtype=bool) if state.alive is None else state.alive

    def found(which: Rows, mask: Mask | None, kth: Floats) -> tuple[list[float], int]:
        """Return the share found by each query, and how many queries are not exact."""
        hits = search_snapshot(state, queries[which], K, mask, codes, lock)
        shares = (hits.scores >= kth[:, np.newaxis]).mean(axis=1)
        return shares.tolist(), len(which) if hits.plan.method == "ann" else 0

    def without_nearest(count: int, which: Rows) -> tuple[list[float], int]:
        shares, n_approximate = [], 0
        for query in which:
            mask = everything.copy()
            mask[rows[query, :count]] = False
            kth = scores[query, min(count + K, depth) - 1]
            one, approximate = found(np.array([query]), mask, np.array([kth]))
            shares += one
            n_approximate += approximate
        return shares, n_approximate

    def within_half(which: Rows) -> tuple[list[float], int]:
        mask = everything & (np.random.default_rng(_SEED).random(state.n_rows) < 0.5)
        left = min(K, int(mask.sum()))
        if not left:
            return [], 0
        _, best = best_rows(queries[which], state.rows, state.ids, left, mask)
        return found(which, mask, best[:, -1])

    every = np.arange(len(queries), dtype=np.intp)
    few = every[:: max(1, -(-len(every) // _FEW))]
    measured = {
        LeftOut.NOTHING: found(every, None, scores[:, min(K, depth) - 1]),
        LeftOut.OWN_PATIENT: without_nearest(_OWN, every) if depth > _OWN else ([], 0),
        LeftOut.NEAREST: without_nearest(_NEAREST, few) if depth > _NEAREST else ([], 0),
        LeftOut.HALF: within_half(few),
    }
    return tuple(
        _recall(asked, left_out, shares, n_approximate)
        for left_out, (shares, n_approximate) in measured.items()
        if shares
    )


def _recall(
    asked: Literal["scans", "notes"], left_out: LeftOut, shares: list[float], n_approximate: int
) -> Recall:
    n = len(shares)
    if not n_approximate:
        return Recall(asked, left_out, "exact", 1.0, 1.0, 1.0, n, K)
    share = float(np.mean(shares))
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    low, high = max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
    return Recall(asked, left_out, "ann", share, low, high, n, K)
