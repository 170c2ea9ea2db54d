"""Gate G2 beyond the search's outcomes: does every other interval of an audit hold its truth?

    python tests/simulation/audit_gates_sections.py --cohorts 1000 --seed 0

Errors of named findings, areas, calibration, exposure, distance of images and reports, swapped
words, changes between two runs, pairs of groups, and groups that hold some of a patient's queries.
Cohorts whose truth is known by construction, or from a draw a thousand times as large; what
goes on within patients is alike. One JSON object on stdout: ``K patients, interval``, K being the
patients of the smaller side; and, for fair cohorts whose errors and gaps in labels are rare, how
often the sections and the table of outcomes establish a gap in the same data.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simulation.audit_gates_counterfactual import FINDINGS, SIDES, SWAP, BagOfWords
from simulation.audit_gates_inference import grouped, measured, share
from support.cohorts import hits

from evaluation.audit import audit_outcomes
from evaluation.change.comparison import compare_outcomes
from evaluation.sections import assess_counterfactual, assess_exposure
from evaluation.sections.finding_errors import assess_zero_shot
from evaluation.sections.label_quality import assess_label_quality
from evaluation.sections.modality_gap import assess_modality_gap

Floats = NDArray[np.float64]
Held = Iterator[tuple[str, float | None, float | None, float]]
"""An interval's name, its ends (None where there is none) and the truth."""
OTHERS = 300
BASE, SHIFT, CUT, RATE = 1.4, 0.4, 0.7, 0.45
RARE = ((0.01, 0.04), (0.05, 0.10))


def owners(rng: np.random.Generator, n_patients: int) -> NDArray[np.int64]:
    """Patients of 1 + NegBin queries, 3.5 on average."""
    sizes = 1 + rng.negative_binomial(1.25, 1.25 / 3.75, n_patients)
    return np.repeat(np.arange(n_patients), sizes)


def curve(scores: Floats) -> Floats:
    """Probability of the finding for a score, right for everybody outside the small group."""
    odds = np.log(RATE / (1 - RATE)) + BASE * scores - BASE**2 / 2
    return np.asarray(1 / (1 + np.exp(-odds)))


@cache
def calibration_truth(separation: float, bins: int) -> float:
    """Root of the weighted squares of what is wrong in so many bins of equal numbers."""
    rng = np.random.default_rng(0)
    n = 2_000_000
    truth = rng.random(n) < RATE
    p = curve(rng.standard_normal(n) + separation * truth)
    order = np.argsort(p)
    wrong = [(truth[part] - p[part]).mean() for part in np.array_split(order, bins)]
    # Bins of what is right differ by chance alone, of the size of 1/n.
    return float(np.sqrt(max(0.0, np.mean(np.square(wrong)) - bins * 0.2 / n)))


def findings(rng: np.random.Generator, small: int) -> Held:
    """A finding that is harder to see in the small group; scores and presence alike in patients."""
    owner = owners(rng, small + OTHERS)
    member = owner < small
    own = rng.standard_normal((2, small + OTHERS))[:, owner]
    each = rng.standard_normal((2, len(owner)))
    mixed = np.sqrt(0.4) * own + np.sqrt(0.6) * each
    truth = mixed[0] < norm.ppf(RATE)
    separation = BASE - SHIFT * member
    scores = mixed[1] + separation * truth
    rows = assess_zero_shot(
        {"mass": scores}, {"mass": truth.astype(float)}, {"mass": CUT}, owner,
        {"group": np.where(member, "small", "large")}, probabilities={"mass": curve(scores)},
    )  # fmt: skip
    n = [int((member == side).sum()) for side in (True, False)]
    errors = [
        calibration_truth(float(d), min(10, size // 20))
        for d, size in zip((BASE - SHIFT, BASE), n, strict=True)
    ]
    missed = [norm.cdf(CUT - d) for d in (BASE - SHIFT, BASE)]
    areas = [norm.cdf(d / np.sqrt(2)) for d in (BASE - SHIFT, BASE)]
    alarms = [norm.sf(CUT)] * 2
    truths = {"FNR": missed, "FPR": alarms, "AUC": areas, "calibration": errors}
    for row in rows:
        if row.group != "small":
            continue
        if row.measure == "EO":
            yield "equalized odds", row.ci_low, row.ci_high, missed[0] - missed[1]
            continue
        mine, other = truths[row.measure]
        yield row.measure, row.ci_low, row.ci_high, mine
        yield f"{row.measure} gap", row.gap_ci_low, row.gap_ci_high, mine - other


GALLERY = np.repeat(np.arange(200), 3)
FEW = GALLERY < 40


def shown(rng: np.random.Generator, asking: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Hits of patients who prefer the group each by their own measure; the archive stays."""
    attraction = 0.5 * np.random.default_rng(1).standard_normal(200)[GALLERY]
    taste = 0.6 * rng.standard_normal(n)[asking]
    keys = attraction + taste[:, None] * FEW + rng.gumbel(size=(len(asking), len(GALLERY)))
    return np.asarray(np.argsort(-keys, axis=1)[:, :10])


@cache
def exposure_truth() -> float:
    """The ratio over very many patients."""
    rng = np.random.default_rng(2)
    weight = 1 / np.log2(2 + np.arange(10))
    given = [(FEW[shown(rng, np.arange(2000), 2000)] @ weight).mean() for _ in range(100)]
    return float(np.mean(given) / weight.sum() / FEW.mean())


def exposure(rng: np.random.Generator, small: int) -> Held:
    """What a group of the archive is given by patients who ask."""
    asking = owners(rng, small)
    row = assess_exposure(
        shown(rng, asking, small), asking + 1000, GALLERY,
        {"made": np.where(FEW, "few", "many")}, permutations=99,
    ).rows[0]  # fmt: skip
    yield "exposure", row.ci_low, row.ci_high, exposure_truth()


def pairs_of(rng: np.random.Generator, n_patients: int, far: float) -> tuple[Any, Floats, Floats]:
    """Unit vectors of images and reports around two centres, alike within patients."""
    owner = owners(rng, n_patients)
    sides = []
    for sign in (1, -1):
        centre = np.zeros(16)
        centre[0], centre[1] = 1.0, sign * far
        own = rng.standard_normal((n_patients, 16))[owner]
        v = centre + 0.3 * own + 0.3 * rng.standard_normal((len(owner), 16))
        sides.append(v / np.linalg.norm(v, axis=1, keepdims=True))
    return owner, sides[0], sides[1]


@cache
def distance_truth(far: float) -> float:
    """Distance of the centroids of very many."""
    _, images, notes = pairs_of(np.random.default_rng(3), 400_000, far)
    return float(np.linalg.norm((images - notes).mean(axis=0)))


def distance(rng: np.random.Generator, small: int) -> Held:
    """Images and reports of the small group lie farther apart."""
    one, two = pairs_of(rng, small, 0.5), pairs_of(rng, OTHERS, 0.4)
    owner = np.concatenate([one[0], two[0] + small])
    row = next(
        row
        for row in assess_modality_gap(
            np.concatenate([one[1], two[1]]), np.concatenate([one[2], two[2]]), owner,
            {"group": np.where(owner < small, "small", "large")},
        )
        if row.group == "small"
    )  # fmt: skip
    yield "distance of images and reports", row.ci_low, row.ci_high, distance_truth(0.5)
    truth = distance_truth(0.5) - distance_truth(0.4)
    yield "the same, gap", row.gap_ci_low, row.gap_ci_high, truth


TEXTS = [f"{a} {x} {b} {y}" for a in SIDES for x in FINDINGS for b in SIDES for y in FINDINGS]


def _swapped(texts: list[str], patients: Any, repetitions: int) -> dict[str, Any]:
    rng = np.random.default_rng([4, 7])
    line = rng.normal(size=32)
    line /= np.linalg.norm(line)
    group = np.where(np.arange(200) < 100, "F", "M")
    images = rng.normal(size=(200, 32)) + 1.5 * np.outer(group == "F", line)
    encoder = BagOfWords(4, 32, knows_sex=True, frame=0.05, line=line, push=1.5)
    found = assess_counterfactual(
        texts, encoder, images, {"sex": group}, range(200), patients=patients, swaps=[SWAP],
        repetitions=repetitions,
    )  # fmt: skip
    return {row.measure: row for row in found.rows if row.group in ("F", "")}


@cache
def swapped_truth() -> dict[str, float]:
    """Effects over all texts that there are."""
    rows = _swapped(TEXTS, np.arange(len(TEXTS)), 200)
    return {name: float(row.effect) for name, row in rows.items()}


def swapped(rng: np.random.Generator, small: int) -> Held:
    """Reports of patients, whose findings are often the same in their next report."""
    owner = owners(rng, small)
    own = rng.integers(0, len(TEXTS), small)[owner]
    which = np.where(rng.random(len(owner)) < 0.5, own, rng.integers(0, len(TEXTS), len(owner)))
    rows = _swapped([TEXTS[i] for i in which.tolist()], owner, 2000)
    for name, row in rows.items():
        yield f"swapped words, {name}", row.ci_low, row.ci_high, swapped_truth()[name]


def changes(rng: np.random.Generator, small: int) -> Held:
    """A third of all answers are given anew, better ones to the small group."""
    owner, before = hits(rng, small + OTHERS, 0.5)
    member = owner < small
    better = 0.5 + 0.3 * member
    anew = rng.random(len(owner)) < 1 / 3
    after = np.where(anew, rng.random(len(owner)) < better, before)
    table = {"patient_id": owner, "group": np.where(member, "small", "large")}
    rank = rng.integers(1, 11, len(owner))
    runs = [pd.DataFrame(table | {"hit": x, "rr": x / rank}) for x in (before, after)]
    found = compare_outcomes(*runs, ["hit", "rr"], ["group"])
    by_rank = float(np.mean(1 / np.arange(1, 11)))
    for name, factor in (("hit", 1.0), ("rr", by_rank)):
        row, truth = found.row("group", "small", name), factor * 0.1
        yield f"change of {name}", row["ci_low"], row["ci_high"], truth
        ends = row["gap_change_ci_low"], row["gap_change_ci_high"]
        yield f"change of the gap of {name}", *ends, truth


def two_groups(rng: np.random.Generator, small: int) -> Held:
    """Pairs of groups, and a view that a patient has in some queries."""
    n = 2 * small + OTHERS
    group = np.where(np.arange(n) < small, "a", np.where(np.arange(n) < 2 * small, "b", "c"))
    owner, hit = hits(rng, n, 0.6 - 0.1 * (group == "a"))
    table = {"patient_id": owner, "group": group[owner], **measured(rng, hit)}
    rr = 0.5 * float(np.mean(1 / np.arange(2, 11)))
    rows = audit_outcomes(
        table, ["recall@1", "MRR"], ["group"], permutations=0, contrasts="all"
    ).table
    rows = rows[(rows["comparison"] == "pair:b") & (rows["group"] == "a")]
    for row in rows.to_dict("records"):
        truth = -0.1 * (1.0 if row["outcome"] == "recall@1" else 1 - rr)
        ends = row["gap_ci_low"], row["gap_ci_high"]
        yield f"gap of two groups, {row['outcome']}", *ends, truth


def shared(rng: np.random.Generator, small: int) -> Held:
    """A view that hits are worse in; patients have queries in both."""
    owner, hit = hits(rng, 2 * small, 0.6)
    ap = rng.random(len(owner)) < 0.4
    hit = hit * (rng.random(len(owner)) < np.where(ap, 0.8, 1.0))
    table = {"patient_id": owner, "view": np.where(ap, "AP", "PA"), **measured(rng, hit)}
    rr = 0.5 * float(np.mean(1 / np.arange(2, 11)))
    rows = audit_outcomes(table, ["recall@1", "MRR"], ["view"], permutations=0).table
    for row in rows[rows["group"] == "AP"].to_dict("records"):
        truth = -0.12 * (1.0 if row["outcome"] == "recall@1" else 1 - rr)
        ends = row["gap_ci_low"], row["gap_ci_high"]
        yield f"gap within patients, {row['outcome']}", *ends, truth


PARTS = {
    "findings": findings, "exposure": exposure, "distance": distance, "swapped": swapped,
    "changes": changes, "pairs": two_groups, "shared": shared,
}  # fmt: skip


def _flagged(p: float | None) -> bool:
    return p is not None and p <= 0.05


def rare_alarms(
    low: float, high: float, cohorts: int, seed: int, n_patients: int = 400
) -> dict[str, list[bool]]:
    """Whether any gap is established in fair cohorts with rates from ``low`` to ``high``.

    Three findings are missed and falsely raised, and three kinds of labels are lacking, each at a
    rate of its own; groups by sex, age band and race, from 20 patients on.
    """
    found: dict[str, list[bool]] = {"findings": [], "labels": [], "table of outcomes": []}
    for number in range(cohorts):
        rng = np.random.default_rng([seed, round(1000 * low), number])
        owner = owners(rng, n_patients)
        columns = []
        for rate in rng.uniform(low, high, 6):
            own = rng.beta(4 * rate, 4 * (1 - rate), n_patients)  # alike within patients: ICC .2
            columns.append((rng.random(len(owner)) < own[owner]).astype(float))
        groups = grouped(rng, n_patients)
        groups["race"] = np.where(rng.random(n_patients) < 0.05, "rare", groups["race"])
        labels = {name: group[owner] for name, group in groups.items()}
        there = rng.random(len(owner)) < RATE
        errors, lacking = columns[:3], {f"label {i}": x for i, x in enumerate(columns[3:])}
        scores = {f"finding {i}": np.where(there, 1 - x, x) for i, x in enumerate(errors)}
        rows = assess_zero_shot(
            scores, dict.fromkeys(scores, there.astype(float)), dict.fromkeys(scores, 0.5), owner,
            labels,
        )  # fmt: skip
        found["findings"].append(any(_flagged(one.p_adjusted) for one in rows))
        quality = assess_label_quality(lacking, owner, labels)
        found["labels"].append(any(_flagged(row.p_adjusted) for row in quality))
        outcomes = {
            f"{name} {i}": np.where(kind, x, np.nan)
            for i, x in enumerate(errors)
            for name, kind in (("missed", there), ("raised", ~there))
        } | lacking
        table = audit_outcomes(
            {"patient_id": owner, **labels, **outcomes}, list(outcomes), list(labels),
            permutations=0, intersections=False,
        ).table  # fmt: skip
        found["table of outcomes"].append(bool((table["p_adjusted"] <= 0.05).any()))
    return found


def coverage(part: str, small: int, cohorts: int, seed: int) -> dict[str, list[bool]]:
    """Whether each interval of a part holds the truth, cohort by cohort."""
    found: dict[str, list[bool]] = {}
    for number in range(cohorts):
        rng = np.random.default_rng([seed, small, sorted(PARTS).index(part), number])
        for name, low, high, truth in PARTS[part](rng, small):
            if low is not None and high is not None and not np.isnan(low + high):
                found.setdefault(name, []).append(bool(low <= truth <= high))
    return found


def main() -> None:
    """Print the coverage of all intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--rare", action="store_true", help="false alarms of rare errors instead")
    args = parser.parse_args()
    found = (
        {}
        if args.rare
        else {
            f"{small} patients, {name}": share(held)
            for part in args.parts
            for small in (80, 200)
            for name, held in coverage(part, small, args.cohorts, args.seed).items()
        }
    )
    for low, high in RARE if args.rare else ():
        held = rare_alarms(low, high, args.cohorts, args.seed)
        found |= {f"rates of {low:g} to {high:g}, {n}": share(x) for n, x in held.items()}
    print(json.dumps({"gate": "G2, other sections", **found}))


if __name__ == "__main__":
    main()
