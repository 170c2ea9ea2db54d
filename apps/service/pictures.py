"""Frames of a scan as a client asks for them: rendered, or the values themselves."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

import numpy as np

from apps.case_lookup.rendering import DisplaySettings, n_slices, plane, presets, render
from apps.service.problems import Problem, ProblemKind
from medembed.cases import Case
from medembed.scans import PRESETS, Scan, VoiLut, Window

__all__ = ["JPEG", "PNG", "RAW", "FrameStyle", "choose_type", "dicom_json", "frame_bytes"]

PNG, JPEG, RAW = "image/png", "image/jpeg", "application/octet-stream"
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}


def choose_type(accept: str, offered: Sequence[str]) -> str:
    """Choose the media type to answer with: RFC 9110, 12.5.1.

    Parameters
    ----------
    accept : str
        The ``Accept`` header; empty takes anything.
    offered : sequence of str
        The first is preferred where the client does not care.

    Raises
    ------
    Problem
        NOT_ACCEPTABLE if the client takes none of them.

    Examples
    --------
    >>> choose_type("image/*;q=0.5, application/octet-stream", (PNG, JPEG, RAW))
    'application/octet-stream'
    """
    wanted: list[tuple[str, float]] = []
    for part in accept[:1000].split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if found := re.fullmatch(r"q=([01](\.\d{0,3})?)", parameter):
                quality = float(found[1])
        if kind:
            wanted.append((kind, quality))
    if not wanted:
        return offered[0]

    def quality_of(offer: str) -> float:
        family = f"{offer.partition('/')[0]}/*"
        for pattern in (offer, family, "*/*"):  # the most specific one counts
            values = [quality for kind, quality in wanted if kind == pattern]
            if values:
                return max(values)
        return 0.0

    best = max(offered, key=quality_of)
    if not quality_of(best):
        raise Problem(ProblemKind.NOT_ACCEPTABLE, f"choose one of {', '.join(offered)}")
    return best


@dataclass(frozen=True)
class FrameStyle:
    """How a frame is rendered.

    Parameters
    ----------
    window : str
        ``"center,width"``, ``"center,width,function"``, the name of a preset, or empty for the
        scan's own.
    size : int
        Most pixels of the longer side.
    invert : bool
    quality : int
        Of a JPEG, 1 to 100.
    """

    window: str = ""
    size: int = 1400
    invert: bool = False
    quality: int = 90

    def window_of(self, scan: Scan) -> Window | VoiLut:
        """Return the window for a scan.

        Raises
        ------
        Problem
            INVALID if it is none, or a preset in Hounsfield units for another scan.
        """
        if not self.window:
            return next(iter(presets(scan).values()))
        if self.window in PRESETS:
            if scan.units != "HU":
                raise Problem(
                    ProblemKind.INVALID,
                    "window: presets are for scans in Hounsfield units; give center,width",
                )
            return PRESETS[self.window]
        center, _, rest = self.window.partition(",")
        width, _, function = rest.partition(",")
        try:
            values = float(center), float(width)
            name = _FUNCTIONS[function or "linear"]
            if not all(map(math.isfinite, values)) or values[1] <= 0:
                raise ValueError
        except (KeyError, ValueError):
            raise Problem(
                ProblemKind.INVALID,
                f"window: give center,width with width > 0, or one of {', '.join(PRESETS)}",
            ) from None
        return Window(*values, function=cast(Any, name))


def frame_bytes(scan: Scan, frame: int, kind: str, style: FrameStyle) -> bytes:
    """Return one frame, counted from 1, as PNG, JPEG or little-endian float32 values.

    Raises
    ------
    Problem
        NOT_FOUND if the scan has fewer frames, INVALID if the window does not fit it.
    """
    if not 1 <= frame <= n_slices(scan):
        raise Problem(ProblemKind.NOT_FOUND, f"this scan has {n_slices(scan)} frames")
    if kind == RAW:
        return plane(scan, frame - 1).astype("<f4").tobytes()
    display = DisplaySettings(style.window_of(scan), frame - 1, style.invert)
    image = render(scan, display, style.size)
    buffer = BytesIO()
    if kind == PNG:
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=style.quality)
    return buffer.getvalue()


def dicom_json(case: Case, number: int, scan: Scan) -> list[dict[str, Any]]:
    """Return what is known of a scan in the DICOM JSON model, without any UID.

    The values are those of the frames as this service gives them: ``FloatPixelData``, the modality
    LUT applied, MONOCHROME1 inverted. Dates are shifted, and patients have pseudonyms.

    References
    ----------
    DICOM PS3.18 annex F (JSON model), PS3.3 C.7.6.24 (float pixel data).
    """
    from pydicom.dataset import Dataset

    data = Dataset()
    data.PatientID, data.PatientIdentityRemoved = case.patient_id, "YES"
    if case.study_date is not None:
        data.StudyDate = case.study_date.strftime("%Y%m%d")
        data.LongitudinalTemporalInformationModified = "MODIFIED"
    if case.sex != "unknown":
        data.PatientSex = case.sex
    if case.age_years is not None:
        data.PatientAge = f"{int(case.age_years):03d}Y"
    for keyword, value in (
        ("Modality", scan.modality),
        ("ViewPosition", scan.view),
        ("BodyPartExamined", scan.body_part),
    ):
        if value and value != "unknown":
            setattr(data, keyword, value)
    data.SeriesNumber, data.NumberOfFrames = number, n_slices(scan)
    data.Rows, data.Columns = (int(n) for n in scan.pixels.shape[-2:])
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = 32
    if scan.spacing_mm is not None:
        data.PixelSpacing = [_decimal(value) for value in scan.spacing_mm[-2:]]
        if scan.is_volume:
            data.SpacingBetweenSlices = _decimal(scan.spacing_mm[0])
    if scan.units == "HU":
        data.RescaleType = "HU"
    if scan.windows:
        data.WindowCenter = [_decimal(window.center) for window in scan.windows]
        data.WindowWidth = [_decimal(window.width) for window in scan.windows]
        data.VOILUTFunction = scan.windows[0].function
    low, high = float(np.min(scan.pixels)), float(np.max(scan.pixels))
    data.SmallestValidPixelValue, data.LargestValidPixelValue = low, high
    return [data.to_json_dict()]


def _decimal(value: float) -> str:
    """Write a number as a decimal string of at most 16 characters."""
    return f"{value:.10g}"
