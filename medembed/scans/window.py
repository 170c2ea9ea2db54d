"""VOI windows: mapping of pixel values to display values."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from medembed.scans.scan import Scan, VoiLut, Window

__all__ = ["PRESETS", "apply_window", "default_window"]

PRESETS = MappingProxyType(
    {
        name: Window(center, width, name)
        for name, center, width in (
            ("lung", -600.0, 1500.0),
            ("mediastinum", 40.0, 400.0),
            ("bone", 400.0, 1800.0),
            ("soft", 50.0, 350.0),
            ("liver", 60.0, 160.0),
            ("brain", 40.0, 80.0),
            ("angio", 300.0, 600.0),
        )
    }
)
"""Windows by name for scans in Hounsfield units."""


def apply_window(pixels: npt.NDArray[np.generic], window: Window | VoiLut) -> npt.NDArray[np.uint8]:
    """Map pixel values to display values, 0 to 255.

    Parameters
    ----------
    pixels : array of any shape
        In the units of the window; finite.
    window : Window or VoiLut

    Returns
    -------
    uint8 array of the same shape

    References
    ----------
    DICOM PS3.3 C.11.2.1.2.1 (linear), C.11.2.1.3.1 (sigmoid), C.11.2.1.3.2 (linear exact),
    C.11.2.1.1 (VOI LUT).

    Examples
    --------
    >>> apply_window(np.array([-1000, 40, 1000]), PRESETS["mediastinum"]).tolist()
    [0, 128, 255]
    """
    x = np.asarray(pixels, dtype=np.float64)
    if isinstance(window, VoiLut):
        last = len(window.values) - 1
        index = np.rint(np.clip(x - window.first, 0, last)).astype(np.intp)
        y = np.asarray(window.values, dtype=np.float64)[index]
    elif window.function == "SIGMOID":
        # exp overflows beyond 709; at 60 the result is 0 or 1 to 26 digits
        y = 1 / (1 + np.exp(np.clip(-4 * (x - window.center) / window.width, -60, 60)))
    elif window.function == "LINEAR_EXACT":
        y = (x - window.center) / window.width + 0.5
    elif window.width > 1:
        y = (x - (window.center - 0.5)) / (window.width - 1) + 0.5
    else:  # the linear function with a width of 1 is a threshold
        y = np.where(x > window.center - 0.5, 1.0, 0.0)
    return np.rint(np.clip(y, 0, 1) * 255).astype(np.uint8)


def default_window(scan: Scan) -> Window | VoiLut:
    """Choose the initial display: the scan's own window, its VOI LUT, or its full range.

    Returns
    -------
    Window or VoiLut
    """
    if scan.windows:
        return scan.windows[0]
    if scan.voi_luts:
        return scan.voi_luts[0]
    low, high = float(scan.pixels.min()), float(scan.pixels.max())
    return Window((low + high) / 2, max(high - low, 1e-6), "full range", "LINEAR_EXACT")
