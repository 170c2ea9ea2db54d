"""Standardised gaps: against the formula in loops, the plain statistics, and simulated truths."""

from __future__ import annotations

import numpy as np
import pytest
from support.cohorts import hits
from support.one_by_one import gap_interval, score_test, standardised_gap
from support.plain_bootstrap import bootstrap_t_gap

from evaluation.stats.variance_floor import pooled_likeness
from medembed.errors import InputError


@pytest.mark.parametrize("by_query", [False, True])
def test_one_stratum_is_the_plain_comparison(by_query: bool) -> None:
    rng = np.random.default_rng(0)
    owner, y = hits(rng, 200)
    first = rng.random(len(y)) < 0.3 if by_query else (rng.random(200) < 0.3)[owner]
    found = standardised_gap(y, owner, first, ~first, np.zeros(len(y), dtype=int))
    test = score_test(y, owner, first, ~first)
    for name in ("gap", "t", "df", "p"):
        assert getattr(found, name) == pytest.approx(getattr(test, name), abs=1e-9)
    _, low, high = gap_interval(y, owner, first, ~first)
    # Shared patients: one covariance has the factor k / (k - 1), the other has not.
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9 if not by_query else 1e-3)
    assert found.overlap == 1
    score = y * rng.random(len(y))
    ends = standardised_gap(score, owner, first, ~first, np.zeros(len(y), dtype=int))
    slow = bootstrap_t_gap(score, owner, first, ~first, repetitions=4000)
    assert ends.low == pytest.approx(slow.low, abs=0.4 * slow.error)
    assert ends.high == pytest.approx(slow.high, abs=0.4 * slow.error)


def by_the_book(y, owner, first, stratum):
    """The gap and t of the module's formulas, query by query, for patients in one group."""
    rows = range(len(y))
    n = {h: sum(stratum[i] == h for i in rows) for h in set(stratum)}
    sides = [[i for i in rows if first[i]], [i for i in rows if not first[i]]]
    common = [h for h in n if all(any(stratum[i] == h for i in side) for side in sides)]
    weight = {h: n[h] / sum(n[c] for c in common) for h in common}
    pooled = {h: np.mean([y[i] for i in rows if stratum[i] == h]) for h in common}
    inside = [i for i in rows if stratum[i] in common]
    total = {p: sum(owner[i] == p for i in inside) for p in set(owner)}
    there = {(owner[i], stratum[i]): 0 for i in inside}
    for i in inside:
        there[owner[i], stratum[i]] += 1
    means, variances = [], []
    for side in sides:
        at = {h: [i for i in side if stratum[i] == h] for h in common}
        means.append(sum(weight[h] * np.mean([y[i] for i in at[h]]) for h in common))
        u, c, plain = {}, {}, {}
        for h in common:
            for i in at[h]:
                p = owner[i]
                own, every = 1 - there[p, h] / n[h], 1 - total[p] / len(inside)
                factor = np.sqrt(every / own) if own else 1.0
                u[p] = u.get(p, 0) + factor * weight[h] / len(at[h]) * (y[i] - pooled[h])
                c[p] = c.get(p, 0) + weight[h] / len(at[h])
                plain[p] = plain.get(p, 0) + 1 / sum(len(a) for a in at.values())
        k = len(u) * sum(v**2 for v in plain.values()) / sum(v**2 for v in c.values())
        k = min(k, len(u))
        variances.append(k / (k - 1) * sum(v**2 for v in u.values()))
    gap = means[0] - means[1]
    return gap, gap / np.sqrt(sum(variances))


@pytest.mark.parametrize("seed", range(6))
def test_gap_and_t_equal_the_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    owner, y = hits(rng, 40)
    first = (rng.random(40) < 0.4)[owner]
    stratum = rng.integers(0, 4, len(y))
    stratum[first & (stratum == 3)] = 2  # a stratum that the first side lacks
    found = standardised_gap(y, owner, first, ~first, stratum)
    gap, t = by_the_book(y.tolist(), owner.tolist(), first.tolist(), stratum.tolist())
    assert found.gap == pytest.approx(gap, abs=1e-12)
    assert found.t == pytest.approx(t, abs=1e-9)
    assert found.overlap == 1


def test_overlap_is_the_share_of_the_first_sides_queries() -> None:
    found = standardised_gap(
        [1, 0, 1, 0, 1, 0], list("abcdef"), [True] * 4 + [False] * 2,
        [False] * 4 + [True] * 2, list("xxyzxx"),
    )  # fmt: skip
    assert found.overlap == 0.5
    nothing = standardised_gap([1, 0], ["a", "b"], [True, False], [False, True], ["x", "y"])
    assert np.isnan([nothing.gap, nothing.t, nothing.p, nothing.low]).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_scores_interval_holds_the_gaps_that_the_test_does_not_refuse(seed: int) -> None:
    # A gap of delta is taken off the first side; what remains is tested against none.
    rng = np.random.default_rng(seed)
    owner, hit = hits(rng, 80)
    y = hit * rng.random(len(hit))
    first, stratum = (owner % 3 == 0), rng.integers(0, 5, len(y))
    found = standardised_gap(y, owner, first, ~first, stratum)
    for end, side in ((found.low, -1), (found.high, 1)):
        inside, outside = (
            standardised_gap(y - (end + step) * first, owner, first, ~first, stratum)
            for step in (-0.002 * side, 0.002 * side)
        )
        assert outside.p < inside.p
        # Degrees of freedom are those of no gap, which moves p by little.
        assert inside.p > 0.047
        assert outside.p < 0.053


def archive_of_many_strata(rng):
    """150 patients in 26 strata of very different sizes, as a small hospital's findings by view."""
    owner, hit = hits(rng, 150, 0.5, icc=0.3, size=2.0)
    score = hit * rng.random(len(hit))
    share = 0.85 ** np.arange(26)
    stratum = rng.choice(26, len(hit), p=share / share.sum())
    return owner, score, (owner % 5 < 2), stratum


def test_many_strata_of_few_queries_keep_level_and_coverage() -> None:
    found = []
    for seed in range(600):
        owner, y, first, stratum = archive_of_many_strata(np.random.default_rng([11, seed]))
        one = standardised_gap(y, owner, first, ~first, stratum)
        found.append((one.p <= 0.05, one.low <= 0 <= one.high))
    alarms, covered = np.array(found).mean(axis=0)
    assert alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    assert covered >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 600)


def test_what_does_not_fit_is_refused() -> None:
    for first, second, strata in (
        ([True, True], [False, True], [0, 0]),
        ([True, False], [False, True], [0]),
        ([True, False], [False, True], [-1, 0]),
    ):
        with pytest.raises(InputError):
            standardised_gap([1.0, 0.0], [0, 1], first, second, strata)


def test_small_groups_without_a_miss_borrow_the_variance_of_all() -> None:
    rng = np.random.default_rng(0)
    owner, y = hits(rng, 4000, 0.93, icc=0.2)
    s = np.bincount(owner, y - y.mean())
    n = np.bincount(owner).astype(float)
    pooled = pooled_likeness((y - y.mean())[:, None], s[:, None], n[:, None])
    assert pooled.variance[0] == pytest.approx(0.93 * 0.07, abs=0.005)
    assert pooled.icc[0] == pytest.approx(0.2, abs=0.04)
    assert pooled.skewness[0] == pytest.approx(-0.86 / np.sqrt(0.93 * 0.07), rel=0.1)
    small, large = (
        pooled.least(np.array([k * 3.5]), np.array([1 / (k * 3.5)]), np.array([1.6 / k]))[0]
        for k in (20, 2000)
    )
    assert small > 0.93 * 0.07 / 70
    assert large == 0
