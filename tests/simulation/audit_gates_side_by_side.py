"""Audits of the same cohorts: fairlearn, tests of images, statsmodels, GEE, and this one.

    python tests/simulation/audit_gates_side_by_side.py --cohorts 1000 --seed 0

On fair cohorts and on ones in which a race is served 10 points worse: how often each raises an
alarm anywhere, how often it finds the race, and how often its 95% interval of that race's gap holds
the truth. Each by the rule that a careful user would apply:

- fairlearn: ``MetricFrame`` with ``n_boot``, which draws images, an alarm where the 95% intervals
  (``by_group_ci``) of two groups do not overlap; and the same rule with patients drawn, which it
  does not offer: group means, equal to its points (gate G11), of patients drawn here;
- images: Welch's t-test of each group at 5% or a ratio of rates below 0.8, as audits of images do;
- statsmodels: ordinary least squares of each group against the rest with ``cov_type="cluster"`` by
  patient and Student's t, Holm over all;
- GEE: the same by ``GEE``, independence, Mancl and DeRouen's bias-reduced covariance.

Then fair cohorts of skewed rates (93% are hits) with many small groups: the false alarms of
statsmodels' test and of this audit, both with Holm. One JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from fairlearn.metrics import MetricFrame
from scipy.stats import ttest_ind

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simulation.audit_gates_inference import grouped, share
from support.cohorts import hits

from evaluation.audit import audit_outcomes
from evaluation.stats import holm

GAP, DRAWS = 0.10, 100


def simulated(rng: np.random.Generator, gap: float, n: int) -> pd.DataFrame:
    """Hits of n patients; race "a" is served ``gap`` worse."""
    groups = grouped(rng, n)
    owner, hit = hits(rng, n, 0.6 - gap * (groups["race"] == "a"))
    return pd.DataFrame(
        {"patient_id": owner, "hit": hit, **{k: g[owner] for k, g in groups.items()}}
    )


def _rate(truth: Any, _: Any) -> float:
    return float(np.mean(truth))


def _apart(low: pd.Series, high: pd.Series) -> bool:
    """Whether some two groups' intervals do not overlap."""
    return bool(low.max() > high.min())


def by_fairlearn(table: pd.DataFrame, gap: float, seed: int) -> dict[str, bool]:
    """MetricFrame with images drawn; the interval of the race's gap from its difference."""
    alarms, race = [], False
    member = (table["race"] == "a").rename("a")
    for feature in (table["sex"], table["age"], table["race"], member):
        frame = MetricFrame(
            metrics=_rate, y_true=table["hit"], y_pred=table["hit"], sensitive_features=feature,
            n_boot=DRAWS, ci_quantiles=[0.025, 0.975], random_state=seed,
        )  # fmt: skip
        if feature is member:  # of two groups' larger less smaller: the gap's size
            low, high = frame.difference_ci()
            inside = bool(low <= gap <= high)
            continue
        alarms.append(_apart(*frame.by_group_ci))
        race = alarms[-1]
    return {"alarm": any(alarms), "found": race, "inside": inside}


def by_drawn_patients(table: pd.DataFrame, gap: float, seed: int) -> dict[str, bool]:
    """Group means with patients drawn, all images of each."""
    rng = np.random.default_rng(seed)
    owner, hit = table["patient_id"].to_numpy(), table["hit"].to_numpy()
    n = int(owner.max()) + 1
    weights = rng.multinomial(n, np.full(n, 1 / n), size=10 * DRAWS).astype(float)
    alarms, race, inside = [], False, False
    for name in ("sex", "age", "race"):
        held = {}
        for group in sorted(set(table[name])):
            member = (table[name] == group).to_numpy()
            sums, sizes = np.bincount(owner, hit * member, n), np.bincount(owner, member, n)
            held[group] = (weights @ sums) / (weights @ sizes)
            if (name, group) == ("race", "a"):
                rest = np.bincount(owner, hit, n) - sums
                other = (weights @ rest) / (weights @ (np.bincount(owner, minlength=n) - sizes))
                low, high = np.quantile(held[group] - other, [0.025, 0.975])
                inside = bool(low <= -gap <= high)
        drawn = pd.DataFrame(held)
        alarms.append(_apart(drawn.quantile(0.025), drawn.quantile(0.975)))
        race = alarms[-1]
    return {"alarm": any(alarms), "found": race, "inside": inside}


def by_statsmodels(table: pd.DataFrame, gap: float, *, gee: bool = False) -> dict[str, bool]:
    """Each group against the rest, patients as clusters, Holm."""
    p, at, inside = [], 0, False
    for name in ("sex", "age", "race"):
        groups = sorted(set(table[name]))
        for group in groups[:1] if len(groups) == 2 else groups:
            model, ends = _clustered(table, table[name] == group, gee=gee)
            if (name, group) == ("race", "a"):
                at, inside = len(p), bool(ends[0] <= -gap <= ends[1])
            p.append(model)
    adjusted = holm(p)
    return {
        "alarm": bool((adjusted <= 0.05).any()),
        "found": bool(adjusted[at] <= 0.05),
        "inside": inside,
    }


def _clustered(
    table: pd.DataFrame, member: pd.Series, *, gee: bool
) -> tuple[float, tuple[float, float]]:
    """p and interval of the gap."""
    design = sm.add_constant(member.to_numpy(float))
    owner = table["patient_id"].to_numpy()
    if gee:
        model = sm.GEE(table["hit"].to_numpy(), design, groups=owner)
        fitted = model.fit(cov_type="bias_reduced")
    else:
        model = sm.OLS(table["hit"].to_numpy(), design)
        fitted = model.fit(cov_type="cluster", cov_kwds={"groups": owner}, use_t=True)
    low, high = fitted.conf_int()[1]
    return float(fitted.pvalues[1]), (float(low), float(high))


def skewed(rng: np.random.Generator, n: int = 600) -> dict[str, bool]:
    """Any false alarm where 93% hit and groups are many and small."""
    groups = {
        name: rng.choice(len(p), n, p=p).astype(str)
        for name, p in (
            ("sex", [0.5, 0.5]), ("age", [0.1, 0.2, 0.3, 0.25, 0.15]),
            ("race", [0.55, 0.16, 0.12, 0.1, 0.07]), ("ward", [0.4, 0.3, 0.3]),
        )
    }  # fmt: skip
    owner, hit = hits(rng, n, 0.93)
    table = pd.DataFrame(
        {"patient_id": owner, "hit": hit, **{k: g[owner] for k, g in groups.items()}}
    )
    rows = audit_outcomes(table, ["hit"], list(groups), permutations=0).table
    tested = rows[(rows["comparison"] == "rest") & rows["p_value"].notna()]
    p = []
    for attribute, held in tested.groupby("attribute"):
        first, *second = str(attribute).split("*")
        label = table[first] if not second else table[first] + "*" + table[second[0]]
        there = set(label)  # "other (small groups)" is the audit's own
        p += [
            _clustered(table, label == group, gee=False)[0]
            for group in held["group"]
            if group in there
        ]
    return {
        "statsmodels": bool((holm(p) <= 0.05).any()),
        "patients": bool((rows["p_adjusted"] <= 0.05).any()),
    }


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
    """All on the same cohorts; fairlearn and GEE, which are slow, on the first of them only."""
    found: dict[str, dict[str, list[bool]]] = {}
    for number in range(cohorts):
        for gap in (0.0, GAP):
            table = simulated(np.random.default_rng([seed, number]), gap, n_patients)
            results = {
                "images": by_images(table, gap),
                "patients": by_patients(table, gap),
                "statsmodels": by_statsmodels(table, gap),
                "patients drawn": by_drawn_patients(table, gap, number),
            }
            if number < slow_cohorts:
                results["fairlearn"] = by_fairlearn(table, gap, number)
                results["GEE"] = by_statsmodels(table, gap, gee=True)
            for name, result in results.items():
                held = found.setdefault(name, {})
                if gap:
                    held.setdefault("gap found", []).append(result["found"])
                    held.setdefault("interval holds the gap", []).append(result["inside"])
                else:
                    held.setdefault("false alarm", []).append(result["alarm"])
    for number in range(cohorts):
        for name, alarm in skewed(np.random.default_rng([seed, 93, number])).items():
            found[name].setdefault("false alarm, 93% hits, many groups", []).append(alarm)
    return {
        name: {what: share(found[name][what]) for what in found[name]} for name in sorted(found)
    }


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument(
        "--slow-cohorts", type=int, default=50, help="those that fairlearn and GEE get"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = figures(args.cohorts, args.slow_cohorts, args.seed)
    print(json.dumps({"gate": "side by side", "draws": DRAWS, **found}))


if __name__ == "__main__":
    main()
