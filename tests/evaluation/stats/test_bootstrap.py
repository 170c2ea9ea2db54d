"""Intervals over patients: equal to plain resampling, and covering what they say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation import PatientResampler
from medembed.errors import InputError


def clustered_hits(
    rng: np.random.Generator, n_patients: int, p: float = 0.5, icc: float = 0.3
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Hits of queries, Beta-Binomial within a patient, 1 + NegBin queries each (mean 3.5)."""
    sizes = 1 + rng.negative_binomial(1.25, 1 / 3, n_patients)
    spread = (1 - icc) / icc
    rates = rng.beta(p * spread, (1 - p) * spread, n_patients)
    owner = np.repeat(np.arange(n_patients), sizes)
    return owner, (rng.random(len(owner)) < rates[owner]).astype(float)


def test_means_and_medians_equal_an_expanded_sample() -> None:
    rng = np.random.default_rng(1)
    owner = rng.integers(0, 7, 25)
    values = rng.integers(0, 5, 25).astype(float)
    resampler = PatientResampler(owner, repetitions=150, seed=3)
    weights = np.concatenate(list(resampler.weights())).astype(int)
    numbered = np.unique(owner, return_inverse=True)[1]
    expanded = [np.repeat(values, draw[numbered]) for draw in weights]
    assert (weights.sum(axis=1) == resampler.n_patients).all()
    np.testing.assert_allclose(
        resampler.means(values[:, None])[:, 0], [e.mean() for e in expanded], atol=1e-12
    )
    np.testing.assert_allclose(resampler.medians(values), [np.median(e) for e in expanded])


def test_the_draws_do_not_depend_on_the_memory_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = np.arange(50)
    whole = PatientResampler(owner, repetitions=200).means(np.arange(50.0)[:, None])
    monkeypatch.setattr("evaluation.stats.bootstrap._CELLS", 500)
    parts = PatientResampler(owner, repetitions=200).means(np.arange(50.0)[:, None])
    np.testing.assert_array_equal(whole, parts)


def test_few_patients_widen_the_interval_beyond_the_percentiles() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=8)
    resampler = PatientResampler(np.arange(8), repetitions=4000)
    draws = resampler.means(values[:, None])[:, 0]
    low, high = resampler.interval(draws) or (0.0, 0.0)
    plain = np.quantile(draws, [0.025, 0.975])
    assert low < plain[0]
    assert high > plain[1]


def test_bad_requests_are_refused() -> None:
    for wrong in ({"repetitions": 5}, {"level": 1.0}):
        with pytest.raises(InputError):
            PatientResampler(["a", "b"], **wrong)
    with pytest.raises(InputError):
        PatientResampler(["a", ""])


def coverage(cohorts: int, n_patients: int, by_patient: bool, seed: int, p: float = 0.5) -> float:
    rng = np.random.default_rng(seed)
    inside = 0
    for cohort in range(cohorts):
        owner, hits = clustered_hits(rng, n_patients, p)
        unit = owner if by_patient else np.arange(len(owner))
        resampler = PatientResampler(unit, repetitions=300, seed=cohort)
        pair = resampler.interval(resampler.means(hits[:, None])[:, 0], bounds=(0, 1))
        assert pair is not None
        inside += pair[0] <= p <= pair[1]
    return inside / cohorts


def test_the_interval_covers_on_clustered_data_and_that_over_queries_does_not() -> None:
    # 400 cohorts: standard error .011 at 95%; the bound is three of them away.
    assert coverage(400, 100, by_patient=True, seed=11) >= 0.917
    assert coverage(400, 100, by_patient=False, seed=11) <= 0.88


@pytest.mark.slow
@pytest.mark.parametrize(("n_patients", "p"), [(30, 0.5), (60, 0.5), (60, 0.2), (200, 0.2)])
def test_the_interval_covers_from_few_patients_to_many(n_patients: int, p: float) -> None:
    found = coverage(3000, n_patients, by_patient=True, seed=n_patients, p=p)
    # Percentile intervals of a rate of .2 fall short by some 2 points at 60 patients.
    assert 0.915 <= found <= 0.965
