"""Leakage of attributes: probes against scikit-learn, noise left unread, a planted group read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.audit_gates_leakage import best, cohort, figures
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from evaluation.sections import assess_leakage
from evaluation.sections.leakage import _cross_fitted, _permuted
from evaluation.stats import Minimum
from medembed.errors import InputError


def test_the_linear_probe_ranks_as_discriminant_and_logistic_regression_do() -> None:
    vectors, owner, group = cohort(np.random.default_rng(0), "planted", 300)
    kind = (group == "a").astype(np.int64)
    fold = (owner % 3).astype(np.int64)
    scores, null = _cross_fitted(vectors, kind, kind[None], fold, 1e-9)
    areas = []
    for number in range(3):
        held = fold == number
        lda = LinearDiscriminantAnalysis().fit(vectors[~held], kind[~held])
        golden = lda.decision_function(vectors[held])
        order = np.argsort(golden)
        assert (np.diff(-scores[held, 0][order]) > -1e-9).all()
        logistic = LogisticRegression().fit(vectors[~held], kind[~held])
        ours = roc_auc_score(kind[held], -scores[held, 0])
        areas.append((ours, (held & (kind == 1)).sum() * (held & (kind == 0)).sum()))
        theirs = roc_auc_score(kind[held], logistic.decision_function(vectors[held]))
        assert ours == pytest.approx(theirs, abs=0.01)
    # The path of the permutations gives the same area when it is handed the attribute itself.
    pooled = np.average([a for a, _ in areas], weights=[w for _, w in areas])
    assert null[0] == pytest.approx(pooled, abs=1e-9)


def test_permuting_keeps_patients_together() -> None:
    owner = np.repeat(np.arange(20), np.arange(20) % 3 + 1)
    group = (np.arange(20) % 4)[owner]
    for row in _permuted(group, owner, 30, np.random.default_rng(0)):
        assert all(len(set(row[owner == p])) == 1 for p in range(20))
        counts = [sorted(x[np.unique(owner, return_index=True)[1]]) for x in (row, group)]
        assert counts[0] == counts[1]


def test_what_differs_within_patients_is_exchanged_as_a_whole() -> None:
    owner = np.repeat(np.arange(30), 2)
    group = np.tile([0, 1], 30)
    assert (_permuted(group, owner, 20, np.random.default_rng(0)) == group).all()


def test_reading_is_reported_whole_and_again_the_same() -> None:
    vectors, owner, group = cohort(np.random.default_rng(2), "planted", 200)
    labels = np.where(owner < 20, "", group)
    asked = {"image": vectors, "note": np.full((len(owner), 3), np.nan)}
    found = assess_leakage(asked, owner, {"made": labels}, permutations=199)
    assert found == assess_leakage(asked, owner, {"made": labels}, permutations=199)
    image, _, note, _ = found.rows
    assert (image.n_unknown, image.n_patients, image.n_groups) == (20, 180, 2)
    assert image.verdict in ("exceeds", "differs")
    assert image.p == 1 / 200
    assert image.ci_low < image.auc < image.ci_high
    assert note.verdict == "not_assessable"
    assert note.auc is None
    json.dumps(found.to_json(), allow_nan=False)


def test_groups_too_small_are_not_read_and_cannot_be_counted() -> None:
    vectors, owner, group = cohort(np.random.default_rng(3), "null", 120)
    labels = np.where(owner < 6, "rare", group)
    row = assess_leakage({"image": vectors}, owner, {"made": labels}, permutations=99).rows[0]
    assert "rare" not in row.by_group
    assert row.n_patients is None


def test_what_does_not_fit_is_refused() -> None:
    for change, message in (
        ({"patients": ["a", ""]}, "without a patient"),
        ({"groups": {"sex": ["F"]}}, "'sex'"),
        ({"groups": {}}, "no probe or attribute"),
        ({"spaces": {"image": [[np.inf], [0.0]]}}, "'image'"),
        ({"permutations": 9}, "99"),
        ({"probes": ["tree"]}, "no probe 'tree'; use linear or nonlinear"),
    ):
        asked = {"spaces": {"image": [[1.0], [2.0]]}, "patients": ["a", "b"],
                 "groups": {"sex": ["F", "M"]}} | change  # fmt: skip
        with pytest.raises(InputError, match=message):
            assess_leakage(**asked)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 4), st.sampled_from([0.0, 1.0]))
def test_any_vectors_give_a_verdict(seed, n, n_groups, spread) -> None:
    rng = np.random.default_rng(seed)
    vectors = spread * rng.normal(size=(n, 3))
    owner = rng.integers(0, n, n)
    labels = np.array(["", "x", "y", "z"])[rng.integers(0, n_groups, n)]
    found = assess_leakage(
        {"image": vectors}, owner, {"made": labels}, permutations=99,
        minimum=Minimum(reported=3, precise=6),
    )  # fmt: skip
    for row in found.to_json()["rows"]:
        json.dumps(row, allow_nan=False)
        assert row["reason"]
        if row["auc"] is None:
            assert row["verdict"] == "not_assessable"


@pytest.mark.slow
def test_noise_is_not_read() -> None:
    found = figures("null", 50, 1, 200, permutations=99)
    for probe in ("linear", "nonlinear"):
        assert found[probe]["auc_mean"] == pytest.approx(0.5, abs=0.03)
        assert found[probe]["p_uniform_ks"] > 0.001
        assert found[probe]["interval_holds_best"] >= 0.87
        assert found[probe]["flagged"] <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 50)


@pytest.mark.slow
def test_planted_groups_are_read_nearly_as_well_as_can_be() -> None:
    line = figures("planted", 3, 2, 1500, permutations=99)
    assert line["linear"]["auc_mean"] == pytest.approx(best("planted"), abs=0.02)
    ring = figures("planted ring", 3, 3, 1500, permutations=99)
    assert ring["linear"]["auc_mean"] == pytest.approx(0.5, abs=0.04)
    assert ring["nonlinear"]["auc_mean"] == pytest.approx(best("planted ring"), abs=0.02)
