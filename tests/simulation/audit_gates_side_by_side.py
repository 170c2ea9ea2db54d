"""Three audits of the same cohorts: fairlearn's bootstrap, a test of images, and patients' own.

    python tests/simulation/audit_gates_side_by_side.py --cohorts 1000 --seed 0

On fair cohorts and on ones in which a race is served 10 points worse: how often each raises an
alarm anywhere, how often it finds the race, and how often its 95% interval of that race's gap holds
the truth. fairlearn: MetricFrame over images with ``n_boot``, an alarm where ``difference_ci``
excludes 0, and its interval for the race against the rest. Images: Welch's t-test of each group at
5% or a ratio of rates below 0.8, as audits of images do. One JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from scipy.stats import ttest_ind

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulation.audit_gates_inference import grouped, share
from support.cohorts import hits

from evaluation.audit import audit_outcomes

GAP, DRAWS = 0.10, 100


def simulated(rng: np.random.Generator, gap: float, n: int) -> pd.DataFrame:
    """Hits of n patients; race "a" is served ``gap`` worse."""
    groups = grouped(rng, n)
    owner, hit = hits(rng, n, 0.6 - gap * (groups["race"] == "a"))
    return pd.DataFrame(
        {"patient_id": owner, "hit": hit, **{k: g[owner] for k, g in groups.items()}}
    )


def by_fairlearn(table: pd.DataFrame, gap: float, seed: int) -> dict[str, bool]:
    """MetricFrame with images drawn."""
    alarms, race = [], False
    for name in ("sex", "age", "race"):
        frame = MetricFrame(
            metrics=lambda y, _: float(np.mean(y)), y_true=table["hit"], y_pred=table["hit"],
            sensitive_features=table[name], n_boot=DRAWS, ci_quantiles=[0.025, 0.975],
            random_state=seed,
        )  # fmt: skip
        alarms.append(bool(frame.difference_ci()[0] > 0))
        race = alarms[-1]
    frame = MetricFrame(
        metrics=lambda y, _: float(np.mean(y)), y_true=table["hit"], y_pred=table["hit"],
        sensitive_features=(table["race"] == "a").rename("a"), n_boot=DRAWS,
        ci_quantiles=[0.025, 0.975], random_state=seed,
    )  # fmt: skip
    low, high = frame.difference_ci()  # of two groups' larger less smaller: the gap's size
    inside = bool(low <= gap <= high)
    return {"alarm": any(alarms), "found": race, "inside": inside}


def by_images(table: pd.DataFrame, gap: float) -> dict[str, bool]:
    """Each group against the rest by images: t-test at 5%, or four fifths."""
    alarms, race, inside = [], False, False
    for name in ("sex", "age", "race"):
        for group in sorted(set(table[name])):
            member = table[name] == group
            one, two = table.loc[member, "hit"], table.loc[~member, "hit"]
            test = ttest_ind(one, two, equal_var=False)
            ratio = min(one.mean(), two.mean()) / max(one.mean(), two.mean())
            alarms.append(bool(test.pvalue <= 0.05 or ratio < 0.8))
            if (name, group) == ("race", "a"):
                race = alarms[-1]
                ends = test.confidence_interval()
                inside = bool(ends.low <= -gap <= ends.high)
    return {"alarm": any(alarms), "found": race, "inside": inside}


def by_patients(table: pd.DataFrame, gap: float) -> dict[str, bool]:
    """This audit."""
    rows = audit_outcomes(
        table, ["hit"], ["sex", "age", "race"], permutations=0, intersections=False
    ).table
    its = rows[(rows["attribute"] == "race") & (rows["group"] == "a")].iloc[0]
    return {
        "alarm": bool((rows["p_adjusted"] <= 0.05).any()),
        "found": bool(its["p_adjusted"] <= 0.05),
        "inside": bool(its["gap_ci_low"] <= -gap <= its["gap_ci_high"]),
    }


def figures(cohorts: int, slow_cohorts: int, seed: int, n_patients: int = 3000) -> dict[str, Any]:
    """All three on the same cohorts; fairlearn, which is slow, on the first of them only."""
    found: dict[str, dict[str, list[bool]]] = {}
    for number in range(cohorts):
        for gap in (0.0, GAP):
            table = simulated(np.random.default_rng([seed, number]), gap, n_patients)
            results = {"images": by_images(table, gap), "patients": by_patients(table, gap)}
            if number < slow_cohorts:
                results["fairlearn"] = by_fairlearn(table, gap, number)
            for name, result in results.items():
                held = found.setdefault(name, {})
                if gap:
                    held.setdefault("gap found", []).append(result["found"])
                    held.setdefault("interval holds the gap", []).append(result["inside"])
                else:
                    held.setdefault("false alarm", []).append(result["alarm"])
    return {
        name: {what: share(found[name][what]) for what in found[name]} for name in sorted(found)
    }


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--slow-cohorts", type=int, default=50, help="those that fairlearn gets")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = figures(args.cohorts, args.slow_cohorts, args.seed)
    print(json.dumps({"gate": "side by side", "draws": DRAWS, **found}))


if __name__ == "__main__":
    main()
