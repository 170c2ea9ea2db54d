"""Erasures, verification, backups and archives: what they do to the journal."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from support.example_cases import make_case
from support.journal_tampering import NAMES, write_entries
from typer.testing import CliRunner, Result

from medembed.cli import build
from medembed.errors import InputError, LibraryError
from medembed.journal import (
    HEAD_NAME,
    JOURNAL_NAME,
    LOCAL,
    Action,
    EntryFilter,
    Fault,
    Journal,
    parse_time,
)
from medembed.journal.links import case_lookup
from medembed.library import CaseLibrary
from medembed.library.backup import back_up, restore
from medembed.library.byte_search import search_apart
from medembed.library.erasing import unfinished
from medembed.library.erasure import erase_patients


def make_library(folder: Path, n: int = 8) -> CaseLibrary:
    """Cases that were searched, shown and opened; two of each patient."""
    library = CaseLibrary.create(folder / "lib")
    library.add(make_case(i, case_id=f"C-{i:05d}") for i in range(n))
    for i in range(n):
        library.journal.record(Action.QUERY, actor="anna", cases=[f"C-{i:05d}"])
        shown = [f"C-{j:05d}" for j in range(n) if j != i]
        library.journal.record(Action.SHOWN, actor="anna", cases=shown, details={"k": n - 1})
    return library


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(build(str(words[0])), [str(word) for word in words])


def spoil(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / JOURNAL_NAME, isolation_level=None)) as db:
        db.execute(statement)


# erasing


def test_an_erased_patient_cannot_be_found_in_the_journal_and_no_entry_changes(
    tmp_path: Path,
) -> None:
    library = make_library(tmp_path)
    before = list(library.journal.entries())
    numbers = library.journal.case_ids(library.find())
    lookups = [case_lookup(library.pseudonymizer, f"C-{i:05d}") for i in (2, 3)]
    assert JOURNAL_NAME in {path.name.removesuffix("-wal") for path in hits(library, lookups)}
    head = library.journal.head()
    receipt = library.erase("P-1")
    assert receipt.is_finished
    assert receipt.counts["links of the journal to cases"] == 2
    assert hits(library, lookups) == {}
    check = library.journal.check(head)
    assert check.is_whole
    after = list(library.journal.entries())
    assert after[:-1] == before
    erased = after[-1]
    assert erased.action is Action.ERASED
    assert erased.details == {"receipt": receipt.digest, "patients": 1}
    assert {numbers[number] for number in erased.cases} == {"C-00002", "C-00003"}
    assert list(library.journal.entries(EntryFilter(case_id="C-00002"))) == []
    kept = library.journal.case_ids([f"C-{i:05d}" for i in range(8)])
    assert set(kept.values()) == set(library.find())


def hits(library: CaseLibrary, needles: list[bytes]) -> dict[Path, set[bytes]]:
    return dict(search_apart(library.path, needles)[0])


def test_the_byte_search_of_an_erasure_covers_the_journal(
    tmp_path: Path,
) -> None:
    """A room that records what it must not, a case's id, is found out by the receipt."""
    library = make_library(tmp_path)
    library.journal.record(Action.QUERY, actor=LOCAL, details={"id": "C-00002"})
    receipt = library.erase("P-1")
    assert receipt.proof is not None
    assert receipt.proof.found == {JOURNAL_NAME: 1}


def test_an_erasure_that_could_not_reach_the_journal_is_finished_by_the_next_command(
    tmp_path: Path,
) -> None:
    library = make_library(tmp_path)
    name = library.journal.begin()
    reader = sqlite3.connect(library.path / JOURNAL_NAME, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entries").fetchone()
    receipt = erase_patients(library, ["P-1"], wait_seconds=0.1)
    assert not receipt.is_finished
    assert any("journal" in line for line in receipt.waiting)
    library.close()
    reader.execute("ROLLBACK")
    reader.close()
    with CaseLibrary.open(tmp_path / "lib") as again:
        assert unfinished(again.database.read()) == ()
        assert again.journal.begin() == name
        assert again.journal.check().is_whole
        erased = list(again.journal.entries(EntryFilter(action=Action.ERASED)))
        assert [entry.details["receipt"] for entry in erased] == [receipt.digest]  # once


def test_each_erasure_is_recorded_once(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "lib") as library:
        library.add(make_case(i) for i in range(8))
        receipts = [library.erase("P-0").digest, library.erase("P-1").digest]
        library.journal.record(Action.QUERY, actor=LOCAL, cases=["case-4"])
        receipts.append(library.erase("P-2").digest)
        erased = list(library.journal.entries(EntryFilter(action=Action.ERASED)))
        assert [entry.details["receipt"] for entry in erased] == receipts
        assert [len(entry.cases) for entry in erased] == [0, 0, 1]


def test_a_case_that_is_recorded_after_its_erasure_is_forgotten_by_verify(tmp_path: Path) -> None:
    """A page had it on the screen."""
    library = make_library(tmp_path)
    library.erase("P-1")
    library.journal.record(Action.SHOWN, actor="anna", cases=["C-00002", "C-00000"])
    lookups = [case_lookup(library.pseudonymizer, "C-00002")]
    library.close()
    done = run("verify", tmp_path / "lib", "--json")
    assert done.exit_code == 0, done.stderr
    (journal,) = [c for c in json.loads(done.stdout)["checks"] if c["what"] == "journal"]
    assert journal["state"] == "repaired"
    assert "forgot 1 case not in the library" in journal["detail"]
    assert dict(search_apart(tmp_path / "lib", lookups)[0]) == {}
    again = json.loads(run("verify", tmp_path / "lib", "--json").stdout)
    assert {c["state"] for c in again["checks"] if c["what"] == "journal"} == {"ok"}


# verify


def test_verify_proves_the_chain(tmp_path: Path) -> None:
    make_library(tmp_path).close()
    done = run("verify", tmp_path / "lib")
    assert done.exit_code == 0
    assert "journal: ok, 17 entries, 1 to 17, in one chain\n" in done.stdout


def test_verify_names_the_first_wrong_entry_repairs_nothing_and_checks_the_rest(
    tmp_path: Path,
) -> None:
    make_library(tmp_path).close()
    spoil(tmp_path / "lib", "DELETE FROM entries WHERE number IN (5, 9)")
    before = (tmp_path / "lib" / JOURNAL_NAME).read_bytes()
    done = run("verify", tmp_path / "lib", "--json")
    assert done.exit_code == 2
    payload = json.loads(done.stdout)
    assert payload["ok"] is False
    states = {check["what"]: (check["state"], check["detail"]) for check in payload["checks"]}
    assert states["journal"] == ("damaged", "entry 5 is missing")
    assert states["permissions"][0] == "ok"
    assert "the journal is not whole: entry 5 is missing" in done.stderr
    assert "journal.md" in done.stderr
    assert (tmp_path / "lib" / JOURNAL_NAME).read_bytes() == before


def test_verify_misses_a_journal_that_was_removed_with_its_head(tmp_path: Path) -> None:
    make_library(tmp_path).close()
    (tmp_path / "lib" / JOURNAL_NAME).unlink()
    (tmp_path / "lib" / HEAD_NAME).unlink()
    done = run("verify", tmp_path / "lib")
    assert done.exit_code == 2
    assert "journal.sqlite is missing" in done.stderr


def test_verify_of_a_library_without_a_journal_starts_none(tmp_path: Path) -> None:
    CaseLibrary.create(tmp_path / "lib").close()
    done = run("verify", tmp_path / "lib")
    assert "journal: ok, none yet\n" in done.stdout
    assert not (tmp_path / "lib" / JOURNAL_NAME).exists()


# backup


def test_a_backup_has_the_journal_and_the_restored_one_goes_on(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    head = library.journal.head()
    report = back_up(library, tmp_path / "lib.zip")
    library.journal.record(Action.QUERY, actor="anna")
    later = library.journal.head()
    assert {JOURNAL_NAME, HEAD_NAME} <= set(zipfile.ZipFile(tmp_path / "lib.zip").namelist())
    restore(tmp_path / "lib.zip", tmp_path / "again")
    with CaseLibrary.open(tmp_path / "again") as again:
        assert again.journal.begin() == library.journal.begin()
        assert again.journal.check(head).is_whole
        assert again.journal.check(later).fault is Fault.ANCHOR_OTHER  # one entry was lost by it
        *_, last = again.journal.entries()
        assert (last.action, last.details) == (Action.RESTORED, {"made": report.made})
        again.journal.record(Action.QUERY, actor="anna", cases=["C-00000"])
        assert again.journal.check().is_whole


def test_a_library_without_a_journal_is_backed_up_without_one(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "lib") as library:
        back_up(library, tmp_path / "lib.zip")
    assert JOURNAL_NAME not in zipfile.ZipFile(tmp_path / "lib.zip").namelist()
    restore(tmp_path / "lib.zip", tmp_path / "again")
    with CaseLibrary.open(tmp_path / "again") as again:
        again.journal.record(Action.QUERY, actor=LOCAL)
        assert again.journal.check().is_whole


def test_a_damaged_journal_is_backed_up_as_it_is_and_still_told(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    spoil(library.path, "DELETE FROM entries WHERE number > 10")
    back_up(library, tmp_path / "lib.zip")
    restore(tmp_path / "lib.zip", tmp_path / "again")
    with CaseLibrary.open(tmp_path / "again") as again:
        check = again.journal.check()
        assert (check.fault, check.entry) == (Fault.LOST, 11)


# archives


def test_an_archived_part_is_whole_on_its_own_and_the_chain_goes_on_after_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "lib").mkdir()
    with Journal(tmp_path / "lib", NAMES) as journal:
        write_entries(journal, 20)
        everything = list(journal.entries())
        head = journal.head()
        part = journal.archive(tmp_path / "old.jsonl", everything[12].time)
        assert (part.first, part.last) == (1, 12)
        check = journal.check(head)
        assert (check.fault, check.first, check.last) == (None, 13, 22)
        kept = list(journal.entries())
        assert kept[:-1] == everything[12:]
        assert kept[-1].action is Action.ARCHIVED
        assert kept[-1].details["sha256"] == part.sha256
        assert journal.check_archive(tmp_path / "old.jsonl") == part
        write_entries(journal, 3, seed=1)
        second = journal.archive(tmp_path / "newer.jsonl", "9999")
        assert (second.first, second.last, second.previous) == (13, 25, part.digest)
        assert journal.check_archive(tmp_path / "newer.jsonl") == second
        assert journal.check().is_whole
        assert journal.check(head).fault is Fault.ANCHOR_ARCHIVED
        write_entries(journal, 3, seed=2)
        assert journal.check().is_whole
    lines = (tmp_path / "old.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines[1:-1]] == list(range(1, 13))
    gone = everything[3].digest.encode()
    assert dict(search_apart(tmp_path / "lib", [gone])[0]) == {}


def test_every_change_of_an_archive_is_detected(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    with Journal(tmp_path / "lib", NAMES) as journal:
        write_entries(journal, 8)
        journal.archive(tmp_path / "old.jsonl", "9999")
        lines = (tmp_path / "old.jsonl").read_bytes().splitlines(keepends=True)
        bad = tmp_path / "bad.jsonl"
        changed = [
            lines[:-1],
            lines[:5],
            lines[:3] + lines[4:],
            [*lines[:3], lines[4], lines[3], *lines[5:]],
            [*lines[:4], lines[4].replace(b"user", b"USER"), *lines[5:]],
            [*lines, lines[-1]],
            lines[1:],
            [lines[0].replace(b'"first":1', b'"first":2'), *lines[1:]],
            [b"\xff\n", *lines[1:]],
            [],
        ]
        for content in changed:
            bad.write_bytes(b"".join(content))
            with pytest.raises(InputError):
                journal.check_archive(bad)
        assert journal.check_archive(tmp_path / "old.jsonl").n_entries == 9


def test_an_archive_overwrites_nothing_and_is_made_of_a_whole_part_only(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    with Journal(tmp_path / "lib", NAMES) as journal:
        write_entries(journal, 8)
        (tmp_path / "there").write_text("mine")
        with pytest.raises(InputError, match="exists already"):
            journal.archive(tmp_path / "there", "9999")
        with pytest.raises(InputError, match="inside the library"):
            journal.archive(tmp_path / "lib" / "old.jsonl", "9999")
        with pytest.raises(InputError, match="no entry is older"):
            journal.archive(tmp_path / "none.jsonl", parse_time("2000-01-01", ""))
        assert not (tmp_path / "none.jsonl").exists()
        spoil(tmp_path / "lib", "DELETE FROM entries WHERE number = 4")
        with pytest.raises(LibraryError, match="entry 4"):
            journal.archive(tmp_path / "broken.jsonl", "9999")
        assert not (tmp_path / "broken.jsonl").exists()
    assert (tmp_path / "there").read_text() == "mine"


def test_a_part_with_a_recorded_loss_can_be_closed_and_what_follows_is_whole(
    tmp_path: Path,
) -> None:
    (tmp_path / "lib").mkdir()
    with Journal(tmp_path / "lib", NAMES) as journal:
        write_entries(journal, 8)
        spoil(tmp_path / "lib", "DELETE FROM entries WHERE number > 5")
        write_entries(journal, 1, seed=1)
        assert journal.check().fault is Fault.LOST
        journal.archive(tmp_path / "old.jsonl", "9999")
        assert journal.check().is_whole


def test_an_erased_case_leads_nowhere_in_an_archive_either(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    library.journal.archive(tmp_path / "old.jsonl", "9999")
    numbers = library.journal.case_ids(library.find())
    library.erase("P-1")
    left = library.journal.case_ids(["C-00002", "C-00003", "C-00004"])
    assert set(left.values()) == {"C-00004"}
    assert set(left) <= set(numbers)
    text = (tmp_path / "old.jsonl").read_text()
    assert all(case_id not in text for case_id in numbers.values())
    assert library.journal.check().is_whole


def test_a_copy_of_the_folder_is_a_journal_of_its_own_history(tmp_path: Path) -> None:
    make_library(tmp_path).close()
    shutil.copytree(tmp_path / "lib", tmp_path / "copy")
    with CaseLibrary.open(tmp_path / "copy") as copy:
        copy.journal.record(Action.QUERY, actor=LOCAL)
        assert copy.journal.check().is_whole
