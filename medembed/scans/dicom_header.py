"""A DICOM dataset into :class:`ScanHeader`."""

from __future__ import annotations

import re
from datetime import date
from typing import cast

from pydicom.dataset import Dataset

from medembed.errors import ScanError
from medembed.scans.dicom_file import DicomFile, integer, numbers, text, texts
from medembed.scans.header import ScanHeader

__all__ = ["header_of", "view_of"]

_LATERAL = {"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "L-LAT", "R-LAT"}
_VIEW_MEANINGS = (
    ("postero-anterior", "PA"),
    ("antero-posterior", "AP"),
    ("posteroanterior", "PA"),
    ("anteroposterior", "AP"),
    ("lateral", "LATERAL"),
)
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
_NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName")
_IDS = ("PatientID", "OtherPatientIDs")


def header_of(file: DicomFile) -> ScanHeader:
    """Take from a dataset what :class:`ScanHeader` holds.

    A broken value of an element that the scan can do without (a date, an age) counts as not
    there; a broken size is refused.
    """
    ds = file.dataset
    pixels = file.has_pixels
    study_date = _date(ds, "StudyDate")
    position = _optional(ds, "ImagePositionPatient", 3)
    orientation = _optional(ds, "ImageOrientationPatient", 6)
    spacing = _optional(ds, "PixelSpacing", 2) or _optional(ds, "ImagerPixelSpacing", 2)
    return ScanHeader(
        format="dicom",
        modality=text(ds, "Modality").upper() or "unknown",
        view=view_of(ds),
        n_frames=max(1, integer(ds, "NumberOfFrames") or 1) if pixels else 0,
        rows=max(0, integer(ds, "Rows") or 0) if pixels else 0,
        columns=max(0, integer(ds, "Columns") or 0) if pixels else 0,
        has_pixels=pixels,
        photometric=text(ds, "PhotometricInterpretation"),
        study_uid=text(ds, "StudyInstanceUID"),
        series_uid=text(ds, "SeriesInstanceUID"),
        instance_uid=text(ds, "SOPInstanceUID"),
        # two values are none of the two patients
        patient_id="\\".join(texts(ds, "PatientID")),
        issuer=text(ds, "IssuerOfPatientID"),
        accession=text(ds, "AccessionNumber"),
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
        sop_class=text(ds, "SOPClassUID"),
        birth_date=_date(ds, "PatientBirthDate"),
    )


def view_of(ds: Dataset) -> str:
    """``PA``, ``AP``, ``LATERAL``, another ``ViewPosition``, or ``unknown``."""
    position = text(ds, "ViewPosition").upper()
    if position:
        return "LATERAL" if position in _LATERAL else position
    for code in ds.get("ViewCodeSequence") or ():
        meaning = text(code, "CodeMeaning").lower()
        for words, view in _VIEW_MEANINGS:
            if words in meaning:
                return view
    return "unknown"


def _optional(ds: Dataset, keyword: str, length: int) -> tuple[float, ...] | None:
    try:
        values = numbers(ds, keyword)
    except ScanError:
        return None
    return values if len(values) == length else None


def _optional_integer(ds: Dataset, keyword: str) -> int | None:
    try:
        return integer(ds, keyword)
    except ScanError:
        return None


def _sex(ds: Dataset) -> str:
    value = text(ds, "PatientSex").upper()
    return value if value in ("F", "M", "O") else "unknown"


def _date(ds: Dataset, keyword: str) -> date | None:
    # 2024.01.31 is the form of ACR-NEMA and still found
    match = re.fullmatch(r"(\d{4})\.?(\d\d)\.?(\d\d)", text(ds, keyword))
    if not match:
        return None
    try:
        return date(*(int(part) for part in match.groups()))
    except ValueError:
        return None


def _age_years(ds: Dataset, study_date: date | None) -> float | None:
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text(ds, "PatientAge").upper())
    birth = _date(ds, "PatientBirthDate")
    if match:
        years = int(match[1]) * _DAYS[match[2]] / _DAYS["Y"]
    elif birth and study_date:
        years = (study_date - birth).days / _DAYS["Y"]
    else:
        return None
    return years if 0 <= years <= 130 else None


def _names(ds: Dataset) -> tuple[str, ...]:
    """Tokens of two letters or more, in the order of the header, once each."""
    tokens: dict[str, None] = {}
    for keyword in _NAMES:
        for value in texts(ds, keyword):
            for token in re.split(r"[\s^=,.;_/\\-]+", value):
                if len(token) > 1:
                    tokens[token] = None
    for keyword in _IDS:
        for value in texts(ds, keyword):
            tokens[value] = None
    return tuple(tokens)
