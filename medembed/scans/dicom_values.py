"""Conversion of stored values: modality LUT, VOI, polarity (DICOM PS3.3 C.11)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from medembed.errors import ScanError, ScanReason
from medembed.scans.dicom_file import items, number, numbers, text, texts
from medembed.scans.dicom_pixels import Layout
from medembed.scans.lookup_tables import entries, table_length
from medembed.scans.remarks import Remark
from medembed.scans.scan import Units, VoiFunction, VoiLut, Window

__all__ = ["ModalityLut", "PaddingRange", "modality_lut", "padding_range", "voi_luts", "windows"]

# A variance of larger values overflows float32.
_LARGEST = 1e18

# Radiographs and pictures, whose values have no unit: DX and MG even require a slope of 1.
_PROJECTIONS = ("CR", "DX", "MG", "IO", "PX", "RF", "RG", "XA", "US", "ES", "XC", "GM", "OP", "OT")

Note = Callable[[Remark], None]


@dataclass(frozen=True)
class ModalityLut:
    """The modality LUT of one frame: a table, or slope and intercept.

    Parameters
    ----------
    slope, intercept : float
    table : float32 array or None
        Output for each input from ``first`` on; smaller and larger inputs take the ends.
    first : int
    units : {"HU", "stored"}
    """

    slope: float = 1.0
    intercept: float = 0.0
    table: npt.NDArray[np.float32] | None = None
    first: int = 0
    units: Units = "stored"

    def __call__(self, stored: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Apply to stored values of any shape.

        Raises
        ------
        ScanError
            ``values-out-of-range`` if a result is not finite or beyond 1e18.
        """
        if self.table is not None:
            index = np.clip(stored.astype(np.int64) - self.first, 0, len(self.table) - 1)
            return self.table[index]
        if self.slope == 1 and self.intercept.is_integer() and stored.dtype.itemsize <= 2:
            # exact in float32, and sufficient for nearly all CT
            values = stored.astype(np.float32)
            if self.intercept:
                values += np.float32(self.intercept)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                wide = stored.astype(np.float64)
                wide *= self.slope
                wide += self.intercept
                values = wide.astype(np.float32)
        low, high = float(values.min()), float(values.max())
        if not (low >= -_LARGEST and high <= _LARGEST):  # NaN fails too
            raise ScanError(
                "pixel values are not finite or beyond 1e18", reason="values-out-of-range"
            )
        return values

    def ends(self, layout: Layout) -> tuple[float, float]:
        """Return the smallest and largest output of the stored range."""
        if self.table is not None:
            return float(self.table.min()), float(self.table.max())
        low, high = (end * self.slope + self.intercept for end in layout.stored_range)
        return min(low, high), max(low, high)


def modality_lut(
    ds: Dataset, group: Dataset | None, layout: Layout, modality: str, note: Note
) -> ModalityLut:
    """Find the modality LUT of a frame.

    Parameters
    ----------
    ds : Dataset
        The file.
    group : Dataset or None
        The frame's item of ``PixelValueTransformationSequence``, which comes first.
    layout : Layout
    modality : str
    note : callable
        Called for an invalid rescale in a radiograph, whose values have no unit and
        the picture is the same without it.

    Raises
    ------
    ScanError
        ``bad-rescale``: elsewhere the values would be wrong, and differ from slice to slice.

    References
    ----------
    DICOM PS3.3 C.11.1, C.7.6.16.2.9.
    """
    sequence = items(ds, "ModalityLUTSequence")
    if group is None and sequence:
        first, values, _ = _lut(sequence[0], signed=layout.is_signed, reason="bad-rescale")
        kind = text(sequence[0], "ModalityLUTType").upper()
        return ModalityLut(table=values, first=first, units="HU" if kind == "HU" else "stored")
    source = ds if group is None else group
    try:
        slope, intercept = number(source, "RescaleSlope"), number(source, "RescaleIntercept")
    except ScanError:
        slope, intercept = 0.0, 0.0
    if slope == 0 and group is None and modality in _PROJECTIONS:
        note(Remark.RESCALE)
        return ModalityLut()
    if slope is None and intercept is None:
        return ModalityLut()
    slope = 1.0 if slope is None else slope
    intercept = 0.0 if intercept is None else intercept
    ends = [end * slope + intercept for end in layout.stored_range]
    # float pixel data has no declared range: examine the values themselves
    if slope == 0 or not all(abs(end) <= _LARGEST for end in ends):
        raise ScanError(
            "RescaleSlope and RescaleIntercept give impossible values", reason="bad-rescale"
        )
    kind = text(source, "RescaleType").upper()
    is_hu = kind == "HU" or (kind == "" and modality == "CT")
    return ModalityLut(slope, intercept, units="HU" if is_hu else "stored")


@dataclass(frozen=True)
class PaddingRange:
    """Range of stored values that mean padding (DICOM PS3.3 C.7.5.1.1.2), ends included."""

    low: float
    high: float

    def mask(self, stored: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
        """Return the padding mask of a frame. Values below the padding value are real."""
        inside: npt.NDArray[np.bool_] = np.greater_equal(stored, self.low)
        inside &= np.less_equal(stored, self.high)
        return inside


def padding_range(ds: Dataset, layout: Layout, note: Note) -> PaddingRange | None:
    """Return the padding range of a monochrome file, or None; records invalid padding."""
    if not layout.is_monochrome:
        return None
    name = "PixelPadding"
    if layout.is_float:
        name = "FloatPixelPadding" if "FloatPixelData" in ds else "DoubleFloatPixelPadding"
    try:
        value, limit = number(ds, f"{name}Value"), number(ds, f"{name}RangeLimit")
    except ScanError:
        note(Remark.PADDING)
        return None
    if value is None:
        return None
    ends = [value] if limit is None else [value, limit]
    if not layout.is_float:
        # an unsigned value for signed pixels (wrong VR) means the same bits
        span = 2**layout.bits_allocated
        if layout.is_signed:
            ends = [end - span if end >= span / 2 else end for end in ends]
        else:
            ends = [end + span if end < 0 else end for end in ends]
    return PaddingRange(min(ends), max(ends))


def windows(ds: Dataset, note: Note) -> tuple[Window, ...]:
    """Return the VOI windows of a file, or of a frame's item of ``FrameVOILUTSequence``.

    An unusable window is recorded as a remark and skipped: it is not part of the image.
    """
    try:
        centers, widths = numbers(ds, "WindowCenter"), numbers(ds, "WindowWidth")
    except ScanError:
        centers, widths = (), (math.nan,)
    if len(centers) != len(widths):
        note(Remark.WINDOW)
        return ()
    function = text(ds, "VOILUTFunction").upper() or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        note(Remark.VOI_FUNCTION)
        function = "LINEAR"
    names = texts(ds, "WindowCenterWidthExplanation")
    names = names if len(names) == len(centers) else ("",) * len(centers)
    found = []
    for center, width, name in zip(centers, widths, names, strict=True):
        if width > 0:
            found.append(Window(center, width, name, cast(VoiFunction, function)))
        else:
            note(Remark.WINDOW)
    return tuple(found)


def voi_luts(ds: Dataset, note: Note, *, signed: bool) -> tuple[VoiLut, ...]:
    """Return the VOI lookup tables of a file or frame; records and skips invalid ones."""
    found = []
    sequence = items(ds, "VOILUTSequence")
    if not sequence and ds.get("VOILUTSequence"):  # it is not a sequence
        note(Remark.VOI_LUT)
    for item in sequence:
        try:
            first, values, bits = _lut(item, signed=signed, reason="corrupt")
        except Exception:  # noqa: BLE001 - pydicom raises anything at a value of another type
            note(Remark.VOI_LUT)
            continue
        scaled = np.clip(values / np.float32(2**bits - 1), 0, 1)
        found.append(VoiLut(float(first), tuple(scaled.tolist()), text(item, "LUTExplanation")))
    return tuple(found)


def reflect_window(window: Window, total: float) -> Window:
    """Return the window that shows ``total - x`` as this one shows ``x`` on MONOCHROME1."""
    # LINEAR is centered half a unit below its center (PS3.3 C.11.2.1.2.1), so it moves by one
    shift = 1.0 if window.function == "LINEAR" else 0.0
    return Window(total - window.center + shift, window.width, window.name, window.function)


def reflect_voi_lut(lut: VoiLut, total: float) -> VoiLut:
    """Return the table that shows ``total - x`` as this one shows ``x`` on MONOCHROME1."""
    first = total - lut.first - (len(lut.values) - 1)
    return VoiLut(first, tuple(1 - value for value in reversed(lut.values)), lut.name)


def _lut(
    item: Dataset, *, signed: bool, reason: ScanReason
) -> tuple[int, npt.NDArray[np.float32], int]:
    """Return first input, output values and bits of an item with LUTDescriptor and LUTData."""
    descriptor = [int(value) for value in numbers(item, "LUTDescriptor")]
    data = item.get("LUTData")
    if len(descriptor) != 3 or data is None:
        raise ScanError("a lookup table lacks descriptor or data", reason=reason)
    _, first, bits = descriptor
    if signed and first >= 2**15:
        first -= 2**16
    elif not signed and first < 0:
        first += 2**16
    if not 8 <= bits <= 16:
        raise ScanError("a lookup table has fewer than 8 or more than 16 bits", reason=reason)
    little = item.original_encoding[1] is not False
    values = entries(data, table_length(descriptor), little_endian=little, reason=reason)
    return first, values, bits
