"""How an index searches is chosen by its size, its budget and what was measured, and it says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from index.test_case_index import answers, corpus
from support.example_cases import make_case

from medembed.embeddings import unit_rows
from medembed.errors import InputError
from medembed.index import (
    Budget,
    CaseIndex,
    Choice,
    LeftOut,
    Reason,
    Recall,
    choice,
    compact_index,
    hnsw,
    open_index,
    planner,
    searching,
    snapshot,
)
from medembed.index.graph_recall import own_queries
from medembed.library import CaseLibrary
from medembed.library.vectors import VectorStore

FINGERPRINT = "f" * 64


def scattered(n: int, dim: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Vectors without clusters, which are the hardest for a graph."""
    return corpus(n, dim, seed)


@pytest.fixture
def poor_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hnsw, "_NEIGHBORS", 3)
    monkeypatch.setattr(hnsw, "_EF_CONSTRUCTION", 4)


def test_the_recall_that_is_stored_is_that_of_a_slow_comparison(poor_graph: None) -> None:
    vectors, ids = scattered(1500, 24)
    index = CaseIndex.build(vectors, ids, "hnsw")
    exact = CaseIndex.build(vectors, ids, "exact")
    known = {one.left_out: one for one in index.choice.recalls}
    assert set(known) == set(LeftOut)
    queries = own_queries(index._state)
    found: dict[LeftOut, list[float]] = {LeftOut.NOTHING: [], LeftOut.OWN_PATIENT: []}
    for query in queries:
        nearest = exact.search(query, 14).case_ids[0].tolist()
        near = set(index.search(query, 10).case_ids[0])
        found[LeftOut.NOTHING].append(len(near & set(nearest[:10])) / 10)
        allowed = ~index.mask(nearest[:4])
        near = set(index.search(query, 10, allowed).case_ids[0])
        found[LeftOut.OWN_PATIENT].append(len(near & set(nearest[4:])) / 10)
    for left_out, shares in found.items():
        one = known[left_out]
        assert (one.method, one.k, one.queries) == ("ann", 10, len(queries))
        assert one.share == pytest.approx(np.mean(shares), abs=1e-12)
        assert one.low < one.share < one.high
    assert known[LeftOut.NOTHING].share < 0.95, "this graph is poor"
    for left_out in (LeftOut.NEAREST, LeftOut.HALF):
        assert known[left_out].method == "exact", "so many are filtered out that all are compared"
    lowest = index.choice.recall
    assert lowest is not None
    assert lowest.low == min(one.low for one in known.values())
    plan = index.search(queries[0], 10).plan
    assert (plan.method, plan.recall) == ("ann", lowest)
    assert 10 < plan.compared < 1500
    assert str(plan).startswith("Searched 1500 matching cases (approximate, HNSW: ")
    assert plan.to_json()["recall"]["share"] == lowest.share
    assert exact.search(queries[0], 10).plan.to_json()["recall"] is None


def test_notes_ask_too_and_the_lowest_recall_counts(poor_graph: None) -> None:
    vectors, ids = corpus(1200, 24, seed=1, clusters=4)
    far = scattered(60, 24, seed=2)[0]
    index = CaseIndex.build(vectors, ids, "hnsw", notes=lambda count: far[:count])
    asked = {(one.asked, one.left_out) for one in index.choice.recalls}
    assert asked == {(who, left_out) for who in ("scans", "notes") for left_out in LeftOut}
    shares = {o.asked: o.share for o in index.choice.recalls if o.left_out == LeftOut.NOTHING}
    exact = CaseIndex.build(vectors, ids).search(far, 10)
    found = index.search(far, 10)
    same = [len(set(a) & set(b)) for a, b in zip(exact.case_ids, found.case_ids, strict=True)]
    assert shares["notes"] == pytest.approx(np.mean(same) / 10)
    assert index.choice.recall == min(
        (one for one in index.choice.recalls if one.method == "ann"), key=lambda one: one.low
    )


GENEROUS = {"max_latency_ms": 5.0, "min_recall": 0.5}


@pytest.mark.parametrize(
    ("kind", "n", "budget", "reason", "uses"),
    [
        ("auto", 90, GENEROUS, Reason.FEW_CASES, "exact"),
        ("auto", 300, {}, Reason.EXACT_ASKED, "exact"),
        ("auto", 300, {"max_latency_ms": 5.0}, Reason.EXACT_ASKED, "exact"),
        ("auto", 300, {**GENEROUS, "min_recall": 1.0}, Reason.EXACT_ASKED, "exact"),
        ("auto", 300, {"min_recall": 0.5}, Reason.NO_TIME_LIMIT, "exact"),
        ("auto", 300, {**GENEROUS, "max_latency_ms": 80.0}, Reason.FAST_ENOUGH, "exact"),
        ("auto", 300, {**GENEROUS, "max_memory_mib": 0.02}, Reason.NO_MEMORY, "exact"),
        ("auto", 300, {**GENEROUS, "min_recall": 0.9999}, Reason.RECALL_TOO_LOW, "exact"),
        ("auto", 300, GENEROUS, Reason.TOO_SLOW, "hnsw"),
        ("exact", 300, GENEROUS, Reason.ASKED, "exact"),
        ("hnsw", 90, {}, Reason.ASKED, "hnsw"),
        ("hnsw", 90, {"min_recall": 1.0}, Reason.EXACT_ASKED, "exact"),
        ("hnsw", 90, {"min_recall": 0.9999}, Reason.RECALL_TOO_LOW, "exact"),
        ("hnsw", 0, {"min_recall": 0.9}, Reason.ASKED, "exact"),
    ],
)
def test_what_is_chosen_follows_size_budget_and_measurement(
    kind, n, budget, reason, uses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "LARGE", 100)
    monkeypatch.setattr(planner, "exact_ms", lambda state: 80.0)
    vectors, ids = scattered(n, 8)
    index = CaseIndex.build(vectors, ids, kind, budget=Budget(**budget))
    made = index.choice
    assert (made.reason, index.kind) == (reason, uses)
    assert made.budget == Budget(**budget)
    assert bool(made.recalls) == (reason in (Reason.TOO_SLOW, Reason.RECALL_TOO_LOW)) or n == 90
    assert "\n" not in str(made)
    assert Choice.from_json(json.loads(json.dumps(made.to_json()))) == made
    if n:
        hits = index.search(vectors[:3], 5)
        assert hits.plan.method == ("ann" if uses == "hnsw" else "exact")


def test_a_graph_that_finds_too_little_is_searched_further_or_not_at_all(
    poor_graph: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, ids = scattered(1500, 24)
    monkeypatch.setattr(planner, "EF_SEARCH", (16, 1500))
    index = CaseIndex.build(vectors, ids, "hnsw", budget=Budget(min_recall=0.8))
    further = index.choice
    assert (further.kind, further.ef_search) == ("hnsw", 1500)
    assert further.recall is not None
    assert further.recall.low >= 0.8
    monkeypatch.setattr(planner, "EF_SEARCH", (16, 32))
    refused = CaseIndex.build(vectors, ids, "hnsw", budget=Budget(min_recall=0.8))
    assert (refused.kind, refused.choice.reason) == ("exact", Reason.RECALL_TOO_LOW)
    assert "a graph has recall@10 0." in str(refused.choice)
    expected = CaseIndex.build(vectors, ids).search(vectors[:5], 10)
    assert answers(refused.search(vectors[:5], 10)) == answers(expected)


def test_what_was_chosen_is_in_the_files_and_stays_with_the_graph(
    poor_graph: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "EF_SEARCH", (100,))
    vectors, ids = scattered(900, 16)
    index = CaseIndex.build(vectors[:800], ids[:800], "hnsw", budget=Budget(max_memory_mib=50.0))
    index.save(tmp_path / "files", key=b"k")
    loaded = CaseIndex.load(tmp_path / "files", key=b"k")
    assert loaded.choice == index.choice
    for one in (index, loaded):
        one.add(vectors[800:], ids[800:])
        one.remove(ids[:300])  # more than a graph keeps: it is made again
    ours, theirs = index.search(vectors[:20], 10), loaded.search(vectors[:20], 10)
    assert ours.plan == theirs.plan
    assert ours.plan.recall == index.choice.recall
    assert loaded._state.graph is not None
    assert loaded._state.graph.ef_search == 100
    before = loaded.choice
    loaded.choose_again()
    assert loaded.choice.recalls != before.recalls
    assert loaded.choice.budget == before.budget


def test_files_of_before_there_was_a_choice_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medembed.index import saved_state

    vectors, ids = scattered(60, 8)
    write = saved_state.write_sealed

    def without_choice(folder, head, files, key) -> None:
        write(folder, {name: head[name] for name in head if name != "choice"}, files, key)

    monkeypatch.setattr(saved_state, "write_sealed", without_choice)
    for kind in ("auto", "hnsw"):
        CaseIndex.build(vectors, ids, kind).save(tmp_path / kind)
        loaded = CaseIndex.load(tmp_path / kind)
        assert loaded.kind == ("hnsw" if kind == "hnsw" else "exact")
        assert loaded.choice.recall is None
        plan = loaded.search(vectors[:2], 3).plan
        assert ("recall not measured" in str(plan)) == (kind == "hnsw")


def test_codes_are_made_only_where_memory_allows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (planner, searching, snapshot):
        monkeypatch.setattr(module, "FEWEST_ROWS", 500)
    vectors, ids = scattered(1000, 64)  # a quarter of a MiB
    answers_of = {}
    for mib, codes in ((0.3, False), (0.32, True)):
        index = CaseIndex.build(vectors, ids, budget=Budget(max_memory_mib=mib))
        assert index.choice.codes is codes
        assert index.choice.mib <= mib
        answers_of[codes] = answers(index.search(vectors[:2], 5))
        assert (index._state.first_pass is not None) is codes
        index.save(tmp_path / str(codes))
        assert any(path.name.endswith("-codes") for path in (tmp_path / str(codes)).iterdir()) is (
            codes
        )
        loaded = CaseIndex.load(tmp_path / str(codes))
        assert answers(loaded.search(vectors[:2], 5)) == answers_of[codes]
    assert answers_of[True] == answers_of[False]
    small = CaseIndex.build(vectors, ids, budget=Budget(max_memory_mib=0.1))
    assert "vectors are read from the disk" in str(small.choice)


def test_the_time_of_an_exact_search_is_measured_on_the_cases_themselves() -> None:
    vectors, ids = scattered(200, 8)
    assert 0 < planner.exact_ms(CaseIndex.build(vectors, ids)._state) < 60_000


@pytest.mark.parametrize(
    "values",
    [
        {"min_recall": 0.0},
        {"min_recall": 99.0},
        {"min_recall": float("nan")},
        {"max_latency_ms": -1.0},
        {"max_memory_mib": float("inf")},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(values) -> None:
    with pytest.raises(InputError):
        Budget(**values)


def test_a_library_keeps_its_budget_until_another_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "LARGE", 30)
    monkeypatch.setattr(planner, "exact_ms", lambda state: 80.0)
    vectors = unit_rows(np.random.default_rng(3).normal(size=(80, 6)))
    budget = Budget(max_latency_ms=5.0, min_recall=0.5)
    with CaseLibrary.create(tmp_path / "library") as library:
        library.add(make_case(i) for i in range(80))
        names = [f"case-{i}" for i in range(80)]
        library.put_vectors(FINGERPRINT, "image", names[:50], vectors[:50])
        library.put_vectors(FINGERPRINT, "note", names[:50], vectors[:50])
        assert open_index(library, FINGERPRINT).index.kind == "exact"
        made = open_index(library, FINGERPRINT, budget=budget)
        assert (made.state, made.index.kind) == ("rebuilt", "hnsw")
        assert {one.asked for one in made.index.choice.recalls} == {"scans", "notes"}
        again = open_index(library, FINGERPRINT)
        assert (again.state, again.index.choice) == ("kept", made.index.choice)
        library.put_vectors(FINGERPRINT, "image", names[50:], vectors[50:])
        monkeypatch.setattr(planner, "exact_ms", lambda state: 1.0)
        later = compact_index(library, FINGERPRINT)
        assert len(later.index) == 80
        assert open_index(library, FINGERPRINT).index.choice.budget == budget
        plain = open_index(library, FINGERPRINT, "auto")
        assert (plain.index.kind, plain.index.choice.budget) == ("exact", Budget())
        sample = VectorStore(library.database.read()).sample(FINGERPRINT, "image", 20)
        assert sample.shape == (20, 6)
        assert (sample[:, None] == vectors[None]).all(axis=2).any(axis=1).all()
        assert not VectorStore(library.database.read()).sample("0" * 64, "note", 5).size


def test_a_wilson_interval_of_a_whole_number_of_queries_is_the_textbook_one() -> None:
    from medembed.index.graph_recall import _recall

    one = _recall("scans", LeftOut.NOTHING, [1.0] * 81 + [0.0] * 182, 263)
    # Newcombe (1998), Statistics in Medicine 17:857, table I, 81 of 263
    assert (round(one.low, 4), round(one.high, 4)) == (0.2553, 0.3662)
    assert one == Recall.from_json(one.to_json())
