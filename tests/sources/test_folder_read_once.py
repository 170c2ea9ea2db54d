"""A folder's files are opened as seldom as can be, also after an ingest was killed."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.example_files import write_csv, write_dicom, write_png, write_slices

from medembed.library import CaseLibrary, ingest
from medembed.scans import ScanReader
from medembed.sources import DicomFolderSource, TableSource

IN_OPEN, IN_ISDIR = 0x20, 0x40000000


@contextmanager
def opened(*folders: Path) -> Iterator[Counter[str]]:
    """Count how often each file in these folders is opened, by whatever process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        pytest.skip("needs inotify to see files being opened")
    watcher = libc.inotify_init1(os.O_NONBLOCK)
    for folder in folders:
        assert libc.inotify_add_watch(watcher, os.fsencode(folder), IN_OPEN) >= 0
    counts: Counter[str] = Counter()
    try:
        yield counts
        while True:
            try:
                events = os.read(watcher, 2**16)
            except BlockingIOError:
                break
            while events:
                _, mask, _, length = struct.unpack_from("iIII", events)
                name = events[16 : 16 + length].rstrip(b"\0").decode()
                if not mask & IN_ISDIR:
                    counts[name] += 1
                events = events[16 + length :]
    finally:
        os.close(watcher)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    with CaseLibrary.create(tmp_path / "lib") as made:
        yield made


def test_a_file_is_opened_once_or_if_broken_twice_and_then_never(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    folder = tmp_path / "d"
    for seed in range(5):
        write_dicom(folder / f"{seed}.dcm", seed)
    write_slices(folder, 7, 4)
    cut = write_dicom(folder / "cut.dcm", 9)
    cut.write_bytes(cut.read_bytes()[:-99])
    (folder / "text.txt").write_text("no scan")
    with opened(folder) as first:
        report = ingest(library, DicomFolderSource(folder), reader=reader)
    assert report.added == 6
    assert len(first) == 11
    broken = {"cut.dcm": 2, "text.txt": 2}  # a second time for the header alone
    assert first == {**dict.fromkeys(first, 1), **broken}
    with opened(folder) as second:
        again = ingest(library, DicomFolderSource(folder), reader=reader)
    assert again.unchanged == 6
    assert again.refusals == report.refusals
    assert second == {}


def test_an_image_of_a_table_is_opened_once_and_then_never(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    write_png(folder / "a.png", 1)
    write_slices(folder / "ct", 2, 3)
    rows = [
        {"case_id": "a", "patient_id": "p", "image_path": "images/a.png"},
        {"case_id": "b", "patient_id": "q", "image_path": "images/ct"},
    ]
    table = write_csv(tmp_path / "cases.csv", rows)
    with opened(folder, folder / "ct") as first:
        assert ingest(library, TableSource(table), reader=reader).added == 2
    assert sorted(first.values()) == [1, 1, 1, 1]
    with opened(folder, folder / "ct") as second:
        assert ingest(library, TableSource(table), reader=reader).unchanged == 2
    assert second == {}


def test_a_study_over_several_folders_is_one_whole_case(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    for i, file in enumerate(write_slices(tmp_path / "slices", 3, 6)):
        target = tmp_path / "d" / f"part{i % 3}" / f"{i}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
        write_dicom(target.parent / f"other{i}.dcm", 100 + i)
    report = ingest(library, DicomFolderSource(tmp_path / "d"), reader=reader)
    assert (report.added, report.refusals) == (7, ())
    (case,) = library.cases("modality=CT")
    assert [len(scan.files) for scan in case.scans] == [6]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_killed_ingest_opens_no_file_again_whose_result_was_stored(
    library: CaseLibrary, reader: ScanReader, tmp_path: Path
) -> None:
    folder = tmp_path / "d"
    for seed in range(240):
        write_dicom(folder / f"{seed:03d}.dcm", seed)
    running = subprocess.Popen(
        [sys.executable, "-m", "medembed.cli", "ingest", str(library.path), str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        while not _decoded(library) and running.poll() is None:
            time.sleep(0.002)
    finally:
        running.kill()
        running.wait()
    stored, decoded = len(library), _decoded(library)
    assert 0 < decoded <= 240
    with opened(folder) as rest:
        report = ingest(library, DicomFolderSource(folder), reader=reader)
    assert report.added + report.unchanged == 240
    assert report.unchanged >= stored
    assert len(rest) == 240 - decoded
    assert set(rest.values()) <= {1}
    assert len(library) == 240


def _decoded(library: CaseLibrary) -> int:
    row = library.database.read().execute("SELECT count(*) FROM files WHERE sha256 <> ''")
    return int(row.fetchone()[0])
