"""A connection for each running thread, passed on when the thread has ended."""

from __future__ import annotations

import gc
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from medembed.library import CaseLibrary
from medembed.library.connections import _MOST_FREE, Connections
from medembed.library.database import DATABASE_NAME, Database


class Seen(sqlite3.Connection):
    """One to which a weak reference can be held."""


class Pool(Connections):
    """Of one file; it knows what was opened."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.opened = path, list[weakref.ref[sqlite3.Connection]]()

    def connect(self) -> sqlite3.Connection:
        made = sqlite3.connect(
            self.path, check_same_thread=False, isolation_level=None, factory=Seen
        )
        self.opened.append(weakref.ref(made))
        return made

    def mine(self) -> sqlite3.Connection:
        return self.of_thread(self.connect)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    with closing(sqlite3.connect(tmp_path / "x.sqlite")) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.executescript("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2), (3);")
    return Pool(tmp_path / "x.sqlite")


def in_thread(work: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(10)
    return found[0]


def test_a_thread_keeps_its_connection_and_the_next_one_takes_it_over(pool: Pool) -> None:
    def count() -> int:
        assert pool.mine() is pool.mine()
        return int(pool.mine().execute("SELECT count(*) FROM t").fetchone()[0])

    assert [in_thread(count) for _ in range(20)] == [3] * 20
    assert len(pool.opened) == len(pool) == 1


def test_threads_that_run_at_once_have_their_own(pool: Pool) -> None:
    n = _MOST_FREE + 4
    together = threading.Barrier(n)

    def work() -> None:
        pool.mine()
        together.wait(10)

    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(pool.opened) == n
    assert len(pool) == _MOST_FREE, "no more are kept for threads to come"


def test_an_open_transaction_of_an_ended_thread_is_not_passed_on(pool: Pool) -> None:
    def leave_open() -> None:
        pool.mine().execute("BEGIN IMMEDIATE")
        pool.mine().execute("INSERT INTO t VALUES (4)")

    in_thread(leave_open)
    assert len(pool) == 0
    assert in_thread(lambda: pool.mine().execute("SELECT count(*) FROM t").fetchone()) == (3,)


def test_what_is_read_after_its_thread_has_ended_keeps_its_connection(pool: Pool) -> None:
    rows = in_thread(lambda: pool.mine().execute("SELECT n FROM t ORDER BY n"))
    assert rows.fetchone() == (1,)

    def write() -> None:
        pool.mine().execute("INSERT INTO t VALUES (4)")

    in_thread(write)
    assert len(pool.opened) == 2, "the next thread has another one"
    assert rows.fetchall() == [(2,), (3,)]
    del rows
    gc.collect()
    assert pool.opened[0]() is None, "it goes with its last reader"


def test_a_thread_that_outlives_a_close_opens_another_one(pool: Pool) -> None:
    first = pool.mine()
    assert pool.close()
    assert not pool.close()
    with pytest.raises(sqlite3.ProgrammingError):
        first.execute("SELECT 1")
    assert pool.mine().execute("SELECT 1").fetchone() == (1,)
    pool.drop()
    assert len(pool) == 0
    assert pool.mine().execute("SELECT 1").fetchone() == (1,)


def test_a_connection_that_is_opened_while_all_are_closed_is_opened_again(pool: Pool) -> None:
    def slowly() -> sqlite3.Connection:
        if not pool.opened:
            pool.connect()
            assert not pool.close()
        return pool.connect()

    made = pool.of_thread(slowly)
    assert made is pool.of_thread(slowly)
    assert made.execute("SELECT 1").fetchone() == (1,)
    assert len(pool) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_leaves_the_connections_of_its_parent_alone(pool: Pool) -> None:
    mine = pool.mine()
    in_thread(pool.mine)
    child = os.fork()
    if child == 0:
        is_right = False
        try:
            own = pool.mine()
            is_right = own is not mine and len(pool) == 1 and in_thread(pool.mine) is not own
            pool.close()
        finally:
            os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert mine.execute("SELECT 1").fetchone() == (1,)


def test_a_library_asked_by_a_thousand_threads_keeps_one_connection(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "lib") as library:
        in_thread(lambda: len(library))
        before = len(library.database._connections)
        for _ in range(1000):
            in_thread(lambda: len(library))
        assert len(library.database._connections) == before <= 2


def test_a_library_that_nobody_uses_is_closed_at_once(tmp_path: Path) -> None:
    CaseLibrary.create(tmp_path / "lib").close()
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("needs /proc")
    gc.disable()
    try:
        database = Database(tmp_path / "lib" / DATABASE_NAME)
        database.read()
        inside = [f for f in open_files.iterdir() if str(tmp_path) in os.path.realpath(f)]
        assert inside
        del database
        inside = [f for f in open_files.iterdir() if str(tmp_path) in os.path.realpath(f)]
        assert inside == [], "without waiting for a garbage collection"
    finally:
        gc.enable()
