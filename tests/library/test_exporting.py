"""An exported part cannot be linked to its library by an id, a date or a path."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.example_cases import make_case

from medembed.cases import Case, ScanRef
from medembed.errors import LibraryError
from medembed.library import CaseLibrary
from medembed.library.byte_search import ByteSearch, text_forms
from medembed.library.exporting import export_library
from medembed.library.traces import traces_of
from medembed.notes import Note

MODEL = "0123456789abcdef" * 4


def case_of(folder: Path, number: int, modality: str = "CR") -> Case:
    path = folder / f"scan-of-Mueller-{number:03d}.png"
    pixels = np.random.default_rng(number).integers(10, 200, (24, 24)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return make_case(
        number,
        case_id=f"C-{number:05d}",
        patient_id=f"P-{number // 3:05d}",
        scans=(ScanRef((str(path),), digest, modality, "PA"),),
        modality=modality,
        note=Note(f"FINDINGS: effusion of patient Mueller{number:03d}, seen again."),
        study_date=date(2020, 3, 1 + number % 30),
        date_shift_days=17,
        age_years=85.0 + number % 12,
        site="St. Elsewhere",
        group_id=f"G-{number // 3:05d}",
        attributes={"accession": f"acc-{number:06d}", "ward": "north"},
        split="train" if number // 3 % 2 else "test",
    )


@pytest.fixture
def library(tmp_path: Path) -> CaseLibrary:
    made = CaseLibrary.create(tmp_path / "lib")
    made.add([case_of(tmp_path, i) for i in range(12)])
    made.put_vectors(MODEL, "image", made.find(), np.random.default_rng(0).normal(size=(12, 8)))
    return made


def test_an_export_has_the_cases_and_none_of_their_names(
    library: CaseLibrary, tmp_path: Path
) -> None:
    report = export_library(library, tmp_path / "out", "split=train")
    assert (report.n_cases, report.n_patients, report.n_scans, report.n_notes) == (6, 2, 6, 0)
    old = [case for case in library.cases() if case.split == "train"]
    with CaseLibrary.open(tmp_path / "out") as out:
        new = list(out.cases())
        assert out.key != library.key
        assert out.library_id != library.library_id
        assert out.embedding_sets() == []
        for one, other in zip(new, old, strict=True):
            assert (one.sex, one.findings, one.split) == (other.sex, other.findings, other.split)
            assert one.age_years == min(other.age_years or 0, 90)
            assert (one.attributes, one.note, one.date_shift_days) == ({}, None, 0)
            (files,) = out.scan_files(one)
            with Image.open(files[0]) as shown, Image.open(other.scans[0].files[0]) as was:
                assert shown.info == {}
                pixels = [np.asarray(image, float).ravel() for image in (shown, was)]
                assert np.corrcoef(*pixels)[0, 1] > 0.999
        # a patient's studies stay together, and as many days apart
        pairs = {(one.patient_id, other.patient_id) for one, other in zip(new, old, strict=True)}
        assert len(pairs) == 2
        shifts: dict[str, set[int]] = {}
        for one, other in zip(new, old, strict=True):
            assert one.study_date is not None
            assert other.study_date is not None
            shifts.setdefault(one.patient_id, set()).add((one.study_date - other.study_date).days)
        assert all(len(days) == 1 for days in shifts.values())
        assert len({days.pop() for days in shifts.values()}) == 2
        data = out.path
    found = traces_of(
        library.database.read(),
        sorted({case.patient_id for case in old}),
        library.pseudonymizer,
        library.path,
    )
    needles = [*found, library.key, *text_forms("Mueller"), *text_forms("Elsewhere"), b"acc-00"]
    assert ByteSearch(needles).in_folder(data)[0] == {}


def test_the_image_of_a_case_is_named_by_its_new_name_only(
    library: CaseLibrary, tmp_path: Path
) -> None:
    export_library(library, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").rglob("*")}
    assert not any("Mueller" in name or "C-000" in name for name in names)
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "out").rglob("*")} == {0}


def test_reports_and_columns_are_copied_only_if_asked_for(
    library: CaseLibrary, tmp_path: Path
) -> None:
    report = export_library(library, tmp_path / "out", with_notes=True, keep_columns=["ward"])
    assert report.n_notes == 12
    with CaseLibrary.open(tmp_path / "out") as out:
        assert all(case.note for case in out.cases())
        assert {tuple(case.attributes.items()) for case in out.cases()} == {(("ward", "north"),)}
    with pytest.raises(LibraryError, match="no such kept column"):
        export_library(library, tmp_path / "other", keep_columns=["bed"])


def test_what_cannot_be_exported_safely_is_left_out_and_counted(
    library: CaseLibrary, tmp_path: Path
) -> None:
    library.add([case_of(tmp_path, 100, "US"), case_of(tmp_path, 101, "unknown")])
    moved = case_of(tmp_path, 102)
    library.add([moved])
    Path(moved.scans[0].files[0]).unlink()
    replaced = case_of(tmp_path, 103)
    library.add([replaced])
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(replaced.scans[0].files[0])
    report = export_library(library, tmp_path / "out")
    assert report.n_cases == 12
    assert report.cases_left_out == 4
    assert report.scans_left_out == {"perhaps-with-text": 2, "not-found": 1, "changed": 1}


def test_two_exports_cannot_be_linked_by_their_names(library: CaseLibrary, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_library(library, tmp_path / name)
    with CaseLibrary.open(tmp_path / "one") as one, CaseLibrary.open(tmp_path / "two") as two:
        assert not set(one.find()) & set(two.find())
        assert not set(one.patients().values()) & set(two.patients().values())


def test_nothing_is_written_where_nothing_can_be_exported(
    library: CaseLibrary, tmp_path: Path
) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(LibraryError, match="no case meets"):
        export_library(library, tmp_path / "out", "sex=O")
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(LibraryError, match="12 not-found"):
        export_library(library, tmp_path / "out")
    with pytest.raises(LibraryError, match="not empty"):
        export_library(library, library.path)
    assert {path.name for path in tmp_path.iterdir()} == {n for n in before if n[-4:] != ".png"}


def test_an_erased_patient_of_an_export_takes_the_images_along(
    library: CaseLibrary, tmp_path: Path
) -> None:
    export_library(library, tmp_path / "out")
    with CaseLibrary.open(tmp_path / "out") as out:
        case = next(out.cases())
        (files,) = out.scan_files(case)
        receipt = out.erase(case.patient_id)
        assert receipt.is_finished
        assert receipt.originals_left == 0
        assert receipt.counts["scan files in the library's folder"] == 3
        assert not files[0].exists()
