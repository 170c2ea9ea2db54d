"""Gate G13 of the fairness audit: it claims no more than it has shown.

    python tests/simulation/audit_gates_claims.py --cohorts 200 --seed 0

Whole audits (:func:`evaluation.audit_outcomes`) of simulated cohorts whose truth is known, each the
worst of its kind that was found: small groups before the release check, patients whose group is
not known, gaps within and just over the margin, a patient who holds most of a group, many tests at
rates near 1, rare harms, harm that turns from stratum to stratum, sites above the patients. One
JSON object on stdout, each figure with its standard error and n.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simulation.audit_gates_inference import share
from support.cohorts import hits

from evaluation.audit import Audit, audit_outcomes
from evaluation.stats import Minimum

Held = dict[str, list[bool]]
ESTABLISHED = ("exceeds", "differs")


def _audit(
    owner: np.ndarray, hit: np.ndarray, groups: dict[str, np.ndarray], **options: Any
) -> Audit:
    """Audit hits of patients whose groups are given."""
    table: dict[str, Any] = {"patient_id": owner, "hit": hit}
    table |= {name: held[owner] for name, held in groups.items()}
    asked = [name for name in groups if not name.startswith("stratum")]
    return audit_outcomes(
        table, ["hit"], asked, **{"permutations": 0, "intersections": False} | options
    )


def _rest(audit: Audit) -> pd.DataFrame:
    return audit.table[audit.table["comparison"] == "rest"]


def _keep(found: Held, name: str, value: bool) -> None:
    found.setdefault(name, []).append(bool(value))


def release(rng: np.random.Generator, found: Held) -> None:
    """Harms that small groups cannot show must not pass; a large fair archive should."""
    for gap, small in ((0.15, 30), (0.10, 160)):
        member = np.arange(small + 800) < small
        owner, hit = hits(rng, len(member), 0.6 - gap * member)
        gate = _audit(
            owner, hit, {"group": np.where(member, "a", "b")}, primary=[("group", "a", "hit")]
        ).gate()
        _keep(found, f"a gap of {gap:.2f} in {small} patients passes", gate.passed)
    member = rng.random(6000) < 0.5
    owner, hit = hits(rng, len(member), 0.6)
    gate = _audit(
        owner, hit, {"group": np.where(member, "a", "b")}, primary=[("group", "a", "hit")]
    ).gate()
    _keep(found, "two fair groups of 3,000 patients pass", gate.passed)


def unknown(rng: np.random.Generator, found: Held) -> None:
    """Sex is often missing where the search fails; women are served 8 points worse."""
    sex = rng.choice(["F", "M"], 1500)
    owner, hit = hits(rng, len(sex), 0.7 - 0.08 * (sex == "F"))
    mean = np.bincount(owner, hit) / np.bincount(owner)
    shown = np.where(rng.random(len(sex)) < 0.6 * (1 - mean), None, sex)
    row = _rest(_audit(owner, hit, {"sex": shown}, primary=[("sex", "F", "hit")])).iloc[0]
    _keep(found, "women flagged as better", row["p_adjusted"] <= 0.05 and row["gap"] > 0)
    _keep(found, "women flagged as worse", row["p_adjusted"] <= 0.05 and row["gap"] < 0)


def words(rng: np.random.Generator, found: Held) -> None:
    """A true gap of .03 is no gap beyond .05; one of .12 is."""
    for gap in (0.03, 0.12):
        member = rng.random(4000) < 0.5
        owner, hit = hits(rng, len(member), 0.6 - gap * member)
        verdict = _rest(_audit(owner, hit, {"group": np.where(member, "a", "b")})).iloc[0][
            "verdict"
        ]
        _keep(found, f"a gap of {gap:.2f} exceeds .05", verdict == "exceeds")


def dominated(rng: np.random.Generator, found: Held) -> None:
    """One patient has 500 images, or a fifth, or a tenth of the group's; there is no gap."""
    for most, small in ((500, 60), (60, 60), (25, 60), (500, 300)):
        n = 500 + small
        member = np.arange(n) < small
        sizes = 1 + rng.negative_binomial(1.25, 1.25 / 3.75, n)
        sizes[0] = most
        owner = np.repeat(np.arange(n), sizes)
        own = rng.beta(0.6 * 7 / 3, 0.4 * 7 / 3, n)
        hit = (rng.random(len(owner)) < own[owner]).astype(float)
        table = {"patient_id": owner, "hit": hit, "group": np.where(member, "a", "b")[owner]}
        table["score"] = hit * 0.999
        rows = audit_outcomes(
            table, ["hit", "score"], ["group"], permutations=0, repetitions=200,
            primary=[("group", "a", "hit"), ("group", "a", "score")],
        ).table  # fmt: skip
        for row in rows[rows["group"] == "a"].to_dict("records"):
            truth = 0.6 if row["outcome"] == "hit" else 0.6 * 0.999
            name = f"one of {small} patients has {most} images, {row['outcome']}"
            _keep(found, f"{name}: assessable", row["verdict"] != "not_assessable")
            for what, low, high, value in (
                ("interval", row["ci_low"], row["ci_high"], truth),
                ("gap interval", row["gap_ci_low"], row["gap_ci_high"], 0.0),
            ):
                if not np.isnan(low):
                    _keep(found, f"{name}: {what} holds", low <= value <= high)


def near_one(rng: np.random.Generator, found: Held) -> None:
    """Fair archives, 192 groups and outcomes, everybody's rate .85, .90 or .93."""
    for rate, n in ((0.85, 600), (0.90, 1000), (0.93, 600)):
        groups = {
            name: rng.choice(len(p), n, p=p).astype(str)
            for name, p in (
                ("sex", [0.5, 0.5]), ("age", [0.1, 0.2, 0.3, 0.25, 0.15]),
                ("race", [0.55, 0.16, 0.12, 0.1, 0.07]), ("ward", [0.4, 0.3, 0.3]),
            )
        }  # fmt: skip
        owner, hit = hits(rng, n, rate)
        own = rng.beta(rate * 7 / 3, (1 - rate) * 7 / 3, n)
        table: dict[str, Any] = {"patient_id": owner, "hit": hit}
        table["second"] = (rng.random(len(owner)) < own[owner]).astype(float)
        table |= {name: held[owner] for name, held in groups.items()}
        rows = audit_outcomes(
            table, ["hit", "second"], list(groups), permutations=0, minimum=Minimum(20, 50)
        ).table
        _keep(found, f"rate {rate:.2f}, any gap established", (rows["p_adjusted"] <= 0.05).any())


def all_clear(rng: np.random.Generator, found: Held) -> None:
    """Gaps just over the margin in ten attributes, and in one."""
    for many in (10, 1):
        x = rng.random((3000, many)) < 0.5
        owner, hit = hits(rng, len(x), 0.6 + 0.0505 * (x - 0.5).sum(axis=1), icc=0.1)
        groups = {f"a{i}": np.where(x[:, i], "1", "2") for i in range(many)}
        verdicts = _rest(_audit(owner, hit, groups))["verdict"]
        _keep(found, f"any false within, {many} attributes", (verdicts == "within").any())


def rare(rng: np.random.Generator, found: Held) -> None:
    """Misses of 1% and 4%; and of 1% both."""
    for miss in (0.04, 0.01):
        member = rng.random(8000) < 0.5
        owner, hit = hits(rng, len(member), 1 - np.where(member, miss, 0.01), icc=0.1)
        groups = {"group": np.where(member, "a", "b")}
        declared = _rest(_audit(owner, hit, groups, ratio_margin=2.0)).iloc[0]["verdict"]
        points = _rest(_audit(owner, hit, groups)).iloc[0]
        if miss == 0.04:
            _keep(found, "misses of 1% and 4% within, ratio declared", declared == "within")
            _keep(found, "misses of 1% and 4% exceed, ratio declared", declared == "exceeds")
            flagged = points["verdict"] != "within" or "rare_harm" in points["flags"]
            _keep(found, "misses of 1% and 4% named, points alone", flagged)
        else:
            _keep(found, "misses of 1% and 1% within, ratio declared", declared == "within")


def strata(rng: np.random.Generator, found: Held) -> None:
    """Harm of 10 points in one stratum and its opposite in the other; and of 3 in both."""
    for name, harm in (("turning", (0.10, -0.10)), ("even", (0.03, 0.03))):
        member, view = rng.random(3000) < 0.5, rng.choice(2, 3000)
        owner, hit = hits(rng, len(member), 0.6 - np.array(harm)[view] * member)
        audit = _audit(
            owner, hit, {"group": np.where(member, "a", "b"), "view": view.astype(str)},
            strata=["view"], primary=[("group", "a", "hit")],
        )  # fmt: skip
        rows = _rest(audit)
        row = rows[rows["attribute"] == "group"].iloc[0]
        _keep(found, f"{name} harm: flagged", "heterogeneous" in row["flags"])
        _keep(found, f"{name} harm: passes", audit.gate().passed)
        own = rows[rows["attribute"] == "view"]["verdict"]
        _keep(
            found, f"{name} harm: the stratum itself is assessable", (own != "not_assessable").all()
        )


def sites(rng: np.random.Generator, found: Held) -> None:
    """Fair sites of unlike quality with unlike patients; said, and compared within sites."""
    site = rng.choice(12, 2400)
    rate, women = 0.6 + 0.08 * rng.standard_normal(12), rng.beta(4, 4, 12)
    sex = np.where(rng.random(len(site)) < women[site], "F", "M")
    owner, hit = hits(rng, len(site), np.clip(rate[site], 0.1, 0.9))
    for name, options in (
        ("patients alone", {}),
        ("site as stratum", {"strata": ["stratum site"]}),
        ("site as cluster", {"cluster": "site"}),
    ):
        audit = _audit(
            owner, hit, {"sex": sex, "site": site.astype(str), "stratum site": site.astype(str)},
            **options,
        )  # fmt: skip
        rows = _rest(audit)
        row = rows[rows["attribute"] == "sex"].iloc[0]
        _keep(found, f"12 fair sites, {name}: sex flagged", row["p_value"] <= 0.05)
        words = ("Patients of one site", "patients of one site")
        said = any(word in note for note in audit.notes for word in words)
        _keep(found, f"12 fair sites, {name}: said", said)


TRUTHS: dict[str, Callable[[np.random.Generator, Held], None]] = {
    "release check": release,
    "unknown": unknown,
    "words": words,
    "dominated": dominated,
    "rates near 1": near_one,
    "all-clear": all_clear,
    "rare harms": rare,
    "strata": strata,
    "sites": sites,
}


def claimed(truth: str, cohorts: int, seed: int) -> Held:
    """What audits of cohorts with this truth claimed."""
    found: Held = {}
    for number in range(cohorts):
        TRUTHS[truth](np.random.default_rng([seed, number]), found)
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(TRUTHS), help="these truths")
    args = parser.parse_args()
    found = {
        f"{truth}: {name}": share(held)
        for truth in args.only or TRUTHS
        for name, held in claimed(truth, args.cohorts, args.seed).items()
    }
    print(json.dumps({"gate": "G13", **found}))


if __name__ == "__main__":
    main()
