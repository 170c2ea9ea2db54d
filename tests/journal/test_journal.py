"""What an entry holds, what it refuses to hold, and how entries are read."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from support.alone import ran_alone
from support.example_cases import make_case
from support.journal_tampering import NAMES, write_entries

from medembed.errors import InternalError, LibraryError
from medembed.journal import (
    HEAD_NAME,
    JOURNAL_NAME,
    LOCAL,
    Action,
    Entry,
    EntryFilter,
    Journal,
    Outcome,
)
from medembed.library import CaseLibrary


def test_an_entry_has_who_what_how_and_the_chain(tmp_path: Path) -> None:
    with Journal(tmp_path, NAMES) as journal:
        journal.record(
            Action.SHOWN, actor="anna", cases=["a", "b", "a"], details={"k": 10, "kind": "image"}
        )
        journal.record(Action.REFUSED, actor="anna", outcome=Outcome.REFUSED, cases=["b"])
        first, second, third = journal.entries()
    assert (first.number, first.action, first.actor) == (1, Action.STARTED, "medembed")
    assert (second.number, second.actor, second.action) == (2, "anna", Action.SHOWN)
    assert (second.outcome, dict(second.details)) == (Outcome.DONE, {"k": 10, "kind": "image"})
    assert second.time.endswith("+00:00")
    assert len(second.cases) == 2
    assert third.cases == second.cases[1:]  # a case has one number
    assert third.previous == second.digest
    assert second.previous == first.digest


def test_anybody_can_compute_the_digests_of_exported_entries_without_the_key(
    tmp_path: Path,
) -> None:
    """The recipe of docs/guides/journal.md, in the six lines that it gives."""
    with Journal(tmp_path, NAMES) as journal:
        write_entries(journal, 5)
        lines = [json.dumps(entry.to_json()) for entry in journal.entries()]
        head = journal.head()
    previous = "0" * 64
    for line in lines:
        entry = json.loads(line)
        stated = entry.pop("digest")
        del entry["seal"]
        assert entry["previous"] == previous
        body = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(body.encode()).hexdigest()
        assert previous == stated
    assert head is not None
    assert previous == head.digest


def test_the_ids_of_cases_are_in_none_of_the_files(tmp_path: Path) -> None:
    with Journal(tmp_path, NAMES) as journal:
        journal.record(Action.OPENED, actor=LOCAL, cases=["C-VERYSECRETIDENTIFIER"])
        for path in tmp_path.iterdir():
            assert b"VERYSECRET" not in path.read_bytes(), path.name


def test_two_journals_give_a_case_unrelated_numbers(tmp_path: Path) -> None:
    numbers = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with Journal(tmp_path / name, NAMES) as journal:
            numbers.add(journal.record(Action.OPENED, actor=LOCAL, cases=["a"]).cases)
    assert len(numbers) == 2


@pytest.mark.parametrize(
    "details",
    [
        {"words": "effusion on the right"},
        {"name": "Müller"},
        {"name": "Doe^Jane"},
        {"id": "P-ABCDEFGHIJKLMNOPQRST"},
        {"Key": 1},
        {"k": float("nan")},
        {"k": None},
        {"k": [1]},
        {"k": "x" * 200},
        {f"k{i}": i for i in range(17)},
    ],
)
def test_free_text_and_pseudonyms_cannot_be_recorded(
    tmp_path: Path, details: dict[str, object]
) -> None:
    with Journal(tmp_path, NAMES) as journal:
        with pytest.raises(InternalError) as caught:
            journal.record(Action.QUERY, actor=LOCAL, details=details)  # type: ignore[arg-type]
        said = str(caught.value)
        assert not any(isinstance(v, str) and v in said for v in details.values())
        journal.record(Action.QUERY, actor=LOCAL, details={"model": "0f" * 32, "route": "/a/{id}"})
        assert journal.check().n_entries == 2


@pytest.mark.parametrize("actor", ["", "  ", "a\nb", "x" * 129, "a\u202eb", "a\x00"])
def test_a_name_that_cannot_be_printed_is_refused(tmp_path: Path, actor: str) -> None:
    with Journal(tmp_path, NAMES) as journal, pytest.raises(InternalError):
        journal.record(Action.LOGIN, actor=actor)


def test_names_of_all_scripts_are_kept(tmp_path: Path) -> None:
    names = ["Müller", "Ольга", "山田太郎", "d'Arcy-O’Neil", "anna@hospital.example"]
    with Journal(tmp_path, NAMES) as journal:
        for name in names:
            journal.record(Action.LOGIN, actor=name)
        assert [entry.actor for entry in journal.entries()][1:] == names
        assert journal.check().is_whole


def test_the_journals_own_actions_cannot_be_claimed(tmp_path: Path) -> None:
    with Journal(tmp_path, NAMES) as journal:
        for action in (Action.ERASED, Action.ARCHIVED, Action.LOST, Action.STARTED):
            with pytest.raises(InternalError):
                journal.record(action, actor=LOCAL)


# reading


def test_entries_are_found_by_time_user_and_case(tmp_path: Path) -> None:
    with Journal(tmp_path, NAMES) as journal:
        write_entries(journal, 40)
        everything = list(journal.entries())
        middle = everything[20]
        since = list(journal.entries(EntryFilter(since=middle.time)))
        until = list(journal.entries(EntryFilter(until=middle.time)))
        assert until + since == everything
        assert since[0] == middle
        mine = list(journal.entries(EntryFilter(actor="user1")))
        assert mine == [entry for entry in everything if entry.actor == "user1"]
        number = journal.case_ids([f"case-{i}" for i in range(20)])
        assert len(number) >= 15
        for one, case_id in number.items():
            found = list(journal.entries(EntryFilter(case_id=case_id)))
            assert found == [entry for entry in everything if one in entry.cases]
            assert found
        assert list(journal.entries(EntryFilter(case_id="never seen"))) == []
        assert list(journal.entries(last=7)) == everything[:7]


def test_reading_a_changed_entry_is_an_error_and_not_an_entry(tmp_path: Path) -> None:

    with Journal(tmp_path, NAMES) as journal:
        write_entries(journal, 5)
    db = sqlite3.connect(tmp_path / JOURNAL_NAME, isolation_level=None)
    db.execute("UPDATE entries SET body = replace(body, 'user', 'USER') WHERE number = 4")
    db.close()
    read: list[Entry] = []
    with Journal(tmp_path, NAMES) as journal, pytest.raises(LibraryError, match="entry 4 does not"):
        read.extend(journal.entries())
    assert [entry.number for entry in read] == [1, 2, 3]


def test_a_library_without_a_journal_is_whole_and_has_no_head(tmp_path: Path) -> None:
    journal = Journal(tmp_path, NAMES)
    assert journal.check().is_whole
    assert not journal.check().has_journal
    assert journal.head() is None
    assert list(journal.entries()) == []
    assert list(tmp_path.iterdir()) == []


# files


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Journal(tmp_path, NAMES) as journal:
            write_entries(journal, 2)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert set(modes) >= {JOURNAL_NAME, HEAD_NAME}
    assert set(modes.values()) == {0o600}


def test_a_read_only_journal_is_read_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path, NAMES) as journal:
        write_entries(journal, 3)
    monkeypatch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)
    with Journal(tmp_path, NAMES) as journal:
        assert journal.is_read_only
        with pytest.raises(LibraryError, match="read-only"):
            journal.record(Action.QUERY, actor=LOCAL)
        assert journal.check().is_whole
        assert len(list(journal.entries())) == 4


def test_a_newer_or_foreign_file_is_named_and_not_written_to(tmp_path: Path) -> None:

    for pragma, said in (("user_version = 9", "newer MedEmbed"), ("application_id = 1", "not the")):
        folder = tmp_path / said[:3]
        folder.mkdir()
        with Journal(folder, NAMES) as journal:
            journal.begin()
        db = sqlite3.connect(folder / JOURNAL_NAME)
        db.execute(f"PRAGMA {pragma}")
        db.close()
        with Journal(folder, NAMES) as journal, pytest.raises(LibraryError, match=said):
            journal.record(Action.QUERY, actor=LOCAL)


# through a library


def test_a_library_opens_its_journal_with_its_key_and_knows_it(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "lib") as library:
        library.add([make_case(0)])
        assert library.get_meta("journal") is None
        library.journal.record(Action.OPENED, actor=LOCAL, cases=["case-0"])
        assert library.get_meta("journal") == library.journal.begin()
    with Journal.open(tmp_path / "lib") as journal:
        journal.record(Action.QUERY, actor="anna")
        assert [entry.number for entry in journal.entries()] == [1, 2, 3]
        assert journal.check().is_whole
        assert journal.case_ids(["case-0"])
    with pytest.raises(LibraryError, match="no case library"):
        Journal.open(tmp_path / "nowhere")
    with (
        CaseLibrary.open(tmp_path / "lib") as library,
        pytest.raises(LibraryError, match="cannot be changed"),
    ):
        library.set_meta("journal", None)


def test_threads_append_one_after_the_other(tmp_path: Path) -> None:
    with Journal(tmp_path, NAMES) as journal:
        threads = [
            threading.Thread(target=write_entries, args=(journal, 20, seed)) for seed in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check = journal.check()
    assert (check.fault, check.n_entries) == (None, 121)


def test_a_forked_child_has_its_own_files_and_the_chain_stays_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if ran_alone(request):
        return
    with Journal(tmp_path, NAMES) as journal:
        write_entries(journal, 3)
        child = os.fork()
        if child == 0:
            try:
                write_entries(journal, 10, seed=1)
            finally:
                os._exit(0)
        write_entries(journal, 10, seed=2)
        os.waitpid(child, 0)
        write_entries(journal, 1, seed=3)
        check = journal.check()
    assert (check.fault, check.n_entries) == (None, 25)
