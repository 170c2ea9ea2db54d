"""Errors of findings by group: against scikit-learn and fairlearn, nothing made up, simulated."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_negative_rate, false_positive_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, ncx2
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from support.one_by_one import mover

from evaluation.sections import (
    assess_zero_shot,
    calibration_error,
    calibration_gap,
    choose_threshold,
    error_outcomes,
    fit_platt,
)
from evaluation.sections.calibration import _centre
from evaluation.stats import Minimum
from medembed.errors import InputError


def cohort(seed: int, n_patients: int = 600, missed: float = 0.0):
    """Scores of one finding, truth, patients and sex; women's positives score ``missed`` lower."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(n_patients), 1 + rng.poisson(1.5, n_patients))
    sex = np.array(["F", "M", ""])[rng.choice(3, n_patients, p=[0.4, 0.5, 0.1])][owner]
    truth = (rng.random(len(owner)) < 0.3).astype(float)
    own = rng.normal(size=n_patients)[owner]
    scores = 1.5 * truth + 0.5 * own + 0.85 * rng.normal(size=len(owner))
    scores -= missed * ((sex == "F") & (truth == 1))
    truth[rng.random(len(owner)) < 0.05] = np.nan
    return scores, truth, owner, sex


def assessed(scores, truth, owner, sex, **more):
    threshold = choose_threshold(*cohort(999)[:2]).value
    found = assess_zero_shot(
        {"mass": scores}, {"mass": truth}, {"mass": threshold}, owner, {"sex": sex}, **more
    )
    return {(row.group, row.measure): row for row in found}, threshold


def test_points_are_those_of_fairlearn_and_scikit_learn() -> None:
    scores, truth, owner, sex = cohort(0)
    rows, threshold = assessed(scores, truth, owner, sex)
    known = ~np.isnan(truth)
    frame = MetricFrame(
        metrics={"FNR": false_negative_rate, "FPR": false_positive_rate},
        y_true=truth[known],
        y_pred=(scores[known] >= threshold).astype(float),
        sensitive_features=np.where(sex == "", "unknown", sex)[known],
    )
    for group in ("F", "M", "unknown"):
        for measure in ("FNR", "FPR"):
            golden = frame.by_group.loc[group, measure]
            assert rows[group, measure].estimate == pytest.approx(golden, abs=1e-12)
        here = known & (np.where(sex == "", "unknown", sex) == group)
        golden = roc_auc_score(truth[here], scores[here])
        assert rows[group, "AUC"].estimate == pytest.approx(golden, abs=1e-12)
        gaps = [abs(rows[group, m].gap) for m in ("FNR", "FPR")]
        odds = rows[group, "EO"]
        assert odds.gap == max(gaps)
        assert odds.gap_ci_low <= odds.gap <= odds.gap_ci_high
        p = [rows[group, m].p for m in ("FNR", "FPR")]
        assert odds.p == min(1.0, 2 * min(p))


def test_missed_women_are_found_and_named() -> None:
    rows, _ = assessed(*cohort(1, 1500, missed=0.8))
    assert rows["F", "FNR"].verdict in ("exceeds", "differs")
    assert rows["F", "FNR"].gap > 0.1
    assert rows["F", "EO"].verdict in ("exceeds", "differs")
    assert rows["F", "AUC"].verdict in ("exceeds", "differs")
    assert rows["F", "FPR"].verdict not in ("exceeds", "differs")


def test_a_group_without_positives_has_no_rate_of_missed_ones() -> None:
    scores, truth, owner, sex = cohort(2)
    truth[(sex == "F") & (truth == 1)] = np.nan
    rows, _ = assessed(scores, truth, owner, sex, probabilities={"mass": scores * 0 + 0.3})
    for measure in ("FNR", "EO", "AUC", "calibration"):
        row = rows["F", measure]
        assert row.verdict == "not_assessable"
        assert row.estimate is None
        assert row.gap is None
        assert row.reason == "no patient of this group has a positive case"
    assert rows["F", "FPR"].estimate is not None


def test_error_columns_leave_out_what_they_are_not_about() -> None:
    with pytest.raises(InputError, match="neither 0 nor 1"):
        error_outcomes([0.1], [2], 0.5)
    found = error_outcomes([0.5, 0.4], [1, 1], 0.5)
    np.testing.assert_array_equal(found["FNR"], [0, 1])
    assert np.isnan(found["FPR"]).all()


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_reach_their_operating_point(seed: int) -> None:
    scores, truth, _, _ = cohort(seed)
    known = ~np.isnan(truth)
    fpr, tpr, _ = roc_curve(truth[known], scores[known])
    found = choose_threshold(scores, truth)
    assert found.sensitivity + found.specificity - 1 == pytest.approx(np.max(tpr - fpr))
    said = scores[known] >= found.value
    assert found.sensitivity == pytest.approx(said[truth[known] == 1].mean())
    assert found.specificity == pytest.approx((~said)[truth[known] == 0].mean())
    with pytest.raises(InputError, match="one kind"):
        choose_threshold([1.0, 2.0], [1, 1])


def test_the_curve_is_that_of_logistic_regression() -> None:
    scores, truth, _, _ = cohort(3, 3000)
    known = ~np.isnan(truth)
    ours = fit_platt(scores, truth)
    theirs = LogisticRegression(C=1e10).fit(scores[known, None], truth[known])
    assert ours.slope == pytest.approx(theirs.coef_[0, 0], rel=0.01)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], rel=0.01)
    apart = fit_platt([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1])
    assert 0 < apart(0.0) < 0.5 < apart(3.0) < 1


def forecasts(rng, n_patients: int, wrong: float = 0.0):
    """Probabilities that come true as often as said, less ``wrong``; truths alike in patients."""
    owner = np.repeat(np.arange(n_patients), 1 + rng.poisson(1.0, n_patients))
    p = rng.uniform(0.2, 0.8, n_patients)[owner]
    together = rng.random(n_patients)[owner]
    draw = np.where(rng.random(len(owner)) < 0.5, together, rng.random(len(owner)))
    return p, (draw < p - wrong).astype(float), owner


def calibration_figures(cohorts: int, seed: int, n_patients: int, wrong: float):
    rng = np.random.default_rng(seed)
    found = [calibration_error(*forecasts(rng, n_patients, wrong)) for _ in range(cohorts)]
    holds = np.mean([f.low <= wrong <= f.high for f in found])
    return np.mean([f.squared for f in found]), holds


def test_a_calibrated_score_has_no_error_however_few_the_cases() -> None:
    for n_patients in (40, 200):
        squared, holds = calibration_figures(300, 4, n_patients, 0.0)
        assert squared == pytest.approx(0.0, abs=0.0015)  # plainly it would be .096² = .009
        assert holds >= 0.93
    squared, holds = calibration_figures(200, 5, 200, 0.15)
    assert squared == pytest.approx(0.15**2, abs=0.002)
    assert 0.91 <= holds <= 0.99


def test_a_difference_of_calibration_errors_is_mover_but_for_errors_below_zero() -> None:
    rng = np.random.default_rng(1)
    far, near = (calibration_error(*forecasts(rng, 400, wrong)) for wrong in (0.25, 0.15))
    assert far.reach == near.reach == 1
    assert min(far.low, near.low) > 0
    assert calibration_gap(far, near) == pytest.approx(
        mover(far.error, (far.low, far.high), near.error, (near.low, near.high)), abs=1e-12
    )
    none = replace(near, squared=-0.001, error=0.0, low=0.0, high=0.04, reach=0.0)
    low, high = calibration_gap(far, none)  # 0 is the best guess: the other's own end stands
    assert high == far.high
    assert low == pytest.approx(far.error - np.hypot(far.error - far.low, none.high), abs=1e-12)
    part = replace(none, error=0.02, reach=0.6)  # 0 stands .6 half-lengths below
    assert calibration_gap(far, part)[1] == pytest.approx(
        far.error + 0.8 * (far.high - far.error), abs=1e-12
    )
    lower, upper = calibration_gap(part, far)
    assert (-upper, -lower) == pytest.approx(calibration_gap(far, part), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 0.5, 1.0]),
            st.sampled_from([0.0, 1.0, float("nan")]),
            st.integers(0, 9),
            st.sampled_from(["F", "M", ""]),
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 4),
)
def test_any_table_gives_verdicts_and_no_made_up_number(rows, reported: int) -> None:
    scores, truth, owner, sex = (list(column) for column in zip(*rows, strict=True))
    found = assess_zero_shot(
        {"mass": scores}, {"mass": truth}, {"mass": 0.5}, owner, {"sex": sex},
        probabilities={"mass": scores}, minimum=Minimum(reported, 6),
    )  # fmt: skip
    assert len(found) == 5 * len(set(sex))
    for row in found:
        assert row.to_json()["finding"] == "mass"
        json.dumps(row.to_json(), allow_nan=False)
        assert row.reason
        if row.estimate is None or row.gap is None:
            assert row.verdict == "not_assessable"
        kinds = {t for t, g in zip(truth, sex, strict=True) if (g or "unknown") == row.group}
        if row.measure in ("FNR", "EO", "AUC") and 1.0 not in kinds:
            assert row.estimate is None


@pytest.mark.parametrize("p", [0.025, 0.975])
def test_the_ends_are_those_of_the_chi_square(p: float) -> None:
    for value in (3.0, 60.0, 900.0):
        centre = _centre(value, 4.0, p)
        found = ncx2.cdf(value, 4.0, centre) if centre else chi2.cdf(value, 4.0)
        assert found == pytest.approx(p, abs=1e-6) or (centre == 0.0 and found < p)
    near, far = (_centre(value, 4.0, p) for value in (9_999.0, 10_001.0))
    assert far == pytest.approx(near, rel=0.001)  # the normal one takes over


def alarms(cohorts: int, seed: int):
    """Share of fair cohorts with any flag, and of the tests with p at most .05, by measure."""
    curve = fit_platt(*cohort(999, 3000)[:2])
    flagged, low = 0, {m: [] for m in ("FNR", "FPR", "EO", "AUC", "calibration")}
    for number in range(cohorts):
        scores, truth, owner, sex = cohort(seed + number, 500)
        rows, _ = assessed(scores, truth, owner, sex, probabilities={"mass": curve(scores)})
        flagged += any(row.verdict in ("exceeds", "differs") for row in rows.values())
        for (_, measure), row in rows.items():
            if row.p is not None:
                low[measure].append(row.p <= 0.05)
    return flagged / cohorts, {measure: float(np.mean(found)) for measure, found in low.items()}


@pytest.mark.slow
def test_fair_findings_are_flagged_once_in_twenty() -> None:
    flagged, low = alarms(100, 10_000)
    assert flagged <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 100)
    assert all(rate <= 0.09 for rate in low.values())
