"""Retrieval measures on validation patients during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["first_relevant_ranks", "retrieval_summary"]

Floats = npt.NDArray[np.float32]


def first_relevant_ranks(scores: Floats, relevant: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the rank of each query's first relevant item, from 1; ties count against it.

    Parameters
    ----------
    scores : array ``(queries, items)``
    relevant : bool array ``(queries, items)``
        At least one per row.
    """
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    ahead = (scores >= best) & ~relevant
    return np.asarray(ahead.sum(axis=1) + 1, dtype=np.int64)


def retrieval_summary(images: Floats, notes: Floats, texts: Sequence[str]) -> dict[str, float]:
    """Return R@10 and MRR of the matching note and image; identical notes all count as relevant.

    Parameters
    ----------
    images, notes : unit float32 arrays ``(n, dim)``
    texts : sequence of str
        The notes.

    Returns
    -------
    dict
        ``image_to_text_R@10``, ``image_to_text_MRR``, the same with ``text_to_image``, and
        ``pool``.
    """
    words = np.array([" ".join(text.lower().split()) for text in texts], dtype=object)
    relevant = words[:, None] == words[None, :]
    scores = images @ notes.T
    out: dict[str, float] = {}
    for name, table in (("image_to_text", scores), ("text_to_image", scores.T)):
        ranks = first_relevant_ranks(table, relevant)
        out[f"{name}_R@10"] = float((ranks <= 10).mean())
        out[f"{name}_MRR"] = float((1 / ranks).mean())
    out["pool"] = float(len(words))
    return out
