"""Gate G6: is an attribute of noise left unread, and a planted one read as well as it can be?

Run on a quiet machine::

    OMP_NUM_THREADS=1 python tests/simulation/audit_gates_leakage.py --cohorts 500

Gaussian vectors, alike within patients, so that a probe could learn the patient. ``null``: the
attribute is drawn without a look at them; ``planted``: one group is shifted along a line, where the
best possible area is known; ``planted ring``: the groups differ in length only, which no linear
probe can read.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from scipy.stats import chi2, kstest, norm

from evaluation.sections import assess_leakage

DIMENSIONS = 16
SHIFT = 1.2


def cohort(rng: np.random.Generator, setting: str, n_patients: int, icc: float = 0.7):
    """Vectors (n, 16), patients and groups; half of the patients in each group."""
    owner = np.repeat(
        np.arange(n_patients), 1 + rng.negative_binomial(1.25, 1.25 / 3.75, n_patients)
    )
    group = (rng.random(n_patients) < 0.5)[owner]
    own = rng.normal(size=(n_patients, DIMENSIONS))[owner]
    vectors = np.sqrt(icc) * own + np.sqrt(1 - icc) * rng.normal(size=(len(owner), DIMENSIONS))
    if setting == "planted":
        vectors[:, 0] += SHIFT * group
    elif setting == "planted ring":
        vectors *= np.where(group, 1.35, 1.0)[:, None]
    return vectors, owner, np.where(group, "a", "b")


def best(setting: str) -> float:
    """Area of the best score of all."""
    if setting == "planted":
        return float(norm.cdf(SHIFT / np.sqrt(2)))
    if setting == "planted ring":  # length² / 1.35² of the one against length² of the other
        grid = np.linspace(0.0005, 0.9995, 1000)
        smaller = chi2.ppf(grid, DIMENSIONS)
        return float(np.mean(chi2.sf(smaller / 1.35**2, DIMENSIONS)))
    return 0.5


def figures(
    setting: str, cohorts: int, seed: int, n_patients: int = 400, permutations: int = 199
) -> dict[str, object]:
    """Mean area, its standard error, spread of p and share of flags, by probe."""
    rng = np.random.default_rng([seed, len(setting)])
    found: dict[str, list[tuple[float, float, bool, bool]]] = {"linear": [], "nonlinear": []}
    truth = best(setting)
    for number in range(cohorts):
        vectors, owner, group = cohort(rng, setting, n_patients)
        rows = assess_leakage(
            {"image": vectors}, owner, {"made": group}, permutations=permutations, seed=number
        ).rows
        for row in rows:
            covers = row.ci_low <= truth <= row.ci_high
            found[row.probe].append((row.auc, row.p, row.verdict in ("exceeds", "differs"), covers))
    out: dict[str, object] = {"best": truth, "cohorts": cohorts, "patients": n_patients}
    for probe, rows in found.items():
        table = np.array(rows, dtype=float)
        out[probe] = {
            "auc_mean": table[:, 0].mean(),
            "auc_standard_error": table[:, 0].std() / np.sqrt(cohorts),
            "p_below_5_percent": np.mean(table[:, 1] <= 0.05),
            "p_uniform_ks": kstest(table[:, 1], "uniform").pvalue,
            "flagged": table[:, 2].mean(),
            "interval_holds_best": table[:, 3].mean(),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = ("null", "planted", "planted ring")
    result = {
        name: figures(name, options.cohorts, options.seed, 400 if name == "null" else 1500)
        for name in settings
    }
    print(json.dumps({"gate": "G6", "seed": options.seed, **result}, default=float))


if __name__ == "__main__":
    main()
