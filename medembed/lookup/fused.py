"""Rank cases by cosine, by the agreement of what they state and by the words of notes, exactly.

The score is a weighted mean, ``(1 - b) * ((1 - w) * cosine + w * agreement) + b * words``: all
parts lie in [-1, 1], so the score does too, and with both weights 0 it is the cosine. A case's
score does not depend on which others are eligible. Every eligible case is compared, whatever the
kind of the index: a graph of cosines knows neither agreement nor words.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medembed.index import Hits, Plan, SearchIndex
from medembed.index.exact import cosine
from medembed.index.search_notes import notes_on_count
from medembed.lookup.note_words import WordMatch

__all__ = ["AGREEMENT_WEIGHT", "fused_hits"]

Floats = npt.NDArray[np.float32]

AGREEMENT_WEIGHT = 0.3
"""Chosen on validation cases: the smallest weight at which plain words are always right."""


def fused_hits(
    query: Floats,
    index: SearchIndex,
    rank: npt.NDArray[np.intp],
    agreement: Floats,
    weight: float,
    k: int,
    allowed: npt.NDArray[np.bool_] | None = None,
    words: WordMatch | None = None,
) -> Hits:
    """Find the ``k`` best cases.

    Parameters
    ----------
    query : float32 array, shape ``(1, d)``, unit row
    index : SearchIndex
    rank : int array, shape ``(n,)``
        Position of each id among the sorted ids: the order of equal scores.
    agreement : float32 array, shape ``(n,)``, in [-1, 1]
    weight : float
        Of the agreement, 0 to 1.
    k : int
    allowed : bool array, shape ``(n,)``, optional
        Eligible cases; default: all.
    words : WordMatch, optional
        How well each note matches the words of the query.
    """
    vectors, case_ids = index.vectors, index.case_ids
    rows = np.arange(len(case_ids)) if allowed is None else np.flatnonzero(allowed)
    take = min(k, rows.size)
    notes = notes_on_count(take, k)
    if take:
        gallery = vectors if allowed is None else vectors[rows]
        fast = np.float32(1 - weight) * (gallery @ query[0])
        fast += np.float32(weight) * agreement[rows]
        if words is not None:
            fast = np.float32(1 - words.weight) * fast
            fast += np.float32(words.weight) * words.shares[rows]
        # The rounding error of a fast score is at most that of its cosine and of a few more steps.
        slack = np.float32(4 * (vectors.shape[1] + 8) * 2.0**-24)
        kth = np.partition(fast, rows.size - take)[rows.size - take]
        rows = rows[fast >= kth - slack]
    exact = (1 - weight) * cosine(query[0], vectors[rows]).astype(np.float64)
    exact += weight * agreement[rows]
    if words is not None:
        exact = (1 - words.weight) * exact + words.weight * words.shares[rows]
    scores = exact.astype(np.float32)
    order = np.lexsort((rank[rows], -scores))[:take]
    names = np.array([[case_ids[row] for row in rows[order]]], dtype=object).reshape(1, take)
    n = len(case_ids) if allowed is None else int(np.count_nonzero(allowed))
    return Hits(names, scores[order][np.newaxis], Plan("exact", n, n, notes), k)
