"""Gate G9 of the fairness audit: what a reader with integer programs works out of small groups.

    python tests/simulation/audit_gates_disclosure.py --cohorts 100 --reports 5 --seed 0

Random tables of 40 to 400 patients, and whole reports of random archives, go through the audit. The
reader has the JSON alone and knows the rule: which groups were merged, that a row without numbers
stands for 1 to 10 patients, one of low precision for 11 to 49 and any other for 50 or more, which
sums hold, by how much counts and figures were rounded, that a mean times its queries is a sum of
outcomes, for a group and for the rest, and that nobody is a fraction. With one case a patient, the
worst case, it knows that too. A count of 1 to 10 patients is recovered where no other whole number
fits. What the widths of intervals and p tell is not in its programs. As a control the same reports
are read as they would be without rounding. One JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simulation.small_group_reader import (
    ATTRIBUTES,
    OUTCOMES,
    PRECISE,
    SMALL,
    Archive,
    Reader,
)

from evaluation.audit import audit_outcomes
from evaluation.change.comparison import compare_outcomes
from evaluation.sections import assess_exposure, assess_leakage
from evaluation.sections.finding_errors import assess_zero_shot
from evaluation.sections.label_quality import assess_label_quality, label_outcomes
from evaluation.sections.modality_gap import assess_modality_gap, modality_gap_rows
from evaluation.stats import Minimum, protect, suppression
from evaluation.stats.small_groups import merge_labels


def random_table(rng: np.random.Generator, *, one_case: bool | None = None) -> pd.DataFrame:
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
    single = rng.random() < 0.3 if one_case is None else one_case
    return table.drop_duplicates("patient_id") if single else table


@contextmanager
def unrounded() -> Iterator[None]:
    """Reports that merge and hide and do not round."""
    with patch.multiple(suppression, _COUNT=1, _RATE=1e-9, _LOW=1e-9):
        yield


def one_table(table: pd.DataFrame, contrasts: Any = "rest") -> tuple[int, int]:
    """Small counts of a table that the reader recovers, and how many there are."""
    audit = audit_outcomes(
        table, OUTCOMES, ATTRIBUTES, permutations=0, repetitions=200, contrasts=contrasts
    )
    sets = {"all": np.ones(len(table), dtype=bool)}
    lacking = table["partly"].isna().to_numpy()
    if lacking.any():
        sets["partly"] = ~lacking
    return Reader(Archive.of(table, sets), {"outcomes": audit.to_json()}).recovered()


def random_archive(rng: np.random.Generator) -> tuple[pd.DataFrame, Archive]:
    """Small groups, few without a report, few with a finding are likely."""
    table = random_table(rng)
    table["one"] = table["one"].replace("c", "unknown")
    n = len(table)
    noted = rng.random(n) >= rng.choice([0.0, 0.03, 0.1, 0.4])
    has = rng.random(n) < rng.choice([0.03, 0.15, 0.5, 0.95])
    labelled = has | noted
    sets = {
        "all": np.ones(n, dtype=bool), "noted": noted, "with": has, "without": ~has,
        "labelled": labelled, "unlabelled": ~labelled, "no note": ~noted,
        "no finding": labelled & ~has, "partly": table["partly"].notna().to_numpy(),
    }  # fmt: skip
    return table, Archive.of(table, sets)


def make_report(table: pd.DataFrame, archive: Archive, rng: np.random.Generator) -> dict[str, Any]:
    """Every section that counts patients, as an audit of a library puts them together."""
    n, owner = len(table), np.unique(archive.owner, return_inverse=True)[1]
    noted, has = archive.sets["noted"], archive.sets["with"]
    merged = {name: merge_labels(archive.groups[name], owner, Minimum()) for name in ATTRIBUTES}
    groups = {name: labels for name, (labels, _) in merged.items()}
    same = {"patient_id": owner, **groups}
    columns = {name: archive.values[name] for name in OUTCOMES}
    audit = audit_outcomes({**same, **columns}, list(columns), ATTRIBUTES, permutations=0)
    audit.settings["merged"].update({a: list(of) for a, (_, of) in merged.items() if of})
    images = rng.normal(size=(n, 3))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    notes = np.where(noted[:, None], -images + 0.1 * rng.normal(size=(n, 3)), np.nan)
    far = np.where(owner[:, None] != owner[None, :], rng.random((n, n)), -1.0)
    labels = [{"mass"} if a else set() if b else None for a, b in zip(has, noted, strict=True)]
    said = [{"mass"} & (x or set()) if b else None for x, b in zip(labels, noted, strict=True)]
    drawn = {"repetitions": 200}
    later = {**columns, "hit": np.where(rng.random(n) < 0.1, 1 - columns["hit"], columns["hit"])}
    case = {"case": np.arange(n)}
    quality = assess_label_quality(
        label_outcomes(labels, said), owner, groups, outcomes=columns, **drawn
    )
    report: dict[str, Any] = {
        "stamp": {"n_cases": n, "n_patients": len(set(owner.tolist()))},
        "protocol": {"minimum": {"reported": SMALL + 1, "precise": PRECISE}},
        "outcomes": audit.to_json(),
        "exposure": assess_exposure(
            np.argsort(-far, axis=1)[:, :3], owner, owner, groups, permutations=99, **drawn
        ).to_json(),
        "modality_gap": {
            "rows": modality_gap_rows(assess_modality_gap(images, notes, owner, groups, **drawn)),
        },
        "leakage": assess_leakage(
            {"image": images, "note": notes}, owner, groups, probes=("linear",), permutations=99
        ).to_json(),
        "comparison": compare_outcomes(
            {**same, **columns, **case}, {**same, **later, **case}, list(columns),
            list(ATTRIBUTES), query="case", **drawn,
        ).to_json(),
        "label_quality": {"rows": [row.to_json() for row in quality]},
    }  # fmt: skip
    if 0 < has.sum() < n:
        found = assess_zero_shot(
            {"mass": images[:, 0]}, {"mass": has.astype(float)}, {"mass": 0.0}, owner, groups
        )
        report["zero_shot"] = {"rows": [row.to_json() for row in found]}
    return protect(report)


def table_figures(tables: int, seed: int, *, one_case: bool = True) -> dict[str, int]:
    """Small counts of random tables that are told, with and without rounding."""
    found = np.zeros(3, dtype=int)
    for number in range(tables):
        table = random_table(np.random.default_rng([seed, number]), one_case=one_case)
        kind = "all" if number % 4 == 0 else "rest"
        told, small = one_table(table, kind)
        with unrounded():
            before, _ = one_table(table, kind)
        found += told, before, small
    return _named(found, tables)


def _named(found: NDArray[np.int64], n: int) -> dict[str, int]:
    names = ("told", "told_without_rounding", "small_counts")
    return {"n": n, **dict(zip(names, found.tolist(), strict=True))}


def report_figures(reports: int, seed: int) -> dict[str, int]:
    """The same of whole reports."""
    found = np.zeros(3, dtype=int)
    for number in range(reports):
        table, archive = random_archive(np.random.default_rng([seed, 9, number]))
        told, small = Reader(
            archive, make_report(table, archive, np.random.default_rng(number))
        ).recovered()
        with unrounded():
            report = make_report(table, archive, np.random.default_rng(number))
            before, _ = Reader(archive, report).recovered()
        found += told, before, small
    return _named(found, reports)


def main() -> None:
    """Print the gate's figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=100, help="tables of each kind")
    parser.add_argument("--reports", type=int, help="a twentieth as many by default")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    reports = max(1, args.cohorts // 20) if args.reports is None else args.reports
    found = {
        "tables, one case a patient": table_figures(args.cohorts, args.seed),
        "tables, several cases": table_figures(args.cohorts, args.seed + 1, one_case=False),
        "whole reports": report_figures(reports, args.seed),
    }
    print(json.dumps({"gate": "G9", **found}))


if __name__ == "__main__":
    main()
