"""The sentences of a report that carry a score; imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from medembed.attribution.faithfulness import ScoreOfKept, sorted_into
from medembed.model.report_text import sentences

if TYPE_CHECKING:
    from medembed.model.dual_encoder import DualEncoder
    from medembed.notes import Note

__all__ = ["FEWEST_SENTENCES", "MOST_SENTENCES", "order_controls", "score_of_sentences", "spans_of"]

Floats: TypeAlias = npt.NDArray[np.float64]

FEWEST_SENTENCES = 3
"""With two, a map can only be right or wrong by chance."""
MOST_SENTENCES = 40
_N_RANDOM = 7


def spans_of(note: Note) -> list[tuple[int, int]]:
    """Return the spans of the first :data:`MOST_SENTENCES` sentences that a model reads."""
    return list(sentences(note))[:MOST_SENTENCES]


def score_of_sentences(
    model: DualEncoder,
    texts: list[str],
    score: Callable[[npt.NDArray[np.float32]], Floats],
) -> ScoreOfKept:
    """Return the score of a report as a function of its sentences that are kept."""

    def of_kept(kept: npt.NDArray[np.bool_]) -> Floats:
        joined = [" ".join(np.array(texts, dtype=object)[row]) for row in kept]
        return score(model.encode_notes(joined))

    return of_kept


def order_controls(weights: Floats, seed: int = 0) -> dict[str, list[Floats]]:
    """Return the same weights in other orders: at random, and largest first.

    Returns
    -------
    dict of str to list of float64 array ``(n,)``
        ``"random"`` and ``"first"``: a report's first sentences are its impression.
    """
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(weights)) for _ in range(_N_RANDOM)]
    return {
        "random": [sorted_into(weights, order) for order in orders],
        "first": [sorted_into(weights, np.arange(len(weights)))],
    }
