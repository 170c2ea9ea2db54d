"""Reports of made-up audits in the form of the real one, drawn by seed; no patient stands behind.

Group sizes, true gaps and the likeness within patients are chosen; estimates, intervals, p and
verdicts are drawn from them with the tests' own few lines and the package's verdict rule.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import norm

from evaluation.stats import Minimum, decide, holm

GROUPS = {
    "sex": {"F": 1460, "M": 1702, "unknown": 38},
    "age_band": {"0-19": 74, "20-39": 520, "40-59": 1101, "60-79": 1189, "80+": 316},
    "race": {"a": 1650, "b": 742, "c": 291, "d": 7, "unknown": 510},
}
OUTCOMES = {
    "recall_at_10": ("Relevant case among the first ten", 0.71, "proportion", True),
    "mrr": ("Rank of the first relevant case", 0.46, "score", True),
    "missed_effusion": ("Pleural effusion missed", 0.19, "proportion", False),
}
HARMS = {
    "recall_at_10": "past cases that would have helped are not shown, and the radiologist decides "
    "with less to compare.",
    "mrr": "the case that would have helped stands lower on the list, where it is seldom read.",
    "missed_effusion": "an effusion goes unremarked, and its treatment comes late.",
}
TRUE_GAPS = {("sex", "F"): -0.062, ("age_band", "80+"): -0.11, ("race", "b"): -0.028}
MARGIN, ALPHA = 0.05, 0.05


def outcome_row(
    rng: np.random.Generator, attribute: str, group: str, n: int, outcome: str, truth: float
) -> dict[str, Any]:
    """One group against the rest, as an audit would find it."""
    _, base, unit, higher = OUTCOMES[outcome]
    minimum = Minimum()
    row: dict[str, Any] = {
        "attribute": attribute, "group": group, "outcome": outcome, "comparison": "rest",
        "family": "primary" if attribute == "sex" and group == "F" else "other",
        "primary": attribute == "sex" and group == "F" and outcome == "recall_at_10",
        "precision": minimum.precision(n),
    }  # fmt: skip
    figures = (
        "n_patients", "n_queries", "n_events", "n_unmeasured", "estimate", "ci_low", "ci_high",
        "rest_estimate", "gap", "gap_ci_low", "gap_ci_high", "gap_naive", "gap_naive_ci_low",
        "gap_naive_ci_high", "p_adjusted", "p_naive", "p_max_t", "design_effect", "icc",
    )  # fmt: skip
    row |= dict.fromkeys(figures)
    if row["precision"] == "suppressed":
        return row | {
            "verdict": "not_assessable", "verdict_naive": "not_assessable",
            "reason": "too few patients to be shown",
        }  # fmt: skip
    deff = float(rng.uniform(1.4, 2.1))
    queries = int(n * rng.uniform(3.1, 3.9))
    signed = truth if higher else -truth
    error = float(np.sqrt(base * (1 - base) * deff / queries * (1 + n / 3200)))
    gap = float(rng.normal(signed, error))
    naive = gap + float(rng.normal(0.0, 0.012)) - (0.035 if group == "20-39" else 0.0)
    estimate = float(np.clip(base + gap, 0.01, 0.99))
    row |= {
        "n_patients": n, "n_queries": queries, "n_unmeasured": int(rng.integers(0, 40)),
        "estimate": estimate, "ci_low": max(0.0, estimate - 1.96 * error),
        "ci_high": min(1.0, estimate + 1.96 * error), "rest_estimate": base,
        "n_events": round(queries * estimate) if unit == "proportion" else None,
        "gap": gap, "gap_ci_low": gap - 1.96 * error, "gap_ci_high": gap + 1.96 * error,
        "gap_naive": naive, "gap_naive_ci_low": naive - 1.9 * error,
        "gap_naive_ci_high": naive + 1.9 * error,
        "p_naive": float(2 * norm.sf(abs(naive) / error)),
        "p": float(2 * norm.sf(abs(gap) / error)), "design_effect": deff, "icc": 0.3,
        "error": error,
    }  # fmt: skip
    return row


def settle(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adjust p over all rows and give the verdicts."""
    tested = [row for row in rows if "p" in row]
    adjusted = holm(np.array([row["p"] for row in tested]))
    naive = holm(np.array([row["p_naive"] for row in tested]))
    for row, p, q in zip(tested, adjusted, naive, strict=True):
        error = row.pop("error")
        del row["p"]
        row["p_adjusted"], row["p_naive"], row["p_max_t"] = float(p), float(q), float(p)
        for gap, name, own in (("gap", "verdict", p), ("gap_naive", "verdict_naive", q)):
            inner = (row[gap] - 1.645 * error, row[gap] + 1.645 * error)
            found = decide(row[gap], inner, float(own), margin=MARGIN, alpha=ALPHA)
            row[name] = found.verdict
            if name == "verdict":
                row["reason"] = found.reason
    return rows


def make_report(seed: int = 0, gaps: dict[tuple[str, str], float] | None = None) -> dict[str, Any]:
    """A whole report with every section."""
    rng = np.random.default_rng(seed)
    truths = TRUE_GAPS if gaps is None else gaps
    rows = [
        outcome_row(rng, attribute, group, n, outcome, truths.get((attribute, group), 0.0))
        for outcome in OUTCOMES
        for attribute, groups in GROUPS.items()
        for group, n in groups.items()
    ]
    rows += [
        outcome_row(
            rng, "race*sex", f"{race}*{sex}", n, "recall_at_10", truths.get(("sex", sex), 0)
        )
        for race, sex, n in (("a", "F", 760), ("b", "F", 350), ("c", "F", 131), ("c", "M", 160))
    ]
    rows = settle(rows)
    cells = [
        {
            "attribute": attribute, "group": group, "precision": Minimum().precision(n),
            "n_patients": n if n > 10 else None, "n_queries": 4 * n if n > 10 else None,
        }
        for attribute, groups in GROUPS.items() for group, n in groups.items()
    ]  # fmt: skip
    exceeding = [row for row in rows if row["verdict"] == "exceeds"]
    return {
        "version": 1,
        "title": "Similar-case search, chest radiographs",
        "question": "Does the search find helpful past cases equally well for all groups of "
        "patients?",
        "stamp": {
            "protocol_sha256": "9f2c" * 16, "protocol_name": "audit.yaml", "date": "2026-03-02",
            "versions": {"numpy": "2.3.1", "fairlearn": "0.15.0"}, "seed": seed,
            "model": "b1946ac9" * 4, "library": "591785b7" * 4,
            "split": "test", "n_cases": 11212, "n_patients": 3200, "code": "0.2.0",
        },
        "protocol": {
            "attributes": list(GROUPS), "outcomes": list(OUTCOMES), "margin": MARGIN,
            "alpha": ALPHA, "strata": ["view", "finding"], "families": {"primary": 1, "other": 2},
            "primary": [
                {"attribute": "sex", "group": "F", "outcome": "recall_at_10"},
                {"attribute": "site", "outcome": "recall_at_10"},
            ],
            "minimum": {"reported": 11, "precise": 50},
        },
        "gate": {
            "passed": not exceeding,
            "reasons": [f"{len(exceeding)} comparisons exceed the margin"] if exceeding else [],
        },
        "outcomes": {
            "settings": {"margin": MARGIN, "alpha": ALPHA}, "table": rows, "cells": cells,
            "notes": ["Neighbours of the same patient and exact duplicates were left out."],
        },
        "describe_outcomes": {
            name: {"title": title, "harm": HARMS[name], "higher_is_better": higher, "unit": unit}
            for name, (title, _, unit, higher) in OUTCOMES.items()
        },
        "attributes": {
            "sex": {"title": "Sex"}, "age_band": {"title": "Age"},
            "race": {"title": "Race", "groups": {x: f"Group {x.upper()}" for x in "abcd"}},
        },
        "missing": {
            "unknown": [
                {"attribute": "sex", "n_patients": 38, "share": 38 / 3200},
                {"attribute": "age_band", "n_patients": 0, "share": 0.0},
                {"attribute": "race", "n_patients": 510, "share": 510 / 3200},
            ],
            "absent": [
                "The archive does not record the patients’ language.",
                "No case is of a patient younger than one year.",
            ],
        },
        "instrument": {
            "false_alarm_rate": 0.031, "false_alarm_rate_error": 0.0055, "coverage": 0.949,
            "coverage_error": 0.0021, "cohorts": 1000, "icc": dict.fromkeys(OUTCOMES, 0.28),
            "detectable": [
                {"attribute": a, "group": g, "outcome": "recall_at_10",
                 "smallest_gap": float(2.8 * np.sqrt(0.21 * 1.7 / (3.5 * n))) if n > 10 else None}
                for a, groups in GROUPS.items() for g, n in groups.items()
            ],
            "notes": ["Simulated with the group sizes of this archive."],
        },
    } | _further(rng)  # fmt: skip


def _further(rng: np.random.Generator) -> dict[str, Any]:
    exposure = []
    for attribute, group, share, ratio in (
        ("sex", "F", 0.456, 0.99), ("sex", "M", 0.532, 1.01), ("age_band", "80+", 0.099, 0.81),
        ("race", "b", 0.232, 0.94), ("race", "c", 0.091, 1.02),
    ):  # fmt: skip
        width = 0.12 * np.sqrt(0.1 / share)
        exposure.append({
            "attribute": attribute, "group": group, "share_archive": share,
            "exposure": share * ratio, "ratio": ratio, "ratio_given_relevance": ratio + 0.01,
            "ci_low": ratio + 0.01 - 0.7 * width, "ci_high": ratio + 0.01 + 0.7 * width,
            "null_low": 1 - width, "null_high": 1 + width, "n_patients": int(3200 * share),
            "p_adjusted": 0.004 if ratio < 0.85 else 0.61,
            "verdict": "exceeds" if ratio < 0.85 else "within",
        })  # fmt: skip
    leakage = [
        {
            "attribute": attribute, "space": space, "probe": probe, "auc": auc,
            "ci_low": auc - 0.03, "ci_high": auc + 0.03, "null_mean": 0.5, "p": 0.0005,
            "n_patients": 3200, "verdict": "exceeds" if auc > 0.55 else "inconclusive",
        }
        for attribute, space, probe, auc in (
            ("sex", "image", "linear", 0.931), ("sex", "image", "nonlinear", 0.957),
            ("age_band", "image", "linear", 0.842), ("race", "note", "linear", 0.531),
        )
    ]  # fmt: skip
    effects = (
        ("sex", "F", "exposure", "female to male", 0.018),
        ("age_band", "80+", "exposure", "young to old", 0.041),
        ("sex", "F", "similarity", "female to male", 0.012),
        ("sex", "", "ranking", "female to male", 0.009),
    )
    counterfactual = [
        {
            "attribute": attribute, "group": group, "measure": measure, "swap": swap,
            "effect": effect, "ci_low": effect - 0.015,
            "ci_high": effect + 0.015, "placebo": 0.006, "n_queries": 900,
            "p_adjusted": 0.03 if effect > 0.02 else 0.4,
            "verdict": "exceeds" if effect > 0.02 else "within",
        }
        for attribute, group, measure, swap, effect in effects
    ]  # fmt: skip
    modality = [
        {
            "attribute": "sex", "group": group, "gap": 0.61 + d, "ci_low": 0.6 + d,
            "ci_high": 0.62 + d, "difference": d, "difference_ci_low": d - 0.012,
            "difference_ci_high": d + 0.012, "p_adjusted": 0.2, "n_patients": n,
            "verdict": "inconclusive",
        }
        for group, d, n in (("F", 0.011, 1460), ("M", -0.010, 1702))
    ]  # fmt: skip
    labels = [
        {
            "attribute": "race", "group": group, "measure": "without_note", "estimate": share,
            "ci_low": share - 0.02, "ci_high": share + 0.02, "gap": share - 0.05,
            "p_adjusted": 0.0002 if share > 0.1 else 0.7, "n_patients": n,
            "verdict": "exceeds" if share > 0.1 else "within",
        }
        for group, share, n in (("a", 0.041, 1650), ("b", 0.058, 742), ("unknown", 0.142, 510))
    ]  # fmt: skip
    return {
        "exposure": {"rows": exposure, "notes": ["Top ten of each list, discounted by rank."]},
        "leakage": {"rows": leakage, "notes": []},
        "counterfactual": {"rows": counterfactual, "notes": []},
        "modality_gap": {"rows": modality},
        "label_quality": {"rows": labels},
        "zero_shot": {"rows": _zero_shot(rng)},
        "mitigation": _mitigation(),
        "comparison": None,
    }


def _zero_shot(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for finding in ("effusion", "pneumothorax"):
        for measure, base in (("FNR", 0.2), ("FPR", 0.11), ("AUC", 0.86)):
            for group, n in GROUPS["sex"].items():
                gap = float(rng.normal(0.04 if (group, measure) == ("F", "FNR") else 0, 0.015))
                row = {
                    "finding": finding, "attribute": "sex", "group": group, "measure": measure,
                    "estimate": base + gap, "ci_low": base + gap - 0.03,
                    "ci_high": base + gap + 0.03, "gap": gap, "gap_ci_low": gap - 0.032,
                    "gap_ci_high": gap + 0.032, "p_adjusted": 0.04 if gap > 0.05 else 0.5,
                    "n_patients": n, "n_events": n // 4, "reason": None,
                    "verdict": "exceeds" if gap > 0.05 else "inconclusive",
                }  # fmt: skip
                if group == "unknown":
                    row |= dict.fromkeys(
                        ("estimate", "ci_low", "ci_high", "gap", "gap_ci_low", "gap_ci_high",
                         "p_adjusted", "n_events")
                    )  # fmt: skip
                    row |= {"verdict": "not_assessable", "reason": "no positive case"}
                rows.append(row)
    return rows


def _mitigation() -> dict[str, Any]:
    rows, summary = [], []
    for name, recommended in (("Fair reranking", False), ("Group-balanced batches", True)):
        for group, change in (("80+", 0.061), ("20-39", -0.004 if recommended else -0.058)):
            verdict = "improved" if change > 0.03 else "no_change_shown"
            rows.append({
                "name": name, "attribute": "age_band", "group": group, "measure": "recall_at_10",
                "before": 0.62, "after": 0.62 + change, "change": change, "n_patients": 300,
                "ci_low": change - 0.03, "ci_high": change + 0.03, "recommended": recommended,
                "verdict": "worse" if change < -0.05 else verdict,
                "reason": "loses more than the margin" if change < -0.05 else "",
            })  # fmt: skip
        reasons = [] if recommended else ["loses more than the margin"]
        summary.append({"name": name, "recommended": recommended, "reasons": reasons})
    return {"rows": rows, "summary": summary}


def numbers_of(value: Any) -> set[float]:
    """Every number that stands anywhere in a report."""
    if isinstance(value, bool):
        return set()
    if isinstance(value, int | float):
        return {float(value)}
    if isinstance(value, dict):
        return set().union(*map(numbers_of, value.values())) if value else set()
    if isinstance(value, list | tuple):
        return set().union(*map(numbers_of, value)) if value else set()
    return set()


def rises(values: list[float]) -> bool:
    """Whether each value is above the one before."""
    return all(b > a for a, b in pairwise(values))
