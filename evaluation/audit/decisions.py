"""From a row's figures to its verdict: families of tests and claims, reasons, and flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.audit.hypotheses import Plan, holm_of_questions
from evaluation.audit.result import COLUMNS, Flag
from evaluation.audit.table_input import LEAST_CLUSTERS, Queries
from evaluation.stats import Decision, Minimum, decide
from evaluation.stats.verdict import REASONS, RatioClaim, Reason, Verdict

__all__ = ["Rules", "adjust_families", "decide_row", "hide", "refer", "unanswered"]

Row = dict[str, Any]
_NAIVE = ("gap_naive", "gap_naive_ci_low", "gap_naive_ci_high", "p_naive")
_DERIVED = ("ratio", "ratio_ci_low", "ratio_ci_high", "gap_missing_low", "gap_missing_high")
_P = ("p_value", "p_adjusted", "p_max_t", "p_heterogeneity")
_GAP = ("rest_estimate", "gap", "gap_ci_low", "gap_ci_high", "overlap")
_OF_COMPARISON = (*_GAP, *_P, *_NAIVE, *_DERIVED, "step_rest")
_TWICE = 2.0


@dataclass(frozen=True)
class Rules:
    """What verdicts are made by; whether gaps are adjusted, and clusters drawn, not patients."""

    margin: float
    ratio_margin: float | None
    alpha: float
    minimum: Minimum
    overlap: float
    adjusted: bool
    clusters: bool

    @property
    def words(self) -> dict[str, Any]:
        """What the reasons of a row name."""
        return {
            "least": self.minimum.reported,
            "units": "clusters" if self.clusters else "patients",
        }


def adjust_families(rows: list[Row]) -> None:
    """Adjust p-values, and the chances of false claims, by Holm within families.

    Gaps, "inside", "beyond" and heterogeneity are held to the level each by itself.
    """
    families = [row["family"] for row in rows]
    questions = [row["_question"] for row in rows]
    for raw, name in (
        ("p_value", "p_adjusted"), ("p_naive", "p_naive"), ("p_heterogeneity", "p_heterogeneity"),
        ("_p_within", "_p_within"), ("_p_exceeds", "_p_exceeds"),
        ("_naive_p_within", "_naive_p_within"), ("_naive_p_exceeds", "_naive_p_exceeds"),
    ):  # fmt: skip
        adjusted = holm_of_questions([row[raw] for row in rows], families, questions)
        for row, p in zip(rows, adjusted.tolist(), strict=True):
            row[name] = p


def decide_row(row: Row, rules: Rules) -> None:
    """Set both verdicts, the reason, and the flags."""
    naive = _sizes(row, rules) or _verdict(row, "gap_naive", "p_naive", "_naive_", rules)
    found = naive
    if rules.adjusted:
        found = (
            _sizes(row, rules)
            or _strata(row, rules)
            or _verdict(row, "gap", "p_adjusted", "_", rules)
        )
    row["verdict_naive"], row["verdict"] = naive.verdict.value, found.verdict.value
    row["reason"], row["reason_code"] = found.reason, found.code.value
    row["flags"] = ",".join(_flags(row, found.verdict, rules))


def _sizes(row: Row, rules: Rules) -> Decision | None:
    least = rules.minimum.reported
    found = (
        (row["n_patients"] == 0, Reason.NOTHING_MEASURED),
        (row["n_patients"] < least, Reason.FEW),
        (row["_other_k"] == 0, Reason.NO_OTHER_GROUP),
        (row["_other_k"] < least, Reason.FEW_OTHERS),
        (row["_few"], Reason.FEW_CLUSTERS),
        (row["_dominated"], Reason.DOMINATED),
        (row["_others_dominated"], Reason.OTHERS_DOMINATED),
    )
    code = next((code for holds, code in found if holds), None)
    return None if code is None else Decision(Verdict.NOT_ASSESSABLE, code, rules.words)


def _strata(row: Row, rules: Rules) -> Decision | None:
    if not row["overlap"] >= rules.overlap:
        return Decision(Verdict.NOT_ASSESSABLE, Reason.FEW_SHARED_STRATA)
    least = LEAST_CLUSTERS if rules.clusters else rules.minimum.reported
    if row["_carried"] < least:
        words = rules.words | {"least": least}
        return Decision(Verdict.NOT_ASSESSABLE, Reason.FEW_CARRY_THE_GAP, words)
    return None


def _verdict(row: Row, gap: str, p: str, claim: str, rules: Rules) -> Decision:
    """Verdict by the interval as it is shown."""
    low, high = row[f"{gap}_ci_low"], row[f"{gap}_ci_high"]
    ends = None if np.isnan(low) or np.isnan(high) else (low, high)
    ratio = None
    if rules.ratio_margin is not None and not np.isnan(row["n_events"]):  # scores have no ratio
        ratio = RatioClaim(rules.ratio_margin, row[f"{claim}alike"], row[f"{claim}unlike"])
    found = decide(
        row[gap], ends, row[p], margin=rules.margin, alpha=rules.alpha, ratio=ratio,
        p_within=row[f"{claim}p_within"], p_exceeds=row[f"{claim}p_exceeds"],
    )  # fmt: skip
    if found.verdict == Verdict.NOT_ASSESSABLE:
        return Decision(Verdict.NOT_ASSESSABLE, Reason.NO_VARIATION)
    return found


def _flags(row: Row, verdict: Verdict, rules: Rules) -> list[str]:
    found = []
    if row["p_heterogeneity"] <= rules.alpha and verdict != Verdict.NOT_ASSESSABLE:
        found.append(Flag.HETEROGENEOUS)
    low, high = row["gap_missing_low"], row["gap_missing_high"]
    if (verdict == Verdict.WITHIN and max(-low, high) >= rules.margin) or (
        verdict in (Verdict.DIFFERS, Verdict.EXCEEDS) and low <= 0 <= high
    ):
        found.append(Flag.MISSING_COULD_MATTER)
    established = row["p_adjusted"] <= rules.alpha
    often = max(row["ratio"], 1 / row["ratio"]) if row["ratio"] > 0 else 0.0
    if verdict == Verdict.WITHIN and established and often >= _TWICE:
        found.append(Flag.RARE_HARM)
    return [flag.value for flag in found]


def refer(row: Row) -> None:
    """Leave a group's own figures: its contrast is the other group's, and shown there."""
    row |= dict.fromkeys(_OF_COMPARISON, np.nan)
    row |= {
        "comparison": "reference", "primary": False, "verdict": None, "verdict_naive": None,
        "reason": REASONS[Reason.REFERENCE], "reason_code": Reason.REFERENCE.value, "flags": "",
        "ratio_of": None,
    }  # fmt: skip
    if row["_asked_of"] == (row["group"],):
        row["reason"] = "the group that the others are compared with"


def unanswered(queries: Queries, plan: Plan, rows: list[Row]) -> list[Row]:
    """Rows for primary hypotheses that no row answers: the gate is not to pass for want of one."""
    there = [
        (row["attribute"], group, row["outcome"])
        for row in rows
        if row["primary"] and not row["_refer"]
        for group in row["_asked_of"]
    ]
    merged = {(g.attribute, name) for g in queries.groupings for name in g.merged}
    found = []
    for hypothesis in plan.primary:
        if any(hypothesis.holds(*name) for name in there):
            continue
        gone = (hypothesis.attribute, hypothesis.group) in merged
        code = Reason.MERGED if gone else Reason.NO_SUCH_GROUP
        row: Row = dict.fromkeys(COLUMNS, np.nan)
        group = hypothesis.group or ""
        row |= {
            "attribute": hypothesis.attribute,
            "group": group or "(any)",
            "outcome": hypothesis.outcome,
            "comparison": "rest",
            "family": plan.family(hypothesis.attribute, [group], hypothesis.outcome),
            "primary": True,
            "n_patients": np.nan if gone else 0,
            "n_queries": np.nan if gone else 0,
            "precision": "suppressed",
            **dict.fromkeys(("verdict", "verdict_naive"), Verdict.NOT_ASSESSABLE.value),
            "reason": REASONS[code],
            "reason_code": code.value,
            "flags": "",
            "ratio_of": None,
        }
        found.append(row)
    return found


def hide(row: Row, minimum: Minimum) -> None:
    """Take away what rests on too few patients, or could not be tested."""
    few = row["n_patients"] < minimum.reported
    if few:
        _clear(row, ("estimate", "ci_low", "ci_high", "n_events", "n_unmeasured", "design_effect"))
        _clear(row, _DERIVED)
        _clear(row, ("icc", *(("n_patients", "n_queries") if row["n_patients"] else ())))
    if few or row["_other_k"] < minimum.reported:  # the other side's mean is a small cell's too
        _clear(row, (*_GAP, *_NAIVE))
    elif not row["_tested"]:
        _clear(row, ("gap", "gap_ci_low", "gap_ci_high"))
    for name in ("gap", "gap_naive"):  # no interval, no gap: a bare number says too much
        if np.isnan(row[f"{name}_ci_low"]) or np.isnan(row[f"{name}_ci_high"]):
            _clear(row, (name, f"{name}_ci_low", f"{name}_ci_high"))
    if row["verdict"] == "not_assessable":
        _clear(row, (*_P, *_DERIVED))
        row["ratio_of"] = None
    if row["verdict_naive"] == "not_assessable":
        _clear(row, ("p_naive",))
    row["overlap"] = round(row["overlap"], 1)  # its complement is a few queries' strata


def _clear(row: Row, names: tuple[str, ...]) -> None:
    for name in names:
        row[name] = np.nan
