"""When a query can be judged as novel, and its best score in the whole library."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.index import LibraryIndex, QueryKind
from medembed.lookup.messages import Novelty, NoveltyReason
from medembed.lookup.query import Query

__all__ = ["NoveltyAnswer", "judge", "unjudged"]


class NoveltyAnswer(NamedTuple):
    """Answer of the novelty check.

    Parameters
    ----------
    state : Novelty
    reason : NoveltyReason
        Why it is unknown; NONE if it is not.
    best, threshold : float or None
        The two scores compared.
    """

    state: Novelty
    reason: NoveltyReason
    best: float | None
    threshold: float | None


def _query_kind(query: Query) -> QueryKind | None:
    """Return the kind of query that a threshold is for; None for another mixture."""
    parts = {name for name, weight in query.weights.items() if weight}
    if "vector" in parts:  # it may be of an image or of a text
        return None
    if parts == {"text"}:
        return "text"
    if len(parts) == 1:
        return "image"
    equal = len(set(query.weights.values())) == 1
    return "both" if len(parts) == 2 and "text" in parts and equal else None


def unjudged(query: Query, index: LibraryIndex) -> NoveltyReason:
    """Return why the novelty check does not apply to this query; NONE if it does."""
    kind = _query_kind(query)
    if kind is None:
        return NoveltyReason.MIXTURE if query.vector is None else NoveltyReason.VECTOR
    if kind not in index.novelty.thresholds:
        return NoveltyReason.FEW_CASES
    if kind != "image" and len((query.text or "").split()) < index.novelty.fewest_words:
        return NoveltyReason.SHORT_TEXT
    return NoveltyReason.NONE


def judge(
    query: Query,
    index: LibraryIndex,
    vector: npt.NDArray[np.float32],
    others: npt.NDArray[np.bool_] | None,
) -> NoveltyAnswer:
    """Compare the best cosine in the whole library, conditions aside, with its threshold.

    Parameters
    ----------
    query : Query
    index : LibraryIndex
    vector : float32 array, shape ``(1, d)``
    others : bool array, shape ``(n,)``, optional
        Cases of other patients.
    """
    kind = _query_kind(query)
    threshold = index.novelty.thresholds.get(kind) if kind else None
    reason = unjudged(query, index)
    if reason or threshold is None:
        return NoveltyAnswer(Novelty.UNKNOWN, reason, None, threshold)
    scores = index.index.search(vector, 1, others).scores
    if not scores.size:
        return NoveltyAnswer(Novelty.UNKNOWN, NoveltyReason.NO_OTHER_PATIENTS, None, threshold)
    best = float(scores[0, 0])
    state = Novelty.NOVEL if best < threshold else Novelty.FAMILIAR
    return NoveltyAnswer(state, NoveltyReason.NONE, best, threshold)
