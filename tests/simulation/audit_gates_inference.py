"""Gates G1 to G4 of the fairness audit: false alarms, coverage, power, confounding.

    python tests/simulation/audit_gates_inference.py --gate G1 --cohorts 1000 --seed 0

Whole audits (:func:`evaluation.audit_outcomes`) of simulated cohorts whose truth is known by
construction: hits are Beta-Binomial within patients, who have 1 + NegBin queries; a rank stands
behind each hit. One JSON object on stdout, each figure with its standard error and n.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from support.cohorts import hits

from evaluation.audit import audit_outcomes

DESIGNS: dict[str, dict[str, float]] = {
    "usual": {"icc": 0.3, "size": 3.5},
    "few images": {"icc": 0.3, "size": 1.5},
    "many images": {"icc": 0.3, "size": 5.8},
    "alike": {"icc": 0.5, "size": 3.5},
    "rare misses": {"icc": 0.2, "size": 3.5, "rate": 0.93},
}
MEASURES = ["recall@1", "recall@10", "MRR"]


def share(found: list[bool]) -> dict[str, float | int]:
    """Share, its standard error and n."""
    n, rate = len(found), float(np.mean(found))
    return {"share": rate, "error": float(np.sqrt(max(rate * (1 - rate), 1 / n) / n)), "n": n}


def measured(rng: np.random.Generator, hit: np.ndarray) -> dict[str, np.ndarray]:
    """Three measures of one ranking: hit at 1, at 10, and the reciprocal rank.

    A miss at 1 is a hit at 10 half of the time; truths are linear in the rate of hits.
    """
    second = rng.random(len(hit)) < 0.5
    at_10 = np.where(hit > 0, 1.0, second)
    rank = rng.integers(2, 11, len(hit))
    return {
        "recall@1": hit,
        "recall@10": at_10,
        "MRR": np.where(hit > 0, 1.0, np.where(second, 1 / rank, 0.0)),
    }


def grouped(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Sex, age band and race of n patients: 8 groups, 29 with their intersections."""
    return {
        "sex": rng.choice(["F", "M"], n),
        "age": rng.choice(["<40", "40-69", "70+"], n, p=[0.16, 0.5, 0.34]),
        "race": rng.choice(["a", "b", "c"], n, p=[0.16, 0.24, 0.6]),
    }


def false_alarms(design: str, cohorts: int, seed: int, n_patients: int = 600) -> list[bool]:
    """Whether any of all tests of the audit flags, on fair cohorts (G1)."""
    found = []
    for number in range(cohorts):
        rng = np.random.default_rng([seed, number])
        owner, hit = hits(rng, n_patients, **DESIGNS[design])
        table = {"patient_id": owner, **measured(rng, hit)}
        table |= {name: group[owner] for name, group in grouped(rng, n_patients).items()}
        audit = audit_outcomes(
            table, MEASURES, ["sex", "age", "race"], permutations=0, repetitions=500
        )
        found.append(bool((audit.table["p_adjusted"] <= 0.05).any()))
    return found


def two_groups(
    rng: np.random.Generator, small: int, large: int, *, gap: float, rate: float, icc: float
) -> pd.DataFrame:
    """A small group, ``gap`` below the others, and two strata of which it has more of the hard."""
    member = np.arange(small + large) < small
    hard = rng.random(len(member)) < np.where(member, 0.6, 0.4)
    owner, hit = hits(rng, len(member), rate - 0.15 * hard - gap * member, icc=icc)
    table = pd.DataFrame({"patient_id": owner, **measured(rng, hit)})
    table["group"] = np.where(member, "small", "large")[owner]
    table["view"] = np.where(hard, "AP", "PA")[owner]
    return table


def coverage(
    small: int, cohorts: int, seed: int, *, gap: float = 0.05, rate: float = 0.6, icc: float = 0.3
) -> dict[str, list[bool]]:
    """Whether each interval of a group of that size holds the truth (G2)."""
    mean = rate - 0.15 * 0.6 - gap
    rest = rate - 0.15 * 0.4
    rr = 0.5 * float(np.mean(1 / np.arange(2, 11)))
    slope = {"recall@1": 1.0, "recall@10": 0.5, "MRR": 1 - rr}
    start = {"recall@1": 0.0, "recall@10": 0.5, "MRR": rr}
    found: dict[str, list[bool]] = {}
    for number in range(cohorts):
        table = two_groups(
            np.random.default_rng([seed, small, number]), small, 600, gap=gap, rate=rate, icc=icc
        )
        rows = audit_outcomes(
            table, MEASURES, ["group"], strata=["view"], permutations=0, overlap=0.0
        ).table
        for row in rows[rows["group"] == "small"].to_dict("records"):
            name = row["outcome"]
            truths = {
                "ci": ("mean", start[name] + slope[name] * mean),
                "gap_naive_ci": ("gap", slope[name] * (mean - rest)),
                "gap_ci": ("adjusted gap", -slope[name] * gap),
            }
            for column, (what, truth) in truths.items():
                low, high = row[f"{column}_low"], row[f"{column}_high"]
                if not np.isnan(low):
                    found.setdefault(f"{name} {what}", []).append(bool(low <= truth <= high))
    return found


def power(
    gap: float, group_patients: int, cohorts: int, seed: int, *, named: int = 0
) -> list[bool]:
    """Whether a gap in recall@1 of the race that 16% of patients have is found (G3).

    With Holm over all tests of the audit, or in a primary family of so many questions: the race
    alone, with sex (the two sides of one question), and with three age bands.
    """
    asked: dict[int, list[Any]] = {1: [("race", "a", "recall@1")]}
    asked[2] = [*asked[1], ("sex", "recall@1")]
    asked[5] = [*asked[2], ("age", "recall@1")]
    primary = asked[named] if named else []
    found = []
    n = round(group_patients / 0.16)
    for number in range(cohorts):
        rng = np.random.default_rng([seed, group_patients, number])
        groups = grouped(rng, n)
        groups["race"][:group_patients] = "a"
        others = groups["race"][group_patients:]
        others[others == "a"] = "c"
        owner, hit = hits(rng, n, 0.5 - gap * (groups["race"] == "a"))
        table = {"patient_id": owner, **measured(rng, hit)}
        table |= {name: group[owner] for name, group in groups.items()}
        rows = audit_outcomes(
            table, MEASURES[:2], list(groups), permutations=0, primary=primary
        ).table
        row = rows[(rows["group"] == "a") & (rows["outcome"] == "recall@1")].iloc[0]
        found.append(bool(row["p_adjusted"] <= 0.05))
    return found


def confounded(gap: float, cohorts: int, seed: int, n_patients: int = 4000) -> dict[str, list[Any]]:
    """Flags, naive and adjusted, and estimates where a group has more of the easy cases (G4).

    With gap 0 fair, and unfair to the naive eye; with 0.05 the harm hides behind the mix.
    """
    found: dict[str, list[Any]] = {"naive": [], "adjusted": [], "gap": []}
    easy = np.array([0.62, 0.58, 0.5, 0.44])
    for number in range(cohorts):
        rng = np.random.default_rng([seed, number])
        member = rng.random(n_patients) < 0.35
        # The group's mix is easier by about 5 points, the size of the harm that it hides.
        stratum = np.where(
            member,
            rng.choice(4, n_patients, p=[0.5, 0.2, 0.2, 0.1]),
            rng.choice(4, n_patients, p=[0.1, 0.25, 0.3, 0.35]),
        )
        owner, hit = hits(rng, n_patients, easy[stratum] - gap * member)
        table = {
            "patient_id": owner, "hit": hit, "group": np.where(member, "a", "b")[owner],
            "finding": stratum[owner],
        }  # fmt: skip
        row = audit_outcomes(
            table, ["hit"], ["group"], strata=["finding"], permutations=0
        ).table.iloc[0]
        found["naive"].append(bool(row["p_naive"] <= 0.05))
        found["adjusted"].append(bool(row["p_adjusted"] <= 0.05))
        found["gap"].append(float(row["gap"]))
    return found


def figures(gate: str, cohorts: int, seed: int) -> dict[str, Any]:
    """All figures of a gate."""
    if gate == "G1":
        return {design: share(false_alarms(design, cohorts, seed)) for design in DESIGNS}
    if gate == "G2":
        return {
            f"{small} patients, {name}": share(found)
            for small in (15, 30, 50, 100, 300)
            for name, found in coverage(small, cohorts, seed).items()
        }
    if gate == "G3":
        return {
            f"gap {gap:.2f}, {patients} patients, "
            + (f"primary family of {named}" if named else "all tests"): share(
                power(gap, patients, cohorts, seed, named=named)
            )
            for gap, patients, named in (
                (0.10, 640, 0), (0.05, 2560, 0), (0.10, 160, 5), (0.10, 160, 2), (0.10, 160, 1),
            )
        }  # fmt: skip
    fair, hidden = confounded(0.0, cohorts, seed), confounded(0.05, cohorts, seed + 1)
    gaps = np.array(hidden["gap"])
    return {
        "fair, flagged naively": share(fair["naive"]),
        "fair, flagged adjusted": share(fair["adjusted"]),
        "harm of 0.05, found naively": share(hidden["naive"]),
        "harm of 0.05, found adjusted": share(hidden["adjusted"]),
        "bias of the adjusted gap": {
            "value": float(gaps.mean() + 0.05),
            "error": float(gaps.std(ddof=1) / np.sqrt(len(gaps))),
            "n": len(gaps),
        },
    }


def main() -> None:
    """Print one gate's figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gate", choices=["G1", "G2", "G3", "G4"], required=True)
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(json.dumps({"gate": args.gate, **figures(args.gate, args.cohorts, args.seed)}))


if __name__ == "__main__":
    main()
