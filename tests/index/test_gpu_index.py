"""What a GPU names is proven or compared here; the answers are those of the exact index.

Here FAISS for processors is in the GPU's place; `pytest -m gpu tests/index` asks a real one.
"""

from __future__ import annotations

import threading

import faiss
import numpy as np
import pytest
from support.example_cases import make_case
from support.gpu_index import CountingIndex, FlatInPlace, in_place_of_a_gpu, on_gpu

from medembed.embeddings import unit_rows
from medembed.errors import InputError
from medembed.index import (
    CaseIndex,
    SearchNoteKind,
    backend,
    current_index,
    gpu_rows,
    index_backend,
    open_index,
    set_index_backend,
)
from medembed.index.gpu_index import GpuIndex
from medembed.library import CaseLibrary

FINGERPRINT = "f" * 64


def corpus(n, dim, seed=0):
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(n, dim)))
    return vectors, [f"C-{i:06d}" for i in np.random.default_rng(seed + 1).permutation(n)]


def answers(hits):
    return [hits.of(q) for q in range(len(hits))]


def same_as_exact(index: GpuIndex, queries, k=10, allowed=None) -> None:
    exact = CaseIndex.build(index.vectors, index.case_ids, kind="exact")
    hits = index.search(queries, k, allowed)
    expected = exact.search(queries, k, allowed)
    assert answers(hits) == answers(expected)
    assert hits.plan.matching == expected.plan.matching


def asked(index: GpuIndex) -> list[tuple[int, int]]:
    return index._gpu._index.asked


def test_it_is_asked_for_a_few_more_than_wanted_and_never_for_more_than_it_can_name() -> None:
    vectors, ids = corpus(3000, 8)
    index = in_place_of_a_gpu(vectors, ids)
    same_as_exact(index, vectors[:5])
    assert asked(index) == [(5, 26)], "all answers were proven at once"
    nearest = np.argsort(-(vectors @ vectors[0]))
    far = np.isin(np.arange(3000), nearest[300:])
    same_as_exact(index, vectors[0], 10, far)
    assert asked(index)[1:] == [(1, 57), (1, 2048)], "the excluded ones were nearer"
    del asked(index)[:]
    same_as_exact(index, vectors[:2], 10, np.arange(3000) < 50)  # few: gathered
    same_as_exact(index, vectors[:2], 2500)
    same_as_exact(index, vectors[:2], 9999)
    assert asked(index) == []


def test_rows_are_copied_once_added_ones_behind_them_and_removed_ones_never_come_back() -> None:
    vectors, ids = corpus(700, 6)
    index = in_place_of_a_gpu(vectors[:400], ids[:400])
    assert index._gpu._index is None, "nothing is copied before the first search"
    same_as_exact(index, vectors[:3])
    index.add(vectors[400:420], ids[400:420])  # moves to a room of its own
    index.search(vectors[:3])
    before = index.copy()
    index.change(vectors[420:450], ids[420:450], remove=ids[:10])
    same_as_exact(index, vectors[:20])
    assert index._gpu is before._gpu
    assert index._gpu._index.added == [420, 30]
    same_as_exact(before, vectors[420:450])  # it does not have what is held behind its rows
    assert index._gpu._index.added == [420, 30]
    assert "gpu" == before.kind == index.kind


@pytest.mark.parametrize("wrong", ["coarse products", "damaged rows", "too few named", "nan"])
def test_products_that_are_further_off_than_float32_can_be_change_no_answer(wrong: str) -> None:
    class Faulty(FlatInPlace):
        def add(self, rows):
            if wrong == "damaged rows":
                rows = np.where(np.arange(len(rows))[:, np.newaxis] % 3, rows, rows[::-1])
            super().add(rows)

        def search(self, queries, k):
            if wrong == "coarse products":  # as TF32 has them: ten bits
                queries = np.round(queries * 64) / 64
            fast, labels = super().search(np.ascontiguousarray(queries), k)
            if wrong == "too few named":
                labels[:, k // 2 :] = -1
            if wrong == "nan":
                fast[:, 0] = np.nan
            return fast, labels

    vectors, ids = corpus(3000, 16)
    index = in_place_of_a_gpu(vectors, ids, flat=Faulty)
    same_as_exact(index, vectors[100:110])
    assert asked(index), "it was asked"


def test_where_faiss_gives_up_the_processor_answers_and_a_note_says_so() -> None:
    tries = []

    class Full(FlatInPlace):
        def add(self, rows):
            tries.append(len(rows))
            raise RuntimeError("StandardGpuResources: alloc fail (cudaMalloc error out of memory)")

    vectors, ids = corpus(100, 4)
    index = in_place_of_a_gpu(vectors, ids, flat=Full)
    for _ in range(2):
        same_as_exact(index, vectors[:5])
        (note,) = index.search(vectors[:5]).plan.notes
        assert note.kind == SearchNoteKind.GPU_FAILED
    assert tries == [100], "it is asked once"


def test_an_interrupted_copy_is_made_again() -> None:
    vectors, ids = corpus(100, 4)
    index = in_place_of_a_gpu(vectors, ids)
    index.search(vectors[:2])
    index._gpu._index.add(vectors[:7])  # added, and nobody took note of it
    same_as_exact(index, vectors[:20])
    assert index._gpu._index.added == [100]


def test_searches_and_changes_side_by_side_see_one_state_each() -> None:
    vectors, ids = corpus(600, 5)
    index = in_place_of_a_gpu(vectors[:500], ids[:500])
    wrong = []

    def search() -> None:
        for row in range(0, 200, 2):
            hits = index.search(vectors[row : row + 2], 3)
            wrong.extend(q for q in range(2) if hits.case_ids[q, 0] != ids[row + q])

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for row in range(500, 600):
        index.change(vectors[row : row + 1], ids[row : row + 1], remove=[ids[row - 100]])
    for thread in threads:
        thread.join()
    assert wrong == []
    same_as_exact(index, vectors[:50])


# a library


@pytest.fixture
def library(tmp_path):
    with CaseLibrary.create(tmp_path / "library") as opened:
        opened.add(make_case(i) for i in range(20))
        put(opened, range(20))
        yield opened


def put(library, numbers) -> None:
    vectors = unit_rows(np.random.default_rng(0).normal(size=(20, 6)))
    names = [f"case-{i}" for i in numbers]
    library.put_vectors(FINGERPRINT, "image", names, vectors[[-i for i in numbers]])


def seen(monkeypatch, hint: str = "") -> None:
    for module in (backend, gpu_rows):
        monkeypatch.setattr(module, "why_no_gpu", lambda: hint)
    monkeypatch.setattr(gpu_rows.GpuRows.__init__, "__defaults__", (FlatInPlace,))


def test_a_library_that_is_set_to_it_is_searched_on_a_gpu_where_there_is_one(
    library, monkeypatch
) -> None:
    seen(monkeypatch, "look at nvidia-smi")
    with pytest.raises(InputError, match="no GPU here; look at nvidia-smi"):
        set_index_backend(library, "gpu")
    assert index_backend(library) == "local"

    seen(monkeypatch)
    local = open_index(library, FINGERPRINT)
    assert set_index_backend(library, "gpu")
    opened = current_index(library, FINGERPRINT, local)
    assert isinstance(opened.index, GpuIndex)
    assert current_index(library, FINGERPRINT, opened) is opened
    opened.index.search(np.eye(6))
    put(library, [3])
    changed = current_index(library, FINGERPRINT, opened)
    assert changed.index._gpu is opened.index._gpu, "what changed is added, not all copied again"
    same_as_exact(changed.index, np.eye(6))

    seen(monkeypatch, "look at nvidia-smi")  # the same library, on another machine
    elsewhere = current_index(library, FINGERPRINT, None)
    assert elsewhere.index.kind == "exact"
    assert [note.kind for note in elsewhere.notes] == [SearchNoteKind.NO_GPU]
    assert current_index(library, FINGERPRINT, elsewhere) is elsewhere
    assert answers(elsewhere.index.search(np.eye(6))) == answers(changed.index.search(np.eye(6)))

    seen(monkeypatch)
    assert set_index_backend(library, "local")
    assert current_index(library, FINGERPRINT, changed).index.kind == "exact"


def test_it_is_said_what_is_missing(monkeypatch) -> None:
    monkeypatch.delattr(faiss, "GpuIndexFlatIP", raising=False)
    assert "pip install" in gpu_rows.why_no_gpu()
    monkeypatch.setattr(faiss, "GpuIndexFlatIP", object, raising=False)
    for count, hint in ((0, "nvidia-smi"), (1, "")):
        monkeypatch.setattr(faiss, "get_num_gpus", lambda count=count: count)
        assert hint in gpu_rows.why_no_gpu()
        assert bool(gpu_rows.why_no_gpu()) == bool(hint)


@pytest.mark.gpu
def test_a_real_gpu_proves_nearly_all_answers_itself() -> None:
    vectors, ids = corpus(50_000, 128)
    index = CountingIndex.of(on_gpu(vectors, ids))
    same_as_exact(index, vectors[:300])
    same_as_exact(index, vectors[:30], 10, np.arange(50_000) % 10 == 0)
    index.add(-vectors[:100], [f"new {i}" for i in range(100)])
    same_as_exact(index, -vectors[:50])
    assert not index._gpu.has_failed
    assert index.n_left <= 4, "proven, not compared here"
