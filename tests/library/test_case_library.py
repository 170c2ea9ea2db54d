from __future__ import annotations

import sqlite3
import stat
from datetime import date
from pathlib import Path
from threading import Thread

import pytest
from support.example_cases import make_case

from medembed.cases import Case, Finding, ScanRef
from medembed.errors import LibraryError
from medembed.library import CaseLibrary
from medembed.notes import Assertion, Note, Section


@pytest.fixture
def library(tmp_path: Path):
    with CaseLibrary.create(tmp_path / "lib") as opened:
        yield opened


def full_case() -> Case:
    text = "FINDINGS: Rechtsseitiger Erguß – right effusion."
    return make_case(
        7,
        note=Note(
            text,
            (Section("findings", 9, len(text)),),
            (Assertion("effusion", "present", "right", 32, 46, False),),
        ),
        scans=(
            ScanRef(("/scans/a.dcm", "/scans/b.dcm"), "a" * 64, "CT", "unknown"),
            ScanRef(("/scans/c.dcm",), "b" * 64, "CT", "unknown", 3),
        ),
        findings=(Finding("effusion", "right"), Finding("nodule")),
        study_date=date(2020, 2, 29),
        date_shift_days=-12,
        age_years=None,
        race="w",
        site="north",
        scanner="X 1",
        split="test",
        group_id="G-1",
        attributes={"follow_up": "3", "ö": "ü"},
    )


def test_a_case_comes_back_as_it_was_put_in(library: CaseLibrary) -> None:
    case = full_case()
    report = library.add([case])
    assert (report.added, report.unchanged, report.refusals) == (1, 0, ())
    assert library.case(case.case_id) == case
    assert case.case_id in library
    assert "other" not in library


def test_the_same_case_again_is_unchanged(library: CaseLibrary) -> None:
    library.add([full_case()])
    report = library.add([full_case()])
    assert (report.added, report.unchanged, len(library)) == (0, 1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"sex": "O"},
        {"age_years": 12.0},
        {"findings": ()},
        {"note": None},
        {"study_date": None},
        {"attributes": {}},
        {"scans": (ScanRef(("/scans/a.dcm",), "c" * 64),)},
        {"view": "AP"},
    ],
)
def test_a_changed_case_is_refused_and_replaced_only_when_told_to(
    library: CaseLibrary, change: dict[str, object]
) -> None:
    import dataclasses

    library.add([full_case()])
    library.put_vectors("f", "image", ["case-7"], [[1.0, 0.0]])
    changed = dataclasses.replace(full_case(), **change)
    report = library.add([changed])
    assert [r.code for r in report.refusals] == ["changed-content"]
    assert library.case("case-7") == full_case()
    assert library.vectors("f", "image")[0] == ["case-7"]
    report = library.add([changed], replace=True)
    assert (report.replaced, report.refusals) == (1, ())
    assert library.case("case-7") == changed
    assert library.vectors("f", "image")[0] == []  # they were made of the old content
    assert library.missing_vectors("f", "image") == ["case-7"]


def test_a_case_id_of_another_patient_is_refused_even_when_replacing(library: CaseLibrary) -> None:
    library.add([make_case(1)])
    report = library.add([make_case(1, patient_id="P-other")], replace=True)
    assert [(r.where, r.code) for r in report.refusals] == [("case-1", "wrong-patient")]
    assert library.case("case-1").patient_id == "P-0"


def test_no_patient_and_no_group_falls_into_two_splits(library: CaseLibrary) -> None:
    cases = [
        make_case(i, patient_id=f"P-{i % 97}", group_id=f"G-{i % 97 % 31}") for i in range(500)
    ]
    report = library.add(cases)
    assert report.added == 500
    stored = list(library.cases())
    for owner in ("patient_id", "group_id"):
        splits: dict[str, set[str]] = {}
        for case in stored:
            splits.setdefault(getattr(case, owner), set()).add(case.split)
        assert all(len(found) == 1 for found in splits.values())


def test_splits_are_about_70_10_20_and_do_not_depend_on_order(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "one")
    library.add(make_case(i, patient_id=f"P-{i}") for i in range(2000))
    counts = library.value_counts("split")
    # three standard deviations of a binomial of 2,000
    assert abs(counts["train"] - 1400) < 62
    assert abs(counts["val"] - 200) < 41
    assert abs(counts["test"] - 400) < 54
    before = {case.case_id: case.split for case in library.cases()}
    with library.database.write() as db:
        for table in ("cases", "patients", "groups"):
            db.execute(f"DELETE FROM {table}")
    library.add(make_case(i, patient_id=f"P-{i}") for i in reversed(range(2000)))
    assert {case.case_id: case.split for case in library.cases()} == before


def test_a_given_split_is_honoured_and_a_conflict_refused_case_by_case(
    library: CaseLibrary,
) -> None:
    report = library.add(
        [
            make_case(0, patient_id="A", split="test"),
            make_case(1, patient_id="A"),
            make_case(2, patient_id="A", split="train"),
            make_case(3, patient_id="B", group_id="G", split="val"),
            make_case(4, patient_id="A", group_id="G"),
            make_case(5, patient_id="C", group_id="G"),
        ]
    )
    assert [(r.where, r.code) for r in report.refusals] == [
        ("case-2", "split-conflict"),
        ("case-4", "split-conflict"),
    ]
    assert library.split("test") == ["case-0", "case-1"]
    assert library.split("val") == ["case-3", "case-5"]
    assert [r.code for r in library.add([make_case(1, patient_id="A", split="val")]).refusals] == [
        "split-conflict"
    ]


def test_the_file_itself_refuses_a_patient_in_two_splits(library: CaseLibrary) -> None:
    library.add([make_case(0, split="train"), make_case(1)])
    with pytest.raises(sqlite3.IntegrityError), library.database.write() as db:
        db.execute("UPDATE cases SET split = 'test' WHERE case_id = 'case-1'")


def test_files_inside_the_library_are_stored_relative_to_it(library: CaseLibrary) -> None:
    inside = library.path / "cohort" / "dicom" / "1.dcm"
    library.add([make_case(1, scans=(ScanRef((str(inside),), "a" * 64),))])
    case = library.case("case-1")
    assert case.scans[0].files == ("cohort/dicom/1.dcm",)
    assert library.scan_files(case) == [(inside,)]


def test_files_that_moved_are_followed_and_a_copy_is_not(
    library: CaseLibrary, tmp_path: Path
) -> None:
    old, new = tmp_path / "old.dcm", tmp_path / "new.dcm"
    old.write_bytes(b"x")
    new.write_bytes(b"x")

    def at(path: Path) -> Case:
        return make_case(1, scans=(ScanRef((str(path),), "a" * 64),))

    library.add([at(old)])
    assert library.add([at(new)]).unchanged == 1
    assert library.scan_files(library.case("case-1")) == [(old,)]
    old.unlink()
    assert library.add([at(new)]).unchanged == 1
    assert library.scan_files(library.case("case-1")) == [(new,)]


def test_the_folder_is_for_its_owner_only(library: CaseLibrary) -> None:
    assert stat.S_IMODE(library.path.stat().st_mode) == 0o700
    library.add([make_case(1)])
    for file in library.path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_the_key_is_random_stays_and_is_not_shown(tmp_path: Path) -> None:
    first = CaseLibrary.create(tmp_path / "a")
    assert first.key != CaseLibrary.create(tmp_path / "b").key
    assert CaseLibrary.open(tmp_path / "a").key == first.key
    assert first.get_meta("key") is None
    assert repr(first.key) not in repr(first.pseudonymizer)
    with pytest.raises(LibraryError, match="cannot be changed"):
        first.set_meta("key", "x")


def test_meta_is_remembered_and_forgotten(library: CaseLibrary) -> None:
    assert library.active_model is None
    library.active_model = "starter"
    assert CaseLibrary.open(library.path).active_model == "starter"
    library.active_model = None
    assert library.active_model is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no case library here"),
        (b"", "no case library here"),
        (b"not a database" * 100, "not a readable SQLite file"),
    ],
)
def test_what_is_no_library_is_refused_with_one_line(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "library.sqlite").write_bytes(content)
    with pytest.raises(LibraryError, match=words) as caught:
        CaseLibrary.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_foreign_or_newer_file_is_refused(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "library.sqlite")
    foreign.execute("CREATE TABLE meta (name, value)")
    foreign.commit()
    foreign.close()
    with pytest.raises(LibraryError, match="another program"):
        CaseLibrary.open(tmp_path)
    CaseLibrary.create(tmp_path / "new").close()
    newer = sqlite3.connect(tmp_path / "new" / "library.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(LibraryError, match="newer MedEmbed"):
        CaseLibrary.open(tmp_path / "new")


def test_a_library_is_not_made_in_a_folder_of_other_things(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("x")
    with pytest.raises(LibraryError, match="not empty and not a case library"):
        CaseLibrary.open(tmp_path, create=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.doc"]
    with pytest.raises(LibraryError, match="already"):
        CaseLibrary.create(CaseLibrary.create(tmp_path / "lib").path)


def test_several_threads_read_while_one_writes(library: CaseLibrary) -> None:
    library.add(make_case(i) for i in range(200))
    seen: list[int] = []

    def read() -> None:
        for _ in range(5):
            seen.append(sum(1 for _ in library.cases("sex=F")))

    threads = [Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    library.add(make_case(i) for i in range(200, 400))
    for thread in threads:
        thread.join()
    assert len(seen) == 15
    assert all(100 <= n <= 200 for n in seen)


def test_counts_of_values_are_most_frequent_first(library: CaseLibrary) -> None:
    library.add(make_case(i, attributes={"k": "a" if i < 4 else "b"}) for i in range(6))
    assert library.value_counts("finding") == {"effusion": 2}
    assert list(library.value_counts("k").items()) == [("a", 4), ("b", 2)]
    assert library.attribute_names() == ["k"]


def test_progress_is_called_after_each_batch(library: CaseLibrary) -> None:
    calls: list[tuple[int, int | None]] = []
    library.add(
        (make_case(i) for i in range(5)), batch=2, progress=lambda *call: calls.append(call)
    )
    assert calls == [(2, None), (4, None), (5, None)]


def test_a_failing_source_keeps_the_batches_before_it(library: CaseLibrary) -> None:
    def cases():
        yield make_case(0)
        yield make_case(1)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        library.add(cases(), batch=1)
    assert library.find() == ["case-0", "case-1"]
