"""What is derived is repaired and said; damage of the record names the cases."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case
from typer.testing import CliRunner

from medembed.cli import build
from medembed.errors import LibraryError
from medembed.index import open_index
from medembed.index.index_check import verify_indexes
from medembed.library import CaseLibrary
from medembed.library.verification import (
    Check,
    CheckState,
    open_unchecked,
    verify_files,
    verify_store,
)
from medembed.notes import Note

MODEL = "0123456789abcdef" * 4


def make_library(folder: Path, n: int = 30) -> Path:
    with CaseLibrary.create(folder / "lib") as library:
        library.add([make_case(i, note=Note(f"FINDINGS: word{i} here.")) for i in range(n)])
        vectors = np.random.default_rng(0).normal(size=(n, 8))
        library.put_vectors(MODEL, "image", library.find(), vectors)
        open_index(library, MODEL)
        return library.path


def checks(folder: Path) -> dict[str, Check]:
    with open_unchecked(folder) as library:
        found = [*verify_store(library), *verify_files(library), *verify_indexes(library)]
    return {check.what: check for check in found}


def states(folder: Path) -> dict[str, CheckState]:
    return {what: check.state for what, check in checks(folder).items()}


def spoil(folder: Path, *statements: str) -> None:
    """Change the file behind the library's back."""
    with closing(sqlite3.connect(folder / "library.sqlite", isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def test_all_is_well_in_a_library_as_it_was_made(tmp_path: Path) -> None:
    folder = make_library(tmp_path)
    found = states(folder)
    assert set(found.values()) == {CheckState.OK}
    assert len(found) == 13


def test_an_empty_library_is_well(tmp_path: Path) -> None:
    CaseLibrary.create(tmp_path / "lib").close()
    assert set(states(tmp_path / "lib").values()) == {CheckState.OK}


def loosen(folder: Path) -> None:
    (folder / "library.sqlite").chmod(0o644)


def leave_a_draft(folder: Path) -> None:
    import os

    draft = folder / ".library.sqlite.0123.writing"
    draft.mkdir(mode=0o700)
    past = time.time() - 7200
    os.utime(draft, (past, past))


def change_index(folder: Path) -> None:
    head = next((folder / "index").glob("*/index.json"))
    head.write_bytes(head.read_bytes().replace(b"a", b"b", 1))


def strange_thumbnail(folder: Path) -> None:
    (folder / "thumbnails").mkdir(mode=0o700)
    (folder / "thumbnails" / f"{'0' * 64}.png").write_bytes(b"")


def sql(statement: str) -> Callable[[Path], None]:
    return lambda folder: spoil(folder, statement)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (sql("UPDATE vectors SET vector = zeroblob(32) WHERE id % 1099511627776 = 3"), "vectors"),
        (sql("UPDATE vectors SET seal = 1 WHERE id % 1099511627776 = 3"), "vectors"),
        (sql("INSERT INTO vectors VALUES (5, x'00', 0)"), "vectors"),
        (sql("INSERT INTO note_words (note_words) VALUES ('delete-all')"), "full-text index"),
        (
            sql("INSERT INTO files VALUES (x'01', 1, 1, 'a', '', '', '', '', '', '', '', '', 7)"),
            "records of files",
        ),
        (loosen, "permissions"),
        (leave_a_draft, "leftovers"),
        (strange_thumbnail, "thumbnails"),
        (change_index, f"index {MODEL[:12]}"),
    ],
)
def test_what_is_derived_is_repaired_and_then_well(
    tmp_path: Path, damage: Callable[[Path], None], what: str
) -> None:
    folder = make_library(tmp_path)
    damage(folder)
    found = states(folder)
    assert found[what] is CheckState.REPAIRED
    others = {name for name, state in found.items() if state is not CheckState.OK} - {what}
    assert others <= {f"index {MODEL[:12]}", "permissions"}  # of dropped vectors, of a new file
    assert set(states(folder).values()) == {CheckState.OK}
    with CaseLibrary.open(folder) as library:
        assert len(library) == 30


def test_a_dropped_vector_is_embedded_again(tmp_path: Path) -> None:
    folder = make_library(tmp_path)
    spoil(folder, "UPDATE vectors SET seal = 1 WHERE id % 1099511627776 = 3")
    assert checks(folder)["vectors"].case_ids == ("case-2",)
    with CaseLibrary.open(folder) as library:
        assert library.missing_vectors(MODEL, "image") == ["case-2"]


@pytest.mark.parametrize(
    ("statement", "what", "cases"),
    [
        ("UPDATE cases SET sex = 'O' WHERE id IN (2, 29)", "cases", ("case-1", "case-28")),
        ("UPDATE notes SET text = text || 'x' WHERE case_row = 4", "cases", ("case-3",)),
        ("UPDATE seals SET seal = seal + 1 WHERE owner = 'meta'", "settings and identities", ()),
        ("CREATE TABLE another (x)", "schema", ()),
        ("DELETE FROM patients WHERE patient_id = 'P-3'", "references between tables", ()),
    ],
)
def test_damage_of_the_record_is_named_and_nothing_is_changed(
    tmp_path: Path, statement: str, what: str, cases: tuple[str, ...]
) -> None:
    folder = make_library(tmp_path)
    spoil(folder, statement)
    if what == "settings and identities":
        with pytest.raises(LibraryError, match="fails its checksum"):
            open_unchecked(folder)  # the key is among the settings
        return
    check = checks(folder)[what]
    assert check.state is CheckState.DAMAGED
    assert check.case_ids == cases
    assert checks(folder)[what].state is CheckState.DAMAGED


def test_the_command_says_it_and_its_exit_code_tells(tmp_path: Path) -> None:
    folder = make_library(tmp_path)
    run = CliRunner().invoke(build("verify"), ["verify", str(folder), "--json"])
    assert run.exit_code == 0
    payload = json.loads(run.stdout)
    assert payload["ok"] is True
    assert {check["state"] for check in payload["checks"]} == {"ok"}
    spoil(folder, "UPDATE cases SET sex = 'O' WHERE id = 2")
    run = CliRunner().invoke(build("verify"), ["verify", str(folder)])
    assert run.exit_code == 2
    assert "cases: damaged, 1 of 30 (case-1)" in run.stdout


def test_the_calibration_of_the_novelty_check_is_kept_if_it_is_whole(tmp_path: Path) -> None:
    from medembed.index.index_check import verify_indexes
    from medembed.index.library_index import NOVELTY_FOLDER
    from medembed.index.sealed_files import write_sealed
    from medembed.library import CaseLibrary

    with CaseLibrary.create(tmp_path / "lib") as library:
        folder = library.path / "index" / NOVELTY_FOLDER
        write_sealed(folder, {"format": 1}, {"rows": b"123"}, library.key)
        (check,) = verify_indexes(library)
        assert (check.state.value, folder.exists()) == ("ok", True)
        (folder / "index.json").write_bytes(b"{}")
        (check,) = verify_indexes(library)
        assert (check.state.value, folder.exists()) == ("repaired", False)
