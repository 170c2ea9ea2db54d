"""Answers of a worker: JSON and raw pixels, so that a compromised worker cannot send code."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.scans.header import ScanHeader
from medembed.scans.scan import Scan, VoiLut, Window

__all__ = ["Json", "header_from_json", "header_to_json", "scan_from_json", "scan_to_json"]

Json = dict[str, Any]

_DATES = ("study_date", "birth_date")


def header_to_json(header: ScanHeader) -> Json:
    """Convert a header to JSON data."""
    # not asdict(), which copies deeply: all values are immutable
    values = {field.name: getattr(header, field.name) for field in fields(header)}
    for name in _DATES:
        if values[name] is not None:
            values[name] = values[name].isoformat()
    return values


def header_from_json(answer: Json) -> ScanHeader:
    """Restore a header from :func:`header_to_json`."""
    values: Json = {
        field.name: tuple(value) if isinstance(value, list) else value
        for field in fields(ScanHeader)
        if (value := answer.get(field.name)) is not None
    }
    for name in _DATES:
        if name in values:
            values[name] = date.fromisoformat(values[name])
    return ScanHeader(**values)


def scan_to_json(scan: Scan) -> Json:
    """Convert a scan without its pixels to JSON data."""
    return {
        "shape": scan.pixels.shape,
        "spacing_mm": scan.spacing_mm,
        "units": scan.units,
        "modality": scan.modality,
        "view": scan.view,
        "windows": [(w.center, w.width, w.name, w.function) for w in scan.windows],
        "voi_luts": [(lut.first, lut.values, lut.name) for lut in scan.voi_luts],
        "study_uid": scan.study_uid,
        "series_uid": scan.series_uid,
        "instance_uids": scan.instance_uids,
        "remarks": scan.remarks,
        "body_part": scan.body_part,
        "axes": scan.axes,
    }


def scan_from_json(answer: Json, pixels: npt.NDArray[np.float32]) -> Scan:
    """Restore a scan from :func:`scan_to_json`."""
    spacing = answer["spacing_mm"]
    return Scan(
        pixels=pixels,
        spacing_mm=None if spacing is None else tuple(spacing),
        units=answer["units"],
        modality=answer["modality"],
        view=answer["view"],
        windows=tuple(Window(*window) for window in answer["windows"]),
        voi_luts=tuple(VoiLut(lut[0], tuple(lut[1]), lut[2]) for lut in answer["voi_luts"]),
        study_uid=answer["study_uid"],
        series_uid=answer["series_uid"],
        instance_uids=tuple(answer["instance_uids"]),
        remarks=tuple(answer["remarks"]),
        body_part=answer["body_part"],
        axes=tuple(answer["axes"]),
    )
