"""The direction in which a marked box moves the vector of an image; imports no torch.

Two differences are added, each scaled to length 1: what the vector loses if the box shows what
others show there, and what the box adds to an image that shows what others show everywhere. What
every image shares has no part in either, nor has what the rest of this image shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from medembed.attribution.cells import CellImage
from medembed.attribution.feature_cells import SAME, UsualFeatures
from medembed.errors import ModelError
from medembed.model.feature_head import feature_grid

if TYPE_CHECKING:
    from medembed.attribution.case_images import CaseImages

__all__ = ["box_cells", "box_vector"]

Vectors: TypeAlias = npt.NDArray[np.float32]
Floats: TypeAlias = npt.NDArray[np.float64]
Box: TypeAlias = "Sequence[tuple[float, float]]"

_LEAST = 1e-3
"""A vector that moves by less has not moved: so much differ two runtimes at most."""


def box_vector(images: CaseImages, box: Box, usual: UsualFeatures | None = None) -> Vectors | None:
    """Return the direction ``(dim,)`` in which a box moves the vector of one or more images.

    Parameters
    ----------
    images : CaseImages
        Those in which the box was marked: an image, or the slices of a volume.
    box : sequence of (float, float)
        Its ends along each axis of the encoder's input, in fractions 0 to 1 of the whole image.
    usual : callable, optional
        Mean features of other images. Without them, or if the model has no features with places,
        the rest of the image is blurred and the box gets the image's mean gray.

    Returns
    -------
    float32 array of length 1, or None
        None if the box does not move the vector.
    """
    rows = None if usual is None else _of_features(images, box, usual)
    if rows is None:
        rows = _of_pixels(images, box)
    own, without, alone, nothing = images.pooled(rows).astype(np.float64)
    moves = [own - without, alone - nothing]
    lengths = [float(np.linalg.norm(move)) for move in moves]
    found = [move / n for move, n in zip(moves, lengths, strict=True) if n > _LEAST]
    total = np.sum(found, axis=0) if found else np.zeros_like(own)
    length = float(np.linalg.norm(total))
    return (total / length).astype(np.float32) if length > _LEAST else None


def _of_features(images: CaseImages, box: Box, usual: UsualFeatures) -> Vectors | None:
    """Return rows ``(4, images, dim)``: as it is, without the box, the box alone, and neither."""
    grid = feature_grid(images.model)
    if grid is None:
        return None
    rows = np.repeat(images.rows[None], 4, axis=0)
    for at in range(images.n_images):
        try:
            own = images.features(at)
            if not images.is_vector_of(at, own, SAME):
                return None
            other = usual(images, at)
        except ModelError:  # a file of an earlier version, or a head that cannot be cut out
            return None
        if other is None or other.shape != own.shape:
            return None
        inside = box_cells(images.frames[at].pixels(box), images.frames[at].input_size, grid)
        a, b = own.reshape(-1, inside.size), other.reshape(-1, inside.size)
        variants = np.stack([np.where(inside, b, a), np.where(inside, a, b), b])
        rows[1:, at] = images.of_features(variants.reshape(3, -1))
    return rows


def _of_pixels(images: CaseImages, box: Box) -> Vectors:
    rows = np.repeat(images.rows[None], 4, axis=0)
    for at in range(images.n_images):
        cells = CellImage(images.image(at))
        size = images.frames[at].input_size
        ends = images.frames[at].pixels(box)
        inside = np.zeros(size, dtype=bool)
        inside[tuple(_covered(low, high, n) for (low, high), n in zip(ends, size, strict=True))] = 1
        shown = [cells.shown(~inside), cells.shown(inside, blurred=True)]
        shown.append(cells.shown(np.zeros_like(inside), blurred=True))
        rows[1:, at] = images.encoded(np.stack(shown))
    return rows


def box_cells(ends: Box, size: tuple[int, ...], grid: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return which cells ``(cells,)`` of a grid over an input of ``size`` pixels a box covers.

    Those of which it covers at least half; if none, the one that it covers most.
    """
    shares = []
    for (low, high), n, m in zip(ends, size, grid, strict=True):
        edges = np.arange(m + 1) * n / m
        shared = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        shares.append(np.clip(shared, 0, None) * m / n)
    covered = shares[0]
    for share in shares[1:]:
        covered = covered[..., None] * share
    return np.asarray((covered >= min(0.5, covered.max())).ravel())


def _covered(low: float, high: float, n: int) -> slice:
    """Return the pixels that an interval touches, at least one."""
    first = min(int(np.floor(low)), n - 1)
    return slice(first, max(int(np.ceil(high)), first + 1))
