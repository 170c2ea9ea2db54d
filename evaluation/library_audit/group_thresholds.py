"""Findings called by thresholds of each group instead of one for all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.library_audit.cases import TextSide
from evaluation.library_audit.mitigation_runs import Attempt, Material
from evaluation.library_audit.zero_shot import score_findings
from evaluation.mitigation import GroupThresholds, equal_rates, equal_sensitivity
from medembed.errors import InputError
from medembed.notes import canonical_label

__all__ = ["by_thresholds"]


def by_thresholds(made: Material, text_side: TextSide | None) -> Attempt:
    """Call findings by a threshold for each group, against the one threshold of the same aim.

    Outcomes are the chance to be missed of those who have a finding, and to be falsely called of
    those who lack it: 0 or 1 but where a lot decides.

    Raises
    ------
    InputError
        Where the model's folder is not available, or no finding has patients enough.
    """
    if text_side is None:
        raise InputError(
            "the model's folder is not available, so findings cannot be searched by text"
        )
    fit, _ = made.fit_rows()
    plan, groups, meant = made.plan, made.groups, made.plan.group
    if meant is None or meant not in groups:
        raise InputError(f"group {meant!r} has no patient here, or is merged as a small one")
    found = score_findings(made.audited.by_image, fit.by_image, text_side, made.protocol)
    before: dict[str, NDArray[np.float64]] = {}
    after: dict[str, NDArray[np.float64]] = {}
    targets: list[tuple[str, str, str]] = []
    lots: list[str] = []
    left_out: dict[str, list[str]] = {}
    for label in tuple(map(canonical_label, plan.findings)) or tuple(found.scores):
        if label not in found.scores:
            left_out.setdefault("too few patients have or lack the finding", []).append(label)
            continue
        rule = _rule(made, found.known[label], found.known_truth[label])
        if meant not in rule.rules:
            why = rule.reasons.get(meant, "no threshold")
            left_out.setdefault(f"{why} in the group {meant}", []).append(label)
            continue
        scores, truth = found.scores[label], found.truth[label]
        one, each = rule.common.probability(scores), rule.probability(scores, groups)
        for columns, chance in ((before, one), (after, each)):
            columns[f"{label} missed (FNR)"] = np.where(truth == 1, 1 - chance, np.nan)
            columns[f"{label} falsely called (FPR)"] = np.where(truth == 0, chance, np.nan)
        targets.append((plan.attribute, meant, f"{label} missed (FNR)"))
        if rule.by_lot:
            lots.append(f"{label} {rule.share_by_lot(scores, groups):.0%}")
        for name, why in sorted(rule.reasons.items()):
            left_out.setdefault(f"{why} in the group {name}: common threshold", []).append(label)
    notes = [f"{', '.join(labels)}: {why}" for why, labels in left_out.items()]
    if not targets:
        raise InputError("; ".join(notes) or "no finding can be asked")
    if lots:
        notes.append(f"some cases are decided at random: {', '.join(lots)}")
    notes.append("the decision depends on the patient's group by design")
    return Attempt(
        before, after, targets, made.fitted_on, ("; ".join(notes) + ".",), higher_is_better=False
    )


def _rule(
    made: Material, scores: NDArray[np.float64], truth: NDArray[np.float64]
) -> GroupThresholds:
    fit, _ = made.fit_rows()
    groups, owners = fit.attributes[made.plan.attribute], fit.by_image.owners
    least = made.protocol.least
    if made.plan.equal == "rates":
        return equal_rates(scores, truth, groups, owners, minimum=least)
    return equal_sensitivity(
        scores, truth, groups, owners, sensitivity=made.plan.sensitivity, minimum=least
    )
