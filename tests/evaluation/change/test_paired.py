"""A change between two runs: against its formula, a permutation of signs, and its coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from support.cohorts import hits
from support.one_by_one import score_test
from support.plain_bootstrap import bootstrap_t_mean

from evaluation.change.paired import Changes, gain_loss_ends, paired_changes, repeated_changes


@dataclass(frozen=True)
class Change:
    """One outcome's change."""

    before: float
    after: float
    change: float
    p: float
    interval: tuple[float, float] | None
    inner: tuple[float, float] | None
    n_queries: int
    n_patients: int


def only(found: Changes) -> Change:
    """Of a single outcome."""
    ends = [tuple(pair) if not np.isnan(pair).any() else None for pair in found.ends[..., 0]]
    return Change(
        *(float(getattr(found, name)[0]) for name in ("before", "after", "change", "p")),
        *ends, int(found.n_queries[0]), int(found.n_patients[0]),
    )  # fmt: skip


def column(values) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)[:, None]


def paired_change(before, after, owner, **more) -> Change:
    numbers = np.unique(np.asarray(owner), return_inverse=True)[1]
    return only(paired_changes(column(before), column(after), numbers, **more))


def repeated_change(outcomes, later, owner, **more) -> Change:
    numbers = np.unique(np.asarray(owner), return_inverse=True)[1]
    return only(repeated_changes(column(outcomes), np.asarray(later), numbers, **more))


def two_runs(
    rng: np.random.Generator,
    n_patients: int,
    *,
    gain: float = 0.1,
    loss: float = 0.1,
    icc: float = 0.3,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Hits before and after, changes alike within patients; truth (gain - loss) / 2."""
    owner, hit = hits(rng, n_patients, 0.5, icc)
    turned = np.empty(len(hit))
    for value, rate in ((0.0, gain), (1.0, loss)):
        spread = (1 - icc) / icc
        own = rng.beta(rate * spread, (1 - rate) * spread, n_patients)
        turned = np.where(hit == value, own[owner], turned)
    return hit, np.where(rng.random(len(hit)) < turned, 1 - hit, hit), owner


def test_the_test_equals_its_formula() -> None:
    before, after, owner = two_runs(np.random.default_rng(0), 40)
    before[3], after[5] = np.nan, np.nan
    both = [i for i in range(len(before)) if not np.isnan(before[i] + after[i])]
    sums: dict[int, float] = {}
    for i in both:
        sums[owner[i]] = sums.get(owner[i], 0.0) + after[i] - before[i]
    k, n = len(sums), len(both)
    t = sum(sums.values()) / n / np.sqrt(k / (k - 1) * sum(s**2 for s in sums.values()) / n**2)
    found = paired_change(before, after, owner)
    assert (found.n_patients, found.n_queries) == (k, n)
    assert found.change == pytest.approx(np.mean([after[i] - before[i] for i in both]), abs=1e-12)
    assert found.p == pytest.approx(2 * student.sf(abs(t), k - 1), abs=1e-12)


def test_with_one_query_a_patient_it_is_the_t_test_with_the_variance_of_no_change() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=(2, 50))
    d = after - before
    wald = ttest_1samp(d, 0).statistic
    t = wald / np.sqrt(1 + wald**2 / 49)  # as sum d^2 = (k - 1) s^2 + k mean^2
    assert paired_change(before, after, np.arange(50)).p == pytest.approx(
        2 * student.sf(abs(t), 49), abs=1e-12
    )


def test_p_agrees_with_handing_signs_around_among_patients() -> None:
    before, after, owner = two_runs(np.random.default_rng(3), 80, gain=0.25)
    sums = np.bincount(owner, weights=after - before)
    rng = np.random.default_rng(4)
    signs = rng.choice([-1.0, 1.0], (20_000, len(sums)))
    golden = (np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).mean()
    assert paired_change(before, after, owner).p == pytest.approx(golden, abs=0.015)


def test_the_order_of_rows_and_the_names_of_patients_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    before, after, owner = two_runs(rng, 60)
    order = rng.permutation(len(owner))
    one = paired_change(before, after, owner)
    two = paired_change(before[order], after[order], [f"p{999 - o}" for o in owner[order]])
    assert one.p == pytest.approx(two.p, abs=1e-12)
    assert one.interval == pytest.approx(two.interval, abs=1e-12)


def test_paired_rows_and_the_same_patients_later_agree_on_the_test() -> None:
    before, after, owner = two_runs(np.random.default_rng(6), 60, gain=0.2)
    paired = paired_change(before, after, owner)
    stacked = repeated_change(
        np.concatenate([before, after]),
        np.arange(2 * len(owner)) >= len(owner),
        np.concatenate([owner, owner]),
    )
    assert stacked.change == pytest.approx(paired.change, abs=1e-12)
    assert stacked.p == pytest.approx(paired.p, abs=1e-12)


def test_other_patients_later_are_two_groups() -> None:
    rng = np.random.default_rng(7)
    owner, hit = hits(rng, 120, 0.5)
    later = owner % 3 == 0
    found = repeated_change(hit, later, owner)
    assert found.p == pytest.approx(score_test(hit, owner, later, ~later).p, abs=1e-12)
    mixed = repeated_change(hit, rng.random(len(hit)) < 0.5, owner)
    assert 0 <= mixed.p <= 1


def test_nothing_that_changed_leaves_what_the_number_of_patients_cannot_exclude() -> None:
    found = paired_change([0.0, 1.0] * 30, [0.0, 1.0] * 30, np.arange(60))
    assert found.change == 0
    assert np.isnan(found.p)
    assert found.interval == pytest.approx((-(1 - 0.025 ** (1 / 60)), 1 - 0.025 ** (1 / 60)))


def test_other_outcomes_use_the_bootstrap_and_fall_back_where_it_has_no_end() -> None:
    rng = np.random.default_rng(8)
    owner = np.repeat(np.arange(40), 3)
    before, after = 1 / (1 + rng.poisson(3, (2, 120)))
    found = paired_change(before, after, owner, repetitions=400, seed=3)
    golden = bootstrap_t_mean(after - before, owner, repetitions=400, seed=3)
    assert found.interval == pytest.approx((golden.low, golden.high), abs=1e-12)
    one_moved = before.copy()
    one_moved[0] /= 2
    rare = paired_change(before, one_moved, owner, repetitions=400)
    assert rare.interval is not None
    assert rare.interval[0] < rare.change < 0 < rare.interval[1]
    far = paired_change(before * 100, one_moved * 100, owner, repetitions=400)
    assert far.interval is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_pair_of_runs_gives_a_made_up_number(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 10))
    value = st.sampled_from([0.0, 1.0, 0.4, np.nan])
    before, after = (np.array(data.draw(st.lists(value, min_size=n, max_size=n))) for _ in "ab")
    owner = data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    later = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    for found in (
        paired_change(before, after, owner, repetitions=200),
        repeated_change(before, later, owner, repetitions=200),
    ):
        assert (found.interval is None) == (found.inner is None)
        if found.n_patients < 2:
            assert found.interval is None
            assert np.isnan(found.p)
        if found.interval is not None and found.inner is not None:
            assert found.interval[0] <= found.change <= found.interval[1]
            assert -1 <= min(found.interval) <= max(found.interval) <= 1


def coverage(cohorts: int, n_patients: int, rate: float, seed: int) -> tuple[float, float]:
    """Share of cohorts whose interval holds the truth, and of those with p <= .05."""
    rng = np.random.default_rng(seed)
    inside = alarms = 0
    for _ in range(cohorts):
        before, after, owner = two_runs(rng, n_patients, gain=rate, loss=rate)
        found = paired_change(before, after, owner)
        assert found.interval is not None
        inside += found.interval[0] <= 0 <= found.interval[1]
        alarms += found.p <= 0.05
    return inside / cohorts, alarms / cohorts


def test_changes_of_a_small_group_are_covered() -> None:
    covered, alarms = coverage(400, 40, 0.1, seed=2)
    assert covered >= 0.92  # standard error .011 at 95%
    assert alarms <= 0.08


@pytest.mark.slow
@pytest.mark.parametrize("n_patients", [20, 60, 300])
@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
def test_changes_are_covered_and_the_test_keeps_its_level(n_patients: int, rate: float) -> None:
    covered, alarms = coverage(1200, n_patients, rate, seed=n_patients)
    assert covered >= 0.93
    assert alarms <= 0.068


def test_the_gain_of_everybody_ends_at_all() -> None:
    assert gain_loss_ends(np.ones((5, 1)), np.arange(5))[1, 0] == 1


def test_several_outcomes_at_once_are_each_by_itself() -> None:
    rng = np.random.default_rng(12)
    hit, turned, owner = two_runs(rng, 50)
    rank = 1 / (1 + rng.poisson(3, (2, len(owner))))
    rank[0, 4] = np.nan
    before, after = np.stack([hit, rank[0]], axis=1), np.stack([turned, rank[1]], axis=1)
    both = paired_changes(before, after, owner, repetitions=300)
    for number in range(2):
        alone = paired_changes(before[:, [number]], after[:, [number]], owner, repetitions=300)
        for name in ("before", "after", "change", "p", "n_queries", "n_patients"):
            assert getattr(both, name)[number] == pytest.approx(getattr(alone, name)[0], abs=1e-12)
        np.testing.assert_allclose(both.ends[..., number], alone.ends[..., 0], atol=1e-12)
