"""Bootstrap-t: equal to a plain one draw by draw, and covering where means are skewed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.one_by_one import cluster_mean
from support.plain_bootstrap import _draws, _strata, bootstrap_t_gap, bootstrap_t_mean

from medembed.errors import InputError


def reciprocal_ranks(
    rng: np.random.Generator, n_patients: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Skewed outcomes, alike within patients."""
    sizes = 1 + rng.negative_binomial(1.25, 1 / 3, n_patients)
    depth = rng.gamma(0.7, 12, n_patients)
    owner = np.repeat(np.arange(n_patients), sizes)
    return owner, 1 / (1 + rng.poisson(depth[owner]))


def slow_t(values, owner, weights, groups):
    """Estimate and error of one draw from an expanded sample with new names for each copy."""
    value = variance = 0.0
    residuals = []
    for sign, member in zip((1, -1), groups, strict=False):
        rows, names = [], []
        for p in range(len(weights)):
            for copy in range(int(weights[p])):
                for i in np.flatnonzero((owner == p) & member):
                    rows.append(values[i])
                    names.append(f"{p}-{copy}")
        found = cluster_mean(rows, names)
        value += sign * found.mean
        variance += found.variance
        u: dict[str, float] = {}
        for row, name in zip(rows, names, strict=True):
            u[name] = u.get(name, 0.0) + (row - found.mean) / len(rows)
        residuals.append(u)
    if len(residuals) == 2:
        k = weights.sum()
        both = set(residuals[0]) & set(residuals[1])
        variance -= 2 * k / (k - 1) * sum(residuals[0][p] * residuals[1][p] for p in both)
    return value, np.sqrt(variance)


@pytest.mark.parametrize("kind", ["mean", "gap", "gap within patients"])
def test_the_products_equal_a_plain_bootstrap_t(kind: str) -> None:
    rng = np.random.default_rng(2)
    owner, values = reciprocal_ranks(rng, 14)
    if kind == "mean":
        groups = [np.ones(len(owner), dtype=bool)]
        found = bootstrap_t_mean(values, owner, repetitions=200, seed=5)
        strata = _strata(np.zeros(14, dtype=np.int64))
    else:
        member = owner < 6 if kind == "gap" else rng.random(len(owner)) < 0.5
        groups = [member, ~member]
        found = bootstrap_t_gap(values, owner, member, ~member, repetitions=200, seed=5)
        inside = np.array([[g[owner == p].any() for g in groups] for p in range(14)])
        strata = _strata(inside @ np.array([1, 2]))
    estimate, error = slow_t(values, owner, np.ones(14), groups)
    assert found.estimate == pytest.approx(estimate, abs=1e-12)
    assert found.error == pytest.approx(error, abs=1e-12)
    weights = np.concatenate(list(_draws(strata, 14, 200, 5)))
    t = np.sort(
        [(v - estimate) / e for v, e in (slow_t(values, owner, w, groups) for w in weights)]
    )
    assert found.low == pytest.approx(estimate - t[int(np.ceil(0.975 * 199))] * error, abs=1e-9)
    assert found.high == pytest.approx(estimate - t[int(np.floor(0.025 * 199))] * error, abs=1e-9)


def test_every_draw_has_as_many_patients_of_each_group() -> None:
    strata = _strata(np.array([0, 0, 1, 1, 1, 2]))
    for block in _draws(strata, 6, 300, 0):
        np.testing.assert_array_equal(block[:, :2].sum(axis=1), 2)
        np.testing.assert_array_equal(block[:, 2:5].sum(axis=1), 3)
        np.testing.assert_array_equal(block[:, 5], 1)


def coverage(cohorts: int, n_patients: int, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    truth = reciprocal_ranks(np.random.default_rng(99), 400_000)[1].mean()
    inside = np.zeros(2)
    for cohort in range(cohorts):
        owner, values = reciprocal_ranks(rng, 2 * n_patients)
        member = owner < n_patients
        one = bootstrap_t_mean(values, owner, member, repetitions=400, seed=cohort)
        gap = bootstrap_t_gap(values, owner, member, ~member, repetitions=400, seed=cohort)
        assert one.low is not None
        assert gap.low is not None
        inside += one.low <= truth <= one.high, gap.low <= 0 <= gap.high
    return inside[0] / cohorts, inside[1] / cohorts


def test_skewed_means_of_sixty_patients_are_covered() -> None:
    assert min(coverage(250, 60, seed=1)) >= 0.91  # standard error .014 at 95%


@pytest.mark.slow
@pytest.mark.parametrize("n_patients", [30, 60, 200])
def test_skewed_means_are_covered_within_the_simulation_error(n_patients: int) -> None:
    one, gap = coverage(2500, n_patients, seed=n_patients)
    assert 0.93 <= one <= 0.97
    assert 0.93 <= gap <= 0.97


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_table_gives_a_made_up_interval(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 10))
    values = data.draw(st.lists(st.sampled_from([0.0, 1.0, 0.25]), min_size=n, max_size=n))
    owner = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    first = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    if not first.any() or first.all():
        with pytest.raises(InputError):
            bootstrap_t_gap(values, owner, first, ~first, repetitions=200)
        return
    found = bootstrap_t_gap(values, owner, first, ~first, repetitions=200)
    assert np.isfinite(found.estimate)
    assert (found.low is None) == (found.high is None)
    if found.low is not None:
        assert np.isfinite([found.low, found.high]).all()
        assert (
            min(len({o for o, f in zip(owner, first, strict=True) if f == g}) for g in (0, 1)) > 1
        )


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(InputError):
        bootstrap_t_mean([1.0, 0.0], ["a", "b"], repetitions=50)
