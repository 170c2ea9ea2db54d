"""Thresholds by group: equal to fairlearn's, to sensitivities counted by hand, and said."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_negative_rate, true_positive_rate
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator

from evaluation.mitigation.thresholds import equal_rates, equal_sensitivity
from evaluation.stats import Minimum
from medembed.errors import InputError


class AsIs(BaseEstimator):
    def fit(self, rows, truth=None):
        return self

    def predict(self, rows):
        return np.asarray(rows)[:, 0]

    def __sklearn_is_fitted__(self):
        return True


def cases(seed: int, n: int = 600):
    rng = np.random.default_rng(seed)
    group = rng.choice(["F", "M", ""], n, p=[0.3, 0.5, 0.2])
    truth = rng.random(n) < 0.4
    score = rng.normal(size=n) + truth * np.where(group == "F", 0.8, 1.6)
    return score, truth.astype(int), group, np.arange(n) // 2


@pytest.mark.parametrize("constraint", ["equalized_odds", "false_negative_rate_parity"])
def test_chances_are_fairlearns(constraint: str) -> None:
    score, truth, group, patient = cases(0)
    ours = equal_rates(score, truth, group, patient, constraint=constraint)
    names = np.where(group == "", "unknown", group)
    theirs = ThresholdOptimizer(
        estimator=AsIs(),
        constraints=constraint,
        objective="balanced_accuracy_score",
        prefit=True,
        predict_method="predict",
    ).fit(score[:, None], truth, sensitive_features=names)
    fresh, _, new_group, _ = cases(1)
    golden = theirs._pmf_predict(
        fresh[:, None], sensitive_features=np.where(new_group == "", "unknown", new_group)
    )[:, 1]
    np.testing.assert_allclose(ours.probability(fresh, new_group), golden, atol=1e-12)
    assert ours.by_lot


def test_the_share_that_a_lot_decides_is_said() -> None:
    score, truth, group, patient = cases(2)
    fit = equal_rates(score, truth, group, patient)
    chance = fit.probability(score, group)
    assert 0 < fit.share_by_lot(score, group) == np.mean((chance != 0) & (chance != 1)) < 1


def test_expected_rates_are_equal_where_it_was_fitted() -> None:
    score, truth, group, patient = cases(3)
    chance = equal_rates(score, truth, group, patient).probability(score, group)
    for wanted in (0, 1):
        rates = [chance[(truth == wanted) & (group == g)].mean() for g in ("F", "M", "")]
        assert max(rates) - min(rates) < 0.01


@pytest.mark.parametrize("sensitivity", [0.5, 0.9, 1.0])
def test_each_group_reaches_the_declared_sensitivity_and_no_more_than_it_takes(
    sensitivity: float,
) -> None:
    score, truth, group, patient = cases(4)
    fit = equal_sensitivity(score, truth, group, patient, sensitivity=sensitivity)
    called = fit.probability(score, group) == 1
    found = MetricFrame(
        metrics=true_positive_rate, y_true=truth, y_pred=called, sensitive_features=group
    ).by_group
    for name, reached in found.items():
        positives = int(truth[group == name].sum())
        assert sensitivity <= reached < sensitivity + 1 / positives
    assert fit.share_by_lot(score, group) == 0
    common = score > 0.5
    spread = MetricFrame(
        metrics=false_negative_rate, y_true=truth, y_pred=common, sensitive_features=group
    )
    assert spread.difference() > 0.1  # what a common threshold did


def test_a_group_too_small_has_the_common_threshold_and_a_reason() -> None:
    score, truth, group, patient = cases(5)
    group = group.astype("U9")
    group[np.flatnonzero(truth)[:4]] = "rare"
    for fit in (
        equal_rates(score, truth, group, patient),
        equal_sensitivity(score, truth, group, patient),
    ):
        assert set(fit.reasons) == {"rare"}
        assert "fewer than 11 patients" in fit.reasons["rare"]
        assert "rare" not in fit.rules
        x = np.linspace(-3, 3, 9)
        np.testing.assert_array_equal(
            fit.probability(x, ["rare"] * 9), fit.probability(x, ["not seen"] * 9)
        )


def test_what_cannot_be_fitted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    score, truth, group, patient = cases(6, 60)
    for call in (
        lambda: equal_rates(score, truth * 0, group, patient),
        lambda: equal_rates(score, truth, ["F"] * 60, patient),
        lambda: equal_rates(score, truth, group, patient, minimum=Minimum(500, 600)),
        lambda: equal_sensitivity(score, truth, group, patient, sensitivity=0),
        lambda: equal_sensitivity(score, truth + 0.5, group, patient),
        lambda: equal_sensitivity(score[:5], truth, group, patient),
        lambda: equal_rates(score, truth, group, patient, constraint="none", minimum=Minimum(2, 4)),
    ):
        with pytest.raises(InputError):
            call()
    monkeypatch.setitem(sys.modules, "fairlearn.postprocessing", None)
    with pytest.raises(InputError, match=r"medembed\[audit\]"):
        equal_rates(score, truth, group, patient, minimum=Minimum(2, 4))
