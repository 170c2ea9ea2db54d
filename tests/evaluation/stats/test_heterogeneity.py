"""One gap in all strata: the test is Welch's, and holds its level where patients are few."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f as f_distribution
from support.cohorts import hits

from evaluation.stats.standardise import adjusted_contrast, layers_of


def p_of(hit: np.ndarray, owner: np.ndarray, group: np.ndarray, stratum: np.ndarray) -> float:
    layers = layers_of(hit[:, None], owner, group, stratum)
    contrast = adjusted_contrast(layers, layers.group == 0, layers.group == 1, fewest=5)
    return float(contrast.p_heterogeneity[0])


def test_it_is_welchs_f_of_the_strata_gaps() -> None:
    rng = np.random.default_rng(0)
    n = 400
    group, stratum = rng.choice(2, n), rng.choice(3, n)
    value = rng.random(n) + 0.2 * group * (stratum == 1)
    owner = np.arange(n)  # one query a patient: ordinary means
    at = [[value[(group == g) & (stratum == h)] for h in range(3)] for g in (0, 1)]
    sizes = np.array([[len(x) for x in row] for row in at])
    means = np.array([[x.mean() for x in row] for row in at])
    gaps, weight = means[0] - means[1], sizes.sum(axis=0) / n
    gap = weight @ gaps
    # Residuals around the additive model: each side's part of the one gap.
    level = (sizes * means).sum(axis=0) / sizes.sum(axis=0)
    share = sizes[0] / sizes.sum(axis=0)
    center = np.stack([level + (1 - share) * gap, level - share * gap])
    v = np.array(
        [
            [np.sum((at[g][h] - center[g, h]) ** 2) / sizes[g, h] / (sizes[g, h] - 1)
             for h in range(3)]
            for g in (0, 1)
        ]
    )  # fmt: skip
    w = 1 / v.sum(axis=0)
    nu = v.sum(axis=0) ** 2 / (v**2 / (sizes - 1)).sum(axis=0)
    q = np.sum(w * (gaps - w @ gaps / w.sum()) ** 2)
    few = np.sum((1 - w / w.sum()) ** 2 / nu)
    expected = f_distribution.sf(q / 2 / (1 + 2 / 8 * few), 2, 8 / (3 * few))
    assert p_of(value, owner, group, stratum) == pytest.approx(expected, rel=1e-9)


def test_it_holds_its_level_and_finds_harm_that_turns() -> None:
    flagged = {0.0: 0, 0.2: 0}
    for number in range(100):
        for turn in flagged:
            rng = np.random.default_rng([1, number])
            group, stratum = rng.choice(2, 500), rng.choice(2, 500)
            owner, hit = hits(rng, 500, 0.6 + turn * group * np.where(stratum, 1, -1) / 2)
            flagged[turn] += p_of(hit, owner, group[owner], stratum[owner]) <= 0.05
    assert flagged[0.0] <= 5 + 3 * 2.2
    assert flagged[0.2] >= 60


def test_fewer_than_two_strata_with_patients_enough_are_not_tested() -> None:
    rng = np.random.default_rng(2)
    owner, hit = hits(rng, 60)
    group = rng.choice(2, 60)[owner]
    assert np.isnan(p_of(hit, owner, group, np.zeros(len(owner), dtype=np.int64)))
    rare = np.where(owner < 3, 1, 0)
    assert np.isnan(p_of(hit, owner, group, rare))
