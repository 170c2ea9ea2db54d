"""Reports of random small archives, each section made as an audit makes it, and who reads them all.

The attacker knows which sums hold (a patient has one group, a case has a finding or lacks it, those
with a report are among all), that a row marked as suppressed stands for 1 to 10 patients and one
with figures and no size for more, how many a group called precise has, and what means times sizes
come to, of a group and of all others, to half of the step that figures are
given in. It shares no code with what withholds.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array

from evaluation.audit import audit_outcomes
from evaluation.change.comparison import compare_outcomes
from evaluation.library_audit.populations import Facts, facts_of
from evaluation.sections import assess_exposure, assess_leakage
from evaluation.sections.finding_errors import assess_zero_shot
from evaluation.sections.label_quality import assess_label_quality, label_outcomes
from evaluation.sections.modality_gap import assess_modality_gap, modality_gap_rows
from medembed.cases import Finding

SMALL, PRECISE = 10, 50
NOBODY = (
    "no patient of this group has", "nothing of this group", "nothing was measured", "not measured",
)  # fmt: skip
ATTRIBUTES = ("one", "two")
INSIDE = (
    ("all", "noted"), ("all", "partly"), ("all", "with"), ("all", "without"), ("all", "labelled"),
    ("labelled", "with"), ("labelled", "noted"), ("all", "unlabelled"), ("all", "no note"),
    ("labelled", "no finding"), ("without", "unlabelled"), ("no note", "unlabelled"),
)  # fmt: skip
APART = (
    ("all", "with", "without"), ("labelled", "with", "no finding"), ("all", "noted", "no note"),
    ("all", "labelled", "unlabelled"),
)  # fmt: skip
Bools = NDArray[np.bool_]


def coarseness(figures: list[float], row: dict[str, Any]) -> float:
    """Half of the largest step that the docs allow and that all figures fit."""
    for step in (0.1, 0.02 if row.get("precision") == "usual" else 0.1):
        if all(abs(figure / step - round(figure / step)) < 1e-6 for figure in figures):
            return step / 2
    return 0.0  # as they are: another part of the report shows the size


@dataclass
class Archive:
    """Cases of a random archive: patients, groups, and who is in which set."""

    owner: NDArray[np.int64]
    groups: dict[str, NDArray[Any]]
    sets: dict[str, Bools]
    varies: bool

    def count(self, unit: str, name: str, attribute: str, group: str) -> tuple[int, int]:
        """True size in the unit, and in patients."""
        here = self.sets[name].copy()
        if attribute:
            here &= self.groups[attribute] == group
        patients = len(np.unique(self.owner[here]))
        return (patients if unit == "patients" else int(here.sum())), patients


def random_archive(rng: np.random.Generator) -> Archive:
    """Small groups, few without a report, few with a finding are likely."""
    n = int(rng.integers(40, 300))
    shares = rng.dirichlet(np.full(int(rng.integers(2, 5)), 0.7))
    other = rng.dirichlet(np.full(int(rng.integers(2, 4)), 0.7))
    owner = np.repeat(np.arange(n), 1 + (rng.random() < 0.7) * rng.poisson(0.7, n))
    names = np.array(["a", "b", "unknown", "d"])[: len(shares)]
    one = rng.choice(names, n, p=shares)[owner]
    varies = bool(rng.random() < 0.3)
    two = rng.choice(list("xyz")[: len(other)], n, p=other)[owner]
    if varies:
        two = rng.choice(list("xyz")[: len(other)], len(owner), p=other)
    noted = rng.random(len(owner)) >= rng.choice([0.0, 0.03, 0.1, 0.4])
    has = rng.random(len(owner)) < rng.choice([0.03, 0.15, 0.5, 0.95])
    partly = noted & (rng.random(len(owner)) >= rng.choice([0.0, 0.02, 0.3]))
    both = np.array([f"{a}*{b}" for a, b in zip(one, two, strict=True)])
    labelled = has | noted
    sets = {
        "all": np.ones(len(owner), dtype=bool), "noted": noted, "partly": partly, "with": has,
        "without": ~has, "labelled": labelled, "unlabelled": ~labelled, "no note": ~noted,
        "no finding": labelled & ~has,
    }  # fmt: skip
    return Archive(owner, {"one": one, "two": two, "one*two": both}, sets, varies)


def make_report(archive: Archive, rng: np.random.Generator) -> tuple[dict[str, Any], Facts]:
    """Every section that counts patients, and the facts behind them."""
    n, owner = len(archive.owner), archive.owner
    groups = {name: archive.groups[name] for name in ATTRIBUTES}
    noted, has = archive.sets["noted"], archive.sets["with"]
    hit = (rng.random(n) < 0.6).astype(float)
    columns = {"hit": hit, "partly": np.where(archive.sets["partly"], hit, np.nan)}
    table = pd.DataFrame({"patient_id": owner, **groups, **columns})
    audit = audit_outcomes(table, list(columns), list(ATTRIBUTES), permutations=0)
    images = rng.normal(size=(n, 3))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    notes = np.where(noted[:, None], -images + 0.1 * rng.normal(size=(n, 3)), np.nan)
    far = np.where(owner[:, None] != owner[None, :], rng.random((n, n)), -1.0)
    unknown = [row for row in audit.to_json()["cells"] if row["group"] == "unknown"]
    drawn = {"repetitions": 200}
    report: dict[str, Any] = {
        "version": 1,
        "stamp": {"n_cases": n, "n_patients": len(np.unique(owner))},
        "protocol": {"minimum": {"reported": SMALL + 1, "precise": 50}},
        "outcomes": audit.to_json(),
        "missing": {"unknown": [{**row, "share": None} for row in unknown]},
        "exposure": assess_exposure(
            np.argsort(-far, axis=1)[:, :3], owner, owner, groups, permutations=99, **drawn
        ).to_json(),
        "modality_gap": {
            "rows": modality_gap_rows(assess_modality_gap(images, notes, owner, groups, **drawn)),
            "notes": [],
        },
        "leakage": assess_leakage(
            {"image": images, "note": notes}, owner, groups, probes=("linear",), permutations=99
        ).to_json(),
    }
    later = table.assign(hit=np.where(rng.random(n) < 0.1, 1 - hit, hit), case=np.arange(n))
    report["comparison"] = compare_outcomes(
        table.assign(case=np.arange(n)), later, list(columns), [*ATTRIBUTES, "one*two"],
        query="case", **drawn,
    ).to_json()  # fmt: skip
    labels = [{"mass"} if a else set() if b else None for a, b in zip(has, noted, strict=True)]
    said = [
        {"mass"} & (label or set()) if b else None for label, b in zip(labels, noted, strict=True)
    ]
    quality = assess_label_quality(
        label_outcomes(labels, said), owner, groups, outcomes=columns, **drawn
    )
    report["label_quality"] = {"rows": [row.to_json() for row in quality], "notes": []}
    if 0 < has.sum() < n:
        found = assess_zero_shot(
            {"mass": images[:, 0]}, {"mass": has.astype(float)}, {"mass": 0.0}, owner, groups
        )
        report["zero_shot"] = {"rows": [row.to_json() for row in found], "notes": []}
    audited: Any = SimpleNamespace(
        cases=[SimpleNamespace(note="text" if there else None) for there in noted],
        by_image=SimpleNamespace(
            owners=owner, findings=tuple((Finding("mass"),) if x else () for x in has)
        ),
        attributes=groups,
        rows_of_pairs=np.flatnonzero(noted),
    )
    return report, facts_of(audited, columns, [ATTRIBUTES])


@dataclass
class Reader:
    """Linear constraints that a whole report gives, over unknown true counts."""

    archive: Archive
    number: dict[tuple[str, ...], int] = field(default_factory=dict)
    low: list[float] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)
    equal: list[tuple[dict[int, float], float]] = field(default_factory=list)
    less: list[tuple[dict[int, float], float]] = field(default_factory=list)
    sought: dict[int, float] = field(default_factory=dict)

    def read(self, report: dict[str, Any]) -> None:
        """Take everything in."""
        self._structure()
        stamp = report["stamp"]
        for unit, key in (("patients", "n_patients"), ("cases", "n_cases")):
            self._fix((unit, "all", "", ""), stamp[key])
        for row in report["outcomes"]["cells"]:
            self._size(row, "all", row)
        for row in report["missing"]["unknown"]:
            self._size(row, "all", row)
        for row in report["outcomes"]["table"]:
            name = "all" if row["outcome"] == "hit" else "partly"
            nearly = "sizes are the group's" in row["reason"]
            self._size(row, "all" if nearly else name, {} if nearly else row)
            self._without(row["n_unmeasured"], name, (row["attribute"], row["group"]))
            if nearly:
                self._size(row | {"n_patients": None, "n_queries": None}, name, row)
            halves = [(row[step] or 0.0) / 2 + 1e-7 for step in ("step", "step_rest")]
            self._means(row, ("outcome", row["outcome"]), name, halves=halves)
        for row in report["exposure"]["rows"]:
            self._size(row | {"n_queries": row["n_items"]}, "all", row)
        for row in report["modality_gap"]["rows"]:
            self._size(row, "noted", row)
        for row in report["label_quality"]["rows"]:
            self._label(row)
        for row in (report.get("zero_shot") or {"rows": []})["rows"]:
            self._finding(row)
        for row in report["comparison"]["rows"]:
            self._change(row)
        for row in report["leakage"]["rows"]:
            name = "all" if row["space"] == "image" else "noted"
            if row["n_unknown"] is not None and "unknown" in self.archive.groups[row["attribute"]]:
                self._fix(("patients", name, row["attribute"], "unknown"), row["n_unknown"])
            if row["n_patients"] is not None and row["attribute"] in self._exclusive():
                read = list(row["by_group"] or {})
                cells = [("patients", name, row["attribute"], group) for group in read]
                if cells:
                    terms = {self._of(cell): 1.0 for cell in cells}
                    self.equal.append((terms, float(row["n_patients"])))

    def _exclusive(self) -> list[str]:
        return ["one"] if self.archive.varies else ["one", "two", "one*two"]

    def _of(self, name: tuple[str, ...], low: float = 0.0) -> int:
        if name not in self.number:
            self.number[name] = len(self.low)
            self.low.append(low)
            self.high.append(None)
        return self.number[name]

    def _fix(self, name: tuple[str, ...], value: float | None) -> None:
        if value is not None:
            place = self._of(name)
            self.low[place] = self.high[place] = float(value)

    def _structure(self) -> None:
        labels = {a: sorted(set(g.tolist())) for a, g in self.archive.groups.items()}
        ends = [("", "")] + [(a, g) for a, names in labels.items() for g in names]
        for unit, name in product(("patients", "cases"), self.archive.sets):
            for end in ends:
                self._seek((unit, name, *end), *self.archive.count(unit, name, *end))
            for attribute, names in labels.items():
                if unit == "patients" and attribute not in self._exclusive():
                    for group in names:
                        self._apart(unit, (name, "", ""), (name, attribute, group))
                    continue
                for group in names:  # all others may be few, too
                    self._apart(unit, (name, "", ""), (name, attribute, group))
                parts = {self._of((unit, name, attribute, g)): 1.0 for g in names}
                self.equal.append((parts | {self._of((unit, name, "", "")): -1.0}, 0.0))
            for place, coarse in enumerate(ATTRIBUTES):
                if unit == "patients" and self.archive.varies:
                    continue
                for group in labels[coarse]:
                    inside = [g for g in labels["one*two"] if g.split("*")[place] == group]
                    parts = {self._of((unit, name, "one*two", g)): 1.0 for g in inside}
                    self.equal.append((parts | {self._of((unit, name, coarse, group)): -1.0}, 0.0))
        for name, end in product(self.archive.sets, ends):
            cases, patients = self._of(("cases", name, *end)), self._of(("patients", name, *end))
            self.less.append(({patients: 1.0, cases: -1.0}, 0.0))
        for unit, (wide, narrow), end in product(("patients", "cases"), INSIDE, ends):
            self._apart(unit, (wide, *end), (narrow, *end))
        for end in ends:  # patients with a case of either kind
            sides = [("patients", name, *end) for name in ("with", "without")]
            both = self._of(("both", *end))
            terms = {self._of(side): 1.0 for side in sides}
            self.equal.append(
                (terms | {self._of(("patients", "all", *end)): -1.0, both: -1.0}, 0.0)
            )
            k = sum(self.archive.count("patients", s, *end)[0] for s in ("with", "without"))
            k -= self.archive.count("patients", "all", *end)[0]
            self._seek(("both", *end), k, k)
            for whole, parts in (
                ("all", ("with", "without")),
                ("labelled", ("with", "no finding")),
                ("all", ("labelled", "unlabelled")),
                ("all", ("noted", "no note")),
            ):
                terms = {self._of(("cases", part, *end)): 1.0 for part in parts}
                self.equal.append((terms | {self._of(("cases", whole, *end)): -1.0}, 0.0))

    def _seek(self, name: tuple[str, ...], count: int, patients: int) -> None:
        place = self._of(name)
        if 1 <= patients <= SMALL:
            self.sought[place] = float(count)

    def _apart(self, unit: str, wide: tuple[str, ...], narrow: tuple[str, ...]) -> None:
        """A difference is a count, too."""
        rest = (unit, "less", *wide, *narrow)
        terms = {self._of((unit, *wide)): 1.0, self._of((unit, *narrow)): -1.0}
        self.equal.append((terms | {self._of(rest): -1.0}, 0.0))
        one, two = (self.archive.count(unit, *side) for side in (wide, narrow))
        few = one[1] - two[1] if unit == "patients" else self._few(wide, narrow)
        self._seek(rest, one[0] - two[0], few)

    def _few(self, wide: tuple[str, ...], narrow: tuple[str, ...]) -> int:
        here = self.archive.sets[wide[0]] & ~self.archive.sets[narrow[0]]
        if wide[1]:
            here = here & (self.archive.groups[wide[1]] == wide[2])
        return len(np.unique(self.archive.owner[here]))

    def _size(self, row: dict[str, Any], name: str, marks: dict[str, Any]) -> None:
        end = (name, row["attribute"], row["group"])
        patients = self._of(("patients", *end))
        if str(row.get("reason", "")).startswith(NOBODY):
            self._fix(("patients", *end), 0)
        elif row.get("n_patients") is not None:
            self._fix(("patients", *end), row["n_patients"])
        elif marks.get("precision") == "suppressed":
            if self.low[patients] == 0:
                self.low[patients], self.high[patients] = 1.0, float(SMALL)
        elif marks.get("precision") and self.high[patients] is None:
            usual = marks["precision"] == "usual"
            self.low[patients] = float(PRECISE if usual else SMALL + 1)
            self.high[patients] = None if usual else float(PRECISE - 1)
        self._fix(("cases", *end), row.get("n_queries"))

    def _means(
        self,
        row: dict[str, Any],
        own: tuple[str, ...],
        name: str,
        events: tuple[str, ...] | None = None,
        fields: tuple[str, str, str] = ("estimate", "rest_estimate", "gap"),
        halves: list[float] | None = None,
    ) -> None:
        """A mean, and that of all others, times their sizes, are sums that add up over groups."""
        end = (row["attribute"], row["group"])
        mine, every = (
            self._of((*(("sum", *own) if events is None else events), *e)) for e in (end, ("", ""))
        )
        if events is None and end[0]:
            groups = sorted(set(self.archive.groups[end[0]].tolist()))
            parts = {self._of(("sum", *own, end[0], group)): 1.0 for group in groups}
            self.equal.append((parts | {every: -1.0}, 0.0))
        size, total = (self._of(("cases", name, *e)) for e in (end, ("", "")))
        self.less.append(({mine: 1.0, size: -1.0}, 0.0))
        if row.get("n_events") is not None and events is not None:
            self.low[mine] = self.high[mine] = float(row["n_events"])
        value, rest, gap = (row.get(field) for field in fields)
        if value is None:
            return
        if halves is None:
            figures = [row[f] for f in (fields[0], "ci_low", "ci_high") if row.get(f) is not None]
            if fields[0] != "estimate":
                figures = [row["before"], row["after"]]
            halves = [coarseness(figures, row) + 1e-7] * 2
            if rest is not None and halves[0] < 1e-6:
                halves[1] = coarseness([rest], row) + 1e-7
            elif rest is None and gap is not None:
                rest = value - gap
                halves[1] = halves[0] + max(coarseness([one], row) for one in (rest, gap)) + 1e-7
        self._between({mine: 1.0}, {size: 1.0}, value, halves[0])
        if rest is not None:
            self._between({every: 1.0, mine: -1.0}, {total: 1.0, size: -1.0}, rest, halves[1])

    def _between(
        self, values: dict[int, float], sizes: dict[int, float], mean: float, half: float
    ) -> None:
        for sign, near in ((1.0, mean + half), (-1.0, mean - half)):
            terms = {v: sign * one for v, one in values.items()}
            self.less.append((terms | {n: -sign * one * near for n, one in sizes.items()}, 0.0))

    def _without(self, count: int | None, name: str, end: tuple[str, str]) -> None:
        """Cases that were not measured."""
        if count is not None and name != "all":
            whole, own = (self._of(("cases", s, *end)) for s in ("all", name))
            self.equal.append(({whole: 1.0, own: -1.0}, float(count)))

    def _change(self, row: dict[str, Any]) -> None:
        name = "all" if row["outcome"] == "hit" else "partly"
        if row["attribute"] == "all":
            row = row | {"attribute": "", "group": ""}
        self._size(row, name, row)
        self._without(row["n_unpaired"], name, (row["attribute"], row["group"]))
        for run in ("before", "after"):
            self._means(row, ("change", row["outcome"], run), name, None, (run, "", f"gap_{run}"))

    def _label(self, row: dict[str, Any]) -> None:
        sets = {
            "unlabelled": ("all", "unlabelled"), "without_finding": ("labelled", "no finding"),
            "without_note": ("all", "no note"), "hit": ("all", ""), "partly": ("partly", ""),
        }  # fmt: skip
        name, events = sets.get(row["measure"], ("noted", ""))
        self._size(row, name, row)
        own = ("outcome" if row["measure"] in ("hit", "partly") else "label", row["measure"])
        self._means(row, own, name, ("cases", events) if events else None)

    def _finding(self, row: dict[str, Any]) -> None:
        name = {"FNR": "with", "FPR": "without"}.get(row["measure"])
        if name is not None:
            self._size(row, name, row)
            self._means(row, ("finding", row["measure"]), name)
        elif row["measure"] == "AUC" and row["n_events"] is not None:
            self._fix(("cases", "with", row["attribute"], row["group"]), row["n_events"])

    @staticmethod
    def _alone(truth: float, least: float, most: float) -> bool:
        """Whether no other whole number lies in the range."""
        return most < truth + 1 - 1e-6 and least > truth - 1 + 1e-6

    def recovered(self) -> tuple[list[tuple[str, ...]], int]:
        """Name the small counts that are pinned down to less than 1, and say of how many."""
        n = len(self.low)
        made = []
        for rows in (self.equal, self.less):
            at = [i for i, (terms, _) in enumerate(rows) for _ in terms]
            to = [j for terms, _ in rows for j in terms]
            signs = [sign for terms, _ in rows for sign in terms.values()]
            made.append((csr_array((signs, (at, to)), shape=(len(rows), n)), [v for _, v in rows]))
        (equal, values), (less, most) = made
        where = np.array(list(self.sought), dtype=np.int64)
        truth = np.array(list(self.sought.values()))
        least, largest = truth.copy(), truth.copy()
        broken: list[tuple[str, ...]] = []
        names = {place: name for name, place in self.number.items()}
        box = list(zip(self.low, self.high, strict=True))
        for number, place in enumerate(where.tolist()):
            for sign in (1.0, -1.0):
                if not self._alone(truth[number], least[number], largest[number]):
                    break
                goal = np.zeros(n)
                goal[place] = sign
                solved = linprog(goal, A_ub=less, b_ub=most, A_eq=equal, b_eq=values, bounds=box,
                                 method="highs")  # fmt: skip
                if solved.status == 2:
                    raise AssertionError("the truth does not fit what the report shows")
                if solved.status == 3:
                    (least if sign > 0 else largest)[number] = -sign * np.inf
                    continue
                np.minimum(least, solved.x[where], out=least)
                np.maximum(largest, solved.x[where], out=largest)
            if self._alone(truth[number], least[number], largest[number]):
                broken.append(names[place])
        return broken, len(where)


def attack_report(archive: Archive, report: dict[str, Any]) -> tuple[list[tuple[str, ...]], int]:
    """Name the small counts that a reader of all sections recovers, and say of how many."""
    reader = Reader(archive)
    reader.read(report)
    return reader.recovered()


def counts_shown(report: dict[str, Any]) -> int:
    """Numbers of patients, cases and records that stand in a report's rows."""
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, section in report.items():
        for key in ("rows", "table", "cells", "unknown"):
            if isinstance(section, dict) and isinstance(section.get(key), list):
                tables[name] += section[key]
    names = ("n_patients", "n_queries", "n_items", "n_events", "n_unmeasured", "n_unknown")
    return sum(row.get(n) is not None for rows in tables.values() for row in rows for n in names)
