"""Null controls sit at chance, and a real signal stands clear of them."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.retrieval.null_controls import null_control
from evaluation.retrieval.rank_statistics import measure, rank
from evaluation.retrieval.relevance import SameLabel
from medembed.errors import InputError


def test_shuffles_fall_around_chance_and_not_around_the_score() -> None:
    rng = np.random.default_rng(0)
    n = 120
    label = np.concatenate([np.arange(100), np.arange(20)])  # some notes twice
    scores = rng.normal(size=(n, n)) + 3 * np.eye(n)
    right = SameLabel(label, label)
    real = rank(lambda a, b: scores[a:b].copy(), right)[0]
    null = null_control(
        lambda p: rank(lambda a, b: scores[a:b][:, p].copy(), right)[0],
        n,
        ["R@10", "MRR", "median_rank"],
    )
    for name in ("R@10", "MRR"):
        chance = measure(name, real.at_chance()).mean()
        low, high = null.range95[name]
        assert low <= chance <= high
        assert abs(null.mean[name] - chance) < (high - low) / 4
        assert measure(name, real).mean() > high
    assert null.repetitions == 100
    assert null.to_json()["R@10"] == null.mean["R@10"]


def test_the_same_seed_shuffles_the_same() -> None:
    seen = []
    for _ in range(2):
        orders: list[list[int]] = []

        def keep(p: np.ndarray, orders: list[list[int]] = orders):
            orders.append(p.tolist())
            return rank(lambda a, b: np.eye(5)[a:b], SameLabel(range(5), p))[0]

        null_control(keep, 5, ["MRR"], repetitions=3, seed=9)
        seen.append(orders)
    assert seen[0] == seen[1]
    assert len({tuple(order) for order in seen[0]}) > 1


def test_one_shuffle_is_no_control() -> None:
    with pytest.raises(InputError):
        null_control(lambda p: pytest.fail("not called"), 5, ["MRR"], repetitions=1)
