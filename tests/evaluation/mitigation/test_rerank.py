"""Reranking: against the published algorithm step by step, its promises, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from evaluation.mitigation.rerank import (
    RelevancePosterior,
    constrained_order,
    earned_exposure,
    exposure_weights,
)
from medembed.errors import InputError


def as_published(scores, groups, shares, k):
    """DetConstSort with the length of the beginning counted up one by one (Geyik et al. 2019)."""
    pools = {g: sorted((i for i in range(len(scores)) if groups[i] == g), key=lambda i: -scores[i])
             for g in shares}  # fmt: skip
    counts = dict.fromkeys(shares, 0)
    placed: list[tuple[int, int]] = []  # candidate, last length at which it may stand
    length = 0
    while len(placed) < k:
        length += 1
        changed = [g for g in shares if np.floor(length * shares[g] + 1e-9) > counts[g]]
        changed.sort(key=lambda g: (-scores[pools[g][counts[g]]], g))
        for g in changed:
            placed.append((pools[g][counts[g]], length))
            counts[g] += 1
            at = len(placed) - 1
            while (
                at
                and placed[at - 1][1] >= at + 1
                and scores[placed[at - 1][0]] < scores[placed[at][0]]
            ):
                placed[at - 1], placed[at] = placed[at], placed[at - 1]
                at -= 1
    return [i for i, _ in placed[:k]]


@pytest.mark.parametrize("seed", range(40))
def test_with_shares_of_one_and_candidates_enough_it_is_the_published_algorithm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = list("abcd")[: rng.integers(2, 5)]
    shares = dict(zip(names, rng.dirichlet(np.full(len(names), 3.0)), strict=True))
    groups = names * 30
    scores = rng.normal(size=len(groups))
    found = constrained_order(scores, groups, shares, 20).tolist()
    assert found == as_published(scores, groups, shares, 20)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-5, 5), st.sampled_from(["a", "b", "", "d"])), min_size=1, max_size=25
    ),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.booleans(),
    st.integers(1, 30),
)
def test_every_beginning_keeps_its_promise(
    candidates: list[tuple[int, str]], raw: list[float], whole: bool, k: int
) -> None:
    scores, groups = [float(s) for s, _ in candidates], [g for _, g in candidates]
    total = sum(raw) if whole and sum(raw) > 0 else max(1.0, sum(raw))
    shares = {g: r / total for g, r in zip(["a", "b", "unknown", "x"], raw, strict=True)}
    order = constrained_order(scores, groups, shares, k).tolist()
    assert len(order) == len(set(order)) == min(k, len(scores))
    names = [g or "unknown" for g in groups]
    for group in set(names):
        own = [i for i in order if names[i] == group]
        assert [scores[i] for i in own] == sorted((scores[i] for i in own), reverse=True)
        for j in range(1, len(order) + 1):
            promised = int(np.floor(j * shares.get(group, 0.0) - 1e-9))
            assert sum(names[i] == group for i in order[:j]) >= min(promised, names.count(group))


def test_without_a_promise_the_order_is_that_of_scores() -> None:
    scores = np.random.default_rng(0).normal(size=30)
    order = constrained_order(scores, list("ab") * 15, {}, 30)
    np.testing.assert_array_equal(order, np.argsort(-scores))


def test_a_share_too_small_for_any_list_promises_nothing() -> None:
    order = constrained_order([3.0, 2.0, 1.0], list("aab"), {"a": 1.0, "b": 5e-324}, 3)
    assert order.tolist() == [0, 1, 2]


def test_what_cannot_be_ordered_is_refused() -> None:
    for call in (
        lambda: constrained_order([1.0], ["a", "b"], {}, 1),
        lambda: constrained_order([np.nan], ["a"], {}, 1),
        lambda: constrained_order([1.0], ["a"], {"a": 0.7, "b": 0.6}, 1),
        lambda: constrained_order([1.0], ["a"], {}, 0),
        lambda: earned_exposure([[1.2]], [["a"]], 1),
        lambda: earned_exposure([[0.2]], [["a"]], 2),
        lambda: earned_exposure([[0.2]], [["a"]], 1, strength=-1),
        lambda: RelevancePosterior.fit([1.0, 2.0], [1, 1], ["a", "b"]),
        lambda: RelevancePosterior.fit([1.0, 1.0], [0, 1], ["a", "b"]),
    ):
        with pytest.raises(InputError):
            call()


def disparity(order, p, group) -> float:
    """Largest less least exposure for each unit of expected relevance, as a share of the mean."""
    shown, weights = np.take_along_axis(group, order, axis=1), exposure_weights(order.shape[1])
    ratio = [((shown == g) * weights).sum() / p[group == g].sum() for g in np.unique(group)]
    return (max(ratio) - min(ratio)) / (len(order) * weights.sum() / p.sum())


def test_exposure_follows_what_groups_earn_at_a_cost_that_is_said() -> None:
    rng = np.random.default_rng(1)
    group = rng.choice(["F", "M", ""], (600, 12), p=[0.3, 0.6, 0.1])
    # Relevance a little lower in one group: sorted by it alone, the group is hardly ever on top.
    p = np.clip(rng.normal(0.6, 0.05, group.shape) - 0.06 * (group == "F"), 0, 1)
    plain = earned_exposure(p, group, 5, strength=0.0)
    made = earned_exposure(p, group, 5, strength=0.02)
    np.testing.assert_array_equal(plain.order, np.argsort(-p, axis=1, kind="stable")[:, :5])
    assert plain.expected_gain_kept == pytest.approx(1)
    assert disparity(plain.order, p, group) > 0.5
    assert disparity(made.order, p, group) < 0.05
    assert 0.9 < made.expected_gain_kept < 1


def test_nobody_earns_nothing_is_no_number() -> None:
    found = earned_exposure([[0.0, 0.0]], [["a", "b"]], 2)
    assert np.isnan(found.expected_gain_kept)


def test_the_posterior_is_the_mode_that_a_general_optimiser_finds() -> None:
    rng = np.random.default_rng(2)
    group = rng.choice(["F", "M", ""], 400, p=[0.1, 0.8, 0.1])
    score = rng.normal(0.5, 0.1, 400)
    true = 1 / (1 + np.exp(-(8 * (score - 0.5) - 1.0 * (group == "F"))))
    relevant = rng.random(400) < true
    found = RelevancePosterior.fit(score, relevant, group, spread=0.7)
    names = ["F", "M", "unknown"]
    of = np.array([names.index(g or "unknown") for g in group])
    z = (score - found.centre) / found.scale

    def loss(theta):
        eta = theta[0] + theta[1] * z + theta[2:][of]
        prior = (theta[:2] ** 2).sum() / 1800 + (theta[2:] ** 2).sum() / (2 * 0.7**2)
        return np.logaddexp(0, eta).sum() - eta[relevant].sum() + prior

    golden = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-8}).x
    assert found.offsets["F"] < -0.2
    np.testing.assert_allclose(
        [found.intercept, found.slope, *(found.offsets[n] for n in names)], golden, atol=1e-4
    )
    p = found.predict([[0.5, 0.5]], [["F", "never seen"]])
    assert p.shape == (1, 2)
    assert p[0, 0] < p[0, 1]


def test_separable_scores_stay_finite() -> None:
    found = RelevancePosterior.fit(np.arange(20.0), np.arange(20) > 9, ["a"] * 20)
    assert np.isfinite([found.intercept, found.slope]).all()
    assert np.all(np.diff(found.predict(np.arange(20.0), ["a"] * 20)) > 0)
