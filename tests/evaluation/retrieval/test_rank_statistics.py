"""Expected measures under ties, against an oracle that goes through every order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation.retrieval.rank_statistics import measure, rank
from evaluation.retrieval.relevance import Matrix
from medembed.errors import InputError

NAMES = ("R@1", "R@2", "R@3", "R@9", "MRR", "median_rank", "P@1", "P@3", "P@9", "nDCG@3", "nDCG@9")


def of_one_order(name: str, right: list[bool]) -> float:
    """The measure of one ranking, written as its definition reads."""
    first = next(rank for rank, hit in enumerate(right, 1) if hit)
    kind, _, k_text = name.partition("@")
    if kind == "MRR":
        return 1 / first
    if kind == "median_rank":
        return float(first)
    k = int(k_text)
    if kind == "R":
        return float(first <= k)
    if kind == "P":
        return sum(right[:k]) / k
    gain = sum(hit / np.log2(rank + 1) for rank, hit in enumerate(right[:k], 1))
    best = sum(1 / np.log2(rank + 1) for rank in range(1, min(k, sum(right)) + 1))
    return float(gain / best)


def over_all_orders(name: str, scores: list[float], right: list[bool]) -> float:
    values = []
    for order in permutations(range(len(scores))):
        ranked = sorted(order, key=lambda item: -scores[item])  # stable: ties keep the permutation
        values.append(of_one_order(name, [right[item] for item in ranked]))
    return float(np.mean(values))


def statistics_of(scores: NDArray[np.float64], right: NDArray[np.bool_], **options: int):
    return rank(lambda a, b: scores[a:b].copy(), Matrix(right), depth=9, **options)[0]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_each_measure_is_the_mean_over_all_orders_of_tied_items(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    scores = data.draw(st.lists(st.sampled_from([0.1, 0.5, 0.7]), min_size=n, max_size=n))
    right = data.draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(any))
    statistics = statistics_of(np.array([scores]), np.array([right]))
    for name in NAMES:
        assert measure(name, statistics)[0] == pytest.approx(
            over_all_orders(name, scores, right), abs=1e-12
        ), name


def of_one_graded_order(name: str, grades: list[float], pool: list[float], least: float) -> float:
    """The measure of the retrieved items in one order, written as its definition reads."""
    right = [grade > 0 and grade >= least for grade in grades]
    kind, _, k_text = name.partition("@")
    if kind == "MRR":
        return next((1 / rank for rank, hit in enumerate(right, 1) if hit), 0.0)
    k = int(k_text)
    if kind == "R":
        return float(any(right[:k]))
    if kind == "P":
        return sum(right[:k]) / k
    if kind == "Recall":
        return sum(right[:k]) / sum(grade > 0 and grade >= least for grade in pool)
    dcg, best = (
        sum(grade / np.log2(rank + 1) for rank, grade in enumerate(order[:k], 1))
        for order in (grades, sorted(pool, reverse=True))
    )
    return float(dcg / best)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_graded_lists_that_miss_items_are_the_mean_over_all_orders(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    levels = st.sampled_from([-np.inf, 0.1, 0.5])  # -inf: not retrieved
    scores = data.draw(st.lists(levels, min_size=n, max_size=n))
    least = data.draw(st.sampled_from([0.0, 0.5, 2.0]))
    a_grade = st.sampled_from([0.0, 0.5, 1.0, 3.0])
    grades = data.draw(
        st.lists(a_grade, min_size=n, max_size=n).filter(lambda g: max(g) >= max(least, 0.1))
    )
    found = rank(
        lambda a, b: np.array([scores])[a:b],
        Matrix(np.array([grades])),
        depth=9,
        min_grade=least,
        truncated=True,
    )[0]
    retrieved = [item for item in range(n) if scores[item] > -np.inf]
    for name in ("R@1", "R@3", "MRR", "P@1", "P@3", "Recall@2", "Recall@9", "nDCG@2", "nDCG@9"):
        values = [
            of_one_graded_order(
                name, [grades[i] for i in sorted(order, key=lambda i: -scores[i])], grades, least
            )
            for order in permutations(retrieved)
        ]
        golden = float(np.mean(values))
        assert measure(name, found)[0] == pytest.approx(golden, abs=1e-12), name


def test_constant_scores_reach_exactly_chance() -> None:
    rng = np.random.default_rng(3)
    right = rng.random((40, 30)) < 0.2
    right[:, 0] = True
    statistics = statistics_of(np.zeros((40, 30)), right)
    for name in NAMES:
        np.testing.assert_allclose(
            measure(name, statistics), measure(name, statistics.at_chance()), atol=1e-12
        )


def test_chance_of_one_relevant_item_is_the_textbook_value() -> None:
    right = np.zeros((1, 300), dtype=bool)
    right[0, 7] = True
    chance = statistics_of(np.arange(300.0)[None, :], right).at_chance()
    assert measure("R@10", chance)[0] == pytest.approx(10 / 300, abs=1e-12)
    assert measure("median_rank", chance)[0] == pytest.approx(150.5, abs=1e-12)
    harmonic = sum(1 / rank for rank in range(1, 301))
    assert measure("MRR", chance)[0] == pytest.approx(harmonic / 300, abs=1e-12)


@pytest.mark.parametrize("cells", [1, 45, 10_000])
def test_the_size_of_a_block_changes_nothing(cells: int) -> None:
    rng = np.random.default_rng(4)
    scores = rng.integers(0, 4, size=(25, 20)).astype(float)
    right = rng.random((25, 20)) < 0.3
    whole = statistics_of(scores, right)
    parts = statistics_of(scores, right, cells=cells)
    for name in ("pool", "relevant", "above", "tied", "tied_relevant", "hits", "gains"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_excluded_items_are_neither_hits_nor_distractors_and_counted_once() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.6]])
    right = np.array([[False, True, False, True]])
    first = Matrix(np.array([[True, False, False, False]]))
    second = Matrix(np.array([[True, True, False, False]]))
    statistics, n_excluded = rank(
        lambda a, b: scores[a:b].copy(), Matrix(right), {"a": first, "b": second}, depth=4
    )
    assert n_excluded == {"a": 1, "b": 1}
    assert (statistics.pool[0], statistics.relevant[0]) == (2, 1)
    assert measure("median_rank", statistics)[0] == 2
    np.testing.assert_array_equal(statistics.gains[0], [0, 1, 0, 0])


def test_scores_that_are_not_finite_are_refused() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(InputError, match="finite"):
            statistics_of(np.array([[0.1, bad]]), np.array([[True, False]]))


@pytest.mark.parametrize("name", ["R@0", "R", "recall@5", "P@x", "mrr", ""])
def test_an_unknown_measure_is_named(name: str) -> None:
    with pytest.raises(InputError, match="no measure"):
        measure(name, statistics_of(np.array([[1.0]]), np.array([[True]])))
