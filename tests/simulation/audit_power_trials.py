"""What else was tried for the power of a primary family of five (gate G3), on the same cohorts.

    python tests/simulation/audit_power_trials.py --cohorts 3000 --seed 0

A gap of .10 in a group of 160 among 1,000 patients, and none: how often the group is found, and how
often any of the five questions raises a false alarm, by

- ``audit``: the score test and Holm, as the audit has them;
- ``centred``: residuals of each side less their mean (Guo et al. 2005, modified score test), Holm;
- ``max-T``: the audit's statistic, step-down maxima over 999 permutations instead of Holm (what the
  audit prints beside, as ``p_max_t``);
- ``weighted``: patients weigh n / (1 + (n - 1) ICC) instead of n, as estimating equations with an
  exchangeable correlation do, Holm. It asks another question: not of the mean over queries.

``many tests``: false alarms of the first two in fair archives of 1,000 patients, four attributes
and their pairs, three outcomes: 280 tests, many of small groups. One JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simulation.audit_gates_inference import grouped, share
from support.cohorts import hits
from support.one_by_one import cluster_mean

from evaluation.stats import holm
from evaluation.stats.multiplicity import max_t
from evaluation.stats.score_test import two_sided
from evaluation.stats.threads import one_thread
from evaluation.stats.variance_floor import Pooled, pooled_likeness

Array = NDArray[np.float64]
PATIENTS, GROUP, GAP = 1000, 160, 0.10
ASKED = (("race", "a"), ("sex", "F"), ("age", "<40"), ("age", "40-69"), ("age", "70+"))


def p_value(
    u: Array,
    size: Array,
    member: NDArray[np.bool_],
    *,
    centred: bool,
    pooled: Pooled | None = None,
) -> float:
    """Two-sided p of a group against the rest, from patients' residual sums and sizes."""
    means, variances, spread = [], [], []
    for side in (member, ~member):
        k, n = side.sum(), size[side].sum()
        squares = np.sum(u[side] ** 2) - centred * np.sum(u[side]) ** 2 / k
        variance = k / (k - 1) * squares / n**2
        if pooled is not None:  # few informative queries, as the audit treats them
            sizes = np.sum(size[side] ** 2) / n**2
            least = pooled.least(*(np.array([x]) for x in (float(n), 1 / n, sizes)))
            variance = max(variance, float(least[0]))
        means.append(u[side].sum() / n)
        variances.append(variance)
        spread.append(variance**2 / (k - 1))
    t = (means[0] - means[1]) / np.sqrt(sum(variances))
    return float(two_sided(np.array(t), np.array(sum(variances) ** 2 / sum(spread))))


def ways(seed: int, number: int, gap: float) -> dict[str, Array]:
    """Adjusted p of the five questions, by way."""
    rng = np.random.default_rng([seed, GROUP, number])  # the cohorts of gate G3
    groups = grouped(rng, PATIENTS)
    groups["race"][:GROUP] = "a"
    others = groups["race"][GROUP:]
    others[others == "a"] = "c"
    owner, hit = hits(rng, PATIENTS, 0.5 - gap * (groups["race"] == "a"))
    size = np.bincount(owner, minlength=PATIENTS).astype(np.float64)
    total = np.bincount(owner, hit, PATIENTS)
    u = total - hit.mean() * size
    members = [groups[attribute] == label for attribute, label in ASKED]

    icc = cluster_mean(hit, owner).icc or 0.0
    weight = 1 / (1 + (size - 1) * np.clip(icc, 0.0, 1.0))
    mean = np.sum(weight * total) / np.sum(weight * size)
    weighted = weight * (total - mean * size), weight * size

    names = [np.unique(groups[a], return_inverse=True) for a in ("race", "sex", "age")]
    tests = [(a, str(g)) for a, (held, _) in zip(("race", "sex", "age"), names, strict=True)
             for g in held]  # fmt: skip
    families = np.array([[0 if test in ASKED else -1] for test in tests])
    _, adjusted = max_t(
        u[:, None], size[:, None], [codes for _, codes in names], families=families,
        permutations=999, seed=number,
    )  # fmt: skip
    return {
        "audit": holm([p_value(u, size, m, centred=False) for m in members]),
        "centred": holm([p_value(u, size, m, centred=True) for m in members]),
        "max-T": np.array([adjusted[tests.index(test), 0] for test in ASKED]),
        "weighted": holm([p_value(*weighted, m, centred=False) for m in members]),
    }


def alarms(seed: int, number: int, rates: tuple[float, ...]) -> dict[str, bool]:
    """Whether any of all tests flags, in a fair archive of many groups."""
    rng = np.random.default_rng([seed, 280, number])
    owner, hit = hits(rng, PATIENTS, rates[0])
    columns = [hit]
    for rate in rates[1:]:
        own = rng.beta(rate * 7 / 3, (1 - rate) * 7 / 3, PATIENTS)  # ICC .3, as the first
        columns.append((rng.random(len(owner)) < own[owner]).astype(np.float64))
    groups = {
        name: rng.choice(len(shares), PATIENTS, p=shares)
        for name, shares in (
            ("sex", (0.5, 0.5)), ("age", (0.1, 0.2, 0.3, 0.25, 0.15)),
            ("race", (0.55, 0.16, 0.12, 0.1, 0.07)), ("site", (0.4, 0.3, 0.3)),
        )
    }  # fmt: skip
    for one, two in combinations(list(groups), 2):
        groups[f"{one}*{two}"] = groups[one] * 10 + groups[two]
    members = [held == label for held in groups.values() for label in np.unique(held)]
    members = [m for m in members if min(m.sum(), (~m).sum()) >= 11]
    size = np.bincount(owner, minlength=PATIENTS).astype(np.float64)
    p: dict[str, list[float]] = {"audit": [], "centred": []}
    for column in columns:
        u = np.bincount(owner, column, PATIENTS) - column.mean() * size
        centred = column - column.mean()
        pooled = pooled_likeness(centred[:, None], u[:, None], size[:, None])
        for way, held in p.items():
            held += [p_value(u, size, m, centred=way == "centred", pooled=pooled) for m in members]
    return {way: bool((holm(held) <= 0.05).any()) for way, held in p.items()}


@one_thread()
def figures(cohorts: int, seed: int) -> dict[str, Any]:
    """Shares of cohorts, by way."""
    found: dict[str, dict[str, list[bool]]] = {}
    for number in range(cohorts):
        for gap in (GAP, 0.0):
            for way, p in ways(seed, number, gap).items():
                what = "gap found" if gap else "any false alarm"
                flag = bool((p[0] if gap else p.min()) <= 0.05)
                found.setdefault(way, {}).setdefault(what, []).append(flag)
    few: dict[str, dict[str, list[bool]]] = {}
    for number in range(cohorts // 5):
        for rates in ((0.5, 0.3, 0.7), (0.9, 0.8, 0.1)):
            for way, flag in alarms(seed, number, rates).items():
                few.setdefault(f"many tests, rates {rates}, {way}", {}).setdefault(
                    "any false alarm", []
                ).append(flag)
    found |= few
    return {
        way: {what: share(flags) for what, flags in held.items()} for way, held in found.items()
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(json.dumps({"trials of": "G3", **figures(args.cohorts, args.seed)}))


if __name__ == "__main__":
    main()
