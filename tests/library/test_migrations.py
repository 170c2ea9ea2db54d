"""A library of an older schema opens and is the same library."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.cases import Case, Finding, ScanRef
from medembed.errors import LibraryError
from medembed.library import CaseLibrary
from medembed.library.database import add_functions
from medembed.library.integrity import check_integrity
from medembed.library.schema import migrate, write_schema
from medembed.library.upsert import add_cases
from medembed.notes import Assertion, Note, Section
from medembed.privacy import Pseudonymizer


def old_library(folder: Path, n: int = 12) -> CaseLibrary:
    """Make a library of schema 1 with the same rows as a present one."""
    whole = CaseLibrary.create(folder / "whole")
    whole.add(make_case(i) for i in range(n))
    whole.put_vectors("f", "image", whole.find(), np.arange(2.0 * n).reshape(n, 2))
    old = folder / "old"
    old.mkdir()
    db = sqlite3.connect(old / "library.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript((files("medembed.library") / "schema.sql").read_text("utf-8"))
    db.executescript("PRAGMA application_id = 0x4D454D42; PRAGMA user_version = 1;")
    db.execute("ATTACH ? AS whole", (str(whole.path / "library.sqlite"),))
    for (table,) in db.execute(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT GLOB '*_*'"
    ).fetchall():
        columns = ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})"))
        db.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM whole.{table}")
    db.close()
    return whole


def shape(library: CaseLibrary) -> list[tuple[str, ...]]:
    db = library.database.read()
    return sorted(db.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema"))


def test_a_library_of_schema_1_is_brought_up_to_date_and_keeps_all_it_holds(tmp_path: Path) -> None:
    whole = old_library(tmp_path)
    with CaseLibrary.open(tmp_path / "old") as old:
        assert shape(old) == shape(whole)
        assert list(old.cases()) == list(whole.cases())
        assert old.key == whole.key
        ids, vectors = old.vectors("f", "image")
        assert ids == whole.find()
        assert np.array_equal(vectors, whole.vectors("f", "image")[1])
        assert old.add([make_case(99)]).added == 1
    with CaseLibrary.open(tmp_path / "old") as again:
        assert len(again) == 13


def test_a_migration_that_fails_leaves_the_old_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_library(tmp_path)

    def stopped(db: sqlite3.Connection) -> None:
        migrate(db)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("medembed.library.database.migrate", stopped)
        with pytest.raises(KeyboardInterrupt):
            CaseLibrary.open(tmp_path / "old")
    db = sqlite3.connect(tmp_path / "old" / "library.sqlite")
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()
    with CaseLibrary.open(tmp_path / "old") as library:
        assert len(list(library.cases())) == 12


def test_cases_are_found_by_their_scan_by_its_pixels_and_by_kind(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "lib")
    first = ScanRef(("a.dcm",), "a" * 64, kind="image", pixel_sha256="e" * 64)
    second = ScanRef(("b.png",), "b" * 64, kind="image", pixel_sha256="e" * 64)
    mask = ScanRef(("c.dcm",), "c" * 64, kind="segmentation")
    library.add(
        [
            make_case(1, scans=(mask, first), kind="segmentation"),
            make_case(2, scans=(second,), kind="image"),
            make_case(3, scans=(ScanRef(("d.dcm",), "d" * 64),)),
        ]
    )
    assert library.cases_with_pixels("e" * 64) == ["case-1", "case-2"]
    assert library.cases_with_pixels("") == []
    assert library.cases_with_scan("b" * 64) == ["case-2"]
    assert library.case("case-1").scans == (mask, first)
    assert library.find("kind=image") == ["case-2"]
    assert library.find("kind!=image") == ["case-1", "case-3"]
    assert library.value_counts("kind") == {"image": 1, "segmentation": 1, "unknown": 1}


def test_what_is_learned_of_a_scan_joins_an_unchanged_case(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "lib")
    plain = ScanRef(("a.dcm",), "a" * 64)
    known = ScanRef(("a.dcm",), "a" * 64, kind="image", pixel_sha256="e" * 64)
    library.add([make_case(1, scans=(plain,))])
    report = library.add([make_case(1, scans=(known,), kind="image")])
    assert (report.unchanged, report.refusals) == (1, ())
    assert library.case("case-1").scans == (known,)
    library.add([make_case(1, scans=(plain,))])  # what was known is not forgotten
    assert library.case("case-1").scans == (known,)
    assert library.case("case-1").kind == "image"


def library_of_schema_2(folder: Path) -> None:
    """Make a library as schema 2 stored it: UK labels in findings, assertions and digests."""
    folder.mkdir()
    db = sqlite3.connect(folder / "library.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    add_functions(db)
    db.execute("BEGIN")
    write_schema(db)
    db.execute("PRAGMA user_version = 2")
    db.execute("COMMIT")
    names = Pseudonymizer(b"k" * 32)
    db.execute("BEGIN")
    old = [case_of(i, "oedema", "subdural haematoma") for i in range(6)]
    add_cases(db, old, False, names, folder)
    db.execute("COMMIT")
    db.close()


def case_of(number: int, edema: str = "edema", hematoma: str = "subdural hematoma") -> Case:
    text = f"FINDINGS: Mild pulmonary oedema. No subdural haematoma. Number {number}."
    start = text.index("pulmonary")
    none = text.index("subdural")
    note = Note(
        text,
        (Section("findings", 10, len(text)),),
        (
            Assertion(edema, "present", "", start, start + 16),
            Assertion(hematoma, "absent", "", none, none + 18),
        ),
    )
    findings = (Finding(edema), Finding("effusion", "left"))
    return make_case(
        number, note=note if number else None, findings=findings if number != 5 else ()
    )


def test_a_library_of_schema_2_gets_todays_labels_and_stays_the_same_otherwise(
    tmp_path: Path,
) -> None:
    library_of_schema_2(tmp_path / "old")
    with CaseLibrary.open(tmp_path / "old") as library:
        assert [replace(case, split="") for case in library.cases()] == [
            case_of(i) for i in range(6)
        ]
        assert library.value_counts("finding") == {"edema": 5, "effusion": 5}
        for spelling in ("oedema", "edema", "Pulmonary oedema", "pulmonary_edema"):
            assert library.find(f"finding={spelling}") == [f"case-{i}" for i in range(5)]
        assert library.find("note~oedema") == [f"case-{i}" for i in range(1, 6)]
        check_integrity(library.database.read())


def test_sources_of_a_migrated_library_are_unchanged(tmp_path: Path) -> None:
    library_of_schema_2(tmp_path / "old")
    with CaseLibrary.open(tmp_path / "old") as library:
        report = library.add(case_of(i) for i in range(6))
        assert (report.unchanged, report.added, report.refusals) == (6, 0, ())


def test_a_damaged_case_is_not_resealed_by_the_migration(tmp_path: Path) -> None:
    library_of_schema_2(tmp_path / "old")
    db = sqlite3.connect(tmp_path / "old" / "library.sqlite")
    db.execute("UPDATE findings SET side = 'right' WHERE case_row = 2 AND label = 'effusion'")
    db.commit()
    db.close()
    with pytest.raises(LibraryError, match="case-1"):
        CaseLibrary.open(tmp_path / "old")
