"""Recognition of Hounsfield units in files that cannot declare them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["looks_like_hounsfield"]

_AIR = (-1100.0, -900.0)
_SOFT_TISSUE = (-200.0, 250.0)
_LEAST_SHARE = 0.02
_HIGHEST = 32767.0
_LEAST_IN_RANGE = 0.999
_DENSEST_BONE = 4000.0
_MAX_SAMPLES = 1 << 20


def looks_like_hounsfield(pixels: npt.NDArray[np.float32]) -> bool:
    """Return whether values are those of a CT in Hounsfield units.

    They are if at least 2% are air (-1100 to -900) and 2% soft tissue (-200 to 250), and all but
    one in a thousand lie between -1100 and 4000, apart from one smaller value that pads the
    outside of the field of view. Other modalities and scaled images have no such values; a CT
    without air, or clipped to a window, is not recognized and has to be declared.

    Parameters
    ----------
    pixels : float32 array
        Finite values of one image or volume.
    """
    flat = pixels.reshape(-1)
    values = flat[:: -(-flat.size // _MAX_SAMPLES)]
    low = values.min()
    if low < _AIR[0]:
        values = values[values > low]
    if values.size == 0 or values.max() > _HIGHEST:
        return False
    in_range = ((values >= _AIR[0]) & (values <= _DENSEST_BONE)).mean()
    shares = [((values >= a) & (values <= b)).mean() for a, b in (_AIR, _SOFT_TISSUE)]
    return bool(in_range >= _LEAST_IN_RANGE and min(shares) >= _LEAST_SHARE)
