"""The noun :class:`ScanHeader`: metadata of a file, available before decoding."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from medembed.scans.pixel_digest import combine_pixel_digests

__all__ = ["ScanFormat", "ScanHeader"]

ScanFormat = Literal["dicom", "image", "nifti"]


@dataclass(frozen=True)
class ScanHeader:
    """Metadata of one file.

    ``repr`` excludes everything that identifies a patient, so that a header can be logged.

    Parameters
    ----------
    format : {"dicom", "image", "nifti"}
    modality : str
        DICOM ``Modality``; ``"unknown"`` if missing, and for plain images.
    view : str
        ``"PA"``, ``"AP"``, ``"LATERAL"``, another ``ViewPosition``, or ``"unknown"``.
    n_frames, rows, columns : int
        0 if the file has no pixels.
    has_pixels : bool
        Whether the file declares pixels; they may not be decodable.
    photometric : str
        ``PhotometricInterpretation``.
    study_uid, series_uid, instance_uid : str
        Empty if missing.
    patient_id, issuer, accession : str
        ``PatientID``, ``IssuerOfPatientID``, ``AccessionNumber``.
    study_date : date or None
    sex : {"F", "M", "O", "unknown"}
    age_years : float or None
        ``PatientAge``, else birth date against study date; None outside 0 to 130.
    manufacturer_model, institution, body_part : str
    instance_number : int or None
    position : tuple of 3 float or None
        ``ImagePositionPatient`` in mm (LPS).
    orientation : tuple of 6 float or None
        ``ImageOrientationPatient``: direction of a row, then of a column.
    frame_uid : str
        ``FrameOfReferenceUID``.
    names : tuple of str
        Tokens of the patient's names and IDs, for masking paths and text. Never log them.
    image_type : tuple of str
    pixel_spacing_mm : tuple of 2 float or None
        Between rows, between columns.
    acquisition_number : int or None
    transfer_syntax : str
        UID of the encoding; empty if not DICOM.
    phase : tuple of str
        Values that separate the volumes of one series: temporal position, echo, b-value.
    sop_class : str
        ``SOPClassUID``; see :func:`medembed.scans.kind_of`.
    remarks : tuple of str
        Defects of a readable file (:class:`medembed.scans.remarks.Remark`), once each, without any
        value of the file. Complete only after the pixels are decoded.
    frame_digests : tuple of str
        :func:`~medembed.scans.pixel_digest.frame_digest` of each frame, in the order of the
        volume; empty until the pixels are decoded.
    pixel_sha256 : str
        The combined frame digests; computed if not given.
    birth_date : date or None
        ``PatientBirthDate``, placeholders included.
    file_sha256 : str
        SHA-256 of the file's content, in hex; empty until the pixels are decoded.

    References
    ----------
    DICOM PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.7.6.2, C.7.6.3.
    """

    format: ScanFormat
    modality: str = "unknown"
    view: str = "unknown"
    n_frames: int = 0
    rows: int = 0
    columns: int = 0
    has_pixels: bool = False
    photometric: str = ""
    study_uid: str = field(default="", repr=False)
    series_uid: str = field(default="", repr=False)
    instance_uid: str = field(default="", repr=False)
    patient_id: str = field(default="", repr=False)
    issuer: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    study_date: date | None = field(default=None, repr=False)
    sex: str = field(default="unknown", repr=False)
    age_years: float | None = field(default=None, repr=False)
    manufacturer_model: str = ""
    institution: str = field(default="", repr=False)
    body_part: str = ""
    instance_number: int | None = None
    position: tuple[float, float, float] | None = None
    orientation: tuple[float, float, float, float, float, float] | None = None
    frame_uid: str = field(default="", repr=False)
    names: tuple[str, ...] = field(default=(), repr=False)
    image_type: tuple[str, ...] = ()
    pixel_spacing_mm: tuple[float, float] | None = None
    acquisition_number: int | None = None
    transfer_syntax: str = ""
    phase: tuple[str, ...] = ()
    sop_class: str = ""
    remarks: tuple[str, ...] = ()
    frame_digests: tuple[str, ...] = field(default=(), repr=False)
    pixel_sha256: str = field(default="", repr=False)
    birth_date: date | None = field(default=None, repr=False)
    file_sha256: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.frame_digests and not self.pixel_sha256:
            object.__setattr__(self, "pixel_sha256", combine_pixel_digests(self.frame_digests))
