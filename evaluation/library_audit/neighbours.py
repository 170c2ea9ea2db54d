"""Who stands among the first hits of whom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.load_cases import GatheredCases, joined, same_finding
from evaluation.retrieval.rank_statistics import ScoreRows
from evaluation.retrieval.relevance import Pairs, SameLabel

__all__ = ["cosines", "first_hits", "relevance", "reordered"]

_CELLS = 20_000_000


def relevance(cases: GatheredCases) -> tuple[Pairs, Pairs]:
    """What is relevant (a same finding on the same side), and what is left out as a copy."""
    same = _copies(cases)
    return same_finding(cases.findings, cases.findings, side=True), SameLabel(same, same)


def _copies(cases: GatheredCases) -> NDArray[np.int64]:
    """Number cases so that those with the same scan file or the same vector are one."""
    alike = np.unique(cases.images, axis=0, return_inverse=True)[1].ravel()
    return joined(
        [(f"s:{s}", f"v:{v}") for s, v in zip(cases.scans.tolist(), alike.tolist(), strict=True)]
    )


def _all_scores(cases: GatheredCases, start: int, stop: int) -> NDArray[np.float64]:
    return cases.images[start:stop].astype(np.float64) @ cases.images.T.astype(np.float64)


def first_hits(cases: GatheredCases, k: int) -> NDArray[np.int64]:
    """First hits of each case's image among the images of other patients, copies left out.

    Rows of cases, int64 of shape (n_cases, k), best first, equal scores in the order of rows; -1
    where the pool is smaller.
    """
    n = len(cases)
    same = _copies(cases)
    found = np.full((n, k), -1, dtype=np.int64)
    step = max(1, _CELLS // n)
    for start in range(0, n, step):
        stop = min(n, start + step)
        scores = _all_scores(cases, start, stop)
        for held in (cases.owners, same):
            scores[held[start:stop, None] == held[None, :]] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        there = np.take_along_axis(scores, order, axis=1) > -np.inf
        found[start:stop, : order.shape[1]] = np.where(there, order, -1)
    return found


def cosines(cases: GatheredCases, hits: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cosine of each query and hit, of the hits' shape; without meaning where there is no hit."""
    images = cases.images.astype(np.float64)
    return np.stack([images[own] @ query for own, query in zip(hits, images, strict=True)])


def reordered(cases: GatheredCases, lists: NDArray[np.int64]) -> ScoreRows:
    """Scores that put lists like :func:`first_hits` first, and all others after them by cosine.

    They are as :func:`evaluation.retrieval.tasks.image_to_image` takes them.
    """
    depth = lists.shape[1]

    def rows(start: int, stop: int) -> NDArray[np.floating]:
        scores = _all_scores(cases, start, stop)
        for place in range(depth):
            hit = lists[start:stop, place]
            there = np.flatnonzero(hit >= 0)
            scores[there, hit[there]] = 2.0 + depth - place  # above any cosine
        return scores

    return rows
