"""The region of an image that carries a score, in fractions, millimeters and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from medembed.preprocess import Preprocess

__all__ = ["InputFrame", "Region", "carrying_cells"]

Floats: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]

_PART_OF_PEAK = 0.5
_VERTICAL = ("upper", "middle", "lower")
_HORIZONTAL = ("left", "center", "right")


@dataclass(frozen=True)
class InputFrame:
    """Where the encoder's input lies in an image as it is stored and displayed.

    Parameters
    ----------
    input_size : tuple of int
        Pixels of the input along each axis.
    extent : tuple of float
        Length of the whole image in these pixels (:meth:`Preprocess.extent`).
    length_mm : tuple of float or None
        Length of the whole image in mm.
    slice_at : int or None
        The slice that a 2D encoder reads, from 1.
    n_slices : int or None
        Slices of the volume.
    """

    input_size: tuple[int, ...]
    extent: tuple[float, ...]
    length_mm: tuple[float, ...] | None = None
    slice_at: int | None = None
    n_slices: int | None = None

    @classmethod
    def of(
        cls,
        preprocess: Preprocess,
        shape: tuple[int, ...],
        spacing_mm: tuple[float, ...] | None,
        image: int = 0,
    ) -> InputFrame:
        """Return the frame of image ``image`` of a scan of ``shape``."""
        spacing = spacing_mm or (1.0,) * len(shape)
        axes = preprocess.dimensions
        length = None
        if spacing_mm is not None:
            lengths = zip(shape[-axes:], spacing_mm[-axes:], strict=True)
            length = tuple(n * s for n, s in lengths)
        at = None
        if axes == 2 and len(shape) == 3:
            at = int(preprocess.slices_of(shape[0])[image]) + 1
        depth = shape[0] if len(shape) == 3 else None
        return cls(preprocess.shape[1:], preprocess.extent(shape, spacing), length, at, depth)

    def fractions(self, low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[Interval, ...]:
        """Return a box of the input, in its pixels, in fractions 0 to 1 of the whole image."""
        size, extent = np.array(self.input_size), np.array(self.extent)
        ends = [(0.5 + (np.asarray(e) - size / 2) / extent).clip(0, 1) for e in (low, high)]
        return tuple((float(a), float(b)) for a, b in zip(*ends, strict=True))

    def pixels(self, box: Sequence[Interval]) -> tuple[Interval, ...]:
        """Return a box in fractions of the whole image in pixels of the input: the reverse.

        What the input does not show is left out; the ends of an axis are then equal.
        """
        size, extent = np.array(self.input_size), np.array(self.extent)
        ends = (np.array(box, dtype=np.float64).T - 0.5) * extent + size / 2  # (2, axes)
        low, high = np.clip(ends, 0, size)
        return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))


def carrying_cells(weights: Floats, grid: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return which cells ``(cells,)`` weigh at least half of the largest, and adjoin it."""
    from scipy import ndimage

    strong = (weights >= _PART_OF_PEAK * weights.max()).reshape(grid)
    labels, _ = ndimage.label(strong, np.ones((3,) * len(grid)))
    peak = labels.ravel()[int(np.argmax(weights))]
    return np.asarray(labels.ravel() == peak)


@dataclass(frozen=True)
class Region:
    """A region of an image, as displayed: a box around the cells that carry a score.

    Parameters
    ----------
    box : tuple of (float, float)
        Its ends along each axis (``(down, across)`` or ``(depth, down, across)``), in fractions of
        the whole image.
    peak : tuple of float
        Center of the cell of largest weight, in the same fractions.
    size_mm : tuple of float or None
    slice_at, n_slices : int or None
        Slice from 1, and slices of the volume.
    """

    box: tuple[Interval, ...]
    peak: tuple[float, ...]
    size_mm: tuple[float, ...] | None = None
    slice_at: int | None = None
    n_slices: int | None = None

    @classmethod
    def of(cls, weights: Floats, grid: tuple[int, ...], frame: InputFrame) -> Region:
        """Return the region that carries a score, by the weights ``(cells,)`` of its cells."""
        step = np.array(frame.input_size) / np.array(grid)
        cells = np.argwhere(carrying_cells(weights, grid).reshape(grid))
        box = frame.fractions(cells.min(axis=0) * step, (cells.max(axis=0) + 1) * step)
        largest = np.array(np.unravel_index(int(np.argmax(weights)), grid))
        at = frame.fractions((largest + 0.5) * step, (largest + 0.5) * step)
        size = None
        if frame.length_mm is not None:
            lengths = zip(box, frame.length_mm, strict=True)
            size = tuple((high - low) * length for (low, high), length in lengths)
        peak = tuple(low for low, _ in at)
        return cls(box, peak, size, frame.slice_at, frame.n_slices)

    def __str__(self) -> str:
        down, across = (sum(ends) / 2 for ends in self.box[-2:])
        height, width = _VERTICAL[_third(down)], _HORIZONTAL[_third(across)]
        place = "center" if (height, width) == ("middle", "center") else f"{height} {width}"
        text = f"{place} of the image as displayed"
        if self.size_mm is not None:
            text += f", about {self.size_mm[-1]:.0f} × {self.size_mm[-2]:.0f} mm"
        else:
            shares = [f"{100 * (high - low):.0f}%" for low, high in self.box[-2:]]
            text += f", about {shares[1]} of its width and {shares[0]} of its height"
        if self.slice_at is not None:
            return f"slice {self.slice_at} of {self.n_slices}: {text}"
        if len(self.box) == 3 and self.n_slices:
            low, high = (round(end * self.n_slices) for end in self.box[0])
            return f"slices {low + 1} to {max(high, low + 1)} of {self.n_slices}: {text}"
        return text

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with the place in words under ``"line"``."""
        return {
            "box": [[round(end, 4) for end in ends] for ends in self.box],
            "peak": [round(value, 4) for value in self.peak],
            "size_mm": None if self.size_mm is None else [round(v, 1) for v in self.size_mm],
            "slice": self.slice_at,
            "slices": self.n_slices,
            "line": str(self),
        }


def _third(fraction: float) -> int:
    return min(2, int(3 * fraction))
