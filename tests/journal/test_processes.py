"""Several processes append to one chain; kills and full disks leave it whole."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.journal_tampering import NAMES, write_entries

from medembed.errors import LibraryBusyError, LibraryError
from medembed.journal import JOURNAL_NAME, LOCAL, Action, Fault, Journal
from medembed.journal import writer as writer_module

TESTS = Path(__file__).parents[1]
APPENDER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from support.journal_tampering import NAMES
from medembed.journal import Action, Journal
journal = Journal(Path(sys.argv[1]), NAMES)
for i in range(int(sys.argv[4])):
    entry = journal.record(
        Action.SHOWN, actor=sys.argv[3], cases=[f"case-{i % 50}", f"case-{i % 7}"], details={"i": i}
    )
    sys.stdout.write(f"{entry.number}\\n")
    sys.stdout.flush()
"""


def appender(folder: Path, actor: str, n: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(folder), str(TESTS), actor, str(n)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_append_to_one_chain_and_each_entry_is_there(tmp_path: Path) -> None:
    running = [appender(tmp_path, f"user{i}", 60) for i in range(3)]
    said = [process.communicate()[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    with Journal(tmp_path, NAMES) as journal:
        check = journal.check()
        assert (check.fault, check.n_entries) == (None, 181)
        by_number = {str(entry.number): entry for entry in journal.entries()}
    for i, numbers in enumerate(said):
        assert [by_number[n].details["i"] for n in numbers] == list(range(60))
        assert {by_number[n].actor for n in numbers} == {f"user{i}"}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
@pytest.mark.parametrize(
    "waits", [(0.0, 0.02), pytest.param((0.0, 0.01, 0.03) * 8, marks=pytest.mark.slow)]
)
def test_acknowledged_entries_survive_kill_9_and_the_chain_stays_whole(
    tmp_path: Path, waits: tuple[float, ...]
) -> None:
    acknowledged: set[int] = set()
    for wait in waits:
        running = [appender(tmp_path, f"user{i}", 100_000) for i in range(2)]
        for process in running:
            assert process.stdout is not None
            acknowledged.add(int(process.stdout.readline()))
        time.sleep(wait)
        for process in running:
            process.kill()
        for process in running:
            rest, _ = process.communicate()
            lines = rest.splitlines(keepends=True)
            acknowledged.update(int(line) for line in lines if line.endswith("\n"))
            assert process.returncode == -signal.SIGKILL
        with Journal(tmp_path, NAMES) as journal:
            check = journal.check()
            assert check.fault is None
            assert acknowledged <= set(range(1, check.n_entries + 1))
            journal.record(Action.QUERY, actor=LOCAL)  # goes on at once: no lock is left
            assert journal.check().is_whole


def test_a_full_disk_refuses_the_entry_and_keeps_the_chain(tmp_path: Path) -> None:
    with Journal(tmp_path, NAMES) as journal:
        write_entries(journal, 5)
        db = journal._writer._open[next(iter(journal._writer._open))][0]
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(LibraryError, match=r"journal.sqlite: the disk is full"):
            write_entries(journal, 2000, seed=1)
        kept = journal.check()
        assert kept.fault is None
        db.execute(f"PRAGMA max_page_count = {pages + 1000}")
        journal.record(Action.QUERY, actor=LOCAL)
        after = journal.check()
        assert (after.fault, after.n_entries) == (None, kept.n_entries + 1)


def test_a_search_is_not_held_up_by_a_writer_of_the_library(tmp_path: Path) -> None:
    from medembed.library import CaseLibrary

    with CaseLibrary.create(tmp_path / "lib") as library:
        journal = library.journal
        other = sqlite3.connect(tmp_path / "lib" / "library.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # as an ingest does
        journal.record(Action.QUERY, actor=LOCAL)
        other.execute("ROLLBACK")
        other.close()
        assert journal.check().n_entries == 2


def test_a_writer_that_hangs_is_named_and_nothing_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "WAIT_SECONDS", 0.05)
    with Journal(tmp_path, NAMES) as journal, Journal(tmp_path, NAMES) as other:
        write_entries(journal, 2)
        with (
            other._writer.head.locked(1),
            pytest.raises(LibraryBusyError, match="another process is writing to the journal"),
        ):
            journal.record(Action.QUERY, actor=LOCAL)
        journal.record(Action.QUERY, actor=LOCAL)
        assert journal.check().n_entries == 4


def test_a_reader_of_the_journal_holds_up_nobody(tmp_path: Path) -> None:
    with Journal(tmp_path, NAMES) as journal:
        write_entries(journal, 30)
        reading = journal.entries()
        next(reading)
        journal.record(Action.QUERY, actor=LOCAL)
        assert len(list(reading)) >= 30


def test_a_journal_that_is_replaced_while_open_is_noticed(tmp_path: Path) -> None:
    with Journal(tmp_path, NAMES) as journal:
        write_entries(journal, 5)
        older = tmp_path / "kept"
        older.mkdir()
        journal.copy_to(older)
        write_entries(journal, 5, seed=1)
        (tmp_path / JOURNAL_NAME).unlink()
        (older / JOURNAL_NAME).rename(tmp_path / JOURNAL_NAME)
        for ending in ("-wal", "-shm"):
            (tmp_path / f"{JOURNAL_NAME}{ending}").unlink(missing_ok=True)
        journal.record(Action.QUERY, actor=LOCAL)
        check = journal.check()
    assert (check.fault, check.entry) == (Fault.LOST, 7)
