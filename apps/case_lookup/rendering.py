"""Render a scan for the screen: slice, window, gray levels, true proportions."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from medembed.scans import PRESETS, Scan, VoiLut, Window, apply_window

__all__ = [
    "DisplaySettings",
    "Preset",
    "data_uri",
    "full_range",
    "n_slices",
    "plane",
    "presets",
    "render",
    "value_range",
]


class Preset(StrEnum):
    """Windows to choose from; their names on the page are in the catalog of texts."""

    FILE = "file"
    FILE_2 = "file-2"
    FILE_3 = "file-3"
    LUNG = "lung"
    MEDIASTINUM = "mediastinum"
    BONE = "bone"
    AUTO = "auto"
    FULL = "full"


_FROM_FILE = (Preset.FILE, Preset.FILE_2, Preset.FILE_3)
_HU = (Preset.LUNG, Preset.MEDIASTINUM, Preset.BONE)
_HU_WITHOUT_FILE = (Preset.MEDIASTINUM, Preset.LUNG, Preset.BONE)


@dataclass(frozen=True)
class DisplaySettings:
    """How a scan is displayed.

    Parameters
    ----------
    window : Window or VoiLut
        In the units of the scan.
    slice_index : int
        From 0; 0 for a single image.
    invert : bool
        Whether dense tissue is dark.
    """

    window: Window | VoiLut
    slice_index: int = 0
    invert: bool = False


def n_slices(scan: Scan) -> int:
    """Count the slices; 1 for a single image."""
    return int(scan.pixels.shape[0]) if scan.is_volume else 1


def plane(scan: Scan, slice_index: int) -> npt.NDArray[np.float32]:
    """Give one slice, shape ``(h, w)``; an index out of range is clamped."""
    if not scan.is_volume:
        return scan.pixels
    index = min(max(slice_index, 0), n_slices(scan) - 1)
    return np.asarray(scan.pixels[index])


def value_range(scan: Scan) -> tuple[float, float]:
    """Give the lowest and highest value; one apart if the scan is constant."""
    low, high = float(scan.pixels.min()), float(scan.pixels.max())
    return (low, high) if high > low else (low, low + 1)


def full_range(scan: Scan) -> Window:
    """Give the window that shows every value."""
    return _between(*value_range(scan), Preset.FULL)


def _between(low: float, high: float, name: str) -> Window:
    return Window((low + high) / 2, high - low, name, function="LINEAR_EXACT")


def _auto(scan: Scan) -> Window:
    # half a million values are plenty for two percentiles of a large volume
    step = max(1, scan.pixels.size // 500_000)
    low, high = np.percentile(scan.pixels.reshape(-1)[::step], (0.5, 99.5))
    return _between(float(low), float(high), Preset.AUTO) if high > low else full_range(scan)


def presets(scan: Scan) -> dict[Preset, Window | VoiLut]:
    """Give the windows to choose from; a scan opens with the first.

    The file's own windows come first, three at most. Lung, mediastinum and bone are offered for
    Hounsfield units only, because stored values have no common scale.
    """
    from_file: list[Window | VoiLut] = [*scan.windows, *scan.voi_luts]
    offered = dict(zip(_FROM_FILE, from_file, strict=False))
    if scan.units == "HU":
        order = _HU if offered else _HU_WITHOUT_FILE
        offered.update({preset: PRESETS[preset.value] for preset in order})
    else:
        offered[Preset.AUTO] = _auto(scan)
    offered[Preset.FULL] = full_range(scan)
    return offered


def _size(scan: Scan, shape: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Width and height on the screen: square millimeters, at most ``longest`` pixels a side."""
    rows, columns = shape
    if scan.spacing_mm is not None:
        row_mm, column_mm = scan.spacing_mm[-2:]
        # stretch the coarser axis, so that no detail is thrown away
        finest = min(row_mm, column_mm)
        rows, columns = round(rows * row_mm / finest), round(columns * column_mm / finest)
    scale = min(1.0, longest / max(rows, columns))
    return max(1, round(columns * scale)), max(1, round(rows * scale))


def render(scan: Scan, display: DisplaySettings, longest: int = 1400) -> Image.Image:
    """Render one slice as 8-bit gray levels in true proportions.

    Parameters
    ----------
    scan : Scan
    display : DisplaySettings
    longest : int
        Most pixels of the longer side; a smaller image keeps its size.

    Returns
    -------
    PIL.Image.Image
        Mode ``"L"``. Rows and columns are those of the file: nothing is mirrored.

    References
    ----------
    DICOM PS3.3 C.11.2.1.2 (window), C.7.6.3.1.7 (pixel aspect ratio).
    """
    pixels = plane(scan, display.slice_index)
    size = _size(scan, pixels.shape, longest)
    if size != (pixels.shape[1], pixels.shape[0]):
        # scale the values, not the gray levels: a narrow window would clip before interpolation
        scaled = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        pixels = np.asarray(scaled, dtype=np.float32)
    gray = apply_window(pixels, display.window)
    return Image.fromarray(255 - gray if display.invert else gray)


def data_uri(image: Image.Image, lossless: bool = True) -> str:
    """Encode for ``<img src>``: the pixels travel in the page's own connection.

    Streamlit's ``st.image`` would serve them at ``/media/…`` to anyone who knows the address.
    """
    buffer = BytesIO()
    if lossless:
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=88)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
