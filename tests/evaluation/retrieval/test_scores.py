"""retrieval_scores: agreement with scikit-learn and with plain loops, contracts, memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import (
    label_ranking_average_precision_score,
    ndcg_score,
    top_k_accuracy_score,
)

from evaluation import SameLabel, SharedTrait, retrieval_scores
from medembed.errors import InputError


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def vectors(n: int, d: int = 8, seed: int = 0) -> NDArray[np.float64]:
    return unit(np.random.default_rng(seed).normal(size=(n, d)))


@pytest.mark.parametrize("seed", range(20))
def test_points_equal_scikit_learn_on_random_tables(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, g = int(rng.integers(3, 40)), int(rng.integers(12, 60))
    scores = rng.normal(size=(n, g))
    own = rng.integers(0, g, size=n)
    one = retrieval_scores(None, None, own[:, None].tolist(), scores=scores, repetitions=100)
    truth = np.zeros((n, g), dtype=int)
    truth[np.arange(n), own] = 1
    for k in (1, 5, 10):
        golden = top_k_accuracy_score(own, scores, k=k, labels=np.arange(g))
        assert one[f"R@{k}"] == pytest.approx(golden, abs=1e-12)
    # With one relevant item, average precision is its reciprocal rank.
    golden = label_ranking_average_precision_score(truth, scores)
    assert one["MRR"] == pytest.approx(golden, abs=1e-12)
    many = rng.random((n, g)) < 0.2
    many[:, 0] = True
    tied = np.round(scores, 0)  # scikit-learn averages the gain over ties as well
    both = retrieval_scores(None, None, many, scores=tied, measures=["nDCG@10"], repetitions=100)
    assert both["nDCG@10"] == pytest.approx(ndcg_score(many, tied, k=10), abs=1e-12)


def test_hand_made_ranking() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.9, 0.8, 0.7, 0.6, 0.5]])
    found = retrieval_scores(
        None,
        None,
        [[1, 3], [4]],
        patients=["a", "b"],
        scores=scores,
        measures=["R@1", "R@5", "MRR", "median_rank", "P@2", "nDCG@5"],
        repetitions=100,
    )
    assert found["R@1"] == 0
    assert found["R@5"] == 1
    assert found["MRR"] == pytest.approx((1 / 2 + 1 / 5) / 2)
    assert found["median_rank"] == 3.5
    assert found["P@2"] == pytest.approx(0.25)
    first = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    assert found["nDCG@5"] == pytest.approx((first + 1 / np.log2(6)) / 2, abs=1e-12)


def test_every_form_of_relevance_says_the_same() -> None:
    rng = np.random.default_rng(1)
    queries, gallery = vectors(30, seed=1), vectors(40, seed=2)
    asked, given = rng.integers(0, 6, 30), rng.integers(0, 6, 40)
    matrix = asked[:, None] == given[None, :]
    forms = [
        matrix,
        [np.flatnonzero(row) for row in matrix],
        csr_matrix(matrix),
        SameLabel(asked, given),
        SameLabel([f"n{i}" for i in asked], [f"n{i}" for i in given]),
        SharedTrait(np.eye(6, dtype=bool)[asked], np.eye(6, dtype=bool)[given]),
    ]
    found = [retrieval_scores(queries, gallery, form, repetitions=100).to_json() for form in forms]
    assert all(each == found[0] for each in found[1:])


def test_equal_vectors_tie_whatever_the_product_of_matrices_rounds() -> None:
    rng = np.random.default_rng(2)
    one = unit(rng.normal(size=(1, 257)).astype(np.float32))
    gallery = np.concatenate([np.repeat(one, 61, axis=0), unit(rng.normal(size=(40, 257)))])
    gallery = gallery.astype(np.float32)
    found = retrieval_scores(one, gallery, [[60]], measures=["median_rank", "R@1"], repetitions=100)
    assert found["median_rank"] == 31
    assert found["R@1"] == pytest.approx(1 / 61, abs=1e-12)


def test_a_gallery_of_one_vector_is_at_chance_in_every_measure() -> None:
    gallery = np.repeat(vectors(1), 50, axis=0)
    found = retrieval_scores(vectors(20, seed=5), gallery, [[i] for i in range(20)])
    for name, value in found.values.items():
        assert value == pytest.approx(found.chance[name], abs=1e-12)
    assert found.ratio["R@10"] == pytest.approx(1, abs=1e-12)
    assert found.adjusted["R@10"] == pytest.approx(0, abs=1e-12)


def test_queries_without_a_relevant_item_are_counted_and_left_out() -> None:
    found = retrieval_scores(vectors(4), vectors(9, seed=1), [[1], [], [2, 3], []], list("aabb"))
    assert (found.n_queries, found.n_without_relevant, found.n_patients) == (2, 2, 2)
    assert found.queries.tolist() == [0, 2]
    assert found.pool == 9


def test_own_patients_items_leave_the_pool_unless_they_are_relevant() -> None:
    queries = np.array([[1.0, 0.0]])
    gallery = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
    found = retrieval_scores(
        queries, gallery, [[1]], ["a"], gallery_patients=["a", "a", "b"], repetitions=100
    )
    assert found["R@1"] == 1
    assert found.excluded == {"own patient": 1}
    assert found.pool_mean == 2
    kept = retrieval_scores(queries, gallery, [[1]], ["a"], repetitions=100)
    assert kept["R@1"] == 0


def test_the_same_seed_gives_the_same_to_the_bit_and_intervals_hold_the_value() -> None:
    queries = vectors(60, seed=1)
    gallery = unit(queries + 0.5 * vectors(60, seed=2))
    asked = {"relevant": [[i] for i in range(60)], "patients": np.arange(60) // 3}
    one = retrieval_scores(queries, gallery, **asked).to_json()
    assert one == retrieval_scores(queries, gallery, **asked).to_json()
    for name, pair in one["ci"].items():
        assert pair[0] - 1e-12 <= one[name] <= pair[1] + 1e-12, name


def test_a_measure_at_its_bound_keeps_an_open_end() -> None:
    queries = vectors(40, d=16)
    found = retrieval_scores(queries, queries, [[i] for i in range(40)], np.arange(40) // 2)
    assert found["R@1"] == 1
    low, high = found.ci["R@1"] or (0, 0)
    assert high == 1
    assert low == pytest.approx(0.025 ** (1 / 20), abs=1e-12)  # exact binomial, 20 patients of 20


def test_one_patient_has_no_interval() -> None:
    found = retrieval_scores(vectors(3), vectors(5, seed=1), [[0], [1], [2]], ["a"] * 3)
    assert found.ci["R@1"] is None
    assert found.to_json()["ci"]["MRR"] is None


def test_a_large_gallery_never_stands_in_memory_as_a_whole() -> None:
    n = 10_000
    rng = np.random.default_rng(0)
    queries = unit(rng.normal(size=(2_000, 16)).astype(np.float32))
    gallery = unit(rng.normal(size=(n * 5, 16)).astype(np.float32))  # scores: 400 MB
    tracemalloc.start()
    retrieval_scores(
        queries, gallery, SameLabel(np.arange(2_000), np.arange(n * 5)), repetitions=100
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": vectors(3, 4)}, "4 dimensions"),
        ({"queries": vectors(3) * 2}, "unit vectors"),
        ({"queries": np.full((3, 8), np.nan)}, "finite"),
        ({"queries": vectors(3)[0]}, "shape"),
        ({"queries": None}, "without a gallery"),
        ({"queries": None, "gallery": None}, "exactly one of"),
        ({"scores": np.zeros((3, 5))}, "exactly one of"),
        ({"run": [([0], [1.0])] * 3}, "exactly one of"),
        ({"relevant": [[0], [1]]}, "2 queries"),
        ({"relevant": [[0], [1], [5]]}, "outside the gallery"),
        ({"relevant": [[0.5], [1], [2]]}, "whole numbers"),
        ({"relevant": np.full((3, 5), "a")}, "bool array"),
        ({"relevant": np.zeros((3, 5))}, "no query"),
        ({"relevant": np.full((3, 5), -1.0)}, "0 or above"),
        ({"relevant": np.full((3, 5), np.nan)}, "finite"),
        ({"relevant": np.ones((3, 5)), "min_grade": 2}, "no query"),
        ({"relevant": [{0: "high"}, {1: 1}, {2: 1}]}, "not numbers"),
        ({"excluded": {"x": np.ones((3, 5))}}, "with grades"),
        ({"relevant": np.zeros((3, 5), dtype=bool)}, "no query"),
        ({"relevant": "abc"}, "list of index arrays"),
        ({"patients": ["a"]}, "1 patients"),
        ({"patients": ["a", "", "b"]}, "without a patient"),
        ({"patients": [0.5, 1.5, 2.5]}, "decimal"),
        ({"measures": ["F1"]}, "no measure"),
        ({"repetitions": 10}, "fewer than 100"),
        ({"gallery_patients": ["a"] * 4}, "4 items"),
    ],
)
def test_what_does_not_fit_is_one_line(change: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {
        "queries": vectors(3),
        "gallery": vectors(5, seed=1),
        "relevant": [[0], [1], [2]],
        "patients": ["a", "b", "b"],
        **change,
    }
    with pytest.raises(InputError, match=message) as caught:
        retrieval_scores(**call)
    assert "\n" not in str(caught.value)
