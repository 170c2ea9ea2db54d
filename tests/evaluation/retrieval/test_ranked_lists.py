"""Hits of other systems and grades of relevance, with ir_measures (trec_eval) as the oracle."""

from __future__ import annotations

from typing import Any

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, P, R, Success, nDCG
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation import retrieval_scores
from evaluation.retrieval.relevance import Listed
from medembed.errors import InputError

Lists = list[tuple[NDArray[np.int64], NDArray[np.float64]]]


def archive(seed: int) -> tuple[NDArray[np.int64], Lists]:
    """Grades 0 to 3 of every query and item, and lists without ties, some of them empty."""
    rng = np.random.default_rng(seed)
    n, n_items = int(rng.integers(4, 20)), int(rng.integers(6, 40))
    grades = rng.choice([0, 0, 0, 1, 2, 3], size=(n, n_items))
    grades[:, 0] = 3  # each query has something relevant at every threshold
    lists = []
    for query in range(n):
        size = 0 if query == 1 else int(rng.integers(1, n_items + 1))
        lists.append((rng.permutation(n_items)[:size], rng.permutation(size) + rng.random()))
    return grades, lists


def by_ir_measures(measure: Any, grades: NDArray[np.int64], lists: Lists) -> dict[int, float]:
    qrels = [
        ir_measures.Qrel(f"q{q}", f"d{d}", int(grade))
        for q, row in enumerate(grades)
        for d, grade in enumerate(row)
    ]
    run = [
        ir_measures.ScoredDoc(f"q{q}", f"d{d}", float(score))
        for q, (items, scores) in enumerate(lists)
        for d, score in zip(items, scores, strict=True)
    ]
    found = ir_measures.iter_calc([measure], qrels, run)
    return {int(one.query_id[1:]): one.value for one in found}


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("min_grade", [1, 2, 3])
def test_measures_of_graded_lists_equal_trec_eval_query_by_query(seed: int, min_grade: int) -> None:
    grades, lists = archive(seed)
    oracles = {
        "nDCG@5": nDCG @ 5,
        "nDCG@10": nDCG @ 10,
        "P@5": P(rel=min_grade) @ 5,
        "Recall@10": R(rel=min_grade) @ 10,
        "R@5": Success(rel=min_grade) @ 5,
        "MRR": RR(rel=min_grade),
    }
    found = retrieval_scores(
        None, None, grades, run=lists, min_grade=min_grade, measures=list(oracles), repetitions=100
    )
    assert found.n_queries == len(grades)
    for name, oracle in oracles.items():
        golden = by_ir_measures(oracle, grades, lists)
        for query in range(len(grades)):
            value = found.per_query[name][query]
            assert value == pytest.approx(golden.get(query, 0.0), abs=1e-12), (name, query)


@pytest.mark.parametrize("seed", range(5))
def test_full_lists_and_a_matrix_of_scores_are_the_same_ranking(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=(12, 20)), 1)  # with ties
    grades = rng.choice([0.0, 0.0, 0.5, 2.0], size=(12, 20))
    grades[:, 3] = 1.0
    asked: dict[str, Any] = {
        "measures": ["R@3", "P@5", "MRR", "nDCG@10", "nDCG@30"],
        "excluded": {"copy": rng.random((12, 20)) < 0.1},
        "repetitions": 100,
    }
    lists = [(np.arange(20), row) for row in scores]
    whole = retrieval_scores(None, None, grades, scores=scores, **asked)
    listed = retrieval_scores(None, None, grades, run=lists, **asked)
    assert whole.to_json() == listed.to_json()


def test_tied_grades_take_the_mean_over_all_orders_and_reach_chance() -> None:
    grades = np.array([[3.0, 1.0, 0.0, 0.0]])
    found = retrieval_scores(
        None, None, grades, scores=np.zeros((1, 4)), measures=["nDCG@2", "P@2"], repetitions=100
    )
    weight = 1 + 1 / np.log2(3)
    best = 3 + 1 / np.log2(3)
    assert found["nDCG@2"] == pytest.approx(1.0 * weight / best, abs=1e-12)  # mean grade 1
    assert found["P@2"] == pytest.approx(0.5, abs=1e-12)
    assert found.values == pytest.approx(found.chance)


def test_every_form_of_grades_gives_the_same_scores() -> None:
    grades, lists = archive(3)
    n_items = grades.shape[1]
    rows = [np.flatnonzero(row) for row in grades]
    forms = [
        grades,
        grades.astype(np.float32),
        csr_matrix(grades),
        Listed(rows, n_items, [row[index] for row, index in zip(grades, rows, strict=True)]),
    ]
    found = [retrieval_scores(None, None, form, run=lists).to_json() for form in forms]
    mappings = [{int(i): float(row[i]) for i in np.flatnonzero(row)} for row in grades]
    found.append(
        retrieval_scores(
            None, None, mappings, run=lists,
            patients=np.arange(len(grades)), gallery_patients=np.full(n_items, -1),
        ).to_json()
    )  # fmt: skip
    assert found.pop().pop("excluded") == {"own patient": 0}
    assert all(one == found[0] for one in found[1:])


def test_a_query_without_hits_counts_0_and_one_without_relevant_items_is_left_out() -> None:
    lists = [([0, 1], [0.9, 0.1]), ([], []), ([2], [0.5])]
    relevant = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    found = retrieval_scores(None, None, relevant, run=lists, measures=["R@5", "MRR"])
    assert found.values == {"R@5": 0.5, "MRR": 0.5}
    assert (found.n_queries, found.n_without_relevant) == (2, 1)


def test_chance_is_of_the_whole_gallery_and_not_of_the_list() -> None:
    found = retrieval_scores(
        None, None, Listed([[0]], 200), run=[([0], [1.0])], measures=["R@10"], repetitions=100
    )
    assert found.chance["R@10"] == pytest.approx(10 / 200)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ([([0, 0], [0.2, 0.1])], "twice"),
        ([([0], [np.nan])], "finite"),
        ([([0, 1], [0.2])], "exactly one number"),
        ([([9], [0.2])], "outside the gallery"),
        ([([0], ["high"])], "exactly one number"),
        ([([0], [0.2]), ([1], [0.2])], "1 queries"),
    ],
)
def test_a_run_that_does_not_fit_is_refused_in_one_line(run: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        retrieval_scores(None, None, np.array([[1, 0, 0]]), run=run)
    assert "\n" not in str(caught.value)


def test_a_run_has_no_median_rank_and_needs_the_size_of_the_gallery() -> None:
    with pytest.raises(InputError, match="median_rank"):
        retrieval_scores(
            None, None, np.array([[True]]), run=[([0], [1.0])], measures=["median_rank"]
        )
    with pytest.raises(InputError, match="unknown size"):
        retrieval_scores(None, None, [[0]], run=[([0], [1.0])])
