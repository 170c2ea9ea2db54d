"""What visitors share: one decoding per scan, a bounded cache, never another case's pixels."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from apps.case_lookup import session
from apps.case_lookup.session import LibrarySession
from medembed.cases import Case, ScanRef
from medembed.errors import ScanError
from medembed.library import CaseLibrary
from medembed.scans import Scan


class CountingSession(LibrarySession):
    """A session whose reader counts: the pixels of case n are n."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._scans = OrderedDict()
        self.library: Any = SimpleNamespace(path=None, scan_files=lambda case: [(case.case_id,)])
        self.reads: Counter[str] = Counter()
        self._seconds = seconds
        self._counting_reads = threading.Lock()

    def _read(self, files: Sequence[Path], frame: int | None = None) -> Scan:
        with self._counting_reads:
            self.reads[str(files[0])] += 1
        time.sleep(self._seconds)
        return Scan(np.full((4, 4), float(str(files[0])), np.float32))


@pytest.fixture(autouse=True)
def _files_are_there(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def case(number: int, sha256: str = "") -> Case:
    reference = ScanRef((str(number),), sha256 or f"{number:064x}", "CR", "PA")
    return Case(case_id=str(number), patient_id=f"P{number}", scans=(reference,))


def test_eight_visitors_share_the_cache_without_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_CACHE_BYTES", 64 * 5)
    monkeypatch.setattr(Path, "exists", lambda _: True)
    sys.setswitchinterval(1e-6)
    shared = CountingSession()

    def browse(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, 20, 500):
            assert shared.scan(case(int(number))).pixels[0, 0] == number

    with ThreadPoolExecutor(8) as visitors:
        for done in [visitors.submit(browse, seed) for seed in range(8)]:
            done.result()
    assert 1 <= len(shared._scans) <= 5


def test_simultaneous_requests_decode_a_scan_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: True)
    shared = CountingSession(seconds=0.1)
    with ThreadPoolExecutor(8) as visitors:
        found = list(visitors.map(lambda _: shared.scan(case(3)), range(8)))
    assert shared.reads == {"3": 1}
    assert len({id(scan) for scan in found}) == 1


def test_a_case_whose_image_changed_does_not_show_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: True)
    shared = CountingSession()
    shared.scan(case(3))
    shared.scan(case(3, sha256="f" * 64))
    assert shared.reads == {"3": 2}


def test_a_scan_larger_than_the_cache_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(session, "_CACHE_BYTES", 1)
    shared = CountingSession()
    assert [shared.scan(case(n)).pixels[0, 0] for n in (1, 2)] == [1, 2]
    assert len(shared._scans) == 1


@pytest.fixture
def one(small_library: Path) -> Iterator[tuple[LibrarySession, Case, Path]]:
    """A session, a case, and the file of its thumbnail."""
    shared = LibrarySession(small_library)
    try:
        found = shared.library.case("C-0002")
        yield shared, found, small_library / "thumbnails" / f"{found.scans[0].sha256}.png"
    finally:
        shared.close()


def test_a_damaged_thumbnail_is_rendered_again(one: tuple[LibrarySession, Case, Path]) -> None:
    shared, found, file = one
    right = np.asarray(shared.thumbnail(found))
    content = file.read_bytes()
    for damaged in (b"", b"no picture", content[: len(content) // 2]):
        file.write_bytes(damaged)
        assert (np.asarray(shared.thumbnail(found)) == right).all()
        with Image.open(file) as kept:
            assert (np.asarray(kept) == right).all()


def test_a_read_only_library_shows_its_thumbnails(
    one: tuple[LibrarySession, Case, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, found, file = one
    file.unlink(missing_ok=True)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert shared.thumbnail(found).size[0] > 0
    assert not file.exists()


def test_partly_written_thumbnails_are_removed_at_the_next_start(small_library: Path) -> None:
    folder = small_library / "thumbnails"
    folder.mkdir(exist_ok=True)
    old, new = folder / "old.part", folder / "new.part"
    for part in (old, new):
        part.touch()
    import os

    os.utime(old, (0, 0))
    LibrarySession(small_library).close()
    assert not old.exists()
    assert new.exists(), "another room may be writing it"
    new.unlink()


def test_filter_values_are_counted_once_for_all_visitors(
    one: tuple[LibrarySession, Case, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, _, _ = one
    counted: list[str] = []
    count = CaseLibrary.value_counts

    def slow(self: CaseLibrary, field: str) -> dict[str, int]:
        counted.append(field)
        time.sleep(0.05)
        return count(self, field)

    monkeypatch.setattr(CaseLibrary, "value_counts", slow)
    with ThreadPoolExecutor(8) as visitors:
        found = list(visitors.map(lambda _: shared.value_counts("sex"), range(8)))
    assert counted == ["sex"]
    assert all(each == found[0] for each in found)


def test_the_digest_of_a_request_differs_if_the_result_may_differ() -> None:
    from apps.case_lookup.session import SearchRequest
    from medembed.library import Condition

    base = SearchRequest(text="effusion", case_id="C-1", where=(Condition("sex", "in", ("F",)),))
    others = [
        replace(base, text="effusions"),
        replace(base, case_id="C-2"),
        replace(base, dropped=("1",)),
        replace(base, image_weight=0.4),
        replace(base, where=()),
        replace(base, where=(Condition("sex", "in", ("M",)),)),
        replace(base, k=20),
    ]
    assert len({q.digest for q in (base, *others)}) == len(others) + 1
    assert replace(base).digest == base.digest
    alone = SearchRequest(text="effusion")
    assert replace(alone, image_weight=0.1).digest == alone.digest, (
        "the weight counts in mixtures only"
    )


def test_a_file_that_was_replaced_after_ingest_is_not_shown_as_its_case(
    small_library: Path,
) -> None:
    shared = LibrarySession(small_library)
    first = next(iter(shared.library.cases()))
    file = shared.library.scan_files(first)[0][0]
    before = file.read_bytes()
    try:
        Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8)).save(
            file, format="PNG"
        )
        with pytest.raises(ScanError, match="replaced"):
            shared.scan(first)
    finally:
        file.write_bytes(before)
    assert shared.scan(first).pixels.size
