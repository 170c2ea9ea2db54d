"""From a scan to what stands on the screen: slice, window, grey levels, proportions."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from medembed.scans import PRESETS, Scan, VoiLut, Window, apply_window

__all__ = [
    "Look",
    "data_uri",
    "full_range",
    "n_slices",
    "plane",
    "presets",
    "render",
    "value_range",
]

AUTO = "Auto"
FULL = "Full range"
OWN = "File window"
_HU = ("lung", "mediastinum", "bone")


@dataclass(frozen=True)
class Look:
    """How a scan is looked at.

    Parameters
    ----------
    window : Window or VoiLut
        In the units of the scan.
    slice_index : int
        Counted from 0; 0 for a single image.
    invert : bool
        Whether dense is dark.
    """

    window: Window | VoiLut
    slice_index: int = 0
    invert: bool = False


def n_slices(scan: Scan) -> int:
    """How many slices there are; 1 for a single image."""
    return int(scan.pixels.shape[0]) if scan.is_volume else 1


def plane(scan: Scan, slice_index: int) -> npt.NDArray[np.float32]:
    """One slice, shape ``(h, w)``; an index beyond the ends gives the slice at the end."""
    if not scan.is_volume:
        return scan.pixels
    index = min(max(slice_index, 0), n_slices(scan) - 1)
    return np.asarray(scan.pixels[index])


def value_range(scan: Scan) -> tuple[float, float]:
    """Lowest and highest value of the scan; one apart where it holds a single value."""
    low, high = float(scan.pixels.min()), float(scan.pixels.max())
    return (low, high) if high > low else (low, low + 1)


def full_range(scan: Scan) -> Window:
    """The window that shows every value."""
    return _between(*value_range(scan), FULL)


def _between(low: float, high: float, name: str) -> Window:
    return Window((low + high) / 2, high - low, name, function="LINEAR_EXACT")


def _auto(scan: Scan) -> Window:
    # half a million values are plenty for two percentiles of a large volume
    step = max(1, scan.pixels.size // 500_000)
    low, high = np.percentile(scan.pixels.reshape(-1)[::step], (0.5, 99.5))
    return _between(float(low), float(high), AUTO) if high > low else full_range(scan)


def presets(scan: Scan) -> dict[str, Window | VoiLut]:
    """Windows to choose from, by name; the first is how the scan opens.

    The file's own windows come first. Lung, mediastinum and bone are offered for Hounsfield units
    only, since stored values have no common scale.
    """
    offered: dict[str, Window | VoiLut] = {}
    own_ones: list[Window | VoiLut] = [*scan.windows, *scan.voi_luts]
    for position, own in enumerate(own_ones[:3]):
        offered[OWN if position == 0 else f"{OWN} {position + 1}"] = own
    if scan.units == "HU":
        order = _HU if offered else ("mediastinum", "lung", "bone")
        offered.update({name.capitalize(): PRESETS[name] for name in order})
    else:
        offered[AUTO] = _auto(scan)
    offered[FULL] = full_range(scan)
    return offered


def _size(scan: Scan, shape: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Width and height on the screen: square millimetres, at most ``longest`` on a side."""
    rows, columns = shape
    if scan.spacing_mm is not None:
        row_mm, column_mm = scan.spacing_mm[-2:]
        # stretch the coarser axis, so that no detail is thrown away
        finest = min(row_mm, column_mm)
        rows, columns = round(rows * row_mm / finest), round(columns * column_mm / finest)
    scale = min(1.0, longest / max(rows, columns))
    return max(1, round(columns * scale)), max(1, round(rows * scale))


def render(scan: Scan, look: Look, longest: int = 1400) -> Image.Image:
    """Draw one slice as 8-bit grey levels in its true proportions.

    Parameters
    ----------
    scan : Scan
    look : Look
    longest : int
        Pixels of the longer side at most; a smaller image keeps its size.

    Returns
    -------
    PIL.Image.Image
        Mode ``"L"``. Rows and columns lie as in the file: nothing is mirrored.

    References
    ----------
    DICOM PS3.3 C.11.2.1.2 (window), C.7.6.3.1.7 (pixel aspect ratio).
    """
    pixels = plane(scan, look.slice_index)
    size = _size(scan, pixels.shape, longest)
    if size != (pixels.shape[1], pixels.shape[0]):
        # the values are scaled, not the grey levels: a narrow window would lose what lies beyond it
        scaled = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        pixels = np.asarray(scaled, dtype=np.float32)
    grey = apply_window(pixels, look.window)
    return Image.fromarray(255 - grey if look.invert else grey)


def data_uri(image: Image.Image, lossless: bool = True) -> str:
    """Encode for ``<img src>``: the pixels travel in the page's own connection, under no address.

    Streamlit's own ``st.image`` would put them at ``/media/…``, open to whoever knows the address.
    """
    buffer = BytesIO()
    if lossless:
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=88)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
