"""What a score is worth: calibrated on half of the held-out patients, checked on the other half.

    python tests/benchmarks/score_worth.py LIBRARY [--halves 10]

LIBRARY is an embedded library, such as ``medembed demo LIBRARY --no-app`` makes; nothing is kept in it.
Each kind of query is measured on all held-out patients once (as ``medembed evaluate`` does), and the
patients are halved at random: a curve of one half predicts the hits of the other. Printed, each the
mean over the halves:

- *error*: mean absolute difference of predicted and found share over ten groups of equal size by
  the prediction; *of chance*: what a perfect curve would show with as many patients (the residuals
  of each patient's hits with a random sign);
- *covered*: how many steps' intervals hold the share found on the other half, widened by the
  interval of that share (both halves vary);
- *Brier* score of the curve; *flat*: of the mean share of the hits as the only prediction.

Last, the findings of the held-out patients are dealt anew among them: the curve should be flat at
the share of any case. No figure depends on the load of the machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from medembed.library import CaseLibrary
from medembed.lookup import score_evaluation as measuring
from medembed.lookup.query import Query
from medembed.lookup.score_curve import FEWEST_PATIENTS, ShareCurve
from medembed.lookup.score_tables import QueryKind
from medembed.model.resolve import choose_model

GROUPS = 10
Asked = dict[QueryKind, list[measuring._Asked]]


def ask_all(library: CaseLibrary) -> Asked:
    """Ask with every held-out patient, as the evaluation does."""
    choice = choose_model(library)
    asking = measuring._Asking(library, choice)
    asked: Asked = {}
    for case in measuring._held_out(library, choice.fingerprint, None):
        for kind, one in asking.all(case):
            if one.any_case is not None:
                asked.setdefault(kind, []).append(one)
    return asked


def ask_with_others_findings(library: CaseLibrary) -> list[measuring._Asked]:
    """Ask by case, each patient with the findings of another held-out patient."""
    choice = choose_model(library)
    asking = measuring._Asking(library, choice)
    cases = [c for c in measuring._held_out(library, choice.fingerprint, None) if c.findings]
    order = np.random.default_rng(0).permutation(len(cases))
    index = asking.gallery.index
    owner = library.patients()
    patient = np.array([owner[name] for name in index.case_ids])
    asked = []
    for case, at in zip(cases, order, strict=True):
        query, vector = Query.of(case=case.case_id), {"case": index.vector(case.case_id)}
        allowed = patient != case.patient_id
        one, _ = asking._ask(query, (), vector, case, cases[at].findings, allowed)
        asked.append(one)
    return asked


def fit(asked: list[measuring._Asked], top: int) -> ShareCurve:
    return ShareCurve.fit(*columns(asked, top))


def columns(asked: list[measuring._Asked], top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = [len(one.hits[:top]) for one in asked]
    return (
        np.concatenate([one.hits[:top] for one in asked]),
        np.concatenate([one.shared[:top] for one in asked]),
        np.repeat(np.arange(len(asked)), sizes),
    )


def grouped_error(predicted: np.ndarray, found: np.ndarray) -> float:
    order = np.argsort(predicted, kind="stable")
    parts = np.array_split(order, GROUPS)
    gaps = [abs(predicted[part].mean() - found[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(order))


def steps_covered(curve: ShareCurve, scores: np.ndarray, shared: np.ndarray, who: np.ndarray):
    """Whether each step's interval meets that of the share found on the other half."""
    at = np.searchsorted(curve.floors, scores, side="right") - 1
    for step in range(len(curve.floors)):
        mine = at == step
        patients, place = np.unique(who[mine], return_inverse=True)
        if len(patients) < 10:
            continue
        n = np.bincount(place).astype(float)
        y = np.bincount(place, shared[mine])
        share = y.sum() / n.sum()
        spread = np.sqrt(((y - share * n) ** 2).sum()) / n.sum()
        half = (curve.highs[step] - curve.lows[step]) / 2
        yield abs(curve.shares[step] - share) <= np.hypot(half, 1.96 * spread) + 1e-9


def check(asked: list[measuring._Asked], halves: int, top: int) -> dict[str, float]:
    names = ("error", "noise", "covered", "brier", "flat")
    found: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(halves):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(asked))
        one, other = order[: len(order) // 2], order[len(order) // 2 :]
        curve = fit([asked[at] for at in one], measuring.DEPTH)
        if not len(curve.floors):
            continue
        scores, shared, who = columns([asked[at] for at in other], top)
        step = np.clip(np.searchsorted(curve.floors, scores, side="right") - 1, 0, None)
        predicted = curve.shares[step]
        found["error"].append(grouped_error(predicted, shared))
        found["noise"].append(noise(predicted, shared, who, rng))
        found["covered"].extend(steps_covered(curve, scores, shared, who))
        found["brier"].append(float(np.mean((predicted - shared) ** 2)))
        found["flat"].append(float(np.mean((fit_mean(asked, one) - shared) ** 2)))
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def fit_mean(asked: list[measuring._Asked], rows: np.ndarray) -> float:
    return float(np.mean(np.concatenate([asked[at].shared for at in rows])))


def noise(
    predicted: np.ndarray, shared: np.ndarray, who: np.ndarray, rng: np.random.Generator
) -> float:
    """The error that a true curve would show: patients' residuals with random signs."""
    residual = shared - predicted
    signs = rng.choice([-1.0, 1.0], size=(20, who.max() + 1))[:, who]
    return float(np.mean([grouped_error(predicted, predicted + residual * sign) for sign in signs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--halves", type=int, default=10)
    given = parser.parse_args()
    with CaseLibrary.open(given.library) as library:
        asked = ask_all(library)
        dealt = ask_with_others_findings(library)
        held_out = len(library.split("val")) + len(library.split("test"))
        print(f"{len(library)} cases, {held_out} held out")
    curve = fit(dealt, measuring.DEPTH)
    chance_of_dealt = np.mean([one.any_case for one in dealt])
    for top in (10, measuring.DEPTH):
        print(f"\nfirst {top} hits of the other half")
        print(
            "\n| query | patients | any case | hits | error | of chance | covered | Brier | flat |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for kind in QueryKind:
            if len(asked.get(kind, ())) < 2 * FEWEST_PATIENTS:
                continue
            row = check(asked[kind], given.halves, top)
            chance = np.mean([one.any_case for one in asked[kind]])
            share = np.mean(np.concatenate([one.shared[:top] for one in asked[kind]]))
            print(
                f"| {kind} | {len(asked[kind])} | {chance:.1%} | {share:.1%} | {row['error']:.1%} "
                f"| {row['noise']:.1%} | {row['covered']:.0%} | {row['brier']:.3f} "
                f"| {row['flat']:.3f} |",
                flush=True,
            )
    low, high = (
        f"{curve.shares[at]:.1%} ({curve.lows[at]:.1%}–{curve.highs[at]:.1%})" for at in (0, -1)
    )
    print(
        f"\nfindings dealt anew among the patients who ask by case: any case {chance_of_dealt:.1%}, "
        f"lowest scores {low}, highest scores {high}"
    )


if __name__ == "__main__":
    main()
