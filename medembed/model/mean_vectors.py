"""Vectors of cases as means of their images' vectors; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["mean_vectors", "unit_rows"]

Vectors = npt.NDArray[np.float32]


def unit_rows(rows: npt.NDArray[np.floating[Any]]) -> Vectors:
    """Scale rows to norm 1.

    A row of zeros has no direction and becomes the unit row of equal values.
    """
    rows = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    flat = np.full_like(rows, 1 / math.sqrt(rows.shape[1]))
    return np.where(norms > 1e-12, rows / np.maximum(norms, 1e-12), flat).astype(np.float32)


def mean_vectors(
    vectors: Vectors, counts: Sequence[int], owners: Sequence[str] | None = None
) -> Vectors:
    """Average the images of each scan, and the scans of each case with equal weights.

    Parameters
    ----------
    vectors : float32 array ``(images, dim)``
        As the image side returns them, scan by scan.
    counts : sequence of int
        Number of images of each scan.
    owners : sequence of str, optional
        The case of each scan. None treats each scan as its own case.

    Returns
    -------
    float32 array, shape ``(n, dim)``
        Unit rows, one for each case in order of first appearance.
    """
    of_scans = _mean_unit(unit_rows(vectors), np.repeat(np.arange(len(counts)), counts))
    if owners is None:
        return of_scans
    place = {name: at for at, name in enumerate(dict.fromkeys(owners))}
    return _mean_unit(of_scans, np.array([place[name] for name in owners]))


def _mean_unit(rows: Vectors, owner: npt.NDArray[np.int64]) -> Vectors:
    """Average the rows of each owner and scale the means to norm 1."""
    sums = np.zeros((int(owner.max()) + 1, rows.shape[1]), dtype=np.float64)
    np.add.at(sums, owner, rows)
    return unit_rows(sums)
