"""Gate G10 of the fairness audit: time and memory of a million queries.

    python tests/simulation/audit_gates_cost.py --queries 1000000 --patients 250000 --seed 0

Eight measures (four proportions, four scores), three attributes with their intersections, all
groups against the rest, the largest and in pairs, 2,000 bootstrap draws. Beside it fairlearn's
MetricFrame on the same table, once for each attribute: what a single repetition of its bootstrap
costs. One JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

import numpy as np
import pandas as pd

from evaluation.audit import audit_outcomes

RATES = {"R@1": 0.4, "R@5": 0.6, "R@10": 0.7, "hit": 0.9}
SCORES = ("MRR", "nDCG@10", "P@5", "P@10")


def million(n_queries: int, n_patients: int, seed: int) -> pd.DataFrame:
    """Queries of patients, at least one each, whose outcomes are alike within patients."""
    rng = np.random.default_rng(seed)
    owner = np.concatenate(
        [np.arange(n_patients), rng.integers(0, n_patients, n_queries - n_patients)]
    )
    own = rng.normal(size=n_patients)[owner]
    table = {"patient_id": owner}
    for name, choices, shares in (
        ("sex", ["F", "M", "unknown"], [0.48, 0.5, 0.02]),
        ("age", ["<40", "40-59", "60-74", "75+"], [0.2, 0.3, 0.3, 0.2]),
        ("race", list("abcde"), [0.5, 0.2, 0.15, 0.1, 0.05]),
    ):
        table[name] = rng.choice(choices, n_patients, p=shares)[owner]
    for name, rate in RATES.items():
        z = 0.6 * own + 0.8 * rng.normal(size=n_queries)
        table[name] = (z < np.quantile(z, rate)).astype(float)
    for name in SCORES:
        table[name] = 1 / (1 + np.exp(0.6 * own + 0.8 * rng.normal(size=n_queries)))
    return pd.DataFrame(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--patients", type=int, default=250_000)
    parser.add_argument("--permutations", type=int, default=999)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    table = million(args.queries, args.patients, args.seed)
    outcomes, attributes = [*RATES, *SCORES], ["sex", "age", "race"]
    start, used = time.perf_counter(), time.process_time()
    audit = audit_outcomes(
        table, outcomes, attributes, contrasts="all", repetitions=2000,
        permutations=args.permutations, seed=args.seed,
    )  # fmt: skip
    took, used = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(
        json.dumps(
            {
                "gate": "G10", "queries": args.queries, "patients": args.patients,
                "rows": len(audit.table), "seconds": took, "cpu_seconds": used,
                "peak_gib": peak, "cores": os.cpu_count(), "load": os.getloadavg()[0],
                "permutations": args.permutations,
                "fairlearn_seconds_per_repetition": fairlearn_once(table, outcomes, attributes),
            }
        )
    )  # fmt: skip


def _mean(_true: pd.Series, _found: pd.Series, *, value: pd.Series) -> float:
    return float(np.mean(value))


def fairlearn_once(table: pd.DataFrame, outcomes: list[str], attributes: list[str]) -> float:
    """Seconds for fairlearn's means of all outcomes by all attributes and pairs of them."""
    from fairlearn.metrics import MetricFrame

    start = time.perf_counter()
    pairs = [[a, b] for i, a in enumerate(attributes) for b in attributes[i + 1 :]]
    values = {name: {"value": table[name]} for name in outcomes}
    for features in [*([name] for name in attributes), *pairs]:
        frame = MetricFrame(
            metrics=dict.fromkeys(outcomes, _mean), y_true=table[outcomes[0]],
            y_pred=table[outcomes[0]], sensitive_features=table[features], sample_params=values,
        )  # fmt: skip
        _ = frame.by_group
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
