"""Means with patients as units: agreement with statsmodels and with plain sums."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cohorts import hits
from support.one_by_one import cluster_mean

from medembed.errors import InputError


@pytest.mark.parametrize("seed", range(20))
def test_variance_equals_the_cluster_robust_one_of_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    owner, hit = hits(rng, int(rng.integers(3, 40)), 0.4)
    fitted = sm.OLS(hit, np.ones(len(hit))).fit(cov_type="cluster", cov_kwds={"groups": owner})
    found = cluster_mean(hit, owner)
    assert found.mean == pytest.approx(hit.mean(), abs=1e-12)
    assert found.variance == pytest.approx(float(fitted.cov_params()[0, 0]), abs=1e-12)
    if found.design_effect is not None:
        naive = hit.var(ddof=1) / len(hit)
        assert found.design_effect == pytest.approx(found.variance / naive, rel=1e-9)


def test_queries_of_strangers_have_no_design_effect_and_copies_have_their_number() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=400)
    alone = cluster_mean(values, np.arange(400))
    assert alone.design_effect == pytest.approx(1, abs=1e-12)
    assert alone.icc is None
    copied = cluster_mean(np.repeat(values, 5), np.repeat(np.arange(400), 5))
    assert copied.design_effect == pytest.approx(5, rel=0.01)
    assert copied.icc == pytest.approx(1, abs=1e-12)


def test_icc_recovers_what_was_simulated() -> None:
    found = []
    for seed in range(40):
        owner, hit = hits(np.random.default_rng(seed), 300, 0.5, icc=0.3)
        found.append(cluster_mean(hit, owner).icc)
    assert np.mean(found) == pytest.approx(0.3, abs=0.02)


def test_what_is_not_measured_or_not_chosen_is_left_out() -> None:
    values = [1.0, np.nan, 0.0, 1.0, 5.0]
    found = cluster_mean(values, list("aabbc"), np.array([True, True, True, True, False]))
    assert (found.mean, found.n_queries, found.n_patients) == (pytest.approx(2 / 3), 3, 2)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_table_gives_a_made_up_number(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    values = data.draw(st.lists(st.sampled_from([0.0, 1.0, 0.5, np.nan]), min_size=n, max_size=n))
    owner = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    if np.isnan(values).all():
        with pytest.raises(InputError):
            cluster_mean(values, owner)
        return
    found = cluster_mean(values, owner)
    assert np.isfinite(found.mean)
    assert (found.variance is None) == (found.n_patients < 2)
    for value in (found.variance, found.design_effect, found.icc):
        assert value is None or np.isfinite(value)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError):
        cluster_mean([1.0, np.inf], ["a", "b"])
    with pytest.raises(InputError):
        cluster_mean([1.0], ["a", "b"])
    with pytest.raises(InputError):
        cluster_mean([1.0], [""])
    with pytest.raises(InputError):
        cluster_mean([1.0, 0.0], ["a", "b"], np.array([1, 0]))
