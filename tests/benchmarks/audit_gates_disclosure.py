"""Gate G9 of the fairness audit: can a reader work out a suppressed group from all outputs?

    python tests/benchmarks/audit_gates_disclosure.py --cohorts 10000 --seed 0

Each simulated table is audited; the attacker has the audit's JSON alone, knows which sums hold,
that a group marked as suppressed has 1 to 10 patients and one with figures more, that a patient has
a query at least, and that an estimate times the queries is the events to within half of its last
decimal. Linear programs give each hidden group's least and largest size. A cell is
recovered where they are less than 1 apart.

Then a tenth as many whole reports, every section made of one random archive
(``whole_reports.py``): the attacker has all of them, and may subtract one from another. As a
control that the attack can succeed, it reads every tenth report as its sections left it, too. One
JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linprog
from scipy.sparse import csr_array

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.whole_reports import attack_report, counts_shown, make_report, random_archive

from evaluation.audit import Audit, audit_outcomes
from evaluation.library_audit.withholding import withhold

SMALL = 10
OUTCOMES = ("hit", "partly", "score")


def random_table(rng: np.random.Generator) -> pd.DataFrame:
    """Patients of two attributes, one of them perhaps by query, with small groups likely."""
    n = int(rng.integers(40, 400))
    shares = rng.dirichlet(np.full(int(rng.integers(2, 5)), 0.6))
    other = rng.dirichlet(np.full(int(rng.integers(2, 4)), 0.6))
    owner = np.repeat(np.arange(n), 1 + rng.poisson(1.0, n))
    one = rng.choice(list("abcd")[: len(shares)], n, p=shares)
    two = rng.choice(list("xyz")[: len(other)], n, p=other)
    by_query = rng.choice(list("xyz")[: len(other)], len(owner), p=other)
    hit = (rng.random(len(owner)) < 0.6).astype(float)
    partly = hit.copy()
    partly[rng.random(len(owner)) < rng.choice([0.0, 0.02, 0.3])] = np.nan
    table = pd.DataFrame(
        {
            "patient_id": owner,
            "one": one[owner],
            "two": two[owner] if rng.random() < 0.7 else by_query,
            "hit": hit,
            "partly": partly,
        }
    )
    rank = np.where(hit > 0, rng.integers(1, 4, len(owner)), np.inf)
    table["score"] = 1.0 / rank
    better = rng.random(len(owner)) < 0.3 * (table["one"] == "a")  # groups differ, some of them
    table.loc[better & (rng.random() < 0.5), ["hit", "score"]] = 1.0
    table["partly"] = table["partly"].where(table["partly"].isna(), table["hit"])
    return table.drop_duplicates("patient_id") if rng.random() < 0.3 else table


class Attacker:
    """Linear constraints that the audit's JSON gives, over unknown true counts."""

    def __init__(self, found: dict[str, Any], additive: set[str]) -> None:
        self.number: dict[tuple[str, ...], int] = {}
        self.low: list[float] = []
        self.high: list[float | None] = []
        self.equal: list[tuple[dict[int, float], float]] = []
        self.less: list[tuple[dict[int, float], float]] = []
        groups: dict[str, list[str]] = defaultdict(list)
        for cell in found["cells"]:
            self._cell(("all",), cell, cell["precision"])
            groups[cell["attribute"]].append(cell["group"])
        for row in found["table"]:
            self._row(row)
        totals = {"patients": "n_patients", "queries": "n_queries"}
        for unit, key in totals.items():
            total = self._variable((unit, "all", "", ""))
            if found["settings"][key] is not None:
                self._fix(total, found["settings"][key])
        for outcome in ("all", *OUTCOMES):
            for unit in ("patients", "queries", "events"):
                if (unit, outcome) != ("events", "all"):
                    self._sums(unit, outcome, groups, additive)

    def _variable(self, name: tuple[str, ...]) -> int:
        if name not in self.number:
            self.number[name] = len(self.low)
            self.low.append(0.0)
            self.high.append(None)
        return self.number[name]

    def _fix(self, variable: int, value: float) -> None:
        self.low[variable] = self.high[variable] = float(value)

    def _cell(self, kind: tuple[str], row: dict[str, Any], precision: str) -> None:
        name = (kind[0], row["attribute"], row["group"])
        patients, queries = (self._variable((u, *name)) for u in ("patients", "queries"))
        self.less.append(({patients: 1.0, queries: -1.0}, 0.0))
        if row["n_patients"] is not None:
            self._fix(patients, row["n_patients"])
        elif precision == "suppressed":
            self.low[patients], self.high[patients] = 1.0, float(SMALL)
        else:
            self.low[patients] = float(SMALL + 1)
        if row["n_queries"] is not None:
            self._fix(queries, row["n_queries"])

    def _row(self, row: dict[str, Any]) -> None:
        half, rest = ((row[step] or 0.0) / 2 + 1e-7 for step in ("step", "step_rest"))
        if "sizes are the group's" in row["reason"]:  # not the measured ones
            row = row | {"n_patients": None, "n_queries": None}
        precision = row["precision"]
        if precision == "suppressed":  # among those that were measured there may be none
            row = row | {"n_patients": row["n_patients"] or None}
        name = (row["outcome"], row["attribute"], row["group"])
        self._cell((row["outcome"],), row, precision)
        if precision == "suppressed" and row["reason"].startswith("nothing"):
            self._fix(self._variable(("patients", *name)), 0)
            self._fix(self._variable(("queries", *name)), 0)
        events, queries = (self._variable((u, *name)) for u in ("events", "queries"))
        self.less.append(({events: 1.0, queries: -1.0}, 0.0))
        if row["n_events"] is not None:
            self._fix(events, row["n_events"])
        if row["estimate"] is not None:
            self._mean({events: 1.0}, {queries: 1.0}, row["estimate"], half)
        if row["rest_estimate"] is not None and row["comparison"] == "rest":
            every, all_of = (self._variable((u, name[0], "", "")) for u in ("events", "queries"))
            sums = {every: 1.0, events: -1.0}, {all_of: 1.0, queries: -1.0}
            self._mean(*sums, row["rest_estimate"], rest)
        whole = self._variable(("queries", "all", *name[1:]))
        if row["n_unmeasured"] is not None:
            self.equal.append(({whole: 1.0, queries: -1.0}, float(row["n_unmeasured"])))
        self.less.append(({queries: 1.0, whole: -1.0}, 0.0))
        people = self._variable(("patients", *name))
        everyone = self._variable(("patients", "all", *name[1:]))
        self.less.append(({people: 1.0, everyone: -1.0}, 0.0))

    def _mean(
        self, events: dict[int, float], queries: dict[int, float], value: float, half: float
    ) -> None:
        """A mean to within half a decimal, times the queries that it is of."""
        self.less.append((events | {q: -s * (value + half) for q, s in queries.items()}, 0.0))
        turned = {e: -s for e, s in events.items()}
        self.less.append((turned | {q: s * (value - half) for q, s in queries.items()}, 0.0))

    def _sums(
        self, unit: str, outcome: str, groups: dict[str, list[str]], additive: set[str]
    ) -> None:
        total = self._variable((unit, outcome, "", ""))
        for attribute, labels in groups.items():
            if unit == "patients" and attribute not in additive:
                continue
            parts = {self._variable((unit, outcome, attribute, label)): 1.0 for label in labels}
            self.equal.append(({**parts, total: -1.0}, 0.0))
            if unit == "patients":
                for label in labels:
                    rest, own = (
                        self._variable((name, outcome, attribute, label))
                        for name in ("others", "patients")
                    )
                    self.equal.append(({rest: 1.0, own: 1.0, total: -1.0}, 0.0))
            for place, coarse in enumerate(attribute.split("*")):
                if "*" not in attribute or (unit == "patients" and coarse not in additive):
                    continue
                for group in groups[coarse]:
                    inside = {
                        self._variable((unit, outcome, attribute, label)): 1.0
                        for label in labels
                        if label.split("*")[place] == group
                    }
                    whole = self._variable((unit, outcome, coarse, group))
                    self.equal.append(({**inside, whole: -1.0}, 0.0))

    def range_of(self, name: tuple[str, ...]) -> tuple[float, float]:
        """Least and largest value of a count that agree with all that is shown."""
        n = len(self.low)
        made = []
        for rows in (self.equal, self.less):
            at = [i for i, (terms, _) in enumerate(rows) for _ in terms]
            to = [j for terms, _ in rows for j in terms]
            signs = [sign for terms, _ in rows for sign in terms.values()]
            made.append((csr_array((signs, (at, to)), shape=(len(rows), n)), [v for _, v in rows]))
        (equal, values), (less, most) = made
        ends = []
        for sign in (1.0, -1.0):
            goal = np.zeros(n)
            goal[self.number[name]] = sign
            solved = linprog(
                goal, A_ub=less, b_ub=most, A_eq=equal, b_eq=values,
                bounds=list(zip(self.low, self.high, strict=True)), method="highs",
            )  # fmt: skip
            if solved.status == 2:
                raise AssertionError("the truth does not fit what the audit shows")
            ends.append(np.inf if solved.status else float(sign * solved.fun))
        return ends[0], ends[1]


def recovered(table: pd.DataFrame, audit: Audit) -> tuple[int, int]:
    """Small groups that the attacker pins down, of how many."""
    additive = {"one"}
    if (table.groupby("patient_id")["two"].nunique() == 1).all():
        additive |= {"two", "one*two"}
    attacker = Attacker(audit.to_json(), additive)
    broken = small = 0
    for attribute in sorted(set(audit.cells["attribute"])):
        label = table[attribute.split("*")].agg("*".join, axis=1)
        for outcome in ("all", *OUTCOMES):
            known = table if outcome == "all" else table[table[outcome].notna()]
            sizes = known.groupby(label[known.index])["patient_id"].nunique()
            sought = [("patients", str(group)) for group, k in sizes.items() if 1 <= k <= SMALL]
            if attribute in additive:  # all others of a group may be few, too
                others = known["patient_id"].nunique() - sizes
                sought += [("others", str(g)) for g, k in others.items() if 1 <= k <= SMALL]
            for unit, group in sought:
                small += 1
                low, high = attacker.range_of((unit, outcome, attribute, group))
                broken += np.ceil(low - 1e-6) >= np.floor(high + 1e-6)
    return broken, small


def figures(cohorts: int, seed: int) -> dict[str, Any]:
    """Cells recovered over random tables."""
    broken = small = 0
    for number in range(cohorts):
        table = random_table(np.random.default_rng([seed, number]))
        audit = audit_outcomes(
            table, OUTCOMES, ["one", "two"], permutations=0, repetitions=200,
            contrasts="all" if number % 4 == 0 else "rest",
        )  # fmt: skip
        counts = recovered(table, audit)
        broken, small = broken + counts[0], small + counts[1]
    bound = 3.0 / small if small and not broken else None
    return {
        "tables": cohorts, "small_cells": small, "recovered": broken,
        "upper_95_bound_of_share": bound,
    }  # fmt: skip


def report_figures(reports: int, seed: int, control: int = 10) -> dict[str, Any]:
    """Cells recovered over whole reports, after the last step and, of every tenth, before it."""
    found = {"after": [0, 0, 0], "before": [0, 0, 0]}
    shown = {"by_the_sections": 0, "in_the_report": 0}
    for number in range(reports):
        rng = np.random.default_rng([seed, 9, number])
        archive = random_archive(rng)
        report, facts = make_report(archive, rng)
        kept = withhold(report, facts)
        shown["by_the_sections"] += counts_shown(report)
        shown["in_the_report"] += counts_shown(kept)
        for name, read in (("after", kept), ("before", report)):
            if name == "before" and number % control:
                continue
            broken, small = attack_report(archive, read)
            for place, value in enumerate((1, small, len(broken))):
                found[name][place] += value
    names = ("reports", "small_cells", "recovered")
    after, before = (dict(zip(names, found[name], strict=True)) for name in ("after", "before"))
    sure = after["small_cells"] and not after["recovered"]
    return {
        **after, "upper_95_bound_of_share": 3.0 / after["small_cells"] if sure else None,
        "counts_shown": shown,
        "withheld_by_the_last_step": shown["by_the_sections"] - shown["in_the_report"],
        "control_before_the_last_step": before,
    }  # fmt: skip


def main() -> None:
    """Print the gate's figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--reports", type=int, help="a tenth as many by default")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = {
        "tables of outcomes": figures(args.cohorts, args.seed),
        "whole reports": report_figures(
            max(1, args.cohorts // 10) if args.reports is None else args.reports, args.seed
        ),
    }
    print(json.dumps({"gate": "G9", **found}))


if __name__ == "__main__":
    main()
