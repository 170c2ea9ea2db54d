"""Gate G9 of the fairness audit: can a reader work out a suppressed group from all outputs?

    python tests/simulation/audit_gates_disclosure.py --cohorts 10000 --seed 0

Each simulated table is audited; the attacker has the audit's JSON alone, knows which sums hold,
that a group marked as suppressed has 1 to 10 patients, one of low precision 11 to 49 and any other
50 or more, that a patient has a query at least, and that a mean times the queries, of a group and
of all others, is their events to within half of the step that the row names. Linear programs give
each small count's least and largest value: of groups, and of all others where these are few. A
count is recovered where one whole number lies between. In every tenth table the attacker knows
besides that none of the counts is a fraction (mixed integer programs).

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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulation.whole_reports import attack_report, counts_shown, make_report, random_archive

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

    def rules(self) -> list[tuple[Any, NDArray[np.float64]]]:
        """Matrix and values of the sums, and of what is at most."""
        made = []
        for rows in (self.equal, self.less):
            at = [i for i, (terms, _) in enumerate(rows) for _ in terms]
            to = [j for terms, _ in rows for j in terms]
            signs = [sign for terms, _ in rows for sign in terms.values()]
            matrix = csr_array((signs, (at, to)), shape=(len(rows), len(self.low)))
            made.append((matrix, np.array([value for _, value in rows])))
        return made

    def told(self, sought: list[tuple[tuple[str, ...], int]]) -> int:
        """Of how many counts no other whole number lies between their least and largest value."""
        (equal, values), (less, most) = self.rules()
        where = np.array([self.number[name] for name, _ in sought], dtype=np.int64)
        truth = np.array([count for _, count in sought], dtype=np.float64)
        least, largest = truth.copy(), truth.copy()
        found = 0
        for place, at in enumerate(where.tolist()):
            for sign in (1.0, -1.0):
                if not self._alone(truth, least, largest, place):
                    break
                goal = np.zeros(len(self.low))
                goal[at] = sign
                solved = linprog(
                    goal, A_ub=less, b_ub=most, A_eq=equal, b_eq=values,
                    bounds=list(zip(self.low, self.high, strict=True)), method="highs",
                )  # fmt: skip
                if solved.status == 2:
                    raise AssertionError("the truth does not fit what the audit shows")
                if solved.status == 3:
                    (least if sign > 0 else largest)[place] = -sign * np.inf
                    continue
                np.minimum(least, solved.x[where], out=least)
                np.maximum(largest, solved.x[where], out=largest)
            found += self._alone(truth, least, largest, place)
        return found

    @staticmethod
    def _alone(
        truth: NDArray[np.float64],
        least: NDArray[np.float64],
        largest: NDArray[np.float64],
        at: int,
    ) -> bool:
        return bool(largest[at] < truth[at] + 1 - 1e-6 and least[at] > truth[at] - 1 + 1e-6)


def small_groups(
    table: pd.DataFrame, audit: Audit
) -> tuple[Attacker, list[tuple[tuple[str, ...], int]]]:
    """What the attacker has, and the counts of 1 to 10 patients that it seeks."""
    additive = {"one"}
    if (table.groupby("patient_id")["two"].nunique() == 1).all():
        additive |= {"two", "one*two"}
    sought = []
    for attribute in sorted(set(audit.cells["attribute"])):
        label = table[attribute.split("*")].agg("*".join, axis=1)
        for outcome in ("all", *OUTCOMES):
            known = table if outcome == "all" else table[table[outcome].notna()]
            sizes = known.groupby(label[known.index])["patient_id"].nunique()
            units = {"patients": sizes}
            if attribute in additive:  # all others of a group may be few, too
                units["others"] = known["patient_id"].nunique() - sizes
            sought += [
                ((unit, outcome, attribute, str(group)), int(k))
                for unit, counts in units.items()
                for group, k in counts.items()
                if 1 <= k <= SMALL
            ]
    return Attacker(audit.to_json(), additive), sought


def recovered(table: pd.DataFrame, audit: Audit) -> tuple[int, int]:
    """Small groups that the attacker pins down, of how many."""
    attacker, sought = small_groups(table, audit)
    return attacker.told(sought), len(sought)


def another_fits(attacker: Attacker, name: tuple[str, ...], truth: int) -> bool:
    """Whether a count may be another one, if none is a fraction (mixed integer programs)."""
    n, at = len(attacker.low), attacker.number[name]
    low = np.array(attacker.low)
    high = np.array([np.inf if end is None else end for end in attacker.high])
    whole = np.zeros(n)
    for (kind, outcome, *_), place in attacker.number.items():
        whole[place] = kind != "events" or outcome != "score"
    rules = []
    for (matrix, values), slack in zip(attacker.rules(), (1e-6, np.inf), strict=True):
        rules.append(LinearConstraint(matrix, values - slack, values + 1e-6))
    for side in (1, -1):
        ends = low.copy(), high.copy()
        ends[0 if side > 0 else 1][at] = truth + side
        if ends[0][at] < low[at] or ends[1][at] > high[at] or (ends[0] > ends[1]).any():
            continue
        found = milp(
            np.zeros(n), constraints=rules, bounds=Bounds(*ends), integrality=whole,
            options={"time_limit": 60},
        )  # fmt: skip
        if found.status != 2:  # not shown to be impossible
            return True
    return False


def one_table(seed: int, number: int, every: int) -> tuple[int, int, int, int]:
    """Small groups and those recovered in a table; the same by whole numbers, in every so many."""
    table = random_table(np.random.default_rng([seed, number]))
    audit = audit_outcomes(
        table, OUTCOMES, ["one", "two"], permutations=0, repetitions=200,
        contrasts="all" if number % 4 == 0 else "rest",
    )  # fmt: skip
    broken, small = recovered(table, audit)
    if broken:
        sys.stderr.write(f"table {number}: {broken} recovered\n")
    if number % every:
        return broken, small, 0, 0
    attacker, sought = small_groups(table, audit)
    held = [another_fits(attacker, name, truth) for name, truth in sought]
    if not all(held):
        sys.stderr.write(f"table {number}: {held.count(False)} recovered by whole numbers\n")
    return broken, small, held.count(False), len(held)


def figures(cohorts: int, seed: int, processes: int = 1, every: int = 10) -> dict[str, Any]:
    """Cells recovered over random tables."""
    jobs = ([seed] * cohorts, range(cohorts), [every] * cohorts)
    with pool(processes) as run:
        broken, small, by_whole, sought = np.array(list(run(one_table, *jobs))).sum(axis=0).tolist()
    bound = 3.0 / small if small and not broken else None
    return {
        "tables": cohorts, "small_cells": small, "recovered": broken,
        "upper_95_bound_of_share": bound,
        "by_whole_numbers": {
            "tables": len(range(0, cohorts, every)), "small_cells": sought, "recovered": by_whole
        },
    }  # fmt: skip


@contextmanager
def pool(processes: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A map over so many processes, or the plain one."""
    if processes < 2:
        yield map
        return
    with ProcessPoolExecutor(processes) as executor:
        yield partial(executor.map, chunksize=4)


def one_report(seed: int, number: int, control: int) -> tuple[int, ...]:
    """Counts shown before and after the last step; small and recovered cells after and before."""
    rng = np.random.default_rng([seed, 9, number])
    archive = random_archive(rng)
    report, facts = make_report(archive, rng)
    kept = withhold(report, facts)
    broken, small = attack_report(archive, kept)
    if broken:
        sys.stderr.write(f"report {number}: {len(broken)} recovered\n")
    found = [counts_shown(report), counts_shown(kept), 1, small, len(broken)]
    if number % control == 0:
        broken, small = attack_report(archive, report)
        return (*found, 1, small, len(broken))
    return (*found, 0, 0, 0)


def report_figures(
    reports: int, seed: int, control: int = 10, processes: int = 1
) -> dict[str, Any]:
    """Cells recovered over whole reports, after the last step and, of every tenth, before it."""
    jobs = ([seed] * reports, range(reports), [control] * reports)
    with pool(processes) as run:
        sums = np.array(list(run(one_report, *jobs))).sum(axis=0).tolist()
    names = ("reports", "small_cells", "recovered")
    after, before = (dict(zip(names, part, strict=True)) for part in (sums[2:5], sums[5:]))
    sure = after["small_cells"] and not after["recovered"]
    return {
        **after, "upper_95_bound_of_share": 3.0 / after["small_cells"] if sure else None,
        "counts_shown": {"by_the_sections": sums[0], "in_the_report": sums[1]},
        "withheld_by_the_last_step": sums[0] - sums[1],
        "control_before_the_last_step": before,
    }  # fmt: skip


def main() -> None:
    """Print the gate's figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--reports", type=int, help="a tenth as many by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    reports = max(1, args.cohorts // 10) if args.reports is None else args.reports
    found = {
        "tables of outcomes": figures(args.cohorts, args.seed, args.processes),
        "whole reports": report_figures(reports, args.seed, processes=args.processes),
    }
    print(json.dumps({"gate": "G9", **found}))


if __name__ == "__main__":
    main()
