"""An index that is changed, saved, reopened, compacted and interrupted is the one it should be."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from medembed.embeddings import unit_rows
from medembed.errors import InputError
from medembed.index import CaseIndex, case_index, first_pass, searching, snapshot

DIM = 4
KEY = b"k" * 32
NAMES = [f"C-{i}" for i in range(12)] + ["ä", "a", "aa", "\ud800", "￿", "\U0001f600"]


def oracle(held: dict[str, np.ndarray], query: np.ndarray, k: int, allowed: set[str] | None):
    """Every cosine one by one, then sorted by falling score and rising id."""
    scored = []
    for name, vector in held.items():
        if allowed is None or name in allowed:
            dot = math.fsum(float(a) * float(b) for a, b in zip(query, vector, strict=True))
            scored.append((-float(np.float32(min(1.0, max(-1.0, dot)))), name))
    return [(name, -score) for score, name in sorted(scored)[:k]]


row = st.lists(st.integers(-2, 2), min_size=DIM, max_size=DIM).filter(any)
some = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True)


class Churn(RuleBasedStateMachine):
    """Two indexes over the same files, of which one is written; a dict is the truth of each."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for module in (first_pass, snapshot):
            self.patch.setattr(module, "BLOCK", 5)
        for module in (snapshot, searching):
            self.patch.setattr(module, "FEWEST_ROWS", 3)
        self.patch.setattr(case_index, "_FEWEST_PENDING", 6)
        self.home = Path(tempfile.mkdtemp())
        self.folder = self.home / "index"
        CaseIndex.build(np.empty((0, DIM)), []).save(self.folder, key=KEY, extra={"turn": 0})
        self.index = CaseIndex.load(self.folder, key=KEY)
        self.held: dict[str, np.ndarray] = {}
        self.saved: dict[str, np.ndarray] = {}
        self.turn = 0
        self.aside = (self.index.copy(), dict(self.held))
        self.rows: dict[str, int] = {}
        self.generation = self.index.generation

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.home)

    @rule(names=some, data=st.data())
    def add(self, names: list[str], data) -> None:
        rows = unit_rows([data.draw(row) for _ in names])
        if set(names) & self.held.keys():
            with pytest.raises(InputError):
                self.index.add(rows, names)
            return
        self.index.add(rows, names)
        self.held.update(zip(names, rows, strict=True))

    @rule(names=some, data=st.data())
    def update(self, names: list[str], data) -> None:
        rows = unit_rows([data.draw(row) for _ in names])
        self.index.update(rows, names)
        for name in names:
            self.held.pop(name, None)  # a new vector is a new row
        self.held.update(zip(names, rows, strict=True))

    @rule(names=some)
    def remove(self, names: list[str]) -> None:
        if not set(names) <= self.held.keys():
            with pytest.raises(InputError):
                self.index.remove(names)
            return
        self.index.remove(names)
        for name in names:
            del self.held[name]

    @rule()
    def set_aside(self) -> None:
        self.aside = (self.index.copy(), dict(self.held))

    @rule()
    def change_the_copy(self) -> None:
        copy, held = self.aside
        if "copy" not in held:
            copy.add([[1.0, 2.0, 0.0, 0.0]], ["copy"])
            held["copy"] = unit_rows([[1.0, 2.0, 0.0, 0.0]])[0]

    @rule()
    def save(self) -> None:
        self.turn += 1
        self.index.save(self.folder, key=KEY, extra={"turn": self.turn})
        self.saved = dict(self.held)

    @rule()
    def compact(self) -> None:
        self.turn += 1
        self.index.compact(self.folder, key=KEY, extra={"turn": self.turn})
        self.saved = dict(self.held)
        assert self.index.n_pending == 0

    @rule()
    def reopen(self) -> None:
        self.index, extra = CaseIndex.load_with_extra(self.folder, key=KEY)
        assert extra == {"turn": self.turn}
        self.held = dict(self.saved)

    @rule(data=st.data())
    def crash_while_appending(self, data) -> None:
        before = self.home / "before"
        shutil.copytree(self.folder, before)
        copy = self.index.copy()
        if copy.save_changes(self.folder, key=KEY, extra={"turn": -1}):
            (log,) = self.folder.glob("*-log")
            saved = self.index._saved
            old = 0 if saved is None else saved.end.length
            cut = data.draw(st.integers(old, log.stat().st_size - 1))
            log.write_bytes(log.read_bytes()[:cut])
            shutil.copy(before / "checked.json", self.folder)
        shutil.rmtree(before)
        self.reopen()

    @invariant()
    def it_is_what_it_should_be(self) -> None:
        index, held = self.index, self.held
        assert len(index) == len(held)
        assert index.case_ids == tuple(held)
        assert index.vectors.tolist() == [vector.tolist() for vector in held.values()]
        assert all((name in index) == (name in held) for name in NAMES)
        if index.generation != self.generation:
            self.generation, self.rows = index.generation, {}
        rows = dict(zip(held, index.rows_of(list(held)).tolist(), strict=True))
        vanished = self.rows.keys() - rows.keys()
        assert index.row_ids()[list(rows.values())].tolist() == list(held)
        assert index.n_rows >= len(held)
        self.rows = rows
        assert not vanished & set(index.case_ids)

    @precondition(lambda self: self.held)
    @rule(query=row, k=st.integers(1, 20), allowed=st.none() | st.sets(st.sampled_from(NAMES)))
    def search(self, query: list[int], k: int, allowed: set[str] | None) -> None:
        one = unit_rows([query])[0]
        expected = oracle(self.held, one, k, allowed)
        assert self.index.search(one, k, allowed).of(0) == expected
        if allowed is not None:
            by_case = np.array([name in allowed for name in self.index.case_ids])
            assert self.index.search(one, k, by_case).of(0) == expected
            by_row = np.array([name in allowed for name in self.index.row_ids()])
            assert self.index.search(one, k, by_row).of(0) == expected
            assert np.array_equal(self.index.mask(allowed), by_case)
        copy, held = self.aside
        if held:
            assert copy.search(one, k).of(0) == oracle(held, one, k, None)


class TestChurn(Churn.TestCase):
    settings = settings(
        max_examples=15,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.slow
class TestMoreChurn(Churn.TestCase):
    settings = settings(
        max_examples=40,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def built(folder: Path, n: int = 30) -> tuple[CaseIndex, np.ndarray]:
    vectors = unit_rows(np.random.default_rng(0).normal(size=(n + 20, DIM)))
    CaseIndex.build(vectors[:n], [f"c{i}" for i in range(n)]).save(folder, key=KEY)
    return CaseIndex.load(folder, key=KEY), vectors


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_adding_and_removing_rewrite_no_file(tmp_path: Path) -> None:
    index, vectors = built(tmp_path / "i")
    before = sizes(tmp_path / "i")
    index.add(vectors[30:33], ["d0", "d1", "d2"])
    index.save(tmp_path / "i", key=KEY)  # else d1, which comes and goes, must not reach a file
    index.remove(["c3", "d1"])
    index.save(tmp_path / "i", key=KEY)
    after = sizes(tmp_path / "i")
    assert {name for name in after if after[name] != before.get(name)} == {
        "checked.json",
        *(path.name for path in (tmp_path / "i").glob("*-log")),
    }
    again = CaseIndex.load(tmp_path / "i", key=KEY)
    assert again.case_ids == index.case_ids
    assert (again.generation, again.n_rows) == (index.generation, 33)
    index.save(tmp_path / "i", key=KEY)
    index.add(vectors[33:50], [f"e{i}" for i in range(17)])
    index.update(vectors[:30], [f"c{i}" for i in range(30)])
    index.save(tmp_path / "i", key=KEY)
    assert not list((tmp_path / "i").glob("*-log"))  # so much that all was written anew
    assert index.n_pending == 0
    assert index.generation != again.generation
    assert len(CaseIndex.load(tmp_path / "i", key=KEY)) == len(index) == 49


def test_a_log_cut_at_any_byte_ends_with_the_last_whole_record(tmp_path: Path) -> None:
    index, vectors = built(tmp_path / "i")
    index.add(vectors[30:31], ["d0"])
    index.save(tmp_path / "i", key=KEY, extra={"turn": 1})
    (log,) = (tmp_path / "i").glob("*-log")
    stamps = (tmp_path / "i" / "checked.json").read_bytes()
    first = log.read_bytes()
    index.remove(["c1"])
    index.save(tmp_path / "i", key=KEY, extra={"turn": 2})
    whole = log.read_bytes()
    newest = (tmp_path / "i" / "checked.json").read_bytes()
    for size in range(len(whole) + 1):
        log.write_bytes(whole[:size])
        (tmp_path / "i" / "checked.json").write_bytes(stamps)
        if size < len(first):
            with pytest.raises(InputError, match="log"):  # it was acknowledged
                CaseIndex.load(tmp_path / "i", key=KEY)
            continue
        back, extra = CaseIndex.load_with_extra(tmp_path / "i", key=KEY)
        assert extra == {"turn": 2 if size == len(whole) else 1}
        assert ("c1" in back) == (size < len(whole))
        if size < len(whole):
            (tmp_path / "i" / "checked.json").write_bytes(newest)
            with pytest.raises(InputError, match="log"):
                CaseIndex.load(tmp_path / "i", key=KEY)
    log.write_bytes(whole[:-1])  # a record that was cut off is written over
    (tmp_path / "i" / "checked.json").write_bytes(stamps)
    back = CaseIndex.load(tmp_path / "i", key=KEY)
    back.add(vectors[40:41], ["e"])
    assert back.save_changes(tmp_path / "i", key=KEY)
    assert CaseIndex.load(tmp_path / "i", key=KEY).case_ids == back.case_ids


def test_a_changed_byte_of_the_log_is_refused(tmp_path: Path) -> None:
    index, vectors = built(tmp_path / "i")
    for at in range(2):
        index.add(vectors[30 + at : 31 + at], [f"d{at}"])
        index.save(tmp_path / "i", key=KEY)
    (log,) = (tmp_path / "i").glob("*-log")
    whole = log.read_bytes()
    for at in range(len(whole)):
        log.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(InputError, match="log"):
            CaseIndex.load(tmp_path / "i", key=KEY)
    half = len(whole) // 2
    for swapped in (whole[half:] + whole[:half], whole[:half] * 2, b""):
        log.write_bytes(swapped)
        with pytest.raises(InputError, match="log"):
            CaseIndex.load(tmp_path / "i", key=KEY)
    log.unlink()
    with pytest.raises(InputError, match="log"):
        CaseIndex.load(tmp_path / "i", key=KEY)
    log.write_bytes(whole)
    with pytest.raises(InputError):
        CaseIndex.load(tmp_path / "i", key=b"x" * 32)


def test_two_writers_do_not_write_over_each_other(tmp_path: Path) -> None:
    index, vectors = built(tmp_path / "i")
    other = CaseIndex.load(tmp_path / "i", key=KEY)
    index.add(vectors[30:31], ["mine"])
    assert index.save_changes(tmp_path / "i", key=KEY)
    other.add(vectors[31:32], ["theirs"])
    assert not other.save_changes(tmp_path / "i", key=KEY)
    assert "mine" in CaseIndex.load(tmp_path / "i", key=KEY)
    index.compact(tmp_path / "i", key=KEY)
    again = CaseIndex.load(tmp_path / "i", key=KEY)
    assert not other.save_changes(tmp_path / "i", key=KEY)
    assert again.case_ids == index.case_ids
    assert other.search(vectors[31], 1).case_ids.tolist() == [["theirs"]]  # its files are gone


def test_a_large_file_is_hashed_once_and_again_when_it_was_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medembed.index import sealed_files

    monkeypatch.setattr(sealed_files, "_ALWAYS_HASHED", 0)
    hashed: list[int] = []
    digest = sealed_files._digest
    monkeypatch.setattr(
        sealed_files, "_digest", lambda file, size: hashed.append(size) or digest(file, size)
    )
    built(tmp_path / "i")
    assert not hashed  # they were hashed as they were written
    (vectors,) = (tmp_path / "i").glob("*-vectors")
    data = vectors.read_bytes()
    vectors.write_bytes(data)
    for _ in range(2):
        CaseIndex.load(tmp_path / "i", key=KEY)
    assert len(hashed) == 1
    CaseIndex.load_with_extra(tmp_path / "i", key=KEY, trusting=False)
    assert len(hashed) == 3
    vectors.write_bytes(data[:5] + bytes([data[5] ^ 1]) + data[6:])
    with pytest.raises(InputError, match="changed"):
        CaseIndex.load(tmp_path / "i", key=KEY)
    vectors.write_bytes(data)
    shutil.copytree(tmp_path / "i", tmp_path / "copy")
    hashed.clear()
    assert len(CaseIndex.load(tmp_path / "copy", key=KEY)) == 30
    assert len(hashed) == 2


def test_another_process_sees_what_was_saved(tmp_path: Path) -> None:
    index, vectors = built(tmp_path / "i")
    index.add(vectors[30:32], ["d0", "d1"])
    index.remove(["c0"])
    index.save(tmp_path / "i", key=KEY)
    code = (
        "import sys\nfrom medembed.index import CaseIndex\n"
        "index = CaseIndex.load(sys.argv[1], key=b'k' * 32)\n"
        "print(len(index), 'c0' in index, index.search(index.vector('d1'), 1).of(0)[0][0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "i")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "31 False d1\n"


@pytest.mark.parametrize("bad", ["x" * 1025, "a\0b"])
def test_ids_that_the_files_cannot_hold_are_refused(bad: str) -> None:
    index = CaseIndex.build(np.eye(2), ["a", "b"])
    with pytest.raises(InputError, match="1024 bytes"):
        index.add([[1.0, 1.0]], [bad])
    assert index.case_ids == ("a", "b")
    assert bad not in index
    with pytest.raises(InputError, match="1024 bytes"):
        CaseIndex.build(np.eye(2), ["a", bad])


def test_read_only_unit_rows_are_used_without_a_copy() -> None:
    rows = unit_rows(np.random.default_rng(0).normal(size=(40, 8)))
    ids = [f"c{i}" for i in range(40)]
    assert not np.shares_memory(CaseIndex.build(rows, ids).vectors, rows)  # it could change
    rows.setflags(write=False)
    index = CaseIndex.build(rows, ids)
    assert np.shares_memory(index.vectors, rows)
    assert not np.shares_memory(CaseIndex.build(2 * rows, ids).vectors, rows)
    index.add(np.eye(8)[:1], ["new"])
    assert len(index) == 41
