"""A connection for each running thread, passed on when the thread has ended."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medembed.library import CaseLibrary
from medembed.library.connections import _MOST_FREE, Connections


@pytest.fixture
def pool(tmp_path: Path) -> Connections:
    sqlite3.connect(tmp_path / "x.sqlite").execute("CREATE TABLE t (n INTEGER)").connection.close()
    return Connections(
        lambda: sqlite3.connect(
            tmp_path / "x.sqlite", check_same_thread=False, isolation_level=None
        )
    )


def in_thread(work: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(10)
    return found[0]


def test_a_thread_keeps_its_connection_and_the_next_one_takes_it_over(pool: Connections) -> None:
    def twice() -> tuple[int, int]:
        return id(pool.of_thread()), id(pool.of_thread())

    seen = [in_thread(twice) for _ in range(20)]
    assert {one == other for one, other in seen} == {True}
    assert len(set(seen)) == 1
    assert len(pool) == 1


def test_threads_that_run_at_once_have_their_own(pool: Connections) -> None:
    n = _MOST_FREE + 4
    together, seen = threading.Barrier(n), []

    def work() -> None:
        seen.append(id(pool.of_thread()))
        together.wait(10)

    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(set(seen)) == n
    assert len(pool) == _MOST_FREE, "no more are kept for threads to come"


def test_an_open_transaction_of_an_ended_thread_is_not_passed_on(pool: Connections) -> None:
    def leave_open() -> None:
        pool.of_thread().execute("BEGIN IMMEDIATE").execute("INSERT INTO t VALUES (1)")

    in_thread(leave_open)
    assert len(pool) == 0
    assert in_thread(lambda: pool.of_thread().execute("SELECT count(*) FROM t").fetchone()) == (0,)


def test_a_thread_that_outlives_a_close_opens_another_one(pool: Connections) -> None:
    first = pool.of_thread()
    assert pool.close()
    assert not pool.close()
    with pytest.raises(sqlite3.ProgrammingError):
        first.execute("SELECT 1")
    assert pool.of_thread().execute("SELECT 1").fetchone() == (1,)
    pool.drop()
    assert len(pool) == 0
    assert pool.of_thread().execute("SELECT 1").fetchone() == (1,)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_leaves_the_connections_of_its_parent_alone(pool: Connections) -> None:
    mine = pool.of_thread()
    in_thread(pool.of_thread)
    child = os.fork()
    if child == 0:
        own = pool.of_thread()
        right = own is not mine and len(pool) == 1 and in_thread(pool.of_thread) is not own
        pool.close()
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert mine.execute("SELECT 1").fetchone() == (1,)
    assert len(pool) == 2


def test_a_library_asked_by_a_thousand_threads_keeps_one_connection(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "lib") as library:
        in_thread(lambda: len(library))
        before = len(library.database._connections)
        for _ in range(1000):
            in_thread(lambda: len(library))
        assert len(library.database._connections) == before <= 2
