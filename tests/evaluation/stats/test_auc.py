"""Areas under the ROC curve with patients as units: against the definition, and simulated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from evaluation.stats.auc import area_test, patient_area
from medembed.errors import InputError


def cohort(rng, n_patients, shift, size=2.5, icc=0.4, share=0.4):
    """Scores of positives shifted by ``shift``; alike within patients; kinds within patients."""
    sizes = 1 + rng.poisson(size - 1, n_patients)
    owner = np.repeat(np.arange(n_patients), sizes)
    positive = rng.random(len(owner)) < share
    noise = np.sqrt(icc) * rng.normal(size=n_patients)[owner]
    noise = noise + np.sqrt(1 - icc) * rng.normal(size=len(owner))
    return noise + shift * positive, positive, owner


def by_the_book(scores, positive, owner, strata):
    """Pair by pair, patient by patient."""
    n = len(scores)
    won, pairs = 0.0, 0
    phi = np.zeros(n)
    against = np.zeros(n)
    for i in range(n):
        for j in range(n):
            if positive[i] and not positive[j] and strata[i] == strata[j]:
                psi = 1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0
                won, pairs = won + psi, pairs + 1
                phi[i] += psi
                phi[j] += psi
                against[i] += 1
                against[j] += 1
    auc = won / pairs
    phi = (phi - auc * against) / pairs
    a = {p: phi[(owner == p) & positive].sum() for p in set(owner[positive].tolist())}
    b = {p: phi[(owner == p) & ~positive].sum() for p in set(owner[~positive].tolist())}
    k1, k0, k = len(a), len(b), len(set(a) | set(b))
    cross = sum(a[p] * b[p] for p in set(a) & set(b))
    variance = k1 / (k1 - 1) * sum(x**2 for x in a.values())
    variance += k0 / (k0 - 1) * sum(x**2 for x in b.values()) + 2 * k / (k - 1) * cross
    return auc, variance


@pytest.mark.parametrize("seed", range(8))
def test_area_and_variance_equal_the_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, positive, owner = cohort(rng, 14, 0.8)
    scores = np.round(scores, 1)  # with ties
    strata = rng.integers(0, 2, 14)[owner]
    auc, variance = by_the_book(scores, positive, owner, strata)
    found = patient_area(scores, positive, owner, strata=strata)
    assert found.auc == pytest.approx(auc, abs=1e-12)
    least = min(len(np.unique(owner[kind])) for kind in (positive, ~positive))
    reach = student.ppf(0.975, least - 1) * np.sqrt(variance)
    assert logit(auc) - logit(found.low) == pytest.approx(reach / (auc * (1 - auc)), abs=1e-9)
    assert logit(found.high) - logit(auc) == pytest.approx(reach / (auc * (1 - auc)), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 9)), min_size=2, max_size=30
    )
)
def test_any_table_gives_the_area_or_a_clear_error(rows) -> None:
    scores, positive, owner = (list(c) for c in zip(*rows, strict=True))
    if all(positive) or not any(positive):
        with pytest.raises(InputError):
            patient_area(scores, positive, owner)
        return
    found = patient_area(scores, positive, owner)
    assert found.auc == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    if found.low is not None:
        assert 0 <= found.low <= found.auc <= found.high <= 1
    test = area_test(scores, positive, owner, [True] * len(rows), [False] * len(rows))
    assert np.isnan(test.p)


def test_a_group_that_is_ranked_perfectly_is_still_uncertain() -> None:
    found = patient_area(range(20), [False] * 10 + [True] * 10, range(20))
    assert found.auc == 1.0
    assert found.high == 1.0
    assert found.low == pytest.approx(0.025**0.1)


def test_of_two_groups_the_gap_is_that_of_their_areas() -> None:
    rng = np.random.default_rng(1)
    scores, positive, owner = cohort(rng, 60, 0.7)
    first = owner < 30
    found = area_test(scores, positive, owner, first, ~first)
    areas = [roc_auc_score(positive[x], scores[x]) for x in (first, ~first)]
    assert found.gap == pytest.approx(areas[0] - areas[1], abs=1e-12)
    assert 0 < found.p <= 1


def covered(seed: int, cohorts: int, n_patients: int, shift: float) -> float:
    truth = norm.cdf(shift / np.sqrt(2))
    rng = np.random.default_rng(seed)
    hit = 0
    for _ in range(cohorts):
        found = patient_area(*cohort(rng, n_patients, shift))
        hit += found.low <= truth <= found.high
    return hit / cohorts


def false_alarms(seed: int, cohorts: int, n_group: int, n_rest: int, shift: float) -> float:
    rng = np.random.default_rng(seed)
    flags = 0
    for _ in range(cohorts):
        scores, positive, owner = cohort(rng, n_group + n_rest, shift, share=0.25)
        flags += area_test(scores, positive, owner, owner < n_group, owner >= n_group).p <= 0.05
    return flags / cohorts


@pytest.mark.slow
@pytest.mark.parametrize(("n_patients", "shift"), [(30, 1.0), (80, 0.5), (80, 1.8)])
def test_intervals_cover_nineteen_times_in_twenty(n_patients: int, shift: float) -> None:
    assert 0.935 <= covered(0, 3000, n_patients, shift) <= 0.965


@pytest.mark.slow
@pytest.mark.parametrize(("n_group", "shift"), [(20, 1.0), (60, 0.5), (60, 2.0)])
def test_equal_groups_are_flagged_once_in_twenty(n_group: int, shift: float) -> None:
    assert false_alarms(1, 3000, n_group, 300, shift) <= 0.065
