"""Korn–Graubard and MOVER: golden values, and coverage with few patients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta
from statsmodels.stats.proportion import proportion_confint
from support.cohorts import hits
from support.one_by_one import cluster_mean, gap_interval, korn_graubard, mover

from medembed.errors import InputError


def wilson(count: int, n: int) -> tuple[float, float]:
    low, high = proportion_confint(count, n, method="wilson")
    return float(low), float(high)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17:873 (1998), Table II, method 10.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_mover_of_wilson_intervals_is_newcombes_method(first, second, low, high) -> None:
    p1, p2 = first[0] / first[1], second[0] / second[1]
    found = mover(p1, wilson(*first), p2, wilson(*second))
    assert found == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_correlation_narrows_the_gap_of_estimates_that_move_together() -> None:
    apart = mover(0.5, (0.4, 0.6), 0.3, (0.2, 0.4))
    together = mover(0.5, (0.4, 0.6), 0.3, (0.2, 0.4), correlation=1.0)
    assert together == (pytest.approx(0.2), pytest.approx(0.2))
    assert apart[0] < together[0]


def test_one_query_each_is_the_exact_binomial_interval_at_n_less_1() -> None:
    values = np.array([1.0] * 13 + [0.0] * 27)
    found = korn_graubard(values, np.arange(40))
    p = 13 / 40
    assert found.effective_n == pytest.approx(39, abs=1e-9)
    assert found.low == pytest.approx(beta.ppf(0.025, 39 * p, 39 * (1 - p) + 1), abs=1e-12)
    assert found.high == pytest.approx(beta.ppf(0.975, 39 * p + 1, 39 * (1 - p)), abs=1e-12)


def test_the_effective_number_is_the_formula_and_never_above_n() -> None:
    from scipy.stats import t as student

    owner, hit = hits(np.random.default_rng(3), 50, 0.3)
    found, held = korn_graubard(hit, owner), cluster_mean(hit, owner)
    ratio = student.ppf(0.975, held.n_queries - 1) / student.ppf(0.975, 49)
    golden = held.mean * (1 - held.mean) / held.variance * ratio**2
    assert found.effective_n == pytest.approx(golden, rel=1e-9)
    opposed = korn_graubard([1.0, 0.0] * 20, np.arange(40) // 2)
    assert opposed.effective_n <= 40


def test_agreement_of_all_patients_counts_patients_and_not_images() -> None:
    found = korn_graubard(np.ones(100), np.arange(100) // 5)
    assert (found.estimate, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 20), abs=1e-12)


def test_one_patient_knows_nothing() -> None:
    found = korn_graubard([1.0, 0.0, 1.0], ["a"] * 3)
    assert (found.low, found.high) == (0, 1)


def test_what_is_no_proportion_is_refused() -> None:
    with pytest.raises(InputError):
        korn_graubard([2.0, 0.0], ["a", "b"])
    with pytest.raises(InputError):
        mover(0.5, (0.6, 0.7), 0.5, (0.4, 0.6))
    with pytest.raises(InputError):
        mover(0.5, (0.4, 0.7), 0.5, (0.4, 0.6), correlation=2)


def coverage(cohorts: int, group: int, rest: int, rate: float, seed: int) -> tuple[float, float]:
    """How often the intervals of the small group's rate and of the gap hold the truth."""
    rng = np.random.default_rng(seed)
    inside = np.zeros(2)
    for _ in range(cohorts):
        owner, hit = hits(rng, group + rest, rate)
        member = owner < group
        one = korn_graubard(hit, owner, member)
        _, low, high = gap_interval(hit, owner, member, ~member)
        inside += one.low <= rate <= one.high, low <= 0 <= high
    return inside[0] / cohorts, inside[1] / cohorts


def test_intervals_of_thirty_patients_cover() -> None:
    # 400 cohorts: standard error .011; bootstrap percentiles cover .86 to .92 here.
    assert min(coverage(400, 30, 200, 0.4, seed=1)) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "rate"), [(15, 0.5), (30, 0.1), (30, 0.5), (60, 0.3), (200, 0.8)]
)
def test_intervals_cover_from_few_patients_to_many(group: int, rate: float) -> None:
    one, gap = coverage(3000, group, 400, rate, seed=group)
    least = 0.935 if group >= 50 else 0.93
    assert one >= least
    assert gap >= least


def test_the_gap_counts_patients_in_both_groups() -> None:
    rng = np.random.default_rng(4)
    owner = np.repeat(np.arange(80), 2)
    own = rng.random(80) < 0.5
    hit = own[owner].astype(float)  # a patient's two images, one in each group, always agree
    first = np.arange(160) % 2 == 0
    gap, low, high = gap_interval(hit, owner, first, ~first)
    assert gap == 0
    assert high - low < 0.05
    _, low, high = gap_interval(hit, np.arange(160), first, ~first)
    assert high - low > 0.2
