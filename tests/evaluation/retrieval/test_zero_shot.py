"""Plain words as queries: areas under the curve and who is compared with whom."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation import (
    plain_queries,
    ranking_auc,
    zero_shot_markdown,
    zero_shot_means,
    zero_shot_table,
)
from medembed.cases import FINDINGS, SIDED_FINDINGS, Finding
from medembed.errors import InputError


@pytest.mark.parametrize("seed", range(10))
def test_auc_equals_scikit_learn_with_and_without_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = rng.random(80) < 0.3
    kind[:2] = [True, False]
    for scores in (rng.normal(size=80), rng.integers(0, 4, 80).astype(float)):
        found, pair = ranking_auc(scores, kind, rng.integers(0, 40, 80), repetitions=100)
        assert found == pytest.approx(roc_auc_score(kind, scores), abs=1e-12)
        assert pair is not None
        assert pair[0] < found < pair[1]


def test_a_draw_of_patients_is_the_auc_of_the_expanded_sample() -> None:
    from evaluation.retrieval.zero_shot import _weighted_auc
    from evaluation.stats.bootstrap import PatientResampler

    rng = np.random.default_rng(1)
    owner, scores = rng.integers(0, 12, 40), np.sort(rng.integers(0, 9, 40)).astype(float)
    owner[:12] = np.arange(12)
    kind = rng.random(40) < 0.4
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    weights = next(PatientResampler(owner, repetitions=100).weights())
    found = _weighted_auc(weights[:, owner], kind, starts)
    for draw, value in zip(weights.astype(int), found, strict=True):
        times = draw[owner]
        golden = roc_auc_score(np.repeat(kind, times), np.repeat(scores, times))
        assert value == pytest.approx(golden, abs=1e-12)


def test_a_perfect_ranking_keeps_an_open_lower_end() -> None:
    scores = np.arange(20.0)
    kind = scores >= 14
    found, pair = ranking_auc(scores, kind, np.arange(20))
    assert found == 1
    assert pair == (pytest.approx(0.025 ** (1 / 6)), 1.0)


def test_one_kind_only_has_no_area() -> None:
    with pytest.raises(InputError):
        ranking_auc([1.0, 2.0], [True, True], ["a", "b"])


def test_queries_name_each_side_of_findings_that_have_one() -> None:
    queries = plain_queries()
    assert ("effusion", "right", "right pleural effusion") in queries
    assert {label for label, _, _ in queries} == set(FINDINGS)
    assert {label for label, side, _ in queries if side} == set(SIDED_FINDINGS)
    assert len(queries) == len(FINDINGS) + len(SIDED_FINDINGS)


def test_sides_are_compared_without_bilateral_and_unsided_cases() -> None:
    rows = [
        (Finding("effusion", "right"), 0.9),
        (Finding("effusion", "left"), 0.5),
        (Finding("effusion", "bilateral"), 0.0),
        (Finding("effusion"), 1.0),
        (Finding("oedema"), 0.1),
    ]
    findings = [(f,) for f, _ in rows] * 6
    findings.append((Finding("effusion", "left"), Finding("effusion", "right")))  # both: bilateral
    cosine = np.array([c for _, c in rows] * 6 + [0.0])
    images = np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1)
    (row,) = zero_shot_table(
        [[1.0, 0.0]],
        [("effusion", "right", "right pleural effusion")],
        images,
        findings,
        np.arange(len(images)),
        repetitions=100,
    )
    assert row["n_side"] == (6, 6)
    assert row["auc_side"] == 1
    assert row["n_presence"] == (13, 6)  # right, bilateral and both, against no effusion at all
    assert row["auc_presence"] == pytest.approx(6 / 13, abs=1e-12)
    text = zero_shot_markdown([row])
    assert "right pleural effusion | 1.000 [" in text
    assert "6 / 6" in text


def test_too_few_patients_are_not_assessable_and_get_no_number() -> None:
    findings = [(Finding("mass", "left"),)] * 12 + [(Finding("mass", "right"),)] * 12
    patients = [f"p{i % 4}" for i in range(12)] + [f"q{i}" for i in range(12)]
    rng = np.random.default_rng(0)
    images = rng.normal(size=(24, 3))
    table = zero_shot_table(
        np.eye(3)[:2],
        [("mass", "left", "left lung mass"), ("fibrosis", "", "pulmonary fibrosis")],
        images,
        findings,
        patients,
        repetitions=100,
    )
    for row in table:
        assert row["auc_side"] is None
        assert row["auc_presence"] is None
        assert row["side_note"].startswith("not assessable")
        assert row["presence_note"].startswith("not assessable")
    assert zero_shot_means(table)["auc_side"] is None
    assert zero_shot_means(table)["n_side"] == 0
    assert "not assessable: fewer than 5 patients" in zero_shot_markdown(table)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError):
        zero_shot_table([[1.0]], [("mass", "left", "x")], [[1.0, 0.0]], [()], ["a"])
    with pytest.raises(InputError):
        zero_shot_table([[1.0]], [("mass", "up", "x")], [[1.0]], [()], ["a"])
    with pytest.raises(InputError):
        zero_shot_table([[1.0]], [], [[1.0]], [()], ["a"])
