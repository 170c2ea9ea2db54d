"""Conversion of color to gray."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["luminance"]

_RED, _GREEN, _BLUE = (np.float32(weight) for weight in (0.299, 0.587, 0.114))


def luminance(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Convert color to luminance (ITU-R BT.601-7, 2.5.1).

    A gray picture that was stored as color keeps its values to the bit. Each pixel is computed
    separately, so that equal colors give equal values at any position, which a matrix product does
    not guarantee.

    Parameters
    ----------
    samples : float32 array, shape ``(..., 3)``
        Red, green, blue.

    Returns
    -------
    float32 array, shape ``(...)``
    """
    red, green, blue = (samples[..., i] for i in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red.copy()
    total: npt.NDArray[np.float32] = red * _RED
    total += green * _GREEN
    total += blue * _BLUE
    return total
