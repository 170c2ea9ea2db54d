"""Number of frames of a DICOM file, checked against its pixel data."""

from __future__ import annotations

import math

from medembed.errors import ScanError
from medembed.scans.dicom_file import DicomFile, integer, numbers, stated_frames, text
from medembed.scans.remarks import Remark

__all__ = ["count_frames", "frame_bits"]


def frame_bits(file: DicomFile) -> int:
    """Return the bits of one uncompressed frame; 0 if the header does not define it."""
    ds = file.dataset
    try:
        lengths = [integer(ds, keyword) or 0 for keyword in ("Rows", "Columns", "BitsAllocated")]
        samples = integer(ds, "SamplesPerPixel") or 1
    except ScanError:
        return 0
    bits = math.prod(lengths) * samples
    # two pixels share their chrominance
    return bits * 2 // 3 if text(ds, "PhotometricInterpretation") == "YBR_FULL_422" else bits


def count_frames(file: DicomFile) -> int:
    """Count the frames, and record defects.

    A positive ``NumberOfFrames`` counts; surplus pixels are ignored, as by pydicom and DCMTK. If it
    is missing or invalid, the pixel data decide: all frames if they are a multiple of one frame,
    else the first.
    """
    stated = stated_frames(file.dataset)
    if stated is None and _is_filled(file):
        file.note(Remark.FRAMES)
    if file.pixel_bytes is None:
        there = len(file.frame_bytes)  # 0 before the pixels are parsed
        surplus = there > (stated or there)
        n_frames = stated or there or 1
    else:
        bits = frame_bits(file)
        if bits <= 0:
            return stated or 1
        there = file.pixel_bytes * 8 // bits
        is_multiple = file.pixel_bytes - math.ceil(there * bits / 8) <= 1  # padding to even length
        has_more = file.pixel_bytes - math.ceil(bits / 8) > 1
        n_frames = stated or (there if is_multiple and has_more else 1)
        surplus = file.pixel_bytes - math.ceil(n_frames * bits / 8) > 1
    if stated is None and n_frames > 1:
        file.note(Remark.FRAMES)
    if surplus:
        file.note(Remark.MORE_PIXELS)
    return n_frames


def _is_filled(file: DicomFile) -> bool:
    try:
        return bool(numbers(file.dataset, "NumberOfFrames"))
    except ScanError:
        return True
