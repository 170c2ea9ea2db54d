"""A byte that changed in the file is noticed: the answer is the same as before, or an error."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.cases import Finding, ScanRef
from medembed.errors import LibraryError
from medembed.library import CaseLibrary
from medembed.library.case_rows import read_cases
from medembed.library.integrity import CHECK_RECORD_NAME, needs_check
from medembed.notes import read_note


def fill(folder: Path, n: int = 40) -> Path:
    with CaseLibrary.create(folder) as library:
        library.add(
            make_case(
                i,
                note=read_note(f"FINDINGS: Small left pleural effusion number {i}. Größe {i} mm."),
                scans=(ScanRef((f"f{i}",), f"{i:064x}", kind="image", pixel_sha256="e" * 64),),
                attributes={"ward": f"w{i % 3}"},
                findings=(Finding("effusion", "left"),),
            )
            for i in range(n)
        )
        draw = np.random.default_rng(0)
        for kind in ("image", "note"):
            library.put_vectors("f", kind, library.find(), draw.normal(size=(n, 32)))
        library.set_meta("dates", "shifted")
    return folder / "library.sqlite"


def everything(library: CaseLibrary) -> list[Any]:
    return [
        list(library.cases()),
        library.find("sex=F"),
        library.find("note~effusion"),
        library.find("finding=effusion:left"),
        library.find("ward=w1"),
        library.cases_with_pixels("e" * 64),
        library.patients(),
        [
            (ids, vectors.tobytes())
            for ids, vectors in map(library.vectors, "ff", ("image", "note"))
        ],
        library.key,
        library.get_meta("dates"),
        [library.case(case_id).note for case_id in library.find()],
    ]


def flip(whole: bytes, draw: random.Random) -> bytes:
    hurt = bytearray(whole)
    hurt[draw.randrange(len(hurt))] ^= 1 << draw.randrange(8)
    return bytes(hurt)


def trials(folder: Path, n: int, seed: int) -> int:
    """Change one bit ``n`` times over and count how often that was noticed."""
    path = fill(folder / "lib")
    whole = path.read_bytes()
    with CaseLibrary.open(folder / "lib") as library:
        right = everything(library)
    draw = random.Random(seed)
    noticed = 0
    for _ in range(n):
        for beside in path.parent.glob("library.sqlite-*"):
            beside.unlink()
        path.write_bytes(flip(whole, draw))
        try:
            with CaseLibrary.open(folder / "lib") as library:
                assert everything(library) == right
        except LibraryError as error:
            assert "\n" not in str(error)
            noticed += 1
    return noticed


def test_a_changed_byte_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    assert trials(tmp_path, 40, seed=1) > 0


def test_a_changed_byte_of_the_schema_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    """SQLite quotes the schema in its message, which Python then cannot decode."""
    path = fill(tmp_path / "lib")
    whole = path.read_bytes()
    start = whole.index(b"CREATE TABLE")
    noticed = 0
    for place in range(start, start + 400, 8):
        for beside in path.parent.glob("library.sqlite-*"):
            beside.unlink(missing_ok=True)
        path.write_bytes(whole[:place] + b"\xd5" + whole[place + 1 :])
        try:
            with CaseLibrary.open(tmp_path / "lib") as library:
                everything(library)
        except LibraryError as error:
            assert "\n" not in str(error)
            noticed += 1
    assert noticed > 10


@pytest.mark.slow
def test_changed_bytes_at_many_places_are_noticed_or_change_nothing(tmp_path: Path) -> None:
    assert trials(tmp_path, 1500, seed=2) > 100


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE cases SET view = 'XX' WHERE id = 3",
        "UPDATE cases SET study_date = '2001-01-01' WHERE id = 3",
        "UPDATE scans SET files = '[\"other\"]' WHERE case_row = 3",
        "UPDATE scan_contents SET kind = 'segmentation' WHERE case_row = 3",
        "UPDATE notes SET text = 'No effusion.' WHERE case_row = 3",
        "UPDATE notes SET assertions = '[]' WHERE case_row = 3",
        "DELETE FROM findings WHERE case_row = 3",
        "UPDATE attributes SET value = 'w9' WHERE case_row = 3",
        "UPDATE scans SET case_row = CASE case_row WHEN 3 THEN 4 ELSE 3 END WHERE case_row = 3",
    ],
)
def test_a_case_is_checked_when_it_is_read(tmp_path: Path, change: str) -> None:
    fill(tmp_path / "lib", 6)
    with CaseLibrary.open(tmp_path / "lib") as library:
        with library.database.write() as db:
            if "SET case_row" in change:
                db.execute("DELETE FROM scans WHERE case_row = 4")
            db.execute(change)
        with pytest.raises(LibraryError, match=r"case 'case-2' fails its checksum.*backup"):
            list(library.cases())


def test_vectors_and_settings_are_checked_when_they_are_read(tmp_path: Path) -> None:
    fill(tmp_path / "lib", 6)
    with CaseLibrary.open(tmp_path / "lib") as library:
        with library.database.write() as db:
            # the vectors of two cases change places: each is a vector, and neither is its case's
            (first, one), (second, two) = db.execute("SELECT id, vector FROM vectors LIMIT 2")
            db.execute("UPDATE vectors SET vector = ? WHERE id = ?", (two, first))
            db.execute("UPDATE vectors SET vector = ? WHERE id = ?", (one, second))
        with pytest.raises(LibraryError, match="image vector of case 'case-0'"):
            library.vectors("f", "image")
        assert len(library.vectors("f", "note")[0]) == 6
        with library.database.write() as db:
            db.execute("DROP TRIGGER meta_changed")
            db.execute("UPDATE meta SET value = 'as in the source' WHERE name = 'dates'")
        with pytest.raises(LibraryError, match="setting"):
            library.get_meta("dates")


def test_a_large_library_is_checked_again_only_when_it_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medembed.library.integrity._SMALL_BYTES", 0)
    path = fill(tmp_path / "lib")
    CaseLibrary.open(tmp_path / "lib").close()
    assert not needs_check(path)
    with CaseLibrary.open(tmp_path / "lib") as library:  # its own changes need no check
        library.add([make_case(99)])
    assert not needs_check(path)
    record_check = path.with_name(CHECK_RECORD_NAME)
    assert record_check.stat().st_mode & 0o077 == 0
    known = json.loads(record_check.read_bytes())
    record_check.write_text(json.dumps({**known, "checked": known["checked"] - 2 * 86400}))
    assert needs_check(path)
    CaseLibrary.open(tmp_path / "lib").close()
    assert not needs_check(path)
    times = path.stat()
    hurt = bytearray(path.read_bytes())
    hurt[len(hurt) // 2] ^= 1
    path.write_bytes(hurt)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert needs_check(path)


def test_damage_is_noticed_under_the_hands_of_an_open_library(tmp_path: Path) -> None:
    path = fill(tmp_path / "lib", 6)
    library = CaseLibrary.open(tmp_path / "lib")
    foreign = sqlite3.connect(path)
    foreign.execute("UPDATE cases SET view = 'XX' WHERE case_id = 'case-3'")
    foreign.commit()
    foreign.close()
    with pytest.raises(LibraryError, match="case-3"):
        library.case("case-3")
    assert library.case("case-4").case_id == "case-4"


def test_a_check_beside_a_writer_finds_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "lib", 6)
    writer = CaseLibrary.open(tmp_path / "lib")

    def beside(db: sqlite3.Connection, rows: list[int]) -> Any:
        writer.add([make_case(77)])
        writer.put_vectors("f", "image", ["case-77"], np.ones((1, 32)))
        writer.set_meta("dates", "as in the source")
        return read_cases(db, rows)

    with monkeypatch.context() as patch:
        patch.setattr("medembed.library.integrity.read_cases", beside)
        CaseLibrary.open(tmp_path / "lib").close()
    writer.database.read().execute("BEGIN IMMEDIATE")  # nor does it wait for one
    with CaseLibrary.open(tmp_path / "lib") as library:
        assert len(library) == 7
