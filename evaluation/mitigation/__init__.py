"""Ways to mitigate differences between groups, each to be assessed before it is used."""

from __future__ import annotations

from evaluation.mitigation.effect import MitigationEffect, assess_mitigation, mitigation_section
from evaluation.mitigation.erasure import (
    CorrelationErasure,
    Eraser,
    UnitErasure,
    erase_unit,
    fit_leace,
    linear_trace,
)
from evaluation.mitigation.posterior import RelevancePosterior
from evaluation.mitigation.rerank import (
    EarnedExposure,
    constrained_order,
    earned_exposure,
    exposure_weights,
)
from evaluation.mitigation.thresholds import (
    GroupThresholds,
    Rule,
    equal_rates,
    equal_sensitivity,
)
from medembed.training.balanced_sampler import BalancedBatches, balanced_batches, group_shares

__all__ = [
    "BalancedBatches",
    "CorrelationErasure",
    "EarnedExposure",
    "Eraser",
    "GroupThresholds",
    "MitigationEffect",
    "RelevancePosterior",
    "Rule",
    "UnitErasure",
    "assess_mitigation",
    "balanced_batches",
    "constrained_order",
    "earned_exposure",
    "equal_rates",
    "equal_sensitivity",
    "erase_unit",
    "exposure_weights",
    "fit_leace",
    "group_shares",
    "linear_trace",
    "mitigation_section",
]
