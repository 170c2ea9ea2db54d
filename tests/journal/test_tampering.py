"""No change to a journal goes unnoticed: 10,000 random ones, and each kind by name."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.journal_tampering import NAMES, make_journal, tamper_trials, write_entries

from medembed.journal import HEAD_NAME, JOURNAL_NAME, LOCAL, Action, Fault, Head, Journal
from medembed.journal.head import HeadFile
from medembed.journal.journal_file import publish_new


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of trials would wait for the disk."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def fault(folder: Path, name: str = "") -> tuple[Fault | None, int | None]:
    check = Journal(folder, NAMES, name).check()
    return check.fault, check.entry


def test_hundreds_of_random_changes_are_all_detected(memory: Path) -> None:
    tried, unseen = tamper_trials(memory, 150, seed=0)
    assert unseen == []
    assert len(tried) >= 20


@pytest.mark.slow
def test_ten_thousand_random_changes_are_all_detected(memory: Path) -> None:
    tried, unseen = tamper_trials(memory, 10_000, seed=1)
    assert unseen == []
    assert sum(tried.values()) == 10_000
    assert min(tried.values()) > 200


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE entries SET body = replace(body, 'user1', 'user2') WHERE number = 3", (
            Fault.CHANGED, 3)),
        ("UPDATE entries SET seal = zeroblob(32) WHERE number = 6", (Fault.CHANGED, 6)),
        ("DELETE FROM entries WHERE number = 4", (Fault.MISSING, 4)),
        ("DELETE FROM entries WHERE number = 1", (Fault.MISSING, 1)),
        ("DELETE FROM entries WHERE number > 5", (Fault.CUT, 6)),
        ("DELETE FROM entries", (Fault.CUT, 1)),
        ("UPDATE entries SET number = 0 WHERE number = 1", (Fault.MOVED, 0)),
        ("DELETE FROM links", (Fault.LINKS, None)),
        ("UPDATE start SET number = 1", (Fault.START, None)),
        ("CREATE TABLE more (a)", (Fault.SCHEMA, None)),
    ],
)  # fmt: skip
def test_the_first_wrong_entry_is_named(
    tmp_path: Path, statement: str, found: tuple[Fault, int | None]
) -> None:
    make_journal(tmp_path, 8)
    assert fault(tmp_path) == (None, None)
    change(tmp_path, statement)
    assert fault(tmp_path) == found


def test_an_entry_of_another_history_with_a_right_seal_does_not_fit(tmp_path: Path) -> None:
    """Two copies of a library go on apart; an entry of one is put into the other."""
    one, two = tmp_path / "one", tmp_path / "two"
    make_journal(one, 4)
    shutil.copytree(one, two)
    for folder, actor in ((one, "anna"), (two, "berta")):
        with Journal(folder, NAMES) as journal:
            journal.record(Action.EXPORT, actor=actor)
    with closing(sqlite3.connect(two / "journal.sqlite")) as db:
        other = db.execute("SELECT body, seal FROM entries WHERE number = 6").fetchone()
    with closing(sqlite3.connect(one / "journal.sqlite", isolation_level=None)) as db:
        db.execute("UPDATE entries SET body = ?, seal = ? WHERE number = 6", other)
    assert fault(one) == (Fault.HEAD_OTHER, 6)  # seal and chain are right: the head tells
    with Journal(one, NAMES) as journal:
        journal.record(Action.QUERY, actor=LOCAL)
        assert journal.check().fault is Fault.LOST
        lost = next(entry for entry in journal.entries() if entry.number == 7)
    assert lost.details["reason"] == "another_entry"


# a loss is recorded before anything can hide it


def test_entries_cut_off_are_missed_for_ever_after_also_when_others_follow(tmp_path: Path) -> None:
    make_journal(tmp_path, 9)
    change(tmp_path, "DELETE FROM entries WHERE number > 5")
    with Journal(tmp_path, NAMES) as journal:
        journal.record(Action.QUERY, actor=LOCAL)
        journal.record(Action.QUERY, actor=LOCAL)
        check = journal.check()
        assert (check.fault, check.entry, check.losses) == (Fault.LOST, 6, (6,))
        lost = next(entry for entry in journal.entries() if entry.number == 6)
    assert lost.action is Action.LOST
    assert lost.details["reason"] == "entries_missing"
    assert (lost.details["found"], lost.details["expected"]) == (5, 10)


@pytest.mark.parametrize("known", [True, False])
def test_a_journal_that_is_removed_is_missed_and_its_successor_says_so(
    tmp_path: Path, known: bool
) -> None:
    name = make_journal(tmp_path, 5)
    (tmp_path / "journal.sqlite").unlink()
    if known:  # the library keeps the name, so that even both files are missed
        (tmp_path / HEAD_NAME).unlink()
    assert fault(tmp_path, name if known else "") == (Fault.ABSENT, None)
    with Journal(tmp_path, NAMES, name if known else "") as journal:
        journal.record(Action.QUERY, actor=LOCAL)
        assert journal.begin() == name
        assert [e.action for e in journal.entries()] == [
            Action.STARTED,
            Action.LOST,
            Action.QUERY,
        ]
        assert journal.check().fault is Fault.LOST


def test_a_removed_head_is_missed_and_recorded(tmp_path: Path) -> None:
    make_journal(tmp_path, 5)
    (tmp_path / HEAD_NAME).unlink()
    assert fault(tmp_path) == (Fault.HEAD_MISSING, None)
    with Journal(tmp_path, NAMES) as journal:
        journal.record(Action.QUERY, actor=LOCAL)
    assert fault(tmp_path) == (Fault.LOST, 7)


def test_the_journal_of_another_library_is_not_ours(tmp_path: Path) -> None:
    ours = make_journal(tmp_path / "ours", 5)
    make_journal(tmp_path / "other", 9)
    for file in ("journal.sqlite", HEAD_NAME):
        shutil.copy(tmp_path / "other" / file, tmp_path / "ours" / file)
    assert fault(tmp_path / "ours", ours) == (Fault.OTHER, None)
    with Journal(tmp_path / "ours", NAMES, ours) as journal:
        journal.record(Action.QUERY, actor=LOCAL)
        assert journal.check().fault is Fault.LOST


# what is no fault


def test_a_head_behind_the_chain_is_what_a_kill_between_the_two_leaves(tmp_path: Path) -> None:
    make_journal(tmp_path, 5)
    before = (tmp_path / HEAD_NAME).read_bytes()
    with Journal(tmp_path, NAMES) as journal:
        write_entries(journal, 1, seed=3)
    (tmp_path / HEAD_NAME).write_bytes(before)
    assert fault(tmp_path) == (None, None)
    with Journal(tmp_path, NAMES) as journal:
        write_entries(journal, 1, seed=4)
        assert journal.check().is_whole
        assert journal.check().n_entries == 8


# the anchor outside


def test_an_older_state_of_everything_is_told_by_a_head_kept_outside(tmp_path: Path) -> None:
    make_journal(tmp_path / "now", 4)
    shutil.copytree(tmp_path / "now", tmp_path / "older")
    with Journal(tmp_path / "now", NAMES) as journal:
        write_entries(journal, 3, seed=5)
        head = journal.head()
        assert head is not None
        assert journal.check(head).is_whole
        write_entries(journal, 2, seed=6)
        assert journal.check(head).is_whole  # it grows, and what was there stays
    with Journal(tmp_path / "older", NAMES) as journal:
        assert journal.check().is_whole  # nothing in the folder tells
        assert journal.check(head).fault is Fault.ANCHOR_CUT
        write_entries(journal, 6, seed=7)
        check = journal.check(head)
        assert (check.fault, check.entry) == (Fault.ANCHOR_OTHER, head.count)
    other = Head("0" * 32, head.count, head.digest, head.time)
    assert Journal(tmp_path / "now", NAMES).check(other).fault is Fault.ANCHOR_JOURNAL


def test_whoever_has_the_key_can_write_another_chain_and_only_the_outside_tells(
    tmp_path: Path,
) -> None:
    make_journal(tmp_path / "true", 6)
    head = Journal(tmp_path / "true", NAMES).head()
    assert head is not None
    false = tmp_path / "false"
    false.mkdir()
    file = HeadFile(false / HEAD_NAME, NAMES)
    with file.locked(1):
        publish_new(false / JOURNAL_NAME, NAMES, head.journal, None, file.write)
    file.close()
    with Journal(false, NAMES, head.journal) as journal:
        write_entries(journal, 8, seed=9)
        assert journal.check().is_whole
        check = journal.check(head)
    assert (check.fault, check.entry) == (Fault.ANCHOR_OTHER, head.count)
