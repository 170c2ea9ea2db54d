"""A reader of a report who knows its rule, and works small counts out with integer programs.

It shares no code with what hides and rounds; it knows by how much counts are rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from evaluation.stats import OTHER_GROUPS, suppression

SMALL, PRECISE = 10, 50
OUTCOMES = ("hit", "partly", "score")
ATTRIBUTES = ("one", "two")
CROSSED = "one*two"
Terms = dict[int, float]


@dataclass
class Archive:
    """What is true: cases, their patients and groups, and who is in which set."""

    owner: NDArray[np.int64]
    groups: dict[str, NDArray[Any]]
    sets: dict[str, NDArray[np.bool_]]
    values: dict[str, NDArray[np.float64]]

    @classmethod
    def of(cls, table: pd.DataFrame, sets: dict[str, NDArray[np.bool_]]) -> Archive:
        groups = {name: table[name].to_numpy(dtype=str) for name in ATTRIBUTES}
        groups[CROSSED] = np.array(["*".join(pair) for pair in zip(*groups.values(), strict=True)])
        values = {o: table[o].to_numpy(dtype=float) for o in OUTCOMES if o in table}
        return cls(table["patient_id"].to_numpy(), groups, sets, values)

    @property
    def one_case(self) -> bool:
        return len(set(self.owner.tolist())) == len(self.owner)

    def adds_up(self, attribute: str) -> bool:
        """Whether each patient is in one group."""
        labels = pd.Series(self.groups[attribute])
        return bool((labels.groupby(self.owner).nunique() == 1).all())

    def count(self, unit: str, which: str, attribute: str, groups: tuple[str, ...]) -> float:
        here = self.sets[which if unit in ("patients", "cases") else "all"].copy()
        if attribute:
            here &= np.isin(self.groups[attribute], groups)
        if unit == "patients":
            return float(len(np.unique(self.owner[here])))
        return float(here.sum() if unit == "cases" else np.nansum(self.values[which][here]))


@dataclass
class Reader:
    """Unknown counts, and what a report says of them: weighted sums between two ends."""

    archive: Archive
    report: dict[str, Any]
    number: dict[tuple[str, ...], int] = field(default_factory=dict)
    truth: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    rules: list[tuple[Terms, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = self.report["outcomes"]["settings"]
        self.merged: dict[str, list[str]] = settings["merged"]
        rounded = settings["rounded"] or "small_groups" in self.report
        self.off = suppression._COUNT // 2 if rounded else 0
        self.atoms = {a: sorted(set(g.tolist())) for a, g in self.archive.groups.items()}
        self.exclusive = [a for a in self.atoms if self.archive.adds_up(a)]
        self.labels = {a: [] for a in self.atoms}
        for cell in self.report["outcomes"]["cells"]:
            self.labels[cell["attribute"]].append(cell["group"])
        self._structure()
        for section in ("outcomes", "missing", "exposure", "modality_gap", "label_quality",
                        "zero_shot", "comparison", "leakage"):  # fmt: skip
            for table in ("cells", "table", "rows", "unknown"):
                for row in (self.report.get(section) or {}).get(table) or []:
                    self._read(section, table, row)
        stamp = self.report.get("stamp") or settings
        for unit, name in (("patients", "n_patients"), ("cases", "n_cases")):
            self._near(self.terms(unit, "all"), stamp.get(name, settings["n_queries"]))

    # What is unknown

    def members(self, attribute: str, label: str) -> tuple[str, ...]:
        """Groups as they were, of one that is shown."""
        if label == OTHER_GROUPS and attribute in self.merged:
            return tuple(m for one in self.merged[attribute] for m in self.members(attribute, one))
        if attribute != CROSSED:
            return (label,)
        sides = [self.members(a, g) for a, g in zip(ATTRIBUTES, label.split("*"), strict=True)]
        there = set(self.atoms[CROSSED])
        return tuple(name for pair in product(*sides) if (name := "*".join(pair)) in there)

    def _is_unknown(self, attribute: str, label: str) -> bool:
        if label == OTHER_GROUPS and self.merged.get(attribute):
            return all(self._is_unknown(attribute, one) for one in self.merged[attribute])
        return "unknown" in (label.split("*") if attribute == CROSSED else [label])

    def terms(self, unit: str, which: str, attribute: str = "", label: str = "") -> Terms:
        groups = self.members(attribute, label) if attribute else ()
        if unit == "patients" and attribute and attribute not in self.exclusive:
            return {self._of((unit, which, attribute, label), groups): 1.0}
        names = [(unit, which, attribute, g) for g in groups] or [(unit, which, "", "")]
        return {self._of(name, (name[3],)): 1.0 for name in names}

    def _of(self, name: tuple[str, ...], groups: tuple[str, ...]) -> int:
        if name not in self.number:
            self.number[name] = len(self.truth)
            self.truth.append(self.archive.count(name[0], name[1], name[2], groups))
            self.whole.append(name[0] != "sum" or name[1] != "score")
        return self.number[name]

    def _structure(self) -> None:
        """Sums that hold whatever the archive is."""
        ends = [("", ""), *((a, g) for a in self.labels for g in self.labels[a])]
        outcomes = {o: o if o in self.archive.sets else "all" for o in self.archive.values}
        kinds = [
            *product(("patients", "cases"), self.archive.sets),
            *(("sum", o) for o in outcomes),
        ]
        for unit, which in kinds:
            for attribute in self.atoms:
                if unit == "patients" and attribute not in self.exclusive:
                    continue
                parts: Terms = {}
                for atom in self.atoms[attribute]:
                    parts[self._of((unit, which, attribute, atom), (atom,))] = 1.0
                self._between(self._less(self.terms(unit, which), parts), 0, 0)
                if attribute != CROSSED and (unit != "patients" or CROSSED in self.exclusive):
                    place = ATTRIBUTES.index(attribute)
                    for atom in self.atoms[attribute]:
                        inside = [x for x in self.atoms[CROSSED] if x.split("*")[place] == atom]
                        cells = {self._of((unit, which, CROSSED, x), (x,)): 1.0 for x in inside}
                        whole = {self._of((unit, which, attribute, atom), (atom,)): 1.0}
                        self._between(self._less(whole, cells), 0, 0)
        for end in ends:
            for which in self.archive.sets:
                apart = self._less(self.terms("cases", which, *end),
                                   self.terms("patients", which, *end))  # fmt: skip
                self._between(apart, 0, 0 if self.archive.one_case else np.inf)
                for unit in ("patients", "cases"):
                    rest = self._less(self.terms(unit, "all", *end), self.terms(unit, which, *end))
                    self._between(rest, 0, np.inf)
            for outcome, which in outcomes.items():
                left = self._less(
                    self.terms("cases", which, *end), self.terms("sum", outcome, *end)
                )
                self._between(left, 0, np.inf)
            for whole, parts in (
                ("all", ("with", "without")),
                ("labelled", ("with", "no finding")),
                ("all", ("labelled", "unlabelled")),
                ("all", ("noted", "no note")),
            ):
                if whole in self.archive.sets and parts[0] in self.archive.sets:
                    both = [self.terms("cases", part, *end) for part in parts]
                    self._between(self._less(self.terms("cases", whole, *end), *both), 0, 0)
        for attribute, names in self.merged.items():  # each is somebody
            for name in names if attribute in self.exclusive else ():
                self._between(self.terms("patients", "all", attribute, name), 1, PRECISE - 1)

    # What is shown

    @staticmethod
    def _less(whole: Terms, *parts: Terms) -> Terms:
        found = dict(whole)
        for part in parts:
            for at, sign in part.items():
                found[at] = found.get(at, 0.0) - sign
        return found

    def _between(self, terms: Terms, low: float, high: float) -> None:
        self.rules.append((terms, low, high))

    def _near(self, terms: Terms, shown: float | None) -> None:
        if shown is not None:
            self._between(terms, max(shown - self.off, 0), shown + self.off)

    def _size(self, row: dict[str, Any], which: str) -> None:
        end = (row["attribute"], row.get("group", "unknown"))
        if end[0] == "all":
            end = ("", "")
        elif end[1] not in self.labels[end[0]]:
            return
        patients, n = self.terms("patients", which, *end), row.get("n_patients")
        precision = row.get("precision")
        if precision == "suppressed" and n is None:
            self._between(patients, 1, SMALL)
        elif n and precision in ("low", "usual"):
            self._between(patients, *((PRECISE, np.inf) if precision == "usual" else
                                      (SMALL + 1, PRECISE - 1)))  # fmt: skip
        self._near(patients, n)
        cases = self.terms("cases", which, *end)
        self._near(cases, row.get("n_queries", row.get("n_items")))
        missing = row.get("n_unmeasured", row.get("n_unpaired"))
        self._near(self._less(self.terms("cases", "all", *end), cases), missing)

    def _mean(self, row: dict[str, Any], which: str, events: tuple[str, str], name: str) -> None:
        """A group's mean, and the rest's, to half of a step."""
        end = ("", "") if row["attribute"] == "all" else (row["attribute"], row["group"])
        sums, sizes = self.terms(*events, *end), self.terms("cases", which, *end)
        if events[0] == "cases":
            self._near(sums, row.get("n_events"))
        rest, others = self.terms(*events), self.terms("cases", which)
        for label in self.labels.get(end[0], []):  # the rest is known, and not the group
            if label == end[1] or self._is_unknown(end[0], label):
                rest = self._less(rest, self.terms(*events, end[0], label))
                others = self._less(others, self.terms("cases", which, end[0], label))
        for value, step, x, n in (
            (row.get(name), row.get("step"), sums, sizes),
            (row.get("rest_estimate"), row.get("step_rest"), rest, others),
        ):
            if value is not None and (x is sums or row.get("comparison", "rest") == "rest"):
                half = (step or 0.0) / 2 + 1e-7
                for end_of, low, high in (
                    (value + half, -np.inf, 1e-9),
                    (value - half, -1e-9, np.inf),
                ):
                    scaled = {at: sign * end_of for at, sign in n.items()}
                    self._between(self._less(x, scaled), low, high)

    def _read(self, section: str, table: str, row: dict[str, Any]) -> None:
        outcome = row.get("outcome", row.get("measure", ""))
        which = outcome if outcome in self.archive.sets else "all"
        if section == "outcomes" and table == "table":
            self._size(row, which)
            self._mean(row, which, ("sum", outcome), "estimate")
        elif section == "comparison":
            self._size(row, which)
            self._mean(row, which, ("sum", outcome), "before")
        elif section == "modality_gap":
            self._size(row, "noted")
        elif section == "label_quality":
            events = {"unlabelled": ("all", "unlabelled"), "without_finding":
                      ("labelled", "no finding"), "without_note": ("all", "no note")}  # fmt: skip
            if outcome in events:
                self._size(row, events[outcome][0])
                self._mean(row, events[outcome][0], ("cases", events[outcome][1]), "estimate")
            elif outcome not in self.archive.values:
                self._size(row, "noted")
        elif section == "zero_shot":
            if outcome in ("FNR", "FPR"):
                self._size(row, "with" if outcome == "FNR" else "without")
            elif outcome == "AUC" and row["group"] in self.labels[row["attribute"]]:
                self._near(self.terms("cases", "with", row["attribute"], row["group"]),
                           row["n_events"])  # fmt: skip
        elif section == "leakage":
            if "unknown" in self.labels[row["attribute"]]:
                where = "all" if row["space"] == "image" else "noted"
                unknown = self.terms("patients", where, row["attribute"], "unknown")
                self._near(unknown, row["n_unknown"])
        else:
            self._size(row, "all")

    # What can be worked out

    def sought(self) -> list[tuple[Terms, float]]:
        """Every count of 1 to 10 patients: of groups, of the rest, of one set less another."""
        found = {}
        for unit, which in product(("patients", "cases"), self.archive.sets):
            for attribute in ("", *self.atoms):
                adds = unit == "cases" or attribute in self.exclusive
                names = (self.atoms if adds else self.labels)[attribute] if attribute else [""]
                for name in names:
                    here, everyone = [
                        {self.number[unit, x, attribute, name]: 1.0} for x in (which, "all")
                    ]
                    options = [here, self._less(everyone, here)]
                    if attribute in self.exclusive:
                        options.append(self._less(self.terms(unit, which), here))
                    for terms in options:
                        truth = sum(self.truth[at] * sign for at, sign in terms.items())
                        if 1 <= truth <= SMALL:
                            found[tuple(sorted(terms.items()))] = (terms, truth)
        return list(found.values())

    def recovered(self) -> tuple[int, int]:
        """How many small counts are told, and of how many."""
        n, x = len(self.truth), np.array(self.truth)
        at = [i for i, (terms, _, _) in enumerate(self.rules) for _ in terms]
        to = [j for terms, _, _ in self.rules for j in terms]
        signs = [sign for terms, _, _ in self.rules for sign in terms.values()]
        matrix = csr_array((signs, (at, to)), shape=(len(self.rules), n))
        low, high = (np.array([rule[i] for rule in self.rules]) for i in (1, 2))
        shown = matrix @ x
        if (shown < low - 1e-5).any() or (shown > high + 1e-5).any():
            raise AssertionError("the truth does not fit what the report shows")
        rules = LinearConstraint(matrix, low - 1e-6, high + 1e-6)
        left, told = self.sought(), 0
        small = len(left)
        while left:
            terms, truth = left.pop()
            row = np.zeros((1, n))
            row[0, list(terms)] = list(terms.values())
            for ends in ((truth + 1, np.inf), (0, truth - 1)):
                found = milp(
                    np.zeros(n), constraints=[rules, LinearConstraint(row, *ends)],
                    bounds=Bounds(0, np.inf), integrality=np.array(self.whole, dtype=int),
                    options={"time_limit": 20},
                )  # fmt: skip
                if found.status != 2:  # another fits, or was not shown not to
                    if found.x is not None:  # it clears all counts that differ in it
                        left = [
                            (t, k) for t, k in left
                            if abs(sum(found.x[j] * s for j, s in t.items()) - k) < 0.5
                        ]  # fmt: skip
                    break
            else:
                told += 1
        return told, small
