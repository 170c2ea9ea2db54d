"""The file of the columns: kept up to date, checked, gone with an erased patient."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.columns import LibraryColumns, library_columns
from medembed.columns.column_files import columns_folder, hash_key, read_file
from medembed.columns.columns_check import is_same, verify_columns
from medembed.columns.reading import numbers_after, read_columns
from medembed.library import CaseLibrary
from medembed.library.verification import CheckState


def fresh(library: CaseLibrary) -> object:
    db = library.database.read()
    return read_columns(db, numbers_after(db, 0), hash_key(library))


def stored(library: CaseLibrary) -> bytes:
    files = [path for path in columns_folder(library).rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


@pytest.fixture
def library(tmp_path: Path) -> CaseLibrary:
    made = CaseLibrary.create(tmp_path / "l")
    made.add(make_case(i, attributes={"ward": f"w{i}"} if i > 30 else {}) for i in range(40))
    return made


def test_a_file_is_read_again_and_only_what_is_new_is_read_from_the_record(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    LibraryColumns(library).current()
    n_read: list[int] = []

    def counted(db: sqlite3.Connection, numbers: list[int], key: bytes) -> object:
        n_read.append(len(numbers))
        return read_columns(db, numbers, key)

    monkeypatch.setattr(library_columns, "read_columns", counted)
    library.add([make_case(50), make_case(51)])
    kept = LibraryColumns(library)
    assert is_same(kept.current().columns, fresh(library))  # type: ignore[arg-type]
    library.add([make_case(3, sex="O", findings=())], replace=True)
    assert is_same(kept.current().columns, fresh(library))  # type: ignore[arg-type]
    library.add([make_case(3, sex="O", findings=(), kind="localizer")])  # its vectors stay
    assert is_same(kept.current().columns, fresh(library))  # type: ignore[arg-type]
    assert n_read == [2, 1, 1]


def test_an_erased_patient_is_in_no_file_of_columns(library: CaseLibrary) -> None:
    library.add([make_case(90, patient_id="P-90", attributes={"ward": "the secret ward"})])
    kept = LibraryColumns(library)
    kept.current()
    assert b"the secret ward" in stored(library)
    receipt = library.erase("P-90")
    assert not columns_folder(library).exists()
    assert receipt is not None
    for one in (kept, LibraryColumns(library)):  # a process that had read them, and a new one
        columns = one.current().columns
        assert is_same(columns, fresh(library))  # type: ignore[arg-type]
        assert b"the secret ward" not in stored(library)


def test_a_file_is_not_written_for_a_state_that_is_over(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = library_columns.writer_lock

    def erased_meanwhile(*given: object) -> object:
        with library.database.write() as db:
            db.execute("DELETE FROM cases WHERE case_id = 'case-39'")
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(library_columns, "writer_lock", erased_meanwhile)
    LibraryColumns(library).current()
    assert not (columns_folder(library) / "index.json").exists()


@pytest.mark.parametrize("harm", ["cut", "flip", "gone", "foreign"])
def test_a_damaged_file_is_not_used_and_verify_makes_it_again(
    library: CaseLibrary, tmp_path: Path, harm: str
) -> None:
    LibraryColumns(library).current()
    parts = [path for path in columns_folder(library).glob("*") if path.name != "index.json"]
    part = max(parts, key=lambda path: path.stat().st_size)
    data = bytearray(part.read_bytes())
    if harm == "cut":
        part.write_bytes(data[:-1])
    elif harm == "flip":
        data[100] ^= 1
        part.write_bytes(data)
    elif harm == "gone":
        part.unlink()
    else:
        with CaseLibrary.create(tmp_path / "other") as other:
            other.add(make_case(i, sex="O") for i in range(40))
            LibraryColumns(other).current()
            shutil.rmtree(columns_folder(library))
            shutil.copytree(columns_folder(other), columns_folder(library))
    assert read_file(library) is None
    (check,) = verify_columns(library)
    assert check.state is CheckState.REPAIRED
    assert is_same(LibraryColumns(library).current().columns, fresh(library))  # type: ignore[arg-type]
    (check,) = verify_columns(library)
    assert (check.state, check.detail) == (CheckState.OK, "40 cases")


def test_a_library_that_grew_from_a_backup_does_not_take_the_columns_of_the_other(
    library: CaseLibrary, tmp_path: Path
) -> None:
    library.close()
    shutil.copytree(library.path, tmp_path / "backup")
    with CaseLibrary.open(library.path) as one:
        one.add([make_case(60, sex="M")])
        LibraryColumns(one).current()
    with CaseLibrary.open(tmp_path / "backup") as other:
        other.add([make_case(61, sex="F"), make_case(62, sex="F")])
        shutil.copytree(columns_folder(one), columns_folder(other))
        assert read_file(other) is not None
        assert is_same(LibraryColumns(other).current().columns, fresh(other))  # type: ignore[arg-type]


def test_a_library_that_cannot_be_written_to_has_columns_in_memory(library: CaseLibrary) -> None:
    library.close()
    library.path.chmod(0o500)
    try:
        with CaseLibrary.open(library.path) as opened:
            assert len(LibraryColumns(opened).current().columns) == 40
            assert not np.isnan(LibraryColumns(opened).current().columns.ages).any()
    finally:
        library.path.chmod(0o700)


def test_many_cases_are_read_in_parts_that_make_the_same_columns(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fresh(library)
    monkeypatch.setattr("medembed.columns.reading._CHUNK", 7)
    assert is_same(whole, fresh(library))  # type: ignore[arg-type]
