"""The first pass proves what it leaves out, so that answers are those of a plain scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medembed.embeddings import unit_rows
from medembed.errors import InputError
from medembed.index import CaseIndex, exact, first_pass, searching, snapshot
from medembed.index.exact import best_rows
from medembed.index.first_pass import FirstPass, code_buffers

DIM = 48


def gallery(n: int, kind: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, DIM)) * np.arange(1, DIM + 1) ** -0.7
    if kind == "clustered":
        rows = rng.standard_normal((30, DIM))[rng.integers(0, 30, n)] + 0.05 * rows
    elif kind == "a cone":
        rows += 8 * np.eye(DIM)[0]
    elif kind == "one outlier":
        rows[min(7, n - 1)] = 1000 * np.eye(DIM)[3]
    elif kind == "duplicates":
        rows = rows[rng.integers(0, max(1, n // 50), n)]
    return unit_rows(rows)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (first_pass, snapshot):
        monkeypatch.setattr(module, "BLOCK", 700)
    for module in (snapshot, searching):
        monkeypatch.setattr(module, "FEWEST_ROWS", 500)


@pytest.mark.parametrize("kind", ["plain", "clustered", "a cone", "one outlier", "duplicates"])
@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.1])
def test_answers_are_those_of_a_plain_scan(kind: str, share: float) -> None:
    n = 3000
    vectors = gallery(n, kind)
    rank = np.random.default_rng(1).permutation(n).astype(np.intp)
    coded = FirstPass.build(vectors)
    assert len(coded) == n
    mask = np.random.default_rng(2).random(n) < share
    for query in [*vectors[:5], *gallery(5, kind, 9)]:
        asked = query[np.newaxis]
        plain = best_rows(asked, vectors, rank, 10, mask)
        fast = best_rows(asked, vectors, rank, 10, mask, coded)
        assert np.array_equal(plain[0], fast[0])
        assert np.array_equal(plain[1], fast[1])


@pytest.mark.parametrize("kind", ["plain", "clustered", "a cone", "one outlier", "duplicates"])
@pytest.mark.parametrize("share", [1.0, 0.9, 0.5])
def test_rows_without_a_code_are_found_like_the_others(kind: str, share: float) -> None:
    n, n_coded = 3000, 1400
    vectors = gallery(n, kind)
    vectors[n_coded + 5 : n_coded + 9] = vectors[:4]  # ties on both sides
    rank = np.random.default_rng(1).permutation(n).astype(np.intp)
    coded = FirstPass.build(vectors[:n_coded])
    mask = np.random.default_rng(2).random(n) < share
    for query in [*vectors[:5], *vectors[-5:], *gallery(5, kind, 9)]:
        for allowed in (mask, None):
            asked = query[np.newaxis]
            plain = best_rows(asked, vectors, rank, 10, allowed)
            fast = best_rows(asked, vectors, rank, 10, allowed, coded)
            assert np.array_equal(plain[0], fast[0])
            assert np.array_equal(plain[1], fast[1])


@pytest.mark.parametrize("kind", ["plain", "clustered", "a cone", "one outlier"])
def test_no_row_that_was_left_out_exceeds_the_limit(kind: str) -> None:
    vectors = gallery(3000, kind)
    coded = FirstPass.build(vectors)
    for query in gallery(20, kind, 5):
        rows, limit = coded.best(query, 30)
        others = np.setdiff1d(np.arange(3000), rows)
        assert (vectors[others].astype(np.float64) @ query).max() <= limit


def test_most_answers_need_no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = gallery(3000, "plain")
    coded, rank = FirstPass.build(vectors), np.arange(3000)
    scans = []
    monkeypatch.setattr(exact, "_with_numpy", lambda *given: scans.append(given[5].size))
    for query in gallery(50, "plain", 3):
        best_rows(query[np.newaxis], vectors, rank, 10, None, coded)
    assert sum(scans) <= 5


def test_adding_and_removing_keep_the_answers_exact() -> None:
    vectors = gallery(2000, "plain")
    ids = [f"C-{i:05d}" for i in range(2000)]
    index = CaseIndex.build(vectors[:1500], ids[:1500])
    rng = np.random.default_rng(4)
    alive = dict(zip(ids[:1500], vectors[:1500], strict=True))
    for step in range(12):
        gone = list(rng.choice(sorted(alive), 60, replace=False))
        index.remove(gone)
        for name in gone:
            del alive[name]
        new = slice(1500 + 40 * step, 1540 + 40 * step)
        index.add(vectors[new], ids[new])
        alive.update(zip(ids[new], vectors[new], strict=True))
        fresh = CaseIndex.build(np.array(list(alive.values())), list(alive))
        allowed = set(rng.choice(sorted(alive), 900, replace=False))
        for query in gallery(3, "plain", step + 20):
            assert index.search(query, 7).of(0) == fresh.search(query, 7).of(0)
            assert index.search(query, 7, allowed).of(0) == fresh.search(query, 7, allowed).of(0)


def test_saved_codes_are_read_again_and_wrong_ones_refused(tmp_path) -> None:
    vectors = gallery(2000, "plain")
    ids = [f"C-{i:05d}" for i in range(2000)]
    index = CaseIndex.build(vectors, ids)
    index.remove(ids[:3])
    index.save(tmp_path / "index")
    again = CaseIndex.load(tmp_path / "index")
    for query in gallery(5, "plain", 8):
        assert again.search(query, 5).of(0) == index.search(query, 5).of(0)
    data = b"".join(code_buffers(vectors))
    assert len(FirstPass.from_buffer(data, 2000, DIM)) == 2000
    for n, dim in ((1999, DIM), (2001, DIM), (2000, DIM + 1)):
        with pytest.raises(InputError, match="codes"):
            FirstPass.from_buffer(data, n, dim)
    for cut in (0, 10, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(InputError):
            FirstPass.from_buffer(data[:cut], 2000, DIM)


def test_files_hold_no_codes_of_removed_cases(tmp_path: Path) -> None:
    vectors = gallery(900, "plain")
    ids = [f"C-{i:05d}" for i in range(900)]
    index = CaseIndex.build(vectors, ids)
    index.remove(ids[::3])
    index.save(tmp_path / "index")
    again = CaseIndex.load(tmp_path / "index")
    left = np.delete(vectors, np.s_[::3], axis=0)
    assert again._state.first_pass is not None
    assert len(again._state.first_pass) == again.n_rows == len(left)
    fresh = b"".join(code_buffers(left))
    (codes,) = (path for path in (tmp_path / "index").iterdir() if "codes" in path.name)
    assert codes.read_bytes() == fresh


def test_a_long_tail_gets_codes_of_its_own() -> None:
    vectors = gallery(2600, "clustered")
    ids = [f"C-{i:05d}" for i in range(2600)]
    index = CaseIndex.build(vectors[:1000], ids[:1000])
    fresh = CaseIndex.build(vectors, ids, kind="exact")
    index.search(vectors[0], 3)
    for at in range(1000, 2600, 200):
        index.add(vectors[at : at + 200], ids[at : at + 200])
    coded = index._state.first_pass
    assert coded is not None
    assert 2600 - len(coded) < 700
    for query in gallery(5, "clustered", 3):
        assert index.search(query, 9).of(0) == fresh.search(query, 9).of(0)
