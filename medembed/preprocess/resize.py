"""Resizing, cropping and padding, in numpy and Pillow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["FILTERS", "Interpolation", "fit_volume", "fitting_size", "place", "resize"]

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def fitting_size(
    lengths: tuple[int, ...], spacing: tuple[float, ...], size: tuple[int, ...]
) -> tuple[int, ...]:
    """Largest size within ``size`` that keeps the proportions in mm."""
    extent = [n * s for n, s in zip(lengths, spacing, strict=True)]
    scale = min(s / e for s, e in zip(size, extent, strict=True))
    return tuple(max(1, min(s, round(e * scale))) for s, e in zip(size, extent, strict=True))


def resize(image: Any, size: tuple[int, ...], interpolation: Interpolation = "bilinear") -> Any:
    """Resize ``(h, w)``, uint8 or float32, with antialiasing."""
    if image.shape == size:
        return image
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), FILTERS[interpolation]))


def place(values: Any, size: tuple[int, ...]) -> Any:
    """Crop or zero-pad around the center."""
    margins = []
    for axis, wanted in enumerate(size):
        excess = values.shape[axis] - wanted
        if excess > 0:
            kept = [slice(None)] * values.ndim
            kept[axis] = slice(excess // 2, excess // 2 + wanted)
            values = values[tuple(kept)]
        missing = max(-excess, 0)
        margins.append((missing // 2, missing - missing // 2))
    return np.pad(values, margins)


def fit_volume(
    volume: npt.NDArray[np.float32],
    spacing: tuple[float, ...],
    size: tuple[int, ...],
    target: tuple[float, float, float] | None,
    scaled: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
) -> npt.NDArray[np.float32]:
    """Fit a volume into ``size``, or resample it to the spacing ``target`` and crop or pad it.

    ``scaled`` is applied to each slice that is used, before it is resized.
    """
    if target is None:
        depth, height, width = fitting_size(volume.shape, spacing, size)
    else:
        # crop first, one voxel wider than needed, so that a large volume is not resampled whole
        reach = tuple(
            int(np.ceil(n * t / s)) + 2 for n, t, s in zip(size, target, spacing, strict=True)
        )
        volume = place(volume, tuple(min(r, n) for r, n in zip(reach, volume.shape, strict=True)))
        depth, height, width = (
            max(1, round(n * s / t)) for n, s, t in zip(volume.shape, spacing, target, strict=True)
        )
    slices = np.stack(
        [resize(scaled(one), (height, width)) for one in volume]
    )  # (d, h, w) in plane
    columns = slices.reshape(len(slices), height * width)
    volume = resize(columns, (depth, height * width)).reshape(depth, height, width)
    placed: npt.NDArray[np.float32] = place(volume, size)
    return placed
