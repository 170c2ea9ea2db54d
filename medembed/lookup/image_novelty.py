"""How far an image is from the images of a library, whatever the model.

The score is the distance of the image, at 16 × 16 pixels of mean 0 and standard deviation 1, to
its fifth nearest among images of other patients. So small an image keeps what tells a radiograph
from an upside-down, inverted or photographed one, and hardly anything that tells disease.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from medembed.preprocess import Preprocess
    from medembed.scans import Scan

__all__ = ["EDGE", "NEIGHBORS", "image_scores", "thumbnail", "thumbnail_settings"]

Thumbnails = npt.NDArray[np.uint8]

EDGE = 16
"""Pixels along an edge of a thumbnail."""

NEIGHBORS = 5
_LEAST_CONTRAST = 5.0  # gray values of 255: an almost empty image is not blown up into noise


@cache
def thumbnail_settings() -> Preprocess:
    """Return how thumbnails are made: percentile window, proportions, a volume's middle slice.

    Imported on first use: a search by case needs no image.
    """
    from medembed.preprocess import Preprocess

    return Preprocess(size=EDGE, slices=1)


def thumbnail(scan: Scan) -> Thumbnails:
    """Return the thumbnail of a scan, shape ``(256,)``."""
    return thumbnail_settings().pixels(scan).reshape(-1).astype(np.uint8)


def image_scores(images: Thumbnails, reference: Thumbnails) -> npt.NDArray[np.float64]:
    """Return the distance of each image to its fifth nearest reference image, shape ``(n,)``.

    Parameters
    ----------
    images : uint8 array, shape ``(n, 256)``
    reference : uint8 array, shape ``(m, 256)``, m at least 5
        Of other patients.

    Returns
    -------
    float64 array, shape ``(n,)``
        Root of the mean squared difference, in standard deviations of an image.
    """
    a, b = _standardized(images), _standardized(reference)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    nearest = np.partition(squared, NEIGHBORS - 1, axis=1)[:, NEIGHBORS - 1]
    distances: npt.NDArray[np.float64] = np.sqrt(np.maximum(nearest, 0) / a.shape[1])
    return distances


def _standardized(images: Thumbnails) -> npt.NDArray[np.float64]:
    """Shift and scale each row to mean 0 and standard deviation 1; a constant one becomes 0."""
    rows = images.astype(np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    scaled: npt.NDArray[np.float64] = rows / (rows.std(axis=1, keepdims=True) + _LEAST_CONTRAST)
    return scaled
