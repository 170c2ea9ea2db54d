"""What a score loses when a cell of the encoder's features shows what others show there.

A gray square has edges, which an encoder reads as something; a cell of its features has none. So
the cell of one image is replaced by the mean of other images at the same place, and only the small
network behind the features runs again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from medembed.errors import ModelError
from medembed.model.feature_head import feature_grid

if TYPE_CHECKING:
    from medembed.attribution.case_images import CaseImages

__all__ = ["UsualFeatures", "feature_losses", "feature_places"]

Floats: TypeAlias = npt.NDArray[np.float64]
Vectors: TypeAlias = npt.NDArray[np.float32]

UsualFeatures: TypeAlias = Callable[["CaseImages", int], "Vectors | None"]
"""Mean features ``(width,)`` of other images like an image of a case; None if there are none."""

_SAME = 1e-3
"""Largest difference to the image's own unit vector of what is computed from its features."""


def feature_losses(
    images: CaseImages,
    at: int,
    score: Callable[[Vectors], Floats],
    grid: tuple[int, ...],
    usual: UsualFeatures,
) -> Floats | None:
    """Take the features of each cell of an image away in turn.

    Parameters
    ----------
    images : CaseImages
    at : int
        The image, counted over all scans.
    score : callable
        Scores ``(n,)`` of case vectors ``(n, dim)``.
    grid : tuple of int
        Cells of the image along each axis.
    usual : callable
        What takes the place of a cell.

    Returns
    -------
    float64 array ``(cells,)`` or None
        By how much the score falls; None if the model's features keep no place, if they cannot be
        had apart from its vectors, or without other images.
    """
    kept_grid = feature_grid(images.model)
    if kept_grid is None or len(kept_grid) != len(grid):
        return None
    try:
        own = images.features(at)
        if not images.is_vector_of(at, own, _SAME):
            return None
        other = usual(images, at)
    except ModelError:  # a file of an earlier version, or a head that cannot be cut out
        return None
    if other is None or other.shape != own.shape:
        return None
    away = feature_places(grid, kept_grid)  # (cells, places)
    shape = (-1, away.shape[1])
    rows = np.where(away[:, None], other.reshape(shape), own.reshape(shape))
    rows = np.concatenate([own[None], rows.reshape(len(away), -1)])
    scores = images.score_of_features(at, rows, score)
    losses: Floats = scores[0] - scores[1:]
    return losses


def feature_places(grid: tuple[int, ...], kept: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return which places of the features' grid belong to each cell of an image.

    Those whose center lies in the cell, and the one in which the cell's center lies.

    Returns
    -------
    bool array ``(cells, places)``
    """
    inside = _cell_of_centers(kept, grid) == np.arange(np.prod(grid))[:, None]
    around = _cell_of_centers(grid, kept)[:, None] == np.arange(np.prod(kept))
    return np.asarray(inside | around)


def _cell_of_centers(centers: tuple[int, ...], cells: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return in which cell of one grid the center of each cell of another lies."""
    places = np.indices(centers).reshape(len(centers), -1)
    at = [(2 * p + 1) * m // (2 * n) for p, n, m in zip(places, centers, cells, strict=True)]
    return np.asarray(np.ravel_multi_index(tuple(at), cells))
