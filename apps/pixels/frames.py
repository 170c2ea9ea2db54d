"""The pixels of a scan as bytes, a slice at a time, and the header that explains them."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from apps.case_lookup.rendering import n_slices, plane, presets, value_range
from medembed.scans import Scan, VoiLut, Window

__all__ = ["frame_bytes", "pixel_header"]

# the pixel spacing of these is measured at the detector, where the patient's shadow is larger
_PROJECTIONS = frozenset({"CR", "DX", "MG", "RF", "XA", "RG", "PX", "IO"})
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True)
class _Encoding:
    """How values become bytes: ``value = stored + intercept``, without any loss."""

    dtype: Literal["int16", "float32"]
    intercept: float = 0.0


_known: WeakKeyDictionary[Scan, tuple[_Encoding, bytes]] = WeakKeyDictionary()
_known_lock = threading.Lock()


def pixel_header(scan: Scan) -> bytes:
    """Describe the pixels of a scan as JSON.

    Returns
    -------
    bytes
        A JSON object: ``rows``, ``columns``, ``slices``; ``spacing_mm`` (of slices, rows and
        columns, or null) and ``scale`` (``"patient"``, ``"detector"`` or ``"unknown"``);
        ``axes`` (the side of the patient to which slices, rows and columns run, or empty);
        ``units``, ``modality``, ``view``; ``dtype`` (``"int16"`` or ``"float32"``, little endian),
        ``slope`` and ``intercept`` (value = slope × stored + intercept); ``low`` and ``high``, the
        least and the greatest value; ``windows``, the first of which is the initial one.
    """
    return _described(scan)[1]


def frame_bytes(scan: Scan, index: int) -> bytes:
    """Give one slice as :func:`pixel_header` describes it, row by row.

    Parameters
    ----------
    scan : Scan
    index : int
        From 0; 0 for a single image.

    Raises
    ------
    IndexError
        If the scan has no such slice.
    """
    if not 0 <= index < n_slices(scan):
        raise IndexError(index)
    encoding = _described(scan)[0]
    pixels = plane(scan, index)
    if encoding.dtype == "float32":
        return pixels.astype("<f4").tobytes()
    return (pixels - np.float32(encoding.intercept)).astype("<i2").tobytes()


def _described(scan: Scan) -> tuple[_Encoding, bytes]:
    """Look at all values once for each scan; a CT has a hundred million."""
    with _known_lock:
        known = _known.get(scan)
    if known is None:
        encoding = _encoding(scan)
        known = encoding, json.dumps(_header(scan, encoding), allow_nan=False).encode("utf-8")
        with _known_lock:
            _known[scan] = known
    return known


def _encoding(scan: Scan) -> _Encoding:
    low, high = float(scan.pixels.min()), float(scan.pixels.max())
    planes = (plane(scan, index) for index in range(n_slices(scan)))
    if high - low > _INT16.max - _INT16.min or not all(np.all(np.rint(p) == p) for p in planes):
        return _Encoding("float32")
    fits = low >= _INT16.min and high <= _INT16.max
    # float32 holds whole numbers up to 2^24 exactly; beyond, a difference would be rounded
    if not fits and max(abs(low), abs(high)) > 2**23:
        return _Encoding("float32")
    return _Encoding("int16", 0.0 if fits else low - _INT16.min)


def _header(scan: Scan, encoding: _Encoding) -> dict[str, Any]:
    rows, columns = scan.pixels.shape[-2:]
    low, high = value_range(scan)
    scale = "detector" if scan.modality in _PROJECTIONS else "patient"
    return {
        "rows": rows,
        "columns": columns,
        "slices": n_slices(scan),
        "spacing_mm": _spacing(scan),
        "scale": "unknown" if scan.spacing_mm is None else scale,
        "axes": list(scan.axes),
        "units": scan.units,
        "modality": scan.modality,
        "view": scan.view,
        "dtype": encoding.dtype,
        "slope": 1.0,
        "intercept": encoding.intercept,
        "low": low,
        "high": high,
        "windows": [_window(name.value, window) for name, window in presets(scan).items()],
    }


def _spacing(scan: Scan) -> list[float | None] | None:
    if scan.spacing_mm is None:
        return None
    return [None, *scan.spacing_mm][-3:]


def _window(name: str, window: Window | VoiLut) -> dict[str, Any]:
    if isinstance(window, VoiLut):
        values = [round(value, 5) for value in window.values]
        return {"id": name, "first": window.first, "values": values}
    return {
        "id": name,
        "center": window.center,
        "width": window.width,
        "function": window.function,
    }
