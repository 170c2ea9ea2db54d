"""Radiographs and CT slices as valid DICOM (PS3.3 A.2, A.3, A.26)."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from medembed.privacy.private_files import open_private
from medembed.sources.synthetic.ct import SLICE_MM, Grid
from medembed.sources.synthetic.plan import Study, uid_of
from medembed.sources.synthetic.projection import Scanner
from medembed.sources.synthetic.shapes import Floats, View

__all__ = ["ct_slice", "radiograph_file", "write_whole"]

_IMPLEMENTATION = uid_of("medembed", "synthetic", 1)
_MAX = 4095  # 12 bits stored


def _code(value: str, scheme: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return Sequence([item])


def _common(study: Study, scanner: Scanner, sop_class: UID, series: str, instance: str) -> Dataset:
    """Patient, study, series, equipment and SOP common modules."""
    day = study.when.strftime("%Y%m%d")
    time = f"{8 + study.patient % 10:02d}{(7 * study.patient + 11 * study.number) % 60:02d}00"
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = instance
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = day
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = time
    ds.AccessionNumber = study.accession
    ds.Manufacturer = scanner.maker
    ds.ManufacturerModelName = scanner.model
    ds.StationName = scanner.name
    ds.DeviceSerialNumber = f"SYN-{scanner.name}"
    ds.SoftwareVersions = "synthetic 1"
    ds.InstitutionName = f"Synthetic {study.site}"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Synthetic chest"
    ds.PatientName = f"Synthetic^{study.patient + 1:04d}"
    ds.PatientID = f"SYN-{study.patient + 1:06d}"
    ds.PatientBirthDate = ""
    ds.PatientSex = study.sex
    ds.PatientAge = f"{study.age:03d}Y"
    ds.StudyInstanceUID = study.study_uid
    ds.SeriesInstanceUID = series
    ds.StudyID = str(study.number + 1)
    ds.BodyPartExamined = "CHEST"
    ds.SamplesPerPixel = 1
    ds.BitsAllocated = 16
    return ds


def _pixels(ds: Dataset, stored: npt.NDArray[np.uint16], photometric: str) -> None:
    ds.Rows, ds.Columns = stored.shape
    ds.PhotometricInterpretation = photometric
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0
    ds.PixelData = stored.astype("<u2").tobytes()


def radiograph_file(study: Study, scanner: Scanner, view: View, image: Floats, seed: int) -> bytes:
    """Encode a radiograph.

    Parameters
    ----------
    study : Study
    scanner : Scanner
        Its ``modality`` sets the SOP class: DX For Presentation or CR.
    view : View
    image : float32 array (rows, columns), 0 to 1
        Bright is dense.
    seed : int
        Of the cohort.

    Returns
    -------
    bytes
        A file of part 10, explicit VR little endian, 12 bits stored.
    """
    number = study.views.index(view.name) + 1
    series = uid_of(seed, study.patient, study.number, view.name, "series")
    instance = uid_of(seed, study.patient, study.number, view.name, "instance")
    digital = scanner.modality == "DX"
    sop = DigitalXRayImageStorageForPresentation if digital else ComputedRadiographyImageStorage
    ds = _common(study, scanner, sop, series, instance)
    ds.Modality = scanner.modality
    ds.ImageType = ["DERIVED", "PRIMARY"] if digital else ["ORIGINAL", "PRIMARY"]
    ds.SeriesNumber = number
    ds.InstanceNumber = 1
    ds.SeriesDescription = f"Chest {view.name.lower() if view.name == 'LATERAL' else view.name}"
    ds.ViewPosition = "LL" if view.name == "LATERAL" else view.name
    ds.PatientOrientation = ["P", "F"] if view.name == "LATERAL" else ["L", "F"]
    ds.ImagerPixelSpacing = [f"{view.spacing_mm:.6f}"] * 2
    ds.KVP = "125" if view.name != "AP" else "100"
    ds.DistanceSourceToDetector = f"{view.source_mm:.0f}"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    stored = np.round(np.clip(image, 0, 1) * _MAX).astype(np.uint16)
    photometric = "MONOCHROME2"
    if scanner.inverted:
        stored, photometric = (_MAX - stored).astype(np.uint16), "MONOCHROME1"
    _pixels(ds, stored, photometric)
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    if digital:
        ds.ImageType = ["DERIVED", "PRIMARY", ""]
        ds.PresentationIntentType = "FOR PRESENTATION"
        ds.PixelIntensityRelationship = "LOG"
        ds.PixelIntensityRelationshipSign = 1 if scanner.inverted else -1
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
        ds.PresentationLUTShape = "INVERSE" if scanner.inverted else "IDENTITY"
        ds.ImageLaterality = "U"
        ds.AnatomicRegionSequence = _code("51185008", "SCT", "Chest")
        ds.PositionerType = ""
        ds.DetectorType = "SCINTILLATOR"
        ds.AcquisitionContextSequence = Sequence([])
        ds.ViewCodeSequence = {
            "PA": _code("399348003", "SCT", "postero-anterior"),
            "AP": _code("399067008", "SCT", "antero-posterior"),
            "LATERAL": _code("399173006", "SCT", "left lateral"),
        }[view.name]
    return _encode(ds)


def ct_slice(
    study: Study, scanner: Scanner, grid: Grid, volume: Floats, index: int, seed: int
) -> bytes:
    """Encode one slice of a CT series.

    Parameters
    ----------
    study : Study
    scanner : Scanner
        Its manufacturer is written to the header.
    grid : Grid
    volume : float32 array (slices, rows, columns), HU
    index : int
        Slice, counted from the feet.
    seed : int
        Of the cohort.

    Returns
    -------
    bytes
    """
    keys = (seed, study.patient, study.number, "CT")
    ds = _common(
        study, scanner, CTImageStorage, uid_of(*keys, "series"), uid_of(*keys, index, "instance")
    )
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ManufacturerModelName = "Synthetic CT 1"
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 1, 1, index + 1
    ds.SeriesDescription = "Chest axial 5 mm"
    ds.PatientPosition = "HFS"
    ds.FrameOfReferenceUID = uid_of(*keys, "frame")
    ds.PositionReferenceIndicator = ""
    z_mm, y_mm, x_mm = grid.spacing_mm
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.ImagePositionPatient = [
        f"{grid.x[0]:.4f}",
        f"{grid.y[0]:.4f}",
        f"{grid.z[index]:.4f}",
    ]
    ds.PixelSpacing = [f"{y_mm:.6f}", f"{x_mm:.6f}"]
    ds.SliceThickness = f"{SLICE_MM:.1f}"
    ds.SliceLocation = f"{grid.z[index]:.4f}"
    ds.KVP = "120"
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.WindowCenter, ds.WindowWidth = ["-600", "40"], ["1500", "400"]
    ds.WindowCenterWidthExplanation = ["LUNG", "MEDIASTINUM"]
    stored = np.clip(np.round(volume[index]) + 1024, 0, _MAX).astype(np.uint16)
    _pixels(ds, stored, "MONOCHROME2")
    del z_mm
    return _encode(ds)


def _encode(ds: Dataset) -> bytes:
    """Serialize with our own implementation UID; the bytes do not depend on pydicom's version."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = UID(str(ds.SOPInstanceUID))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(_IMPLEMENTATION)
    meta.ImplementationVersionName = "MEDEMBED_SYN_1"
    ds.file_meta = meta
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: it is absent or complete."""
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(open_private(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(content)
    part.replace(path)
