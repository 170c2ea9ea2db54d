"""Who stands among the first hits of whom."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.load_cases import LoadedCases as GatheredCases
from evaluation.retrieval.load_cases import joined, same_finding
from evaluation.retrieval.relevance import Pairs, SameLabel

__all__ = ["copies", "first_hits", "relevance", "reordered"]

_CELLS = 20_000_000


def copies(cases: GatheredCases) -> NDArray[np.int64]:
    """Number cases so that those with the same scan file or the same vector are one."""
    alike = np.unique(cases.images, axis=0, return_inverse=True)[1].ravel()
    return joined(
        [(f"s:{s}", f"v:{v}") for s, v in zip(cases.scans.tolist(), alike.tolist(), strict=True)]
    )


def first_hits(cases: GatheredCases, k: int) -> NDArray[np.int64]:
    """First hits of each case's image among the images of other patients.

    Parameters
    ----------
    cases : GatheredCases
    k : int

    Returns
    -------
    int64 array of shape (n_cases, k)
        Rows of cases, best first, equal scores in the order of rows; -1 where the pool is smaller.
    """
    n = len(cases)
    same = copies(cases)
    depth = min(k, n)
    found = np.full((n, k), -1, dtype=np.int64)
    step = max(1, _CELLS // n)
    for start in range(0, n, step):
        stop = min(n, start + step)
        scores = cases.images[start:stop].astype(np.float64) @ cases.images.T.astype(np.float64)
        barred = cases.owners[start:stop, None] == cases.owners[None, :]
        barred |= same[start:stop, None] == same[None, :]
        scores[barred] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        there = np.take_along_axis(scores, order, axis=1) > -np.inf
        found[start:stop, :depth] = np.where(there, order, -1)
    return found


def reordered(
    cases: GatheredCases, lists: NDArray[np.int64]
) -> Callable[[int, int], NDArray[np.floating]]:
    """Scores that put these hits first, in this order, and all others after them by cosine.

    Parameters
    ----------
    cases : GatheredCases
    lists : int array of shape (n_cases, k)
        Rows of cases, the first hit first; -1 where a list is shorter.

    Returns
    -------
    callable of (start, stop)
        As :func:`evaluation.retrieval.tasks.image_to_image` takes them.
    """
    depth = lists.shape[1]

    def rows(start: int, stop: int) -> NDArray[np.floating]:
        scores = cases.images[start:stop].astype(np.float64) @ cases.images.T.astype(np.float64)
        for place in range(depth):
            hit = lists[start:stop, place]
            there = np.flatnonzero(hit >= 0)
            scores[there, hit[there]] = 2.0 + depth - place  # above any cosine
        return scores

    return rows


def relevance(cases: GatheredCases) -> tuple[Pairs, Pairs]:
    """What is relevant (a same finding on the same side), and what is left out as a copy."""
    held = copies(cases)
    return same_finding(cases.findings, cases.findings, side=True), SameLabel(held, held)
