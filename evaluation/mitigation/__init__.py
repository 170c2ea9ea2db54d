"""Ways to mitigate differences between groups, each to be assessed before it is used."""

from __future__ import annotations

from evaluation.mitigation.effect import MitigationEffect, assess_mitigation, mitigation_section
from evaluation.mitigation.erasure import CorrelationErasure, erase_unit, linear_trace
from evaluation.mitigation.rerank import (
    RelevancePosterior,
    constrained_order,
    earned_exposure,
    exposure_weights,
)
from evaluation.mitigation.thresholds import GroupThresholds, equal_rates, equal_sensitivity
from medembed.training.balanced_sampler import balanced_batches

__all__ = [
    "CorrelationErasure",
    "GroupThresholds",
    "MitigationEffect",
    "RelevancePosterior",
    "assess_mitigation",
    "balanced_batches",
    "constrained_order",
    "earned_exposure",
    "equal_rates",
    "equal_sensitivity",
    "erase_unit",
    "exposure_weights",
    "linear_trace",
    "mitigation_section",
]
