"""CaseIndex gives what a slow reading of its definition gives."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.embeddings import Embeddings, unit_rows
from medembed.errors import FingerprintError, InputError, QueryError
from medembed.index import CaseIndex


def oracle(queries, vectors, ids, k, allowed=None):
    """Every cosine one by one, then sorted by falling score and rising id."""
    answers = []
    for query in unit_rows(queries):
        scored = []
        for name, vector in zip(ids, unit_rows(vectors), strict=True):
            if allowed is None or name in allowed:
                dot = math.fsum(float(a) * float(b) for a, b in zip(query, vector, strict=True))
                scored.append((-float(np.float32(min(1.0, max(-1.0, dot)))), name))
        answers.append([(name, -score) for score, name in sorted(scored)[:k]])
    return answers


def answers(hits):
    return [hits.of(q) for q in range(len(hits))]


def corpus(n, dim, seed=0, clusters=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, dim))
    if clusters:
        vectors = rng.normal(size=(clusters, dim))[rng.integers(0, clusters, n)] + 0.3 * vectors
    return unit_rows(vectors), [f"C-{i:06d}" for i in rng.permutation(n)]


# Few small whole numbers make many equal vectors and equal scores.
few = st.integers(-2, 2)


@st.composite
def searches(draw):
    dim = draw(st.integers(1, 4))
    row = st.lists(few, min_size=dim, max_size=dim).filter(any)
    rows = draw(st.lists(row, min_size=1, max_size=25))
    ids = draw(
        st.lists(
            st.text("abcxyz019-", min_size=1, max_size=4),
            min_size=len(rows),
            max_size=len(rows),
            unique=True,
        )
    )
    queries = draw(st.lists(row, min_size=1, max_size=12))
    allowed = draw(st.none() | st.sets(st.sampled_from(ids)))
    return queries, rows, ids, draw(st.integers(1, 30)), allowed


@settings(max_examples=150, deadline=None)
@given(searches())
def test_exact_search_is_the_definition_ties_and_filters_included(case) -> None:
    queries, rows, ids, k, allowed = case
    index = CaseIndex.build(rows, ids, kind="exact")
    hits = index.search(queries, k, allowed)
    assert answers(hits) == oracle(queries, rows, ids, k, allowed)
    matching = len(ids) if allowed is None else len(allowed)
    assert hits.case_ids.shape == (len(queries), min(k, matching))
    assert hits.is_truncated == (k > matching)
    assert (hits.plan.method, hits.plan.compared, hits.plan.matching) == (
        "exact",
        matching,
        matching,
    )
    assert bool(hits.plan.notes) == (k > matching), "fewer than asked is said"
    if allowed is not None:
        mask = np.array([name in allowed for name in index.case_ids])
        assert answers(index.search(queries, k, mask)) == answers(hits)


@settings(max_examples=60, deadline=None)
@given(searches())
def test_a_graph_of_a_few_cases_answers_like_the_definition(case) -> None:
    queries, rows, ids, k, allowed = case
    # Among many equal vectors an approximate walk may take any of them: distinct rows only.
    distinct = {tuple(unit_rows([r])[0].tolist()): r for r in rows}
    rows = list(distinct.values())
    ids = ids[: len(rows)]
    allowed = None if allowed is None else allowed & set(ids)
    hits = CaseIndex.build(rows, ids, kind="hnsw").search(queries, k, allowed)
    expected = oracle(queries, rows, ids, k, allowed)
    assert [[s for _, s in line] for line in answers(hits)] == [
        [s for _, s in line] for line in expected
    ]


@st.composite
def histories(draw):
    return draw(
        st.lists(
            st.tuples(st.sampled_from(["add", "remove"]), st.sets(st.integers(0, 30), min_size=1)),
            min_size=1,
            max_size=8,
        )
    )


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
@settings(max_examples=60, deadline=None)
@given(histories())
def test_after_any_adding_and_removing_it_is_as_if_built_of_what_is_left(kind, history) -> None:
    vectors, ids = corpus(31, 5, seed=3)
    index = CaseIndex.build(np.empty((0, 5)), [], kind=kind)
    there: list[int] = []
    for action, rows in history:
        if action == "add":
            new = sorted(rows - set(there))
            index.add(vectors[new], [ids[r] for r in new])
            there += new
        else:
            gone = rows & set(there)
            index.remove({ids[r] for r in gone})
            there = [r for r in there if r not in gone]
        assert len(index) == len(there)
        hits = index.search(vectors[:6], 4)
        assert answers(hits) == oracle(vectors[:6], vectors[there], [ids[r] for r in there], 4)
    assert index.case_ids == tuple(ids[r] for r in there)


def test_the_batch_size_and_the_engine_change_no_bit_of_an_answer() -> None:
    vectors, ids = corpus(6000, 48, seed=1)
    vectors = np.concatenate([vectors, vectors[:500]])  # every one of these ties
    ids = ids + [f"D-{i:04d}" for i in range(500)]
    index = CaseIndex.build(vectors, ids, kind="exact")
    queries = vectors[5900:6400]
    together = index.search(queries, 5)  # by FAISS where it settles the k-th place
    assert "faiss" in sys.modules
    for row in range(0, 500, 41):
        alone = index.search(queries[row], 5)
        assert alone.of(0) == together.of(row)
    some = np.random.default_rng(0).random(len(ids)) < 0.5
    filtered = index.search(queries, 5, some)
    for row in range(0, 500, 41):
        assert index.search(queries[row], 5, some).of(0) == filtered.of(row)
    expected = oracle(queries[:3], vectors, ids, 5)
    assert [together.of(q) for q in range(3)] == expected


def test_many_equal_vectors_come_in_the_order_of_their_ids() -> None:
    vectors = np.tile([[0.6, 0.8]], (5000, 1))
    ids = [f"C-{i:05d}" for i in np.random.default_rng(0).permutation(5000)]
    hits = CaseIndex.build(vectors, ids).search(np.tile([[1.0, 0.0]], (20, 1)), 7)
    assert hits.case_ids.tolist() == [sorted(ids)[:7]] * 20


def test_hnsw_finds_nearly_what_exact_finds() -> None:
    vectors, ids = corpus(4000, 32, seed=5, clusters=40)
    queries = corpus(60, 32, seed=6)[0]
    exact = CaseIndex.build(vectors, ids, kind="exact").search(queries, 10)
    graph = CaseIndex.build(vectors, ids, kind="hnsw").search(queries, 10)
    assert graph.plan.method == "ann"
    assert 64 <= graph.plan.compared < 4000
    found = [len(set(a) & set(b)) for a, b in zip(exact.case_ids, graph.case_ids, strict=True)]
    assert np.mean(found) / 10 >= 0.95
    for row in range(60):
        known = dict(exact.of(row))
        for name, score in graph.of(row):
            assert known.get(name, score) == score, "scores are those of the exact search"


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
def test_under_a_filter_a_graph_loses_nothing_and_the_plan_says_how(share: float) -> None:
    vectors, ids = corpus(4000, 16, seed=7, clusters=10)
    allowed = np.random.default_rng(8).random(4000) < share
    allowed[0] = True
    queries = vectors[100:130]
    hits = CaseIndex.build(vectors, ids, kind="hnsw").search(queries, 5, allowed)
    exact = CaseIndex.build(vectors, ids, kind="exact").search(queries, 5, allowed)
    assert answers(hits) == answers(exact)
    assert hits.plan.method == "exact"
    assert hits.plan.compared == hits.plan.matching == int(allowed.sum())


def test_a_filter_that_drops_just_the_nearest_cases_loses_nothing() -> None:
    # The nearest 300 may not answer: a walk with a selector would stop among them.
    vectors, ids = corpus(4000, 16, seed=9, clusters=6)
    index = CaseIndex.build(vectors, ids, kind="hnsw")
    exact = CaseIndex.build(vectors, ids, kind="exact")
    for row in (5, 17, 400):
        nearest = set(exact.search(vectors[row], 300).case_ids[0])
        allowed = [name for name in ids if name not in nearest]
        hits = index.search(vectors[row], 10, allowed)
        assert hits.plan.method == "exact"
        assert hits.plan.compared == 3700
        assert answers(hits) == answers(exact.search(vectors[row], 10, allowed))


def test_removed_cases_do_not_answer_from_a_graph() -> None:
    vectors, ids = corpus(1500, 16, seed=10)
    index = CaseIndex.build(vectors, ids, kind="hnsw")
    index.remove(ids[:700])
    assert index.kind == "hnsw"
    hits = index.search(vectors[:50], 10)
    assert not set(hits.case_ids.ravel()) & set(ids[:700])
    index.add(vectors[:700], ids[:700])
    assert (index.search(vectors[:700], 1).case_ids[:, 0] == ids[:700]).mean() > 0.97


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_an_empty_index_answers_with_nothing(kind: str) -> None:
    index = CaseIndex.build([], [], kind=kind)
    hits = index.search([[1.0, 2.0]], 3)
    assert hits.case_ids.shape == (1, 0)
    assert (hits.plan.compared, hits.plan.matching) == (0, 0)
    assert hits.is_truncated
    index.add(np.eye(2), ["a", "b"])
    assert index.search([1.0, 0.0], 1).case_ids.tolist() == [["a"]]
    index.remove(["a", "b"])
    assert index.search([1.0, 0.0], 1).case_ids.shape == (1, 0)


def test_no_allowed_case_and_no_query_are_answered_with_nothing() -> None:
    index = CaseIndex.build(np.eye(3), ["a", "b", "c"])
    for nobody in ([], set(), np.zeros(3, dtype=bool), ["unknown"]):
        assert index.search(np.eye(3), 2, nobody).case_ids.shape == (3, 0)
    assert index.search(np.empty((0, 3)), 2).case_ids.shape == (0, 2)


@pytest.mark.parametrize(
    ("queries", "k", "allowed", "what"),
    [
        ([[np.nan, 0, 0]], 1, None, "not finite"),
        ([[np.inf, 0, 0]], 1, None, "not finite"),
        ([[0, 0, 0]], 1, None, "zeros"),
        ([[1, 0]], 1, None, "dimension 2, the index 3"),
        ([[1, 0], [1, 0, 0]], 1, None, "one length"),
        ([["a", "b", "c"]], 1, None, "real numbers"),
        (np.ones((1, 1, 3)), 1, None, "shape"),
        ([[1, 0, 0]], 0, None, "at least 1"),
        ([[1, 0, 0]], -1, None, "at least 1"),
        ([[1, 0, 0]], 2.0, None, "whole number"),
        ([[1, 0, 0]], True, None, "whole number"),
        ([[1, 0, 0]], 1, "abc", "not a single string"),
        ([[1, 0, 0]], 1, [0, 1], "not a string"),
        ([[1, 0, 0]], 1, [True, False], "mask has shape"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(queries, k, allowed, what: str) -> None:
    index = CaseIndex.build(np.eye(3), ["a", "b", "c"])
    with pytest.raises(QueryError, match=what) as caught:
        index.search(queries, k, allowed)
    assert "\n" not in str(caught.value)


def test_a_change_that_does_not_fit_changes_nothing() -> None:
    index = CaseIndex.build(np.eye(3), ["a", "b", "c"])
    for call in (
        lambda: index.add(np.eye(3), ["d", "e", "a"]),
        lambda: index.add(np.eye(3), ["d", "e", "e"]),
        lambda: index.add(np.eye(2), ["d", "e"]),
        lambda: index.add([[0, 0, 0]], ["d"]),
        lambda: index.add([[1, np.nan, 0]], ["d"]),
        lambda: index.add([[1, 0, 0]], "d"),
        lambda: index.remove(["a", "z"]),
        lambda: index.remove("a"),
    ):
        with pytest.raises(InputError):
            call()
        assert index.case_ids == ("a", "b", "c")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="exact"):
        CaseIndex.build(np.eye(2), ["a", "b"], kind="annoy")  # type: ignore[arg-type]


def test_a_foreign_fingerprint_is_refused() -> None:
    mine = Embeddings(["a", "b"], np.eye(2), "one")
    other = Embeddings(["a", "b"], np.eye(2), "other")
    index = CaseIndex.build(mine)
    assert index.fingerprint == "one"
    assert index.search(mine, 1).case_ids.tolist() == [["a"], ["b"]]
    with pytest.raises(FingerprintError):
        index.search(other, 1)
    with pytest.raises(FingerprintError):
        CaseIndex.build(other, fingerprint="one")


def test_only_who_asks_for_it_is_answered_approximately() -> None:
    vectors, ids = corpus(300, 8)
    assert CaseIndex.build(vectors, ids).kind == "exact"
    index = CaseIndex.build(vectors, ids, "hnsw")
    assert index.kind == "hnsw"
    assert index.search(vectors[:3], 5).plan.method == "ann"


def test_bringing_it_to_other_embeddings_leaves_just_those() -> None:
    vectors, ids = corpus(40, 6)
    index = CaseIndex.build(vectors[:30], ids[:30], fingerprint="m")
    changed = vectors[5:40].copy()
    changed[0] = -changed[0]
    assert index.sync(Embeddings(ids[5:40], changed, "m")) == (11, 6)
    fresh = CaseIndex.build(changed, ids[5:40])
    assert answers(index.search(vectors, 8)) == answers(fresh.search(vectors, 8))
    assert index.sync(Embeddings(ids[5:40], changed, "m")) == (0, 0)
    with pytest.raises(FingerprintError):
        index.sync(Embeddings(ids[5:40], changed, "other"))


def test_a_single_query_imports_neither_faiss_nor_torch() -> None:
    code = (
        "import sys, numpy as np; from medembed.index import CaseIndex\n"
        "v = np.random.default_rng(0).normal(size=(2000, 64))\n"
        "CaseIndex.build(v, [str(i) for i in range(2000)]).search(v[0], 10)\n"
        "heavy = {'faiss', 'torch', 'pandas', 'scipy'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
