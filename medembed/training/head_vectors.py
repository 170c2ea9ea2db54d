"""Vectors of several heads: their spread, and how they become one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from medembed.training.cohort import TrainingCohort

__all__ = ["fused", "spreads"]

Vectors = npt.NDArray[np.float32]


def spreads(vectors: Sequence[tuple[Vectors, Vectors]], cohort: TrainingCohort) -> list[float]:
    """Return the spread of each head's cosines of images with notes of other patients.

    Parameters
    ----------
    vectors : sequence of (array, array)
        Of each head, those of the images and of the notes ``(n, dim)`` of the first cases.
    cohort : TrainingCohort
    """
    labels = cohort.pool_labels
    found = []
    for images, notes in vectors:
        n = len(notes)
        owners, texts = labels.owners[:n], labels.notes[:n]
        other = (owners[:, None] != owners[None]) & (texts[:, None] != texts[None])
        cosines = (_unit(images) @ notes.T)[other]
        found.append(max(float(cosines.std()) if len(cosines) else 0.0, 1e-6))
    return found


def fused(
    weights: Sequence[float], vectors: Sequence[tuple[Vectors, Vectors]]
) -> tuple[Vectors, Vectors]:
    """Return the fused unit vectors of images and notes, as :mod:`medembed.model.heads` does."""
    sides = [
        np.concatenate(
            [math.sqrt(w) * of_head[side] for w, of_head in zip(weights, vectors, strict=True)],
            axis=1,
        )
        for side in (0, 1)
    ]
    return _unit(sides[0]), _unit(sides[1])


def _unit(rows: Vectors) -> Vectors:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
