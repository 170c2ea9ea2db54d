"""Whose study it is: ids that two people share, issuers that come and go, stand-ins for ids."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.example_files import write_csv, write_dicom, write_png

from medembed.cases import Case, ScanRef, normalize_sex
from medembed.library import CaseLibrary, ingest
from medembed.library.identities import LibraryIdentities, patients_of_id
from medembed.library.shared_images import images_in_several_splits
from medembed.privacy import Claim, fold_id, is_placeholder
from medembed.scans import ScanReader
from medembed.sources import DicomFolderSource, TableSource


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    with CaseLibrary.create(tmp_path / "lib") as opened:
        yield opened


def take(library: CaseLibrary, folder: Path, reader: ScanReader, **options: Any) -> Any:
    return ingest(library, DicomFolderSource(folder), reader=reader, **options)


def people(library: CaseLibrary) -> dict[str, str]:
    return {case.case_id: case.patient_id for case in library.cases()}


def write(folder: Path, seed: int, patient: str = "4711", **elements: Any) -> Path:
    """A study of its own; by default all are of one person."""
    default = {"PatientSex": "F", "PatientBirthDate": "19500117", "PatientAge": ""}
    return write_dicom(
        folder / f"{seed}.dcm", seed, **{**default, "PatientID": patient, **elements}
    )


def test_i01_one_id_two_people(library: CaseLibrary, reader: ScanReader, tmp_path: Path) -> None:
    write(tmp_path / "d", 1)
    write(tmp_path / "d", 2, PatientSex="M")
    write(tmp_path / "d", 3, PatientBirthDate="19710203")
    write(tmp_path / "d", 4)
    report = take(library, tmp_path / "d", reader)
    assert report.added == 4
    assert len(set(people(library).values())) == 3
    assert len({case.split for case in library.cases()}) == 1
    assert report.remarks == (
        "1 PatientID is shared by people of different sex or birth date; "
        "they are treated as separate patients in one split",
    )
    again = take(library, tmp_path / "d", reader)
    assert (again.unchanged, again.refusals, again.remarks) == (4, (), report.remarks)


def test_i01_placeholders_identify_nobody(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    words = ["ANONYMIZED", "Anonymized", "0000", "0", "UNKNOWN", "n/a", "XXXX", "1234", "--"]
    for seed, word in enumerate(words + words):
        write(tmp_path / "d", seed, word)
    report = take(library, tmp_path / "d", reader)
    assert report.added == len(set(people(library).values())) == 2 * len(words)
    assert "18 studies have a placeholder PatientID" in report.remarks[0]
    assert take(library, tmp_path / "d", reader).unchanged == 18


@pytest.mark.parametrize("birth", ["19000101", "00010101", "18991231", "99991231", "19700101", ""])
def test_i01_placeholder_birth_dates_contradict_nothing(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path, birth: str
) -> None:
    write(tmp_path / "d", 1)
    write(tmp_path / "d", 2, PatientBirthDate=birth)
    take(library, tmp_path / "d", reader)
    assert len(set(people(library).values())) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(("", "HOSPITAL", "OTHER"))))
def test_issuer_sometimes_set(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path, order: Sequence[str]
) -> None:
    remarks = []
    for seed, issuer in enumerate(order):  # an ingest each, as over the years
        write(tmp_path / str(seed), seed, IssuerOfPatientID=issuer)
        remarks.append(take(library, tmp_path / str(seed), reader).remarks)
    found = people(library)
    of = dict(zip(order, found.values(), strict=True))
    assert of["HOSPITAL"] != of["OTHER"]
    assert len({case.split for case in library.cases()}) == 1
    assert "1 PatientID comes from several issuers and also without one" in remarks[-1][-1]
    assert patients_of_id(library, " 4711 ") == set(found.values())
    if set(order[:2]) == {"", "HOSPITAL"}:
        assert of[""] == of["HOSPITAL"]
        assert remarks[1] == (
            "1 PatientID comes with and without its issuer; treated as one patient",
        )


def test_ids_that_are_written_in_two_ways_share_a_split(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    ways = ["4711", " 4711 ", "04711", "４７１１", "4711.0", "4711^^^NORTH"]
    for seed, way in enumerate(ways):
        write(tmp_path / "d", seed, way, SpecificCharacterSet="ISO_IR 192")
    report = take(library, tmp_path / "d", reader)
    assert len({case.split for case in library.cases()}) == 1
    assert "1 PatientID differs from another only in case, blanks" in report.remarks[0]
    assert len(set(people(library).values())) == 5  # blanks around an id are none of it


def test_two_ids_in_one_element_are_neither_of_the_two_patients(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    for seed, patient in enumerate(("4711", "4712", "4711\\4712")):
        write(tmp_path / "d", seed, patient)
    take(library, tmp_path / "d", reader)
    assert len(set(people(library).values())) == 3


def test_dates_of_a_patient_move_together_with_and_without_an_issuer(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    write(tmp_path / "d", 1)
    write(tmp_path / "d", 2, IssuerOfPatientID="HOSPITAL")
    take(library, tmp_path / "d", reader, shift_dates=True)
    assert len({case.date_shift_days for case in library.cases()}) == 1


def test_a_study_of_people_who_contradict_each_other_is_refused(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    write(tmp_path / "d", 1)
    write(tmp_path / "d" / "x", 1, PatientBirthDate="19710203", SOPInstanceUID="1.2.3")
    report = take(library, tmp_path / "d", reader)
    assert report.refused_by_code == {"wrong-patient": 2}
    assert "different sex or birth date" in report.refusals[0].reason


def test_a_study_that_comes_again_under_another_patient_is_refused(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    write(tmp_path / "a", 1)
    write(tmp_path / "b", 1, "4712", SOPInstanceUID="1.2.3")
    take(library, tmp_path / "a", reader)
    assert take(library, tmp_path / "b", reader).refused_by_code == {"wrong-patient": 1}


def test_the_same_pixels_under_two_patients_are_said(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    from support.example_files import make_dataset

    pixels = make_dataset(1).PixelData
    write(tmp_path / "d", 1)
    write(tmp_path / "d", 2, "4712", PixelData=pixels)
    report = take(library, tmp_path / "d", reader)
    assert "1 scan has identical pixels under different patients" in report.remarks


def shared_image(folder: Path, rows: list[dict[str, str]]) -> list[Path]:
    """Write one table for each row, all with the same picture."""
    tables = []
    for i, row in enumerate(rows):
        write_png(folder / f"{i}.png", 7)
        case = {"case_id": f"c{i}", "patient_id": f"p{i}", "image_path": f"{i}.png"}
        tables.append(write_csv(folder / f"{i}.csv", [case | row]))
    return tables


@pytest.mark.parametrize("other", ["train", "test"])
def test_the_same_pixels_are_never_in_two_splits(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path, other: str
) -> None:
    first, second = shared_image(tmp_path, [{"split": "train"}, {"split": other}])
    ingest(library, TableSource(first), reader=reader)
    report = ingest(library, TableSource(second), reader=reader)
    if other == "train":
        assert "1 image of several patients is in the library, each in one split: 1 in train" in (
            report.remarks
        )
        assert library.value_counts("split") == {"train": 2}
    else:
        (refusal,) = report.refusals
        assert (refusal.where, refusal.code) == ("c1", "image-in-two-splits")
        assert "in train, the table puts it into test" in refusal.reason
    assert images_in_several_splits(library) == 0


def test_patients_without_a_split_share_that_of_their_image(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    rows = [{"split": "test"}, *({} for _ in range(12))]
    for table in shared_image(tmp_path, rows):
        assert not ingest(library, TableSource(table), reader=reader).refusals
    assert library.value_counts("split") == {"test": 13}  # drawn apart, 70% would be in train


def test_a_patient_of_another_split_keeps_the_image_out(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    write_png(tmp_path / "own.png", 8)
    own = {"case_id": "own", "patient_id": "p1", "image_path": "own.png", "split": "val"}
    ingest(library, TableSource(write_csv(tmp_path / "own.csv", [own])), reader=reader)
    for table in shared_image(tmp_path, [{"split": "train"}, {}]):
        report = ingest(library, TableSource(table), reader=reader)
    assert report.refused_by_code == {"image-in-two-splits": 1}
    assert images_in_several_splits(library) == 0


def test_blank_images_of_many_patients_join_no_splits(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    from PIL import Image

    rows = []
    for i, split in enumerate(("train", "test")):
        Image.new("L", (16, 16)).save(tmp_path / f"{i}.png")
        rows.append(
            {"case_id": f"c{i}", "patient_id": f"p{i}", "image_path": f"{i}.png", "split": split}
        )
    report = ingest(library, TableSource(write_csv(tmp_path / "a.csv", rows)), reader=reader)
    assert (report.added, report.refusals) == (2, ())


@pytest.mark.parametrize(
    ("patient", "n_patients", "said"),
    [
        ("HOSP", 1, "all 12 cases have the same patient_id"),
        ("unknown", 12, "12 rows have a placeholder patient_id"),
        ("Not available", 12, "12 rows have a placeholder patient_id"),
        ("N/A", 12, "12 rows have a placeholder patient_id"),
        ("desconocido", 12, "12 rows have a placeholder patient_id"),
    ],
)
def test_one_patient_id_for_all_is_said(
    library: CaseLibrary,
    reader: ScanReader,
    tmp_path: Path,
    patient: str,
    n_patients: int,
    said: str,
) -> None:
    rows = []
    for i in range(12):
        write_png(tmp_path / f"{i}.png", i)
        rows.append({"case_id": f"c{i}", "patient_id": patient, "image_path": f"{i}.png"})
    report = ingest(library, TableSource(write_csv(tmp_path / "a.csv", rows)), reader=reader)
    assert any(said in line for line in report.remarks)
    assert len(set(library.patients().values())) == n_patients


def test_an_accession_number_of_two_studies_joins_none_across_ingests(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    notes = write_csv(tmp_path / "n.csv", [{"accession": "A1", "note": "Large left effusion."}])
    write(tmp_path / "a", 1, "4711", AccessionNumber="A1")
    write(tmp_path / "b", 2, "4712", AccessionNumber="A1")
    for folder in ("a", "b"):
        source = DicomFolderSource(tmp_path / folder, notes=notes)
        report = ingest(library, source, reader=reader)
    assert report.refused_by_code == {"ambiguous-accession": 1}
    assert sorted(case.note is None for case in library.cases()) == [False, True]


def test_patients_of_an_earlier_version_keep_their_names(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    for seed, elements in enumerate(
        ({}, {"PatientSex": "M"}, {"IssuerOfPatientID": "HOSPITAL"}, {"PatientID": "ANONYMIZED"})
    ):
        write(tmp_path / "d", seed, **elements)
    take(library, tmp_path / "d", reader)
    names = library.pseudonymizer
    usual = [names.patient("4711"), names.patient("4711"), names.patient("4711", "HOSPITAL"),
             names.patient("ANONYMIZED")]  # fmt: skip
    with CaseLibrary.create(tmp_path / "old") as empty:
        _copy_key(library, empty)
    with CaseLibrary.open(tmp_path / "old") as old:
        splits = ["train", "train", "train", "test"]
        for case, patient, split in zip(library.cases(), usual, splits, strict=True):
            old.add([_as(case, patient_id=patient, split=split)])
        report = take(old, tmp_path / "d", reader)
        assert (report.unchanged, report.refusals) == (4, ())
        assert list(people(old).values()) == usual
        assert any(
            "whom an earlier version merged into one patient" in remark for remark in report.remarks
        )
        # a new study of the woman joins nobody of whom it is not sure
        write(tmp_path / "new", 9, IssuerOfPatientID="THIRD")
        take(old, tmp_path / "new", reader)
        assert {c.split for c in old.cases() if c.patient_id in patients_of_id(old, "4711")} == {
            "train"
        }


def _copy_key(source: CaseLibrary, target: CaseLibrary) -> None:
    with target.database.write() as db:
        db.execute("DELETE FROM meta WHERE name = 'key'")
        db.execute("INSERT INTO meta (name, value) VALUES ('key', ?)", (source.key,))


def _as(case: Case, **changes: Any) -> Case:
    from dataclasses import replace

    return replace(case, **changes)


def test_no_id_issuer_or_birth_date_is_kept_in_clear(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    write(tmp_path / "d", 1, "MRN4711", IssuerOfPatientID="NORTHHOSPITAL", AccessionNumber="ACC99")
    take(library, tmp_path / "d", reader)
    db = library.database.read()
    kept = repr([db.execute(f"SELECT * FROM {t}").fetchall() for t in ("files", "identities")])
    assert "C-" in kept
    for secret in ("MRN4711", "NORTHHOSPITAL", "ACC99", "Family1", "1950", "1.2.826"):
        assert secret.lower() not in kept.lower()


def rows(*changes: dict[str, str]) -> list[dict[str, str]]:
    base = {"case_id": "c{}", "patient_id": "p{}", "image_path": "{}.png"}
    return [
        {name: value.format(i) for name, value in base.items()} | change
        for i, change in enumerate(changes)
    ]


def test_i01_in_tables(library: CaseLibrary, reader: ScanReader, tmp_path: Path) -> None:
    for i in range(8):
        write_png(tmp_path / f"{i}.png", i)
    table = write_csv(tmp_path / "cases.csv", rows(
        {"patient_id": "7", "sex": "F"}, {"patient_id": "7", "sex": "M"},
        {"patient_id": "ANON"}, {"patient_id": "ANON"},
        {"patient_id": "0"}, {"patient_id": "0"}, {"patient_id": "0"},
        {"patient_id": "07", "sex": ""},
    ))  # fmt: skip
    report = ingest(library, TableSource(table), reader=reader)
    assert report.added == 8
    assert len(set(people(library).values())) == 8
    split = {case.case_id: case.split for case in library.cases()}
    assert split["c0"] == split["c1"] == split["c7"]
    assert split["c4"] == split["c5"] == split["c6"]  # 0 may be a patient after all
    said = "\n".join(report.remarks)
    assert "5 rows have a placeholder patient_id" in said
    assert "1 PatientID is shared by people of different sex or birth date" in said
    assert "1 PatientID differs from another only in case, blanks" in said
    again = ingest(library, TableSource(table), reader=reader)
    assert (again.unchanged, again.refusals) == (8, ())


def test_numbers_among_their_neighbours_are_ids(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    ids = ["0", "1", "1111", "1112", "0", "1111", "9999", "9999"]
    for i, raw_id in enumerate(ids):
        write_png(tmp_path / f"{i}.png", i)
        write(tmp_path / "d", i, raw_id)
    table = write_csv(tmp_path / "cases.csv", rows(*({"patient_id": i} for i in ids)))
    ingest(library, TableSource(table), reader=reader)
    take(library, tmp_path / "d", reader)
    found = list(people(library).values())
    for patients in (found[:8], found[8:]):
        assert patients[0] == patients[4]
        assert patients[2] == patients[5]
        assert patients[6] != patients[7]  # nobody has 9998 or 10000
    assert len({*found[:6], *found[8:14]}) == 4


def test_a_person_whom_an_earlier_version_put_into_two_splits_is_said(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    write(tmp_path / "d", 1)
    write(tmp_path / "d", 2, IssuerOfPatientID="HOSPITAL")
    take(library, tmp_path / "d", reader)
    names = library.pseudonymizer
    with CaseLibrary.create(tmp_path / "old") as empty:
        _copy_key(library, empty)
    with CaseLibrary.open(tmp_path / "old") as old:
        usual = [names.patient("4711"), names.patient("4711", "HOSPITAL")]
        for case, patient, split in zip(library.cases(), usual, ("train", "test"), strict=True):
            old.add([_as(case, patient_id=patient, split=split)])
        report = take(old, tmp_path / "d", reader)
        assert report.unchanged == 2
        assert "1 PatientID is in several splits" in report.remarks[-1]
        write(tmp_path / "new", 3, PatientBirthDate="19710203")
        assert take(old, tmp_path / "new", reader).refused_by_code == {"split-conflict": 1}


def test_a_table_and_a_folder_know_the_same_patients(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    write(tmp_path / "d", 1, IssuerOfPatientID="HOSPITAL")
    take(library, tmp_path / "d", reader)
    write_png(tmp_path / "0.png", 1)
    table = write_csv(tmp_path / "cases.csv", rows({"patient_id": "4711", "sex": "F"}))
    ingest(library, TableSource(table), reader=reader)
    assert len(set(people(library).values())) == 1


@dataclass(frozen=True)
class Study:
    number: int
    raw_id: str
    issuer: str
    sex: str
    birth: date | None


studies = st.lists(
    st.builds(
        Study,
        st.just(0),
        st.sampled_from(["7", "07", " 7", "a-1", "A-1", "8", "0000", "ANON", ""]),
        st.sampled_from(["", "", "H", "O"]),
        st.sampled_from(["F", "M", "unknown", "O"]),
        st.sampled_from([None, None, date(1950, 1, 17), date(1971, 2, 3), date(1900, 1, 1)]),
    ),
    min_size=2,
    max_size=12,
)


def told(one: Study) -> dict[str, object]:
    born = one.birth if one.birth and one.birth.year != 1900 else None
    return {"issuer": one.issuer, "sex": one.sex if one.sex in "FM" else "", "birth": born}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(found=studies, order=st.randoms(use_true_random=False), batch=st.integers(1, 5))
def test_no_person_in_two_splits_and_no_two_people_in_one_patient(
    tmp_path_factory: pytest.TempPathFactory, found: list[Study], order: Any, batch: int
) -> None:
    numbered = [Study(i, *list(vars(one).values())[1:]) for i, one in enumerate(found)]
    order.shuffle(numbered)
    with CaseLibrary.create(tmp_path_factory.mktemp("p") / "lib") as library:

        def settle(ones: Sequence[Study]) -> list[str]:
            # a new object each time, as in another process
            identities = LibraryIdentities(library.database, library.pseudonymizer)
            claims = [
                (f"c{s.number}", Claim.of(library.pseudonymizer, s.raw_id, s.issuer, s.sex,
                                          s.birth, own=f"{s.number}"))
                for s in ones
            ]  # fmt: skip
            return [settled.patient_id for settled in identities.resolve(claims)]

        patient: dict[int, str] = {}
        for start in range(0, len(numbered), batch):
            part = numbered[start : start + batch]
            patients = settle(part)
            patient.update((s.number, p) for s, p in zip(part, patients, strict=True))
            report = library.add(
                Case(f"c{s.number}", p, (ScanRef(("x",), f"{s.number:064x}"),),
                     sex=normalize_sex(s.sex))
                for s, p in zip(part, patients, strict=True)
            )  # fmt: skip
            assert not report.refusals
        splits = {case.case_id: case.split for case in library.cases()}
        for one, other in itertools.combinations(numbered, 2):
            same_patient = patient[one.number] == patient[other.number]
            anonymous = is_placeholder(one.raw_id) or is_placeholder(other.raw_id)
            if anonymous:
                assert not same_patient
                continue
            if fold_id(one.raw_id) == fold_id(other.raw_id):
                assert splits[f"c{one.number}"] == splits[f"c{other.number}"]
            if same_patient:
                assert one.raw_id.strip() == other.raw_id.strip()
                for name, value in told(one).items():
                    assert not value or not told(other)[name] or value == told(other)[name]
        order.shuffle(numbered)  # the same again, in another order: nothing moves
        assert settle(numbered) == [patient[s.number] for s in numbered]
