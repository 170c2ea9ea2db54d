"""Conversion of a DICOM dataset to :class:`ScanHeader`."""

from __future__ import annotations

import re
from datetime import date
from typing import cast

from pydicom.dataset import Dataset

from medembed.errors import ScanError
from medembed.scans.ages import age_at, stated_age
from medembed.scans.dicom_file import DicomFile, exact_texts, integer, numbers, text, texts
from medembed.scans.frame_count import count_frames
from medembed.scans.header import ScanHeader
from medembed.scans.remarks import Remark

__all__ = ["header_of", "view_of"]

_LATERAL = {"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "L-LAT", "R-LAT"}
_VIEW_MEANINGS = (
    ("postero-anterior", "PA"),
    ("antero-posterior", "AP"),
    ("posteroanterior", "PA"),
    ("anteroposterior", "AP"),
    (
        r"(?<!medio-)lateral(?! (?:decubitus|oblique))",
        "LATERAL",
    ),  # not of the breast
)
_PHASES = ("TemporalPositionIdentifier", "EchoTime", "EchoNumbers", "DiffusionBValue")
_NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName")
_IDS = ("PatientID", "OtherPatientIDs")


def header_of(file: DicomFile) -> ScanHeader:
    """Extract a :class:`ScanHeader` from a dataset.

    An invalid value of a dispensable element (a date, an age) counts as missing; an invalid size is
    refused.
    """
    ds = file.dataset
    pixels = file.has_pixels
    study_date = _date(ds, "StudyDate")
    position = _optional(file, "ImagePositionPatient", 3, Remark.POSITION)
    orientation = _optional(file, "ImageOrientationPatient", 6, Remark.POSITION)
    spacing = _spacing(file)
    return ScanHeader(
        format="dicom",
        modality=text(ds, "Modality").upper() or "unknown",
        view=view_of(ds),
        n_frames=count_frames(file) if pixels else 0,
        rows=max(0, integer(ds, "Rows") or 0) if pixels else 0,
        columns=max(0, integer(ds, "Columns") or 0) if pixels else 0,
        has_pixels=pixels,
        photometric=text(ds, "PhotometricInterpretation"),
        study_uid=_identifier(ds, "StudyInstanceUID"),
        series_uid=_identifier(ds, "SeriesInstanceUID"),
        instance_uid=_identifier(ds, "SOPInstanceUID"),
        # two values identify neither of the two patients
        patient_id="\\".join(exact_texts(ds, "PatientID")),
        issuer=_identifier(ds, "IssuerOfPatientID"),
        accession=_identifier(ds, "AccessionNumber"),
        study_date=study_date,
        sex=_sex(ds),
        age_years=_age_years(ds, study_date),
        manufacturer_model=text(ds, "ManufacturerModelName"),
        institution=text(ds, "InstitutionName"),
        body_part=text(ds, "BodyPartExamined"),
        instance_number=_optional_integer(ds, "InstanceNumber"),
        position=cast("tuple[float, float, float] | None", position),
        orientation=cast("tuple[float, float, float, float, float, float] | None", orientation),
        frame_uid=text(ds, "FrameOfReferenceUID"),
        names=_names(ds),
        image_type=tuple(value.upper() for value in texts(ds, "ImageType")),
        pixel_spacing_mm=cast("tuple[float, float] | None", spacing),
        acquisition_number=_optional_integer(ds, "AcquisitionNumber"),
        transfer_syntax=str(file.transfer_syntax or ""),
        phase=_phase(ds),
        sop_class=text(ds, "SOPClassUID"),
        birth_date=_date(ds, "PatientBirthDate"),
        remarks=tuple(file.remarks),
    )


def _spacing(file: DicomFile) -> tuple[float, ...] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        if texts(file.dataset, keyword) or keyword in file.dataset:
            values = _optional(file, keyword, 2, Remark.SPACING)
            if values and min(values) > 0:
                return values
    return None


def view_of(ds: Dataset) -> str:
    """Return ``PA``, ``AP``, ``LATERAL``, another ``ViewPosition``, or ``unknown``."""
    position = text(ds, "ViewPosition").upper()
    if position:
        return "LATERAL" if position in _LATERAL else position
    for code in ds.get("ViewCodeSequence") or ():
        meaning = text(code, "CodeMeaning").lower()
        for words, view in _VIEW_MEANINGS:
            if re.search(rf"\b{words}\b", meaning):
                return view
    return "unknown"


def _identifier(ds: Dataset, keyword: str) -> str:
    return next(iter(exact_texts(ds, keyword)), "")


def _optional(
    file: DicomFile, keyword: str, length: int, remark: Remark
) -> tuple[float, ...] | None:
    """Return dispensable numbers; record a remark if they are present but unusable."""
    try:
        values = numbers(file.dataset, keyword)
    except ScanError:
        file.note(remark)
        return None
    if len(values) == length:
        return values
    if values:
        file.note(remark)
    return None


def _optional_integer(ds: Dataset, keyword: str) -> int | None:
    try:
        return integer(ds, keyword)
    except ScanError:
        return None


def _phase(ds: Dataset) -> tuple[str, ...]:
    """Return values that differ between the volumes of a series; may be empty."""
    values = tuple(text(ds, keyword) for keyword in _PHASES)
    return values if any(values) else ()


def _sex(ds: Dataset) -> str:
    value = text(ds, "PatientSex").upper()
    return value if value in ("F", "M", "O") else "unknown"


def _date(ds: Dataset, keyword: str) -> date | None:
    # 2024.01.31 is the ACR-NEMA form, still in use
    match = re.fullmatch(r"(\d{4})\.?(\d\d)\.?(\d\d)", text(ds, keyword))
    if not match:
        return None
    try:
        return date(*(int(part) for part in match.groups()))
    except ValueError:
        return None


def _age_years(ds: Dataset, study_date: date | None) -> float | None:
    stated = stated_age(text(ds, "PatientAge"))
    return age_at(_date(ds, "PatientBirthDate"), study_date) if stated is None else stated


def _names(ds: Dataset) -> tuple[str, ...]:
    """Return tokens of two or more letters, in header order, once each."""
    tokens: dict[str, None] = {}
    for keyword in _NAMES:
        for value in exact_texts(ds, keyword):
            for token in re.split(r"[\s^=,.;_/\\-]+", value):
                if len(token) > 1:
                    tokens[token] = None
    for keyword in _IDS:
        for value in exact_texts(ds, keyword):
            tokens[value] = None
    return tuple(tokens)
