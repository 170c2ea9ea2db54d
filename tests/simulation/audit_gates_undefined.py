"""Gates G8 and G11 of the fairness audit: no invented number; points equal the peers'.

    python tests/simulation/audit_gates_undefined.py --cohorts 500 --seed 0

G8: degenerate random tables (one group, one patient, no positives, all ties, nothing measured,
unknown only), each audit checked for a number where none can be known and for a verdict without
ground. G11: on random tables every group's mean equals fairlearn's and scikit-learn's, on random
rankings every query's measure ir-measures'; a rerun gives the same bits, and so it does in two
other processes with other hash seeds, one of them with two threads, on tables with small groups
and on whole reports. One JSON object on stdout.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simulation.audit_gates_disclosure import (
    OUTCOMES,
    make_report,
    random_archive,
    random_table,
)

from evaluation.audit import Audit, audit_outcomes
from evaluation.retrieval.scores import retrieval_scores
from evaluation.stats import OTHER_GROUPS, Minimum

VERDICTS = {"within", "exceeds", "differs", "inconclusive", "not_assessable"}
FIGURES = ["gap", "gap_ci_low", "gap_ci_high"]


def faults(table: pd.DataFrame, audit: Audit, minimum: Minimum) -> list[str]:
    """What in an audit has no ground in the table, by counting each row again."""
    found = []
    for row in audit.table[audit.table["comparison"] == "rest"].to_dict("records"):
        name = f"{row['attribute']} {row['outcome']}"
        label = _labels(table, row["attribute"], audit.settings["merged"])
        y = table[row["outcome"]].astype(float)
        known = label.map(lambda name: "unknown" not in name.split("*"))
        mine, rest = (
            table[member & y.notna()]
            for member in (label == row["group"], known & (label != row["group"]))
        )
        k, other = mine["patient_id"].nunique(), rest["patient_id"].nunique()
        assessed = row["verdict"] != "not_assessable"
        if row["verdict"] not in VERDICTS or row["verdict_naive"] not in VERDICTS:
            found.append(f"{name}: no verdict")
        if not row["reason"]:
            found.append(f"{name}: no reason")
        if assessed and (k < minimum.reported or other < minimum.reported):
            found.append(f"{name}: assessed on too few patients")
        if assessed and np.isnan([row[f] for f in FIGURES]).any():
            found.append(f"{name}: a verdict without figures")
        if not assessed and not np.isnan([row["p_adjusted"], row["p_value"]]).all():
            found.append(f"{name}: a p-value without an assessment")
        if (
            k < minimum.reported
            and not np.isnan([row["estimate"], *(row[f] for f in FIGURES)]).all()
        ):
            found.append(f"{name}: figures of a suppressed group")
        if other < minimum.reported and not np.isnan(row["gap"]):
            found.append(f"{name}: a gap to too few")
        if k and not np.isnan(row["estimate"]):
            mean = float(mine[row["outcome"]].astype(float).mean())
            near = row["step"] / 2 + 2e-9 * max(1.0, abs(y).max())  # in steps beside hidden counts
            if not abs(row["estimate"] - mean) <= near:
                found.append(f"{name}: an estimate that is not the mean")
        for low, point, high in (
            ("ci_low", "estimate", "ci_high"),
            ("gap_ci_low", "gap", "gap_ci_high"),
            ("gap_naive_ci_low", "gap_naive", "gap_naive_ci_high"),
        ):
            ends = [row[low], row[point], row[high]]
            if not np.isnan(ends).any() and sorted(ends) != ends:
                found.append(f"{name}: an interval without its estimate")
            if np.isinf(ends).any():
                found.append(f"{name}: an infinite end")
        for p in ("p_value", "p_adjusted", "p_naive", "p_max_t"):
            if not np.isnan(row[p]) and not 0 <= row[p] <= 1:
                found.append(f"{name}: {p} is no probability")
        if y[mine.index.union(rest.index)].nunique() <= 1 and row["verdict"] in (
            "exceeds",
            "differs",
        ):
            found.append(f"{name}: a gap where nothing varies")
    json.dumps(audit.to_json(), allow_nan=False)
    return found


def _labels(table: pd.DataFrame, attribute: str, merged: dict[str, list[str]]) -> pd.Series:
    parts = []
    for part in attribute.split("*"):
        names = table[part].map(lambda v: "unknown" if v is None or v != v or v == "" else str(v))
        parts.append(names.where(~names.isin(merged.get(part, [])), OTHER_GROUPS))
    joined = pd.Series(
        ["*".join(values) for values in zip(*parts, strict=True)], index=table.index, dtype=object
    )
    return joined.where(~joined.isin(merged.get(attribute, [])), OTHER_GROUPS)


def degenerate(rng: np.random.Generator) -> pd.DataFrame:
    """A table of which something is degenerate, or everything."""
    n = int(rng.choice([1, 2, 12, 60, 200]))
    k = max(1, int(n * rng.choice([0.0, 0.3, 1.0])))
    owner = rng.integers(0, k, n)

    def groups(kind: int) -> np.ndarray:
        choices: list[list[Any]] = [
            ["a"],
            [None],
            ["a", "b"],
            ["a", "", None, "c"],
            list(range(40)),
        ]
        drawn = rng.choice(np.array(choices[kind], dtype=object), max(k, n))
        return drawn[owner] if rng.random() < 0.5 else drawn[:n]

    def outcome(kind: int) -> np.ndarray:
        values = [
            np.zeros(n), np.ones(n), np.full(n, 0.7), np.full(n, np.nan),
            (rng.random(n) < 0.5).astype(float), rng.normal(size=n) * 1e9,
            np.where(np.arange(n) == 0, 1.0, 0.0), rng.random(n),
        ][kind].copy()  # fmt: skip
        values[rng.random(n) < rng.choice([0.0, 0.0, 0.5])] = np.nan
        return np.asarray(values)

    return pd.DataFrame(
        {
            "patient_id": owner,
            "sex": groups(int(rng.integers(5))),
            "site": groups(int(rng.integers(5))),
            "view": groups(int(rng.integers(3))),
            "one": outcome(int(rng.integers(8))),
            "two": outcome(int(rng.integers(8))),
        }
    )


def undefined(tables: int, seed: int) -> list[str]:
    """Faults over random degenerate tables (G8)."""
    found = []
    for number in range(tables):
        rng = np.random.default_rng([seed, number])
        table = degenerate(rng)
        minimum = Minimum(*((11, 50) if rng.random() < 0.5 else (2, 5)))
        audit = audit_outcomes(
            table, ["one", "two"], ["sex", "site"], minimum=minimum, repetitions=200,
            strata=["view"] if rng.random() < 0.5 else (), permutations=int(rng.choice([0, 99])),
        )  # fmt: skip
        found += faults(table, audit, minimum)
    return found


def agreement(tables: int, seed: int) -> tuple[float, int]:
    """Largest distance to fairlearn's and scikit-learn's points, and reruns that differ (G11)."""
    from fairlearn.metrics import MetricFrame, true_positive_rate
    from sklearn.metrics import recall_score

    furthest, different = 0.0, 0
    for number in range(tables):
        rng = np.random.default_rng([seed, number])
        n = int(rng.integers(40, 400))
        table = pd.DataFrame(
            {
                "patient_id": rng.integers(0, n, n),
                "sex": rng.choice(["F", "M"], n),
                "site": rng.choice(["A", "B", "C"], n),
                "truth": rng.integers(0, 2, n),
                "found": rng.integers(0, 2, n),
                "rank": rng.random(n) * 10,
            }
        )
        table["sensitivity"] = np.where(table["truth"] == 1, table["found"], np.nan)
        args = {"permutations": 0, "repetitions": 200, "minimum": Minimum(2, 3)}
        audit = audit_outcomes(table, ["sensitivity", "rank"], ["sex", "site"], **args)
        again = audit_outcomes(table, ["sensitivity", "rank"], ["sex", "site"], **args)
        different += json.dumps(audit.to_json()) != json.dumps(again.to_json())
        if audit.settings["rounded"]:
            continue
        estimate = audit.table.set_index(["attribute", "group", "outcome"])
        for features in (["sex"], ["site"], ["sex", "site"]):
            frame = MetricFrame(
                metrics={"sensitivity": true_positive_rate, "rank": lambda y, p: np.mean(p)},
                y_true=table["truth"],
                y_pred=table["found"],
                sensitive_features=table[features],
            )
            ranks = MetricFrame(
                metrics=lambda y, _: np.mean(y), y_true=table["rank"], y_pred=table["rank"],
                sensitive_features=table[features],
            )  # fmt: skip
            for group, value in frame.by_group["sensitivity"].items():
                parts = group if isinstance(group, tuple) else (group,)
                name = ("*".join(features), "*".join(parts))
                row = estimate.loc[(*name, "sensitivity")]
                member = np.logical_and.reduce(
                    [table[f] == part for f, part in zip(features, parts, strict=True)]
                )
                its = table[member]
                if pd.isna(row["estimate"]) or pd.isna(row["n_queries"]):
                    continue  # suppressed, or rounded because a count is hidden
                own = recall_score(its["truth"], its["found"])
                furthest = max(furthest, abs(row["estimate"] - value), abs(row["estimate"] - own))
                row = estimate.loc[(*name, "rank")]
                if not pd.isna(row["n_queries"]):
                    furthest = max(furthest, abs(row["estimate"] - ranks.by_group.loc[group]))
    return float(furthest), different


def ranking_agreement(tables: int, seed: int) -> float:
    """Largest distance of a query's measure to what ir-measures (trec_eval) says of it (G11)."""
    import ir_measures
    from ir_measures import RR, P, Success, nDCG

    peers = {"MRR": RR} | {f"R@{k}": Success @ k for k in (1, 5, 10)}
    peers |= {f"P@{k}": P @ k for k in (5, 10)} | {"nDCG@10": nDCG @ 10}
    furthest = 0.0
    for number in range(tables):
        rng = np.random.default_rng([seed, 11, number])
        n_queries, n_items = int(rng.integers(1, 30)), int(rng.integers(1, 80))
        scores = rng.random((n_queries, n_items)).argsort(axis=1)  # no ties: trec_eval orders them
        relevant = rng.random((n_queries, n_items)) < rng.choice([0.02, 0.2, 0.9])
        if not relevant.any():
            continue
        own = retrieval_scores(
            None, None, relevant, scores=scores.astype(np.float64), measures=list(peers),
            repetitions=100,
        )  # fmt: skip
        judged = {
            str(q): {str(i): int(right) for i, right in enumerate(relevant[q])}
            for q in own.queries.tolist()
        }
        ranked = {
            str(q): {str(i): float(s) for i, s in enumerate(scores[q])}
            for q in own.queries.tolist()
        }
        named = {str(peer): name for name, peer in peers.items()}
        place = {str(q): at for at, q in enumerate(own.queries.tolist())}
        for found in ir_measures.iter_calc(list(peers.values()), judged, ranked):
            mine = own.per_query[named[str(found.measure)]][place[found.query_id]]
            furthest = max(furthest, abs(float(mine) - found.value))
    return furthest


def fingerprints(tables: int, seed: int) -> list[str]:
    """Digests of the audits of random tables with small groups, and of a tenth as many reports."""
    found = []
    for number in range(tables):
        table = random_table(np.random.default_rng([seed, number]))
        audit = audit_outcomes(table, OUTCOMES, ["one", "two"], permutations=99)
        found.append(json.dumps(audit.to_json()))
    for number in range(tables // 10):
        rng = np.random.default_rng([seed, number])
        found.append(json.dumps(make_report(*random_archive(rng), rng)))
    return [hashlib.sha256(text.encode()).hexdigest() for text in found]


def elsewhere(tables: int, seed: int) -> int:
    """Audits that differ between processes with other hash seeds and numbers of threads."""
    runs = []
    for hash_seed, threads in (("1", "1"), ("7", "2")):
        done = subprocess.run(
            [sys.executable, __file__, "--fingerprints", "--cohorts", str(tables),
             "--seed", str(seed)],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": threads},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return sum(one != other for one, other in zip(*runs, strict=True))


def main() -> None:
    """Print both gates' figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fingerprints", action="store_true", help="of audits, and nothing else")
    args = parser.parse_args()
    if args.fingerprints:
        print(json.dumps(fingerprints(args.cohorts, args.seed)))
        return
    found = undefined(args.cohorts, args.seed)
    furthest, different = agreement(args.cohorts, args.seed)
    furthest_ranking = ranking_agreement(args.cohorts, args.seed)
    different += elsewhere(args.cohorts, args.seed)
    print(
        json.dumps(
            {
                "G8": {"tables": args.cohorts, "faults": len(found), "first": found[:5]},
                "G11": {
                    "tables": args.cohorts, "largest_difference": furthest,
                    "largest_difference_of_rankings": furthest_ranking,
                    "reruns_that_differ": different,
                },
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
