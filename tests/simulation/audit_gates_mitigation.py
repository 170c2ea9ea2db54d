"""G12: does a mitigation that does nothing seem to improve a group? And is a real one found?

Run from the project's root::

    PYTHONPATH=tests python tests/simulation/audit_gates_mitigation.py --cohorts 1000 --seed 0

One JSON object on stdout; each share with its standard error and the number of simulated cohorts.
``improved``: any group of any attribute and outcome is said to be improved. ``recommended``: the
mitigation is. ``target``: the declared target is said to be improved. Beside it, on the same
cohorts: ``images_t``, a paired t-test over images without adjustment in any group; ``points``, the
gap of the declared target to the rest merely became smaller; ``picked``, the target is the group
that was worst on these very patients (regression to the mean).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel
from support.cohorts import hits

from evaluation.mitigation.effect import MitigationEffect, assess_mitigation
from evaluation.mitigation.erasure import erase_unit
from evaluation.mitigation.rerank import constrained_order

DESIGNS: dict[str, dict[str, Any]] = {
    "usual": {"icc": 0.3, "size": 3.5},
    "alike": {"icc": 0.5, "size": 3.5},
    "few images": {"icc": 0.3, "size": 1.5},
    "many images": {"icc": 0.3, "size": 5.8},
    "rare misses": {"icc": 0.2, "size": 3.5, "rate": 0.93},
    "graded": {"icc": 0.3, "size": 3.5, "graded": True},
    "all anew": {"icc": 0.3, "size": 3.5, "anew": 1.0},
}
TARGET = ("race", "a", "hit")
SHARES = {"sex": (0.5, 0.5), "race": (0.16, 0.24, 0.6), "age": (0.1, 0.4, 0.5)}


def attributes(rng: np.random.Generator, owner: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Groups of patients, of no meaning to any outcome."""
    n = int(owner.max()) + 1
    return {
        name: rng.choice(list("abc")[: len(shares)], n, p=shares)[owner]
        for name, shares in SHARES.items()
    }


def judged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, bool]:
    """What is said of a change, by our method and by ready-made ones."""
    outcomes = [name for name in before if name not in (*SHARES, "patient_id")]
    found = assess(before, after, outcomes, TARGET)
    rows = found.comparison.rows
    t_test = False
    for name in SHARES:
        for group in np.unique(before[name]):
            member = before[name] == group
            for outcome in outcomes:
                old, new = before[outcome][member], after[outcome][member]
                if (old != new).any():
                    tested = ttest_rel(new, old)
                    t_test |= bool(tested.pvalue <= 0.05 and tested.statistic > 0)
    target = found.comparison.row(*TARGET)
    known = (r for r in rows if r["outcome"] == "hit" and r["before"] is not None)
    worst = min(known, key=lambda r: r["before"])
    return {
        "improved": any(row["verdict"] == "improved" for row in rows),
        "recommended": found.recommended,
        "target": target["verdict"] == "improved",
        "images_t": t_test,
        "points": abs(target["gap_after"]) < abs(target["gap_before"]),
        # as the only test of its family, and so not adjusted
        "picked": worst["p"] is not None and worst["p"] <= 0.05 and worst["ci_low"] > 0,
    }


def assess(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    outcomes: Sequence[str],
    target: tuple[str, str, str],
) -> MitigationEffect:
    return assess_mitigation(
        "sham", before, after, outcomes, list(SHARES), targets=[target], fitted_on=(),
        repetitions=400,
    )  # fmt: skip


def sham(design: str, seed: int, n_patients: int = 600) -> dict[str, bool]:
    """Answer a third of all queries (or all) anew, no better and no worse; patients stay alike."""
    rng = np.random.default_rng([seed, list(DESIGNS).index(design)])
    given = DESIGNS[design]
    rate, icc = given.get("rate", 0.5), given["icc"]
    owner, _ = hits(rng, n_patients, rate, icc, given["size"])
    spread = (1 - icc) / icc
    own = rng.beta(rate * spread, (1 - rate) * spread, n_patients)
    answers = [(rng.random(len(owner)) < own[owner]).astype(float) for _ in range(2)]
    anew = rng.random(len(owner)) < given.get("anew", 1 / 3)
    tables = []
    for hit in (answers[0], np.where(anew, answers[1], answers[0])):
        tables.append({"patient_id": owner.astype(str), "hit": hit})
    missed = rng.random(len(owner)) < 0.7
    for table in tables:  # a second measure that goes with the first
        table["top"] = table["hit"] * missed
    if given.get("graded"):
        for table in tables:
            table["top"] = 1 / (1 + rng.poisson(4 * (2 - table["hit"])))
    groups = attributes(rng, owner)
    return judged(tables[0] | groups, tables[1] | groups)


def archive(
    rng: np.random.Generator, n_patients: int = 400
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Unit vectors of images, their patients and findings; patients' images are alike."""
    owner, _ = hits(rng, n_patients, 0.5, 0.3, 2.5)
    finding = rng.integers(0, 6, n_patients)[owner]
    centre = rng.normal(size=(6, 24))
    x = (
        0.35 * centre[finding]
        + 0.5 * rng.normal(size=(n_patients, 24))[owner]
        + rng.normal(size=(len(owner), 24))
    )
    return x / np.linalg.norm(x, axis=1, keepdims=True), owner, finding


def similarities(x: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cosines, none to images of the query's own patient."""
    return np.where(owner[:, None] == owner, -np.inf, x @ x.T)


def outcome(order: NDArray[np.int64], finding: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Whether a hit of the first one, and of the first five, shares the query's finding."""
    right = finding[order] == finding[:, None]
    return {"hit": right[:, :5].any(axis=1).astype(float), "top": right[:, 0].astype(float)}


def erased(seed: int) -> dict[str, bool]:
    """LEACE of an attribute of no meaning: fitted on half of the patients, judged on the others."""
    rng = np.random.default_rng([seed, 77])
    x, owner, finding = archive(rng, 600)
    groups = attributes(rng, owner)
    held = owner % 2 == 0
    fit = erase_unit(x[~held], groups["race"][~held])
    base = {"patient_id": owner[held].astype(str)} | {n: g[held] for n, g in groups.items()}
    tables = []
    for vectors in (x[held], fit.apply(x[held])):
        order = np.argsort(-similarities(vectors, owner[held]), axis=1, kind="stable")[:, :5]
        tables.append(base | outcome(order, finding[held]))
    return judged(*tables)


def reordered(seed: int) -> dict[str, bool]:
    """Hits reordered to even shares of an attribute of no meaning."""
    rng = np.random.default_rng([seed, 78])
    x, owner, finding = archive(rng, 250)
    groups = attributes(rng, owner)
    cosine = similarities(x, owner)
    pool = np.argsort(-cosine, axis=1, kind="stable")[:, :20]
    even = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    changed = np.stack(
        [
            row[constrained_order(cosine[i][row], groups["race"][row].tolist(), even, 5)]
            for i, row in enumerate(pool)
        ]
    )
    base = {"patient_id": owner.astype(str)} | groups
    return judged(base | outcome(pool, finding), base | outcome(changed, finding))


def real_change(seed: int, *, gain: float, loss: float, n_patients: int = 4000) -> dict[str, bool]:
    """Race a (16%) gains, race b (24%) loses, that much; the others' queries change at random."""
    rng = np.random.default_rng([seed, 79])
    owner, hit = hits(rng, n_patients, 0.5)
    groups = attributes(rng, owner)
    moved = np.select([groups["race"] == "a", groups["race"] == "b"], [2 * gain, -2 * loss], 0.0)
    turned = rng.random(len(hit)) < np.abs(moved)
    after = np.where(turned, (moved > 0).astype(float), hit)
    stirred = rng.random(len(hit)) < 0.05
    after = np.where(stirred, rng.permutation(after), after)
    base = {"patient_id": owner.astype(str)} | groups
    return judged(base | {"hit": hit}, base | {"hit": after})


def share(found: Sequence[Mapping[str, bool]]) -> dict[str, dict[str, float]]:
    """Share of cohorts in which each thing was said, with its standard error."""
    n = len(found)
    out = {}
    for name in found[0]:
        rate = sum(one[name] for one in found) / n
        out[name] = {
            "share": round(rate, 4),
            "error": round(float(np.sqrt(max(rate * (1 - rate), 1 / (4 * n)) / n)), 4),
            "cohorts": n,
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cohorts", type=int, default=1000, help="for each design")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    seeds = range(asked.seed * 1_000_000, asked.seed * 1_000_000 + asked.cohorts)
    result: dict[str, Any] = {"gate": "G12", "cohorts": asked.cohorts, "seed": asked.seed}
    result["sham"] = {}
    for design in DESIGNS:
        result["sham"][design] = share([sham(design, seed) for seed in seeds])
        sys.stderr.write(f"{design}: {result['sham'][design]['improved']}\n")
    result["sham"]["erasure"] = share([erased(seed) for seed in seeds])
    result["sham"]["reranking"] = share([reordered(seed) for seed in seeds])
    fewer = seeds[: max(1, asked.cohorts // 5)]
    result["real"] = {
        "gain .10 (640 patients)": share([real_change(s, gain=0.1, loss=0.0) for s in fewer]),
        "gain .10, another group loses .15": share(
            [real_change(s, gain=0.1, loss=0.15) for s in fewer]
        ),
    }
    all_shams = [result["sham"][name]["improved"]["share"] for name in result["sham"]]
    result["worst_sham_improved"] = max(all_shams)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
