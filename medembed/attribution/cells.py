"""An image with some of its cells grayed out, and control maps over its cells."""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from medembed.attribution.faithfulness import sorted_into
from medembed.preprocess import Pixels

__all__ = ["CellImage", "control_maps", "grid_of"]

Floats: TypeAlias = npt.NDArray[np.float64]

_EDGE = {2: 7, 3: 4}
"""Most cells along an axis of an image and of a volume: 49 and 64 cells."""
_BLUR = 1 / 16
"""Standard deviation of the blur in lengths of the image: half a cell."""
N_RANDOM = 7
_NEAR = 2
"""A map moved by fewer cells would still cover what it covers now."""


def grid_of(size: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of cells along each axis of an image of ``size`` pixels."""
    return tuple(min(_EDGE[len(size)], pixels) for pixels in size)


class CellImage:
    """Variants of one image of which only some cells are kept; the others get its mean gray.

    The mean takes away brightness and structure. A blur would leave what is large and bright, such
    as an effusion, where it was. A few cells on a gray plane are no image to an encoder, though: to
    put cells back, the rest of the image is blurred.

    Parameters
    ----------
    pixels : uint8 or uint16 array, shape ``(1, h, w)`` or ``(1, d, h, w)``
        One image as :meth:`medembed.preprocess.Preprocess.pixels` returns it.

    Attributes
    ----------
    grid : tuple of int
        Number of cells along each axis.
    """

    def __init__(self, pixels: Pixels) -> None:
        size = pixels.shape[1:]
        self.grid = grid_of(size)
        self._pixels = pixels[0]
        self._gray = np.rint(pixels.mean()).astype(pixels.dtype)
        self._blurred = _blurred(pixels[0])
        axes = (np.arange(n) * g // n for n, g in zip(size, self.grid, strict=True))
        places = np.meshgrid(*axes, indexing="ij", sparse=True)
        self._cell = np.ravel_multi_index(
            tuple(np.broadcast_arrays(*places)), self.grid
        )  # (*size): the cell of each pixel

    @property
    def n_cells(self) -> int:
        """Number of cells, in the order of a flattened grid."""
        return int(np.prod(self.grid))

    def variants(self, kept: npt.NDArray[np.bool_], *, blurred: bool = False) -> Pixels:
        """Return pixels ``(v, 1, *size)`` of variants with the cells ``kept (v, cells)``."""
        rest = self._blurred if blurred else self._gray
        shown = kept[:, self._cell]  # (v, *size)
        return cast(Pixels, np.where(shown, self._pixels, rest)[:, None])


def _blurred(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Pixels:
    from scipy import ndimage

    reach = [max(1.0, _BLUR * n) for n in pixels.shape]
    smooth = ndimage.gaussian_filter(pixels.astype(np.float32), reach, mode="nearest", truncate=2)
    return cast(Pixels, np.rint(smooth).astype(pixels.dtype))


def control_maps(weights: Floats, grid: tuple[int, ...], seed: int = 0) -> dict[str, list[Floats]]:
    """Return maps with the same weights at other places.

    Parameters
    ----------
    weights : float64 array ``(cells,)``
    grid : tuple of int
    seed : int

    Returns
    -------
    dict of str to list of float64 array ``(cells,)``
        ``"random"``: the map moved around the edges by random steps, so that it is as smooth as it
        was. ``"center"``: the largest weights nearest to the center of the image.
    """
    rng = np.random.default_rng(seed)
    own = weights.reshape(grid)
    steps = np.indices(grid).reshape(len(grid), -1).T  # every shift
    lengths = np.minimum(steps, np.array(grid) - steps).max(axis=1)
    far = steps[lengths >= min(_NEAR, lengths.max())]
    chosen = far[rng.permutation(len(far))[:N_RANDOM]]
    axes = tuple(range(len(grid)))
    moved = [np.roll(own, tuple(map(int, step)), axes).ravel() for step in chosen]
    middle = [(np.arange(g) - (g - 1) / 2) / g for g in grid]
    distance = sum(part**2 for part in np.meshgrid(*middle, indexing="ij"))
    return {"random": moved, "center": [sorted_into(weights, np.ravel(distance))]}
