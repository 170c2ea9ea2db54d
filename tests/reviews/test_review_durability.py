"""Several readers and processes at once; a killed process loses nothing that was acknowledged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.example_cases import make_case
from support.reviewed import session_of

from medembed.library import CaseLibrary
from medembed.library.integrity import check_integrity
from medembed.reviews import Impression, ReviewStore

_WRITER = """
import sys
from medembed.library import CaseLibrary
from medembed.reviews import Impression, ReviewStore
path, link, reader, n = sys.argv[1:]
with CaseLibrary.open(path) as library:
    store = ReviewStore(library)
    for at in range(int(n)):
        for case_id in library.find():
            store.open_case(link, case_id, reader)
            store.write_impression(link, case_id, reader, Impression(f"{reader} {at}"))
            print(case_id, at, flush=True)
"""


def writer(path: Path, link: str, reader: str, n: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), link, reader, str(n)],
        stdout=subprocess.PIPE,
        text=True,
    )


def make(tmp_path: Path, n: int = 5) -> tuple[Path, str]:
    with CaseLibrary.create(tmp_path / "library") as library:
        library.add(make_case(i) for i in range(n))
        link = session_of(ReviewStore(library), library, n).link
    return tmp_path / "library", link


def test_a_killed_process_loses_no_acknowledged_impression(tmp_path: Path) -> None:
    path, link = make(tmp_path)
    process = writer(path, link, "Anna", 10_000)
    assert process.stdout is not None
    told: dict[str, int] = {}
    for _ in range(23):
        case_id, at = process.stdout.readline().split()
        told[case_id] = int(at)
    os.kill(process.pid, signal.SIGKILL)
    for line in process.communicate()[0].splitlines():  # acknowledged before the kill
        if len(words := line.split()) == 2 and line.endswith(words[1]):
            told[words[0]] = int(words[1])
    with CaseLibrary.open(path) as library:
        check_integrity(library.database.read())
        kept = {r.case_id: r.impression for r in ReviewStore(library).readings(link)}
        for case_id, at in told.items():
            found = kept[case_id]
            assert found is not None
            assert int(found.text.split()[1]) >= at


def test_processes_write_at_once_and_each_reader_keeps_the_last_word(tmp_path: Path) -> None:
    path, link = make(tmp_path, 3)
    processes = [writer(path, link, reader, 8) for reader in ("Anna", "Ben")]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    with CaseLibrary.open(path) as library:
        check_integrity(library.database.read())
        found = {(r.case_id, r.reader): r.impression for r in ReviewStore(library).readings(link)}
    assert len(found) == 6
    assert {i.text for i in found.values() if i} == {"Anna 7", "Ben 7"}


def test_threads_open_and_write_at_once(tmp_path: Path) -> None:
    path, link = make(tmp_path, 2)
    with CaseLibrary.open(path) as library:
        store = ReviewStore(library)

        def read(number: int) -> None:
            reader = f"R{number % 4}"
            store.open_case(link, "case-0", reader)
            store.write_impression(link, "case-0", reader, Impression(f"text {number}"))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, range(24)))
        assert [r.reader for r in store.readings(link)] == ["R0", "R1", "R2", "R3"]
        assert all(r.impression for r in store.readings(link))
