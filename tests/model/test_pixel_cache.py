"""Pixels of one scan never stand under another's key, whoever writes, dies or damages the files."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import stat
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_pairs import write_library

import medembed.model.pixel_cache as px
from medembed.cases import Case, ScanRef
from medembed.model.pixel_cache import PixelCache
from medembed.preprocess import Preprocess

READ_PIXELS = px.read_pixels
PREPROCESS = Preprocess(size=4, window="range", mean=0.0, std=1.0)


def make_cases(n: int) -> list[Case]:
    return [Case(f"c{i}", f"p{i}", (ScanRef((f"f{i}",), f"{i:064x}"),)) for i in range(1, n)]


def decoded(
    library: object, wanted: Sequence[tuple[Case, int]], preprocess: Preprocess, workers: int = 0
) -> Iterator[Any]:
    """Pixels that say of which scan they are; some scans have several rows."""
    for case, at in wanted:
        i = int(case.scans[at].sha256, 16)
        time.sleep(0.0005)
        yield np.full((1 + i % 3, 1, 4, 4), i, np.uint8)


def test_a_file_that_was_replaced_after_the_ingest_is_not_its_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(px, "read_pixels", READ_PIXELS)
    library = write_library(tmp_path, n=6)
    cases = list(library.cases())
    first, second = (Path(case.scans[0].files[0]) for case in cases[:2])
    first.write_bytes(second.read_bytes())
    preprocess = Preprocess(size=8, window="range", mean=0.0, std=1.0)
    cache = PixelCache(library.path / "cache", preprocess)
    assert cache.fill(library, cases, workers=1) == {"changed": 1}
    assert [case.scans[0] in cache for case in cases] == [False] + [True] * 5


def test_16_bits_are_kept_and_stand_in_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(px, "read_pixels", READ_PIXELS)
    library = write_library(tmp_path, n=6)
    cases = list(library.cases())
    preprocess = Preprocess(size=8, bits=16, mean=0.0, std=1.0)
    PixelCache(library.path / "cache", preprocess).fill(library, cases, workers=1)
    cache = PixelCache(library.path / "cache", preprocess)
    fresh = list(READ_PIXELS(library, [(case, 0) for case in cases], preprocess, 1))
    for case, pixels in zip(cases, fresh, strict=True):
        start, count = cache.span(case.scans[0])
        kept = cache.rows(slice(start, start + count))
        assert kept.dtype == np.uint16
        assert np.array_equal(kept, pixels)
    assert int(cache.rows(slice(0, 6)).max()) > 255
    assert cache._rows_path.suffix == ".u16"


@pytest.fixture(autouse=True)
def _decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(px, "read_pixels", decoded)
    monkeypatch.setattr(px, "_SYNC_EVERY", 8)


def check(cache: PixelCache, n: int) -> int:
    """Compare all rows with the scans they must be of, and count the scans."""
    found = 0
    for case in make_cases(n):
        ref = case.scans[0]
        if ref in cache:
            first, count = cache.span(ref)
            i = int(ref.sha256, 16)
            assert count == 1 + i % 3
            assert (cache.rows(slice(first, first + count)) == i).all()
            found += 1
    return found


def test_two_threads_that_fill_one_cache_read_right_rows(tmp_path: Path) -> None:
    caches: list[PixelCache] = []
    said: list[str] = []

    def fill() -> None:
        cache = PixelCache(tmp_path / "cache", PREPROCESS)
        cache.fill(None, make_cases(120), waiting=said.append)  # type: ignore[arg-type]
        caches.append(cache)

    threads = [threading.Thread(target=fill) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [check(cache, 120) for cache in caches] == [119] * 3
    assert check(PixelCache(tmp_path / "cache", PREPROCESS), 120) == 119
    assert len(said) == 2
    assert "decoding scans" in said[0]
    rows = sum(1 + i % 3 for i in range(1, 120))
    assert caches[0]._rows_path.stat().st_size == rows * 16  # nothing was decoded twice


def forked_fill(folder: Path) -> int:
    """Fill in a process of its own, without the seconds that its imports would take."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forking beside threads: this child uses none
        child = os.fork()
    if child == 0:
        try:
            PixelCache(folder, PREPROCESS).fill(None, make_cases(200))  # type: ignore[arg-type]
        finally:
            time.sleep(600)  # its end is SIGKILL, and not a test runner's
    return child


def killed_fills(folder: Path, rounds: int, seed: int) -> None:
    draw = random.Random(seed)
    early = PixelCache(folder, PREPROCESS)
    reader = early
    for _ in range(rounds):
        writers = [forked_fill(folder) for _ in range(2)]
        time.sleep(draw.uniform(0, 0.1))
        for writer in writers:
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
        check(reader, 200)  # what was opened before the writers died
        reader = PixelCache(folder, PREPROCESS)
        check(reader, 200)
    reader.fill(None, make_cases(200))  # type: ignore[arg-type]
    assert check(reader, 200) == check(PixelCache(folder, PREPROCESS), 200) == 199
    check(early, 200)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_writers_that_are_killed_leave_no_wrong_row(tmp_path: Path) -> None:
    killed_fills(tmp_path / "cache", rounds=3, seed=1)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_many_writers_that_are_killed_leave_no_wrong_row(tmp_path: Path) -> None:
    for seed in range(6):
        killed_fills(tmp_path / f"cache{seed}", rounds=6, seed=seed)


@pytest.mark.parametrize("ending", [".u8", ".jsonl"])
def test_a_changed_byte_in_the_cache_is_never_a_pixel(
    tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    cache = PixelCache(folder, PREPROCESS)
    cache.fill(None, make_cases(30))  # type: ignore[arg-type]
    path = cache._rows_path.with_suffix(ending)
    whole = path.read_bytes()
    draw = random.Random(5)
    missing = 0
    for _ in range(60):
        hurt = bytearray(whole)
        hurt[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(hurt)
        missing += 29 - check(PixelCache(folder, PREPROCESS), 30)
    assert missing >= 30
    caplog.clear()
    again = PixelCache(folder, PREPROCESS)
    with caplog.at_level(logging.WARNING, "medembed"):
        again.fill(None, make_cases(30))  # type: ignore[arg-type]
    assert check(again, 30) == check(PixelCache(folder, PREPROCESS), 30) == 29
    assert len([r for r in caplog.records if "damaged" in r.message]) == (ending == ".u8")


def test_rows_under_swapped_keys_are_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = PixelCache(folder, PREPROCESS)
    cache.fill(None, make_cases(10))  # type: ignore[arg-type]
    lines = [json.loads(line) for line in cache._index_path.read_text().splitlines()]
    lines[0][0], lines[3][0] = lines[3][0], lines[0][0]  # both of two rows
    cache._index_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert check(PixelCache(folder, PREPROCESS), 10) == 7


def test_a_cache_without_checksums_is_decoded_again(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = PixelCache(folder, PREPROCESS)
    cache.fill(None, make_cases(10))  # type: ignore[arg-type]
    lines = [json.loads(line)[:3] for line in cache._index_path.read_text().splitlines()]
    cache._index_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    size = cache._rows_path.stat().st_size
    old = PixelCache(folder, PREPROCESS)
    assert check(old, 10) == 0
    old.fill(None, make_cases(10))  # type: ignore[arg-type]
    assert check(old, 10) == 9
    assert old._rows_path.stat().st_size == size
    assert check(cache, 10) == 9  # it has the old file open


def test_a_cache_that_is_cleared_while_it_is_open_is_filled_again(tmp_path: Path) -> None:
    cache = PixelCache(tmp_path / "cache", PREPROCESS)
    cache.fill(None, make_cases(10))  # type: ignore[arg-type]
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    assert check(cache, 10) == 9
    cache.fill(None, make_cases(20))  # type: ignore[arg-type]
    assert check(cache, 20) == 19


def test_the_cache_is_its_owners_alone(tmp_path: Path) -> None:
    PixelCache(tmp_path / "cache", PREPROCESS).fill(None, make_cases(5))  # type: ignore[arg-type]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "cache").iterdir()]
    assert modes == [0o600] * 3
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
