"""A library of an older schema opens and is the same library."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.cases import ScanRef
from medembed.library import CaseLibrary
from medembed.library.schema import migrate


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
