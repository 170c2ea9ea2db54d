"""Whether queries mean what their words say: minimal pairs, and who is among the first ten.

    python tests/benchmarks/query_words.py LIBRARY [--choose]

LIBRARY is a demonstration library with its cohort (``medembed demo LIBRARY --no-app``). What a case
shows is the cohort's planted truth (``cohort/truth.csv``), which also has what its report leaves
out or its findings column gets wrong. The phrasings occur neither in the reports of the cohort nor
in training. Cases are the held-out ones (``test``); ``--choose`` prints the table by which the
weight of the agreement was chosen, on the validation cases.

Each measure is taken five times, so that one sees where a gain comes from:

- ``literal``: the text as written, by the cosine (``--literal``);
- ``vectors``: the text is read, denials move its vector; no statement of any case counts;
- ``no reports``: the search as shipped, but no case has a report or recorded findings;
- ``reports``: what the reports of the cases state counts, nothing else;
- ``library``: their recorded findings count too: the search as shipped. Here these are nearly the
  truth itself, so this row says little.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

import medembed.lookup.query_text as reading
import medembed.lookup.ranking as ranking
from medembed.cases import FINDINGS, SIDED_FINDINGS
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.lookup.agreement import NO_REPORT
from medembed.lookup.fused import AGREEMENT_WEIGHT
from medembed.lookup.statements import Statements

WORDS = {"effusion": "pleural effusion", "nodule": "lung nodule", "mass": "lung mass",
         "fracture": "rib fracture", "edema": "pulmonary edema",
         "fibrosis": "pulmonary fibrosis"}  # fmt: skip
ABSENT = ("free of any {x}", "{x} ruled out", "patients who do not have {x}")
PRESENT = ("patients who have {x}", "{x} can be seen", "search for {x}")
SIDED = ("{x} sitting on the {s}", "{x} of the {s} side", "the {s} side shows {x}")
BOTH = ("{x} in the absence of {y}", "{x} but not {y}", "{x}, with {y} excluded")
PAIRS = 6
CONDITIONS = ("literal", "vectors", "no reports", "reports", "library")
STRANGE = (
    "fettuccine recipe", "stock market prices fell", "the weather is nice today", "hello world",
    "lorem ipsum dolor sit amet", "asdf qwer zxcv", "football results", "cheap flights to Rome",
    "how to fix a bicycle", "quarterly revenue forecast", "banana bread", "guitar chords",
    "parking regulations", "cat videos", "download the invoice", "chess opening theory",
    "wifi password", "birthday present ideas", "mountain hiking trails", "train timetable",
)  # fmt: skip

Truth = dict[str, dict[str, str]]


def planted(library: CaseLibrary) -> Truth:
    """Side of each finding that is in the image of each case."""
    of_file = {}
    with (library.path / "cohort" / "truth.csv").open() as file:
        for row in csv.DictReader(file):
            found = dict((*f.split(":"), "")[:2] for f in row["findings"].split(";") if f)
            of_file |= dict.fromkeys(row["files"].split(";"), found)
    return {c.case_id: of_file[Path(c.scans[0].files[0]).name] for c in library.cases()}


def on(side: str, wanted: str) -> bool:
    return side in (wanted, "bilateral")


class Bench:
    def __init__(self, lookup: CaseLookup, truth: Truth, split: str) -> None:
        self.lookup, self.truth = lookup, truth
        self.weight = AGREEMENT_WEIGHT
        self.conditions: tuple[str, ...] = CONDITIONS
        self.where = f"split={split}"
        self.ids = lookup.library.split(split)
        self.draw = np.random.default_rng(0)
        index = lookup.index
        self.columns = {
            "reports": Statements(lookup.library, index.index.case_ids, recorded=False),
            "library": Statements(lookup.library, index.index.case_ids),
            "no reports": Statements(lookup.library, index.index.case_ids, recorded=False),
        }
        self.columns["no reports"]._silent[:] = NO_REPORT

    def ranked(self, text: str, condition: str, k: int | None = None) -> list[str]:
        """The held-out cases, best first, under one condition; the first ``k``."""
        texts = self.lookup._texts
        if condition in self.columns:
            texts._statements["scans"] = self.lookup.index.revision, self.columns[condition]
        ranking.AGREEMENT_WEIGHT = 0.0 if condition == "vectors" else self.weight
        result = self.lookup.search(
            text=text,
            where=self.where,
            k=k or len(self.ids),
            literal=condition == "literal",
            bm25=condition not in ("vectors", "no reports"),
        )
        return [hit.case_id for hit in result.hits]

    def pairs(
        self, text: str, right: Callable[[str], bool], wrong: Callable[[str], bool], n: int
    ) -> dict[str, list[bool]]:
        """Whether the first of each pair of cases, drawn at random, comes before the second."""
        first, second = list(filter(right, self.ids)), list(filter(wrong, self.ids))
        if not first or not second:
            return {condition: [] for condition in self.conditions}
        drawn = [(str(self.draw.choice(first)), str(self.draw.choice(second))) for _ in range(n)]
        answers = {}
        for condition in self.conditions:
            place = {name: at for at, name in enumerate(self.ranked(text, condition))}
            answers[condition] = [place[a] < place[b] for a, b in drawn]
        return answers

    def all_pairs(self) -> dict[str, dict[str, list[bool]]]:
        groups: dict[str, dict[str, list[bool]]] = {}

        def add(group: str, answers: dict[str, list[bool]]) -> None:
            kept = groups.setdefault(group, {condition: [] for condition in self.conditions})
            for condition, values in answers.items():
                kept[condition] += values

        for label in FINDINGS:
            x = WORDS.get(label, label)
            has = self.has(label)
            for absent, present in zip(ABSENT, PRESENT, strict=True):
                add("denied", self.pairs(absent.format(x=x), lambda c, h=has: not h(c), has, PAIRS))
                add(
                    "stated", self.pairs(present.format(x=x), has, lambda c, h=has: not h(c), PAIRS)
                )
            for form in SIDED if label in SIDED_FINDINGS else ():
                for side, other in (("left", "right"), ("right", "left")):
                    right = self.only(label, side, other)
                    wrong = self.only(label, other, side)
                    add("side", self.pairs(form.format(x=x, s=side), right, wrong, PAIRS // 2))
            at = FINDINGS.index(label)
            for form, step in zip(BOTH, (1, 4, 7), strict=True):
                other = FINDINGS[(at + step) % len(FINDINGS)]
                too = self.has(other)
                text = form.format(x=x, y=WORDS.get(other, other))
                right = lambda c, h=has, t=too: h(c) and not t(c)  # noqa: E731
                wrong = lambda c, h=has, t=too: h(c) and t(c)  # noqa: E731
                add("one without another", self.pairs(text, right, wrong, PAIRS))
        return groups

    def has(self, label: str) -> Callable[[str], bool]:
        return lambda case_id: label in self.truth[case_id]

    def only(self, label: str, side: str, other: str) -> Callable[[str], bool]:
        def answer(case_id: str) -> bool:
            named = self.truth[case_id].get(label, "")
            return on(named, side) and not on(named, other)

        return answer

    def first(self, text: str, condition: str, right: Callable[[str], bool], k: int) -> float:
        return float(np.mean([right(name) for name in self.ranked(text, condition, k)]))

    def plain(self, condition: str, k: int) -> tuple[float, float]:
        """Precision of plain words, and of plain words with a side."""
        bare, sided = [], []
        for label in FINDINGS:
            x = WORDS.get(label, label)
            bare.append(self.first(x, condition, self.has(label), k))
            for side in ("left", "right") if label in SIDED_FINDINGS else ():
                right = lambda c, n=label, s=side: on(self.truth[c].get(n, ""), s)  # noqa: E731
                sided.append(self.first(f"{side} {x}", condition, right, k))
        return float(np.mean(bare)), float(np.mean(sided))

    def denied(self, condition: str) -> float:
        """Share of the first ten hits of "no X" that have X, over findings and phrasings."""
        forms = ("no {x}", *ABSENT)
        return float(
            np.mean(
                [
                    self.first(f.format(x=WORDS.get(n, n)), condition, self.has(n), 10)
                    for n in FINDINGS
                    for f in forms
                ]
            )
        )

    def denied_anywhere(self, condition: str) -> float:
        """The same for "no X" over the whole library, most of which the model was trained on."""
        held_out, self.where = self.where, "modality!=none"
        try:
            return float(
                np.mean(
                    [
                        self.first(f"no {WORDS.get(n, n)}", condition, self.has(n), 10)
                        for n in FINDINGS
                    ]
                )
            )
        finally:
            self.where = held_out

    def reports(self, condition: str) -> float:
        """R@10 of each case's own report as the query."""
        return float(
            np.mean(
                [
                    case.case_id in self.ranked(case.note.text, condition, 10)
                    for case in self.lookup.library.select(self.ids)
                    if case.note
                ]
            )
        )

    def attributes(self, condition: str) -> dict[str, float]:
        """Share of the first ten hits that have the attribute named beside a finding."""
        cases = {case.case_id: case for case in self.lookup.library.select(self.ids)}
        wanted: dict[str, tuple[str, Callable[[str], bool]]] = {
            "woman": ("{x} in a woman", lambda c: cases[c].sex == "F"),
            "man": ("{x} in a man", lambda c: cases[c].sex == "M"),
            "AP": ("{x} on an AP view", lambda c: cases[c].view == "AP"),
            "PA": ("{x} on a PA view", lambda c: cases[c].view == "PA"),
            "age 35, within 10": (
                "{x} in a 35-year-old patient",
                lambda c: abs((cases[c].age_years or 999) - 35) <= 10,
            ),
        }
        return {
            name: float(
                np.mean([self.first(form.format(x=WORDS.get(n, n)), condition, right, 10)
                         for n in FINDINGS])
            )
            for name, (form, right) in wanted.items()
        }  # fmt: skip

    def depth(self) -> tuple[float, float, int]:
        """Share of strange texts found out of depth, and of the library's own sentences."""
        from medembed.model.report_text import sentences

        own = []
        for case in self.lookup.library.select(self.ids):
            spans = list(sentences(case.note)) if case.note else []
            if case.note and spans:
                start, end = spans[self.draw.integers(len(spans))]
                own.append(case.note.text[start:end])
        strange = [self.lookup.search(text=text, k=1).out_of_depth for text in STRANGE]
        known = [self.lookup.search(text=text, k=1).out_of_depth for text in own]
        return float(np.mean(strange)), float(np.mean(known)), len(own)


def choose(bench: Bench) -> None:
    """Print the measures by weight of the agreement, and by share of the denied vector."""
    bench.conditions = ("reports",)
    print("| weight | plain P@5 | with a side P@5 | no X: X in the first ten | pairs |")
    print("|---" * 5 + "|")
    for weight in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        bench.weight = weight
        bare, sided = bench.plain("reports", 5)
        pairs = [answer for group in bench.all_pairs().values() for answer in group["reports"]]
        shares = (bare, sided, bench.denied("reports"), float(np.mean(pairs)))
        print(f"| {weight:.2f} |", " | ".join(f"{v:.3f}" for v in shares), "|", flush=True)
    bench.conditions = ("vectors",)
    print("\n| share of the denied vector | one without another, by vectors |")
    print("|---" * 2 + "|")
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        reading.DENIED_SHARE = share
        pairs = bench.all_pairs()["one without another"]["vectors"]
        print(f"| {share:.2f} | {np.mean(pairs):.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("--choose", action="store_true")
    arguments = parser.parse_args()
    with CaseLibrary.open(arguments.library) as library, CaseLookup(library) as lookup:
        bench = Bench(lookup, planted(library), "val" if arguments.choose else "test")
        if arguments.choose:
            choose(bench)
            return
        print(f"{len(bench.ids)} held-out cases, load {os.getloadavg()[0]:.1f}\n")
        print("| minimal pairs |", " | ".join(("n", *CONDITIONS)), "|")
        print("|---" * (len(CONDITIONS) + 2) + "|")
        groups = bench.all_pairs()
        groups["all"] = {
            c: [answer for group in groups.values() for answer in group[c]] for c in CONDITIONS
        }
        for name, answers in groups.items():
            shares = [f"{np.mean(answers[c]):.3f}" for c in CONDITIONS]
            print("|", " | ".join([name, str(len(answers["literal"])), *shares]), "|")
        rows: dict[str, list[float]] = {}
        for condition in CONDITIONS:
            for k in (5, 10):
                bare, sided = bench.plain(condition, k)
                rows.setdefault(f"plain words, P@{k}", []).append(bare)
                rows.setdefault(f"plain words with a side, P@{k}", []).append(sided)
            rows.setdefault("no X: X in the first ten", []).append(bench.denied(condition))
            rows.setdefault("the same, whole library", []).append(bench.denied_anywhere(condition))
            rows.setdefault("whole report finds its case, R@10", []).append(
                bench.reports(condition)
            )
            for name, share in bench.attributes(condition).items():
                rows.setdefault(f"finding and {name}: first ten", []).append(share)
        print("\n| measure |", " | ".join(CONDITIONS), "|")
        print("|---" * (len(CONDITIONS) + 1) + "|")
        for name, values in rows.items():
            print("|", " | ".join([name, *(f"{v:.3f}" for v in values)]), "|")
        strange, own, n = bench.depth()
        print(f"\nout of depth: {strange:.2f} of {len(STRANGE)} strange texts, "
              f"{own:.3f} of {n} sentences of held-out reports")  # fmt: skip


if __name__ == "__main__":
    main()
