"""Decoding of one DICOM file: single frame, multi-frame, enhanced multi-frame."""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from medembed.counted import counted
from medembed.errors import ScanError
from medembed.scans.dicom_file import DicomFile, items, numbers, text, texts
from medembed.scans.dicom_header import view_of
from medembed.scans.dicom_pixels import Layout, frames
from medembed.scans.dicom_values import (
    ModalityLut,
    modality_lut,
    padding_range,
    reflect_voi_lut,
    reflect_window,
    voi_luts,
    windows,
)
from medembed.scans.geometry import (
    along_normal,
    axes_of,
    rounding_mm,
    same_direction,
    same_spacing,
    slice_distance,
)
from medembed.scans.remarks import Remark
from medembed.scans.scan import Scan, VoiLut, Window

__all__ = ["scan_of"]

_SIDE = re.compile("[APRLHF]{1,3}")
_SMALLEST_MM, _LARGEST_MM = 1e-5, 1e3  # pixel size: from electron microscopy to whole-body scans


def scan_of(file: DicomFile, frame: int | None = None) -> Scan:
    """Decode a parsed DICOM file.

    Parameters
    ----------
    file : DicomFile
        Parsed including pixels.
    frame : int, optional
        Only this frame, counted from 0 in the order of the file.

    Returns
    -------
    Scan
        ``(rows, columns)`` of one frame; else ``(frames, rows, columns)``, ordered by position
        if the frames have positions, else in file order.

    Raises
    ------
    ScanError
        See docs/reference/scans.md.
    """
    ds = file.dataset
    layout = Layout(file)
    if frame is not None and not 0 <= frame < layout.n_frames:
        raise ScanError(f"the file has {counted(layout.n_frames, 'frame')}", reason="no-such-frame")
    groups = _FunctionalGroups(ds, layout.n_frames)
    indices = range(layout.n_frames) if frame is None else [frame]
    order, spacing = _order_and_spacing(file, groups, list(indices))
    modality = text(ds, "Modality").upper() or "unknown"
    luts = [
        modality_lut(
            ds, groups.item(i, "PixelValueTransformationSequence"), layout, modality, file.note
        )
        if layout.is_monochrome
        else ModalityLut()
        for i in order
    ]
    pixels, padded = _pixels(file, layout, order, luts)
    voi = groups.item(order[0], "FrameVOILUTSequence") or ds
    file_windows: tuple[Window, ...] = ()
    file_luts: tuple[VoiLut, ...] = ()
    if layout.is_monochrome:
        file_windows = windows(voi, file.note)
        file_luts = voi_luts(voi, file.note, signed=luts[0].ends(layout)[0] < 0)
    if layout.photometric == "MONOCHROME1":
        total = _invert_monochrome1(pixels, luts, layout)
        file_windows = tuple(reflect_window(window, total) for window in file_windows)
        file_luts = tuple(reflect_voi_lut(lut, total) for lut in file_luts)
    if padded is not None and padded.any() and not padded.all():
        pixels[padded] = pixels[~padded].min()
    pixels.setflags(write=False)  # else Scan would copy it
    return Scan(
        pixels=pixels[0] if len(order) == 1 else pixels,
        spacing_mm=spacing,
        units=luts[0].units,
        modality=modality,
        view=view_of(ds),
        windows=file_windows,
        voi_luts=file_luts,
        study_uid=text(ds, "StudyInstanceUID"),
        series_uid=text(ds, "SeriesInstanceUID"),
        instance_uids=(text(ds, "SOPInstanceUID"),),
        remarks=tuple(file.remarks),
        body_part=text(ds, "BodyPartExamined"),
        axes=_axes(file, groups, order),
    )


def _axes(file: DicomFile, groups: _FunctionalGroups, order: list[int]) -> tuple[str, ...]:
    """Sides to which the axes of the result run; empty if the file does not state them."""
    holder = groups.item(order[0], "PlaneOrientationSequence") or file.dataset
    try:
        orientation = numbers(holder, "ImageOrientationPatient")
        if len(orientation) == 6:
            slices, rows, columns = axes_of(orientation)
            if len(order) == 1:
                return rows, columns
            # frames without positions are in the order of the file, which names no side
            placed = groups.item(order[0], "PlanePositionSequence") is not None
            return slices if placed else "", rows, columns
    except ScanError:
        return ()
    stated = tuple(part.strip().upper() for part in texts(file.dataset, "PatientOrientation"))
    if len(order) > 1 or len(stated) != 2 or not all(_SIDE.fullmatch(part) for part in stated):
        return ()
    return stated[1], stated[0]


def _pixels(
    file: DicomFile, layout: Layout, order: list[int], luts: list[ModalityLut]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None]:
    """Return values after the modality LUT and the padding mask; ``(n, rows, columns)``."""
    shape = (len(order), layout.rows, layout.columns)
    padding = padding_range(file.dataset, layout, file.note)
    pixels = np.empty(shape, np.float32)
    padded = None if padding is None else np.empty(shape, np.bool_)
    n_decoded = 0
    for stored in frames(file, layout, order):
        pixels[n_decoded] = luts[n_decoded](stored)
        if padding is not None and padded is not None:
            padded[n_decoded] = padding.mask(stored)
        n_decoded += 1
    if n_decoded != len(order):
        raise ScanError("fewer frames than NumberOfFrames", reason="truncated")
    return pixels, padded


def _invert_monochrome1(
    pixels: npt.NDArray[np.float32], luts: list[ModalityLut], layout: Layout
) -> float:
    """Invert MONOCHROME1 in place, ``x`` to ``total - x``; return ``total``.

    It inverts within the range of BitsStored, not of this image, so that equal stored values of two
    images stay equal.
    """
    if layout.is_float:
        total = float(pixels.min()) + float(pixels.max())
    else:
        ends = [lut.ends(layout) for lut in luts]
        total = min(low for low, _ in ends) + max(high for _, high in ends)
    np.subtract(np.float32(total), pixels, out=pixels)
    return total


class _FunctionalGroups:
    """Shared and per-frame functional groups of a file (DICOM PS3.3 C.7.6.16), if any."""

    def __init__(self, ds: Dataset, n_frames: int) -> None:
        self.shared = next(iter(items(ds, "SharedFunctionalGroupsSequence")), None)
        self.per_frame = items(ds, "PerFrameFunctionalGroupsSequence")
        if self.per_frame and len(self.per_frame) != n_frames:
            raise ScanError(
                "PerFrameFunctionalGroupsSequence does not have one item per frame",
                reason="corrupt",
            )

    def item(self, index: int, keyword: str) -> Dataset | None:
        """Return the item of a functional group for a frame, or None."""
        holders = [self.per_frame[index]] if self.per_frame else []
        holders += [self.shared] if self.shared is not None else []
        for holder in holders:
            for item in items(holder, keyword):
                return item
        return None


def _order_and_spacing(
    file: DicomFile, groups: _FunctionalGroups, indices: list[int]
) -> tuple[list[int], tuple[float, ...] | None]:
    """Frames in the order of their position, and the distances of the axes of the result."""
    own = _pixel_spacing(file, file.dataset)
    planes = [_pixel_spacing(file, groups.item(i, "PixelMeasuresSequence")) or own for i in indices]
    plane = planes[0]
    if len(indices) == 1:
        return indices, plane
    places, rounding = _places(file, groups, indices)
    if places is None:
        distance = _frame_distance(file, len(indices))
    else:
        if not all(same_spacing(other, plane) for other in planes):
            raise ScanError("frames of different PixelSpacing", reason="mixed-geometry")
        ranks = np.argsort(places, kind="stable")
        distance = slice_distance(places[ranks], rounding)
        indices = [indices[rank] for rank in ranks]
    if plane is None or distance is None:
        return indices, None
    return indices, (distance, *plane)


def _places(
    file: DicomFile, groups: _FunctionalGroups, indices: list[int]
) -> tuple[npt.NDArray[np.float64] | None, float]:
    """Return positions along the common normal and their largest rounding error, in mm.

    None if there is none.
    """
    positions, orientations = [], set()
    for i in indices:
        position = groups.item(i, "PlanePositionSequence")
        orientation = groups.item(i, "PlaneOrientationSequence")
        if position is None or orientation is None:
            return None, 0.0
        try:
            positions.append(numbers(position, "ImagePositionPatient"))
            orientations.add(numbers(orientation, "ImageOrientationPatient"))
        except ScanError:
            file.note(Remark.POSITION)
            return None, 0.0
    if any(len(p) != 3 for p in positions) or any(len(o) != 6 for o in orientations):
        return None, 0.0
    first = next(iter(orientations))
    if any(not same_direction(first, other) for other in orientations):
        raise ScanError(
            "frames of different orientation",
            hint="choose a single frame",
            reason="mixed-geometry",
        )
    return along_normal(positions, first), rounding_mm(positions, first)


def _frame_distance(file: DicomFile, n_frames: int) -> float | None:
    """Distance of frames without positions (dose grids); None in a cine."""
    try:
        offsets = np.array(numbers(file.dataset, "GridFrameOffsetVector"))
    except ScanError:
        file.note(Remark.SPACING)
        return None
    if len(offsets) != n_frames:
        return None
    return slice_distance(np.sort(offsets))


def _pixel_spacing(file: DicomFile, ds: Dataset | None) -> tuple[float, float] | None:
    """Distance of rows and of columns in mm (DICOM PS3.3 10.7.1.1, 10.7.1.3).

    ``ImagerPixelSpacing`` is measured at the detector: the patient is a little smaller. Scanned
    films have spacings of 0, which mean unknown. An invalid value is recorded as a remark and not
    replaced.
    """
    if ds is None:
        return None
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        try:
            values = numbers(ds, keyword)
        except ScanError:
            values = (math.nan,)
        if len(values) == 2 and _SMALLEST_MM < min(values) <= max(values) < _LARGEST_MM:
            if ds[keyword].VR not in ("DS", "FD", "FL"):
                file.note(Remark.SPACING_TYPE)
            return values[0], values[1]
        if any(values):  # not two numbers, negative, or implausible
            file.note(Remark.SPACING)
            return None
    return None
