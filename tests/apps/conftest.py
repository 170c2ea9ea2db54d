"""A small real library for the reading room: DICOM files, notes, and the toy model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)
from streamlit.testing.v1 import AppTest

from medembed.cases import Case, Finding, ScanRef
from medembed.library import CaseLibrary
from medembed.model import toy_model
from medembed.notes import Assertion, Note, Section
from medembed.scans import read_scan
from medembed.scans.scan_hash import scan_sha256
from tests.apps.acting import PAGE

N_CASES = 14
ROOT = "1.2.826.0.1.3680043.8.498.77"
QUADRANTS = ((0, 0), (0, 1), (1, 0), (1, 1))


def write_radiograph(file: Path, number: int, patient: str = "") -> Path:
    """One quadrant is bright: the toy model tells cases apart by which."""
    pixels = np.random.default_rng(number).integers(0, 300, (48, 40), dtype=np.uint16)
    row, column = QUADRANTS[number % 4]
    pixels[24 * row : 24 * row + 24, 20 * column : 20 * column + 20] += 3000 + 40 * number
    data = _dataset(number, DigitalXRayImageStorageForPresentation, patient)
    data.Modality, data.ViewPosition = "DX", "PA"
    data.WindowCenter, data.WindowWidth = 1500, 3500
    data.ImagerPixelSpacing = [0.5, 0.5]
    _pixels(data, pixels)
    data.save_as(file, enforce_file_format=True)
    return file


def write_ct(folder: Path, number: int, slices: int = 5) -> list[Path]:
    """A block of bone in water, in air; slices 5 mm apart, rows twice as far as columns."""
    files = []
    for index in range(slices):
        pixels = np.full((32, 64), 24, dtype=np.uint16)  # -1000 HU
        pixels[8:24, 8:56] = 1024
        pixels[12:20, 16:24] = 1824 + index
        data = _dataset(number, CTImageStorage, "", instance=index)
        data.Modality = "CT"
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, -1024, "HU"
        data.PixelSpacing, data.SliceThickness = [2.0, 1.0], 5
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [0, 0, 5.0 * index]
        data.InstanceNumber = index + 1
        _pixels(data, pixels)
        file = folder / f"ct-{number}-{index}.dcm"
        data.save_as(file, enforce_file_format=True)
        files.append(file)
    return files


def _dataset(number: int, sop_class: str, patient: str, instance: int = 0) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop_class
    uid = f"{ROOT}.{number}.{instance + 1}"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid
    data.StudyInstanceUID = f"{ROOT}.1000{number}"
    data.SeriesInstanceUID = f"{ROOT}.2000{number}"
    data.FrameOfReferenceUID = f"{ROOT}.3000{number}"
    data.PatientID, data.PatientName = patient, "Planted^Name"
    data.StudyDate = "20200101"
    return data


def _pixels(data: Dataset, pixels: np.ndarray) -> None:
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.PixelData = pixels.tobytes()


def make_note(number: int) -> Note:
    side = "right" if number % 2 else "left"
    start = f"FINDINGS: There is a {side} pleural "
    text = (
        f"{start}effusion. No pneumothorax, and <b>a nodule</b> cannot be excluded.\n"
        f"IMPRESSION: {side.capitalize()} pleural effusion, number {number}. "
        + "It has been stable over many weeks of follow-up. "
        * 8
    )
    at, impression = text.index("pneumothorax"), text.index("IMPRESSION:")
    nodule = text.index("nodule")
    return Note(
        text,
        (
            Section("findings", len("FINDINGS:"), impression),
            Section("impression", impression + len("IMPRESSION:"), len(text)),
        ),
        (
            Assertion("effusion", "present", side, len(start), len(start) + len("effusion")),
            Assertion("pneumothorax", "absent", "", at, at + len("pneumothorax")),
            Assertion("nodule", "uncertain", "", nodule, nodule + len("nodule")),
        ),
    )


def make_case(number: int, files: list[Path]) -> Case:
    digest = scan_sha256([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    modality, view = ("CT", "unknown") if len(files) > 1 else ("DX", "PA")
    return Case(
        case_id=f"C-{number:04d}",
        patient_id=f"P-{number // 2:04d}",
        scans=(ScanRef(tuple(str(file) for file in files), digest, modality, view),),
        note=make_note(number) if number != 3 else None,
        findings=(Finding("effusion", "right" if number % 2 else "left"),),
        study_date=date(2020, 1, 1 + number),
        modality=modality,
        view=view,
        sex="F" if number % 2 else "M",
        age_years=40.0 + number,
        site="north" if number < 7 else "south",
    )


@pytest.fixture(scope="session")
def small_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve radiographs of six patients and a CT of a seventh, with vectors of the toy model."""
    folder = tmp_path_factory.mktemp("files")
    path = tmp_path_factory.mktemp("room") / "small-library"
    files = [[write_radiograph(folder / f"{n}.dcm", n)] for n in range(N_CASES - 1)]
    files.append(write_ct(folder, N_CASES - 1))
    with CaseLibrary.create(path) as library:
        report = library.add(make_case(n, names) for n, names in enumerate(files))
        assert report.added == N_CASES
        model = toy_model()
        model.save(path / "models" / "toy")
        library.active_model = "toy"
        scans = [read_scan(names if len(names) > 1 else names[0]) for names in files]
        ids = library.find()
        library.put_vectors(model.fingerprint, "image", ids, model.encode_scans(scans))
    return path


@pytest.fixture(scope="session", autouse=True)
def _close_session() -> Iterator[None]:
    """One session serves all tests of a library, as it serves all visitors."""
    import streamlit as st

    yield
    st.cache_resource.clear()


@pytest.fixture
def radiograph(tmp_path: Path) -> bytes:
    """A radiograph that is not in the library, of a patient who is not in it either."""
    return write_radiograph(tmp_path / "Planted_Name.dcm", 41, "PLANTED-ID").read_bytes()


@pytest.fixture
def room(small_library: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MEDEMBED_LIBRARY", str(small_library))
    return AppTest.from_file(PAGE, default_timeout=30).run()


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    before = os.environ.get("MEDEMBED_LIBRARY")
    yield
    if before is None:
        os.environ.pop("MEDEMBED_LIBRARY", None)
