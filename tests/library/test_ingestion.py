from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.example_files import write_csv, write_dicom, write_png, write_slices

from medembed.errors import LibraryError
from medembed.library import CaseLibrary, ingest
from medembed.library.ingestion import REFUSALS_NAME, write_refusals
from medembed.scans import ScanReader
from medembed.sources import DicomFolderSource, Refusal, TableSource


class CountingReader:
    """A reader that counts what it is asked to decode."""

    def __init__(self, reader: ScanReader) -> None:
        self._reader = reader
        self.decoded: list[str] = []

    def map(self, task: Any, items: Iterable[Any]) -> Iterator[Any]:
        items = list(items)
        if task == "inspect":
            self.decoded += [Path(item).name for item in items]
        return self._reader.map(task, items)


@pytest.fixture(scope="module")
def scan_reader() -> Iterator[ScanReader]:
    with ScanReader(workers=2) as reader:
        yield reader


@pytest.fixture
def reader(scan_reader: ScanReader) -> CountingReader:
    return CountingReader(scan_reader)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    with CaseLibrary.create(tmp_path / "lib") as opened:
        yield opened


def take(library: CaseLibrary, source: Any, reader: CountingReader, **options: Any) -> Any:
    return ingest(library, source, reader=reader, **options)  # type: ignore[arg-type]


def test_a_second_ingest_of_the_same_adds_nothing_and_decodes_nothing(
    library: CaseLibrary, reader: CountingReader, tmp_path: Path
) -> None:
    for seed in range(5):
        write_dicom(tmp_path / "d" / f"{seed}.dcm", seed)
    (tmp_path / "d" / "text.txt").write_text("no scan")
    cut = write_dicom(tmp_path / "d" / "cut.dcm", 9)
    cut.write_bytes(cut.read_bytes()[:-99])
    source = DicomFolderSource(tmp_path / "d")
    first = take(library, source, reader)
    assert (first.added, first.unchanged) == (5, 0)
    assert first.refused_by_code == {"not-a-scan": 1, "truncated": 1}
    assert len(reader.decoded) == 7
    reader.decoded.clear()
    again = take(library, DicomFolderSource(tmp_path / "d"), reader)
    assert (again.added, again.unchanged) == (0, 5)
    assert sorted(map(repr, again.refusals)) == sorted(map(repr, first.refusals))
    assert reader.decoded == []


def test_only_what_is_new_or_changed_is_decoded(
    library: CaseLibrary, reader: CountingReader, tmp_path: Path
) -> None:
    for seed in range(3):
        write_png(tmp_path / f"{seed}.png", seed)
    rows = [{"case_id": f"c{i}", "patient_id": f"{i}", "image_path": f"{i}.png"} for i in range(4)]
    table = write_csv(tmp_path / "cases.csv", rows)
    assert take(library, TableSource(table), reader).refused_by_code == {"not-found": 1}
    reader.decoded.clear()
    write_png(tmp_path / "3.png", 3)
    write_png(tmp_path / "1.png", 77, 9)
    report = take(library, TableSource(table), reader)
    assert sorted(reader.decoded) == ["1.png", "3.png"]
    assert (report.added, report.unchanged) == (1, 2)
    assert [(r.where, r.code) for r in report.refusals] == [("c1", "changed-content")]
    report = take(library, TableSource(table), reader, replace=True)
    assert (report.replaced, report.unchanged, report.refusals) == (1, 3, ())


def test_a_refused_file_is_looked_at_again_by_another_version(
    library: CaseLibrary, reader: CountingReader, tmp_path: Path
) -> None:
    cut = write_dicom(tmp_path / "d" / "cut.dcm", 9)
    cut.write_bytes(cut.read_bytes()[:-99])
    source = DicomFolderSource(tmp_path / "d")
    take(library, source, reader)
    with library.database.write() as db:
        db.execute("UPDATE files SET reader = '0.0.0'")
    reader.decoded.clear()
    take(library, source, reader)
    assert reader.decoded == ["cut.dcm"]


def test_a_note_that_comes_later_replaces_the_case_when_told_to(
    library: CaseLibrary, reader: CountingReader, tmp_path: Path
) -> None:
    write_dicom(tmp_path / "d" / "1.dcm", 1)
    table = write_csv(tmp_path / "n.csv", [{"accession": "ACC00001", "note": "Left effusion."}])
    take(library, DicomFolderSource(tmp_path / "d"), reader)
    late = DicomFolderSource(tmp_path / "d", notes=table)
    assert take(library, late, reader).refused_by_code == {"changed-content": 1}
    assert take(library, late, reader, replace=True).replaced == 1
    assert len(library.find("finding=effusion:left")) == 1
    assert library.find("note~effusion") == library.find()


def test_a_library_keeps_to_one_way_with_dates(
    library: CaseLibrary, reader: CountingReader, tmp_path: Path
) -> None:
    write_dicom(tmp_path / "d" / "1.dcm", 1)
    source = DicomFolderSource(tmp_path / "d")
    take(library, source, reader, shift_dates=True)
    with pytest.raises(
        LibraryError, match="dates in this library are shifted; ingest with --shift-dates"
    ):
        take(library, source, reader)
    assert take(library, source, reader, shift_dates=True).unchanged == 1


def test_the_journal_holds_no_path_in_clear(
    library: CaseLibrary, reader: CountingReader, tmp_path: Path
) -> None:
    bad = tmp_path / "d" / "DOE^JANE" / "x.dcm"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"\x00" * 99)
    take(library, DicomFolderSource(tmp_path / "d"), reader)
    rows = library.database.read().execute("SELECT * FROM files").fetchall()
    assert len(rows) == 1
    assert "DOE" not in repr(rows)


def test_refusals_are_written_for_people_and_spreadsheets(library: CaseLibrary) -> None:
    path = write_refusals(library, [Refusal("=cmd()", "it, is", "bad"), Refusal("a", "b", "c")])
    assert path == library.path / REFUSALS_NAME
    assert path.read_text("utf-8").splitlines() == [
        "where,code,reason", "'=cmd(),bad,\"it, is\"", "a,c,b",
    ]  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600
    assert write_refusals(library, []) is None
    assert not path.exists()


def test_progress_never_runs_backwards_and_ends_at_its_total(
    library: CaseLibrary, reader: CountingReader, tmp_path: Path
) -> None:
    for seed in range(3):
        write_dicom(tmp_path / "d" / f"{seed}.dcm", seed)
    (tmp_path / "d" / "x").write_text("x")
    calls: list[tuple[int, int | None]] = []
    take(library, DicomFolderSource(tmp_path / "d"), reader,
         progress=lambda *call: calls.append(call))  # fmt: skip
    assert calls == sorted(calls)
    assert calls[-1] == (8, 8)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_killed_ingest_continues(
    library: CaseLibrary, reader: CountingReader, tmp_path: Path
) -> None:
    for seed in range(150):
        write_dicom(tmp_path / "d" / f"{seed:03d}.dcm", seed)
    library.close()
    running = subprocess.Popen(
        [sys.executable, "-m", "medembed.cli", "ingest", str(library.path), str(tmp_path / "d")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with CaseLibrary.open(library.path) as watching:
        deadline = time.monotonic() + 60
        while len(watching) == 0 and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        running.kill()
        running.wait()
        before = len(watching)
        assert before > 0
        report = take(watching, DicomFolderSource(tmp_path / "d"), reader)
        assert (report.added, report.unchanged) == (150 - before, before)
        assert len(reader.decoded) <= 150 - before  # nothing acknowledged is decoded again


def test_a_series_of_schema_1_is_unchanged_and_gets_the_hash_of_today(
    library: CaseLibrary, reader: CountingReader, tmp_path: Path
) -> None:
    files = write_slices(tmp_path / "d", 1, 3)
    source = DicomFolderSource(tmp_path / "d")
    take(library, source, reader)
    (case,) = library.cases()
    in_order = hashlib.sha256()
    for file in files:
        in_order.update(hashlib.sha256(file.read_bytes()).digest())
    older = replace(case.scans[0], sha256=in_order.hexdigest(), kind="unknown", pixel_sha256="")
    library.add([replace(case, scans=(older,), kind="unknown")], replace=True)
    report = take(library, source, reader)
    assert (report.unchanged, report.refusals) == (1, ())
    assert list(library.cases()) == [case]
