from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.example_files import write_csv, write_dicom, write_png, write_slices

from medembed.cases import Case, Finding
from medembed.errors import SourceError
from medembed.privacy import Pseudonymizer
from medembed.scans import ScanReader
from medembed.sources import DicomFolderSource, Refusal, SourceContext

NAMES = Pseudonymizer(bytes(32))


def take(
    folder: Path, reader: ScanReader, said: list[str] | None = None, **options: Any
) -> tuple[list[Case], list[Refusal]]:
    shift = options.pop("shift_dates", False)
    say = said.append if said is not None else lambda line: None
    source = DicomFolderSource(folder, **options)
    outcomes = list(source.read(SourceContext(reader, NAMES, shift_dates=shift, warn=say)))
    return (
        [outcome for outcome in outcomes if isinstance(outcome, Case)],
        [outcome for outcome in outcomes if isinstance(outcome, Refusal)],
    )


def test_a_study_becomes_a_case_with_a_scan_for_each_image(
    tmp_path: Path, reader: ScanReader
) -> None:
    write_dicom(tmp_path / "a" / "1.dcm", 1, ViewPosition="LL", ManufacturerModelName="X 1")
    write_dicom(tmp_path / "b" / "IM2", 1, SOPInstanceUID="1.2.3", InstitutionName="North")
    (case,), refusals = take(tmp_path, reader)
    assert refusals == []
    from support.example_files import make_dataset

    assert case.case_id == NAMES.study(make_dataset(1).StudyInstanceUID)
    assert case.patient_id == NAMES.patient("MRN00001")
    assert [scan.view for scan in case.scans] == ["PA", "LATERAL"]  # frontal first
    assert (case.modality, case.view, case.sex, case.age_years) == ("CR", "PA", "M", 21.0)
    assert case.study_date == date(2020, 1, 31)
    assert case.scanner == "X 1"
    assert case.note is None


def test_the_slices_of_a_series_are_one_scan_in_order(tmp_path: Path, reader: ScanReader) -> None:
    files = write_slices(tmp_path, 3, 5)
    for old, new in zip(files, "cadbe", strict=True):
        old.rename(tmp_path / new)
    (case,), _ = take(tmp_path, reader)
    assert [Path(file).name for file in case.scans[0].files] == list("cadbe")
    assert case.modality == "CT"


def test_a_file_that_fails_is_refused_and_the_rest_of_its_study_taken(
    tmp_path: Path, reader: ScanReader
) -> None:
    write_dicom(tmp_path / "good.dcm", 1)
    bad = write_dicom(tmp_path / "bad.dcm", 1, SOPInstanceUID="1.2.3")
    bad.write_bytes(bad.read_bytes()[:-200])
    (case,), (refusal,) = take(tmp_path, reader)
    assert len(case.scans) == 1
    assert (refusal.where, refusal.code) == ("bad.dcm", "truncated")


def test_two_patients_under_one_study_are_refused(tmp_path: Path, reader: ScanReader) -> None:
    write_dicom(tmp_path / "1.dcm", 1)
    write_dicom(tmp_path / "2.dcm", 1, PatientID="OTHER", SOPInstanceUID="1.2.3")
    write_dicom(tmp_path / "3.dcm", 3)
    cases, refusals = take(tmp_path, reader)
    assert len(cases) == 1
    assert [(r.where, r.code) for r in refusals] == [
        ("1.dcm", "wrong-patient"),
        ("2.dcm", "wrong-patient"),
    ]
    assert "OTHER" not in repr(refusals)


def test_one_id_of_two_issuers_is_two_patients(tmp_path: Path, reader: ScanReader) -> None:
    for seed, issuer in ((1, "A"), (2, "B"), (3, "A")):
        write_dicom(tmp_path / f"{seed}.dcm", seed, PatientID="77", IssuerOfPatientID=issuer)
    cases, _ = take(tmp_path, reader)
    assert len({case.patient_id for case in cases}) == 2


def test_an_exact_copy_counts_once_and_a_changed_one_is_refused(
    tmp_path: Path, reader: ScanReader
) -> None:
    first = write_dicom(tmp_path / "1.dcm", 1)
    shutil.copy(first, tmp_path / "copy.dcm")
    write_dicom(tmp_path / "other.dcm", 1, ViewPosition="AP")
    said: list[str] = []
    (case,), (refusal,) = take(tmp_path, reader, said)
    assert len(case.scans) == 1
    assert (refusal.where, refusal.code) == ("other.dcm", "duplicate-instance")
    assert said == ["1 duplicate file skipped"]


def test_what_has_no_patient_id_is_a_patient_of_its_own(tmp_path: Path, reader: ScanReader) -> None:
    for seed in (1, 2):
        write_dicom(tmp_path / f"{seed}.dcm", seed, PatientID="")
    said: list[str] = []
    cases, _ = take(tmp_path, reader, said)
    assert len({case.patient_id for case in cases}) == 2
    assert said == ["2 studies have no PatientID; each is treated as a separate patient"]


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"StudyInstanceUID": ""}, "no-study"),
        ({"StudyInstanceUID": "../../etc/passwd"}, "bad-uid"),
        ({"SOPInstanceUID": "x" * 64}, "bad-uid"),
        ({"PixelData": None}, "no-pixels"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")
def test_what_can_be_no_part_of_a_study_is_refused(
    tmp_path: Path, reader: ScanReader, elements: dict[str, Any], code: str
) -> None:
    write_dicom(tmp_path / "1.dcm", 1, **elements)
    cases, (refusal,) = take(tmp_path, reader)
    assert cases == []
    assert refusal.code == code


def test_an_image_in_a_folder_is_refused_and_alone_is_a_case(
    tmp_path: Path, reader: ScanReader
) -> None:
    image = write_png(tmp_path / "scans" / "a.png", 1)
    write_png(tmp_path / "scans" / "really.dcm", 2)
    cases, refusals = take(tmp_path / "scans", reader)
    assert cases == []
    assert [r.code for r in refusals] == ["not-dicom", "not-dicom"]
    (case,), _ = take(image, reader)
    assert case.scans[0].files == (str(image),)
    (single,), _ = take(write_dicom(tmp_path / "one.dcm", 4), reader)
    assert single.patient_id == NAMES.patient("MRN00004")
    with pytest.raises(SourceError, match="file or folder not found"):
        DicomFolderSource(tmp_path / "none")


def test_links_are_followed_once_and_loops_end(tmp_path: Path, reader: ScanReader) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    write_dicom(root / "a" / "1.dcm", 1)
    write_dicom(elsewhere / "2.dcm", 2)
    (root / "a" / "up").symlink_to(root)
    (root / "out").symlink_to(elsewhere)
    (root / "selfish").symlink_to(root / "selfish")
    cases, refusals = take(root, reader)
    assert len(cases) == 2
    assert sorted(r.where for r in refusals) == ["a/up", "selfish"]
    assert {r.code for r in refusals} == {"not-a-file"}


def reports(path: Path, *rows: dict[str, str]) -> Path:
    return write_csv(path, rows)


def test_notes_are_joined_by_accession_or_study_uid(tmp_path: Path, reader: ScanReader) -> None:
    from support.example_files import make_dataset

    for seed in (1, 2, 3):
        write_dicom(tmp_path / "dicom" / f"{seed}.dcm", seed, InstitutionName="North")
    table = reports(
        tmp_path / "dicom" / "reports.csv",
        {"accession": "ACC00001", "note": "Left effusion.", "race": "w", "site": "south",
         "split": "test", "group_id": "g", "ward": "7", "scanner": "S"},
        {"study_uid": make_dataset(2).StudyInstanceUID, "note": "No effusion.", "findings": "mass"},
        {"accession": "ACC99999", "note": "Nobody's."},
    )  # fmt: skip
    said: list[str] = []
    cases, refusals = take(tmp_path / "dicom", reader, said, notes=table, keep_columns=["ward"])
    assert refusals == []  # the table itself is no scan to refuse
    one, two, three = cases
    assert one.findings == (Finding("effusion", "left"),)
    assert (one.race, one.site, one.scanner, one.split) == ("w", "south", "S", "test")
    assert one.group_id == NAMES.group("g")
    assert one.attributes == {"ward": "7"}
    assert two.findings == (Finding("mass"),)
    assert two.site == "North"
    assert three.note is None
    assert said == ["reports.csv: 1 note matches no study", "1 study has no note in reports.csv"]


def test_what_cannot_be_joined_for_certain_is_refused(tmp_path: Path, reader: ScanReader) -> None:
    for seed in (1, 2):
        write_dicom(tmp_path / "d" / f"{seed}.dcm", seed, AccessionNumber="SAME")
    for seed in (3, 4, 5, 6):
        write_dicom(tmp_path / "d" / f"{seed}.dcm", seed)
    table = reports(
        tmp_path / "reports.csv",
        {"accession": "SAME", "note": "Whose?"},
        {"accession": "ACC00003", "note": "One."},
        {"accession": "ACC00003", "note": "Another."},
        {"accession": "ACC00004", "note": "x", "split": "holdout"},
        {"accession": "ACC00005", "study_uid": "1.2.3", "note": "of another study"},
        {"accession": "ACC00006", "note": "Good."},
        {"accession": "ACC00006", "note": "Good."},
        {"note": "of none"},
    )
    cases, refusals = take(tmp_path / "d", reader, notes=table)
    assert {r.where: r.code for r in refusals} == {
        "reports.csv row 2": "ambiguous-accession",
        "reports.csv row 3": "duplicate-note",
        "reports.csv row 4": "duplicate-note",
        "4.dcm": "bad-split",
        "5.dcm": "wrong-study",
        "reports.csv row 9": "missing-value",
    }
    # the two of one accession and the one of two notes are cases without a note
    assert [case.note.text if case.note else None for case in cases] == [None, None, None, "Good."]


def test_a_notes_table_needs_its_columns(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="accession or study_uid"):
        DicomFolderSource(tmp_path, notes=reports(tmp_path / "r.csv", {"note": "x"}))
    with pytest.raises(SourceError, match="missing columns: note"):
        DicomFolderSource(tmp_path, notes=reports(tmp_path / "r.csv", {"accession": "x"}))
    with pytest.raises(SourceError, match="--keep-columns needs a table"):
        DicomFolderSource(tmp_path, keep_columns=["ward"])


def test_localizers_are_left_out_beside_a_volume(tmp_path: Path, reader: ScanReader) -> None:
    write_slices(tmp_path / "ct", 1)
    write_slices(tmp_path / "scout", 1, 1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
                 SeriesInstanceUID="1.2.9")  # fmt: skip
    scout = next((tmp_path / "scout").iterdir())
    scout.unlink()
    write_dicom(scout, 1, Modality="CT", SOPInstanceUID="1.2.8", SeriesInstanceUID="1.2.9",
                ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])  # fmt: skip
    said: list[str] = []
    (case,), _ = take(tmp_path, reader, said)
    assert [len(scan.files) for scan in case.scans] == [4]
    assert said == ["1 localizer skipped"]


def test_dates_of_a_patient_move_together(tmp_path: Path, reader: ScanReader) -> None:
    write_dicom(tmp_path / "1.dcm", 1)
    write_dicom(tmp_path / "2.dcm", 2, PatientID="MRN00001", StudyDate="20200210",
                PatientSex="M", PatientAge="021Y")  # fmt: skip
    write_dicom(tmp_path / "3.dcm", 3, StudyDate="00010101")
    cases, _ = take(tmp_path, reader, shift_dates=True)
    days = [case.study_date for case in cases if case.patient_id == NAMES.patient("MRN00001")]
    assert days[0] is not None
    assert days[1] is not None
    assert (days[1] - days[0]).days == 10
    assert cases[0].date_shift_days == NAMES.shift_days("MRN00001")


def test_paths_that_name_the_patient_are_hidden_and_said(
    tmp_path: Path, reader: ScanReader
) -> None:
    write_dicom(tmp_path / "Family1 Given1" / "good.dcm", 1)
    bad = tmp_path / "Family1 Given1" / "bad.dcm"
    bad.write_bytes(b"\x00" * 50)
    said: list[str] = []
    _, (refusal,) = take(tmp_path, reader, said)
    assert refusal.where == "…/bad.dcm"
    assert said == ["1 file path contains patient names and is stored in the library"]


@pytest.mark.parametrize(("other", "age"), [("046Y", 45.0), ("054Y", None), ("", 45.0)])
def test_different_ages_in_one_study_are_no_age(
    tmp_path: Path, reader: ScanReader, other: str, age: float | None
) -> None:
    write_dicom(tmp_path / "1.dcm", 1, PatientAge="045Y")
    write_dicom(tmp_path / "2.dcm", 1, SOPInstanceUID="1.2.3", PatientAge=other)
    said: list[str] = []
    (case,), _ = take(tmp_path, reader, said)
    assert case.age_years == age
    assert any("different patient ages" in line for line in said) == (age is None)
