"""A study's first picture is a picture: not a mask, a dose, a screen or a scout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import uid
from pydicom.uid import generate_uid
from support.example_files import CT, write_csv, write_dicom, write_slices

from medembed.cases import Case
from medembed.library import CaseLibrary, ingest
from medembed.scans import ScanReader
from medembed.sources import DicomFolderSource, Refusal, SourceContext, TableSource

OTHERS: dict[str, dict[str, Any]] = {
    "segmentation": {"SOPClassUID": uid.SegmentationStorage, "Modality": "SEG"},
    "dose": {"SOPClassUID": uid.RTDoseStorage, "Modality": "RTDOSE"},
    "parametric map": {"SOPClassUID": uid.ParametricMapStorage, "Modality": "MR"},
    "presentation state": {
        "SOPClassUID": uid.GrayscaleSoftcopyPresentationStateStorage,
        "Modality": "PR",
    },
    "secondary capture": {
        "SOPClassUID": uid.SecondaryCaptureImageStorage,
        "Modality": "OT",
        "ImageType": ["DERIVED", "SECONDARY"],
        "BurnedInAnnotation": "YES",
    },
    "localizer": {
        "SOPClassUID": CT,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
    },
}


def beside(folder: Path, name: str, **elements: Any) -> Path:
    """One more file of study 1, in a series of its own."""
    more = {
        "SOPInstanceUID": generate_uid(entropy_srcs=[name]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=["series", name]),
        "ViewPosition": "",
    }
    return write_dicom(folder / name, 1, **{**more, **elements})


def take(folder: Path, reader: ScanReader) -> tuple[list[Case], list[Refusal], list[str]]:
    said: list[str] = []
    outcomes = list(DicomFolderSource(folder).read(SourceContext(reader, warn=said.append)))
    return (
        [one for one in outcomes if isinstance(one, Case)],
        [one for one in outcomes if isinstance(one, Refusal)],
        said,
    )


@pytest.mark.parametrize("kind", OTHERS)
def test_i02_masks_doses_and_screens_are_left_out_beside_a_picture(
    tmp_path: Path, reader: ScanReader, kind: str
) -> None:
    beside(tmp_path, "0_first.dcm", **OTHERS[kind])
    write_dicom(tmp_path / "1_cr.dcm", 1)
    (case,), refusals, said = take(tmp_path, reader)
    assert (case.modality, case.view, case.kind) == ("CR", "PA", "image")
    assert [scan.kind for scan in case.scans] == ["image"]
    assert refusals == []
    assert said == [f"1 {kind} skipped"]


@pytest.mark.parametrize("kind", OTHERS)
def test_i02_alone_they_are_refused_or_marked(
    tmp_path: Path, reader: ScanReader, kind: str
) -> None:
    beside(tmp_path, "alone.dcm", **OTHERS[kind])
    cases, refusals, said = take(tmp_path, reader)
    if kind in ("secondary capture", "localizer"):
        assert [case.kind for case in cases] == [kind]
        assert said == [f"1 study contains only {kind}s"]
    else:
        assert cases == []
        assert [(r.code, r.reason) for r in refusals] == [
            ("no-picture", f"{kind} in a study without images")
        ]


def test_i02_a_dose_beside_a_volume(tmp_path: Path, reader: ScanReader) -> None:
    write_slices(tmp_path / "ct", 1, 3)
    beside(tmp_path, "0_dose.dcm", NumberOfFrames=2, PixelData=bytes(2 * 512),
           **OTHERS["dose"])  # fmt: skip
    (case,), _, said = take(tmp_path, reader)
    assert (case.modality, len(case.scans), len(case.scans[0].files)) == ("CT", 1, 3)
    assert said == ["1 dose skipped"]


def test_i02_a_pet_series_that_comes_first(tmp_path: Path, reader: ScanReader) -> None:
    write_slices(tmp_path / "a", 1, 3)
    for i, file in enumerate(sorted((tmp_path / "a").iterdir())):
        file.rename(tmp_path / "a" / f"z{i}.dcm")
    beside(tmp_path, "0_pet.dcm", SOPClassUID=uid.PositronEmissionTomographyImageStorage,
           Modality="PT", NumberOfFrames=2, PixelData=bytes(2 * 512))  # fmt: skip
    (case,), _, _ = take(tmp_path, reader)
    assert [scan.modality for scan in case.scans] == ["CT", "PT"]


def test_i02_reformats_are_pictures(tmp_path: Path, reader: ScanReader) -> None:
    beside(tmp_path, "mpr.dcm", SOPClassUID=CT, Modality="CT",
           ImageType=["DERIVED", "PRIMARY", "MPR"])  # fmt: skip
    (case,), _, said = take(tmp_path, reader)
    assert (case.kind, said) == ("image", [])


def test_i02_objects_without_pixels_say_what_they_are(tmp_path: Path, reader: ScanReader) -> None:
    write_dicom(tmp_path / "1.dcm", 1)
    beside(tmp_path, "sr.dcm", SOPClassUID=uid.BasicTextSRStorage, Modality="SR", PixelData=None)
    beside(tmp_path, "pdf.dcm", SOPClassUID=uid.EncapsulatedPDFStorage, Modality="DOC",
           PixelData=None)  # fmt: skip
    beside(tmp_path, "key.dcm", SOPClassUID=uid.KeyObjectSelectionDocumentStorage, Modality="KO",
           PixelData=None)  # fmt: skip
    (case,), refusals, _ = take(tmp_path, reader)
    assert case.kind == "image"
    assert {r.reason for r in refusals} == {"DICOM object without pixels (report)"}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    with CaseLibrary.create(tmp_path / "lib") as made:
        yield made


def test_where_asks_for_a_kind(library: CaseLibrary, reader: ScanReader, tmp_path: Path) -> None:
    write_dicom(tmp_path / "d" / "cr.dcm", 1)
    write_dicom(tmp_path / "d" / "sc.dcm", 2, **OTHERS["secondary capture"])
    ingest(library, DicomFolderSource(tmp_path / "d"), reader=reader)
    assert [case.modality for case in library.cases("kind=image")] == ["CR"]
    assert [case.modality for case in library.cases("kind!=image")] == ["OT"]
    assert all(len(scan.pixel_sha256) == 64 for case in library.cases() for scan in case.scans)


def test_i02_in_a_table(library: CaseLibrary, reader: ScanReader, tmp_path: Path) -> None:
    beside(tmp_path, "seg.dcm", **OTHERS["segmentation"])
    write_dicom(tmp_path / "cr.dcm", 1)
    rows = [
        {"case_id": "a", "patient_id": "p", "image_path": "seg.dcm;cr.dcm"},
        {"case_id": "b", "patient_id": "q", "image_path": "seg.dcm"},
    ]
    table = write_csv(tmp_path / "cases.csv", rows)
    report = ingest(library, TableSource(table), reader=reader)
    assert [(case.case_id, case.kind, case.modality) for case in library.cases()] == [
        ("a", "image", "CR"),
        ("b", "segmentation", "SEG"),
    ]
    assert "cases.csv: 1 segmentation skipped" in report.remarks
    assert "cases.csv: 1 row contains only segmentations" in report.remarks
