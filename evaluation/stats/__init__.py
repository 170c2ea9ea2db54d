"""Statistics for patients as the sampling unit: one vectorised implementation of each."""

from __future__ import annotations

from evaluation.stats.multiplicity import holm, holm_by_family
from evaluation.stats.report_fields import OTHER_GROUPS
from evaluation.stats.small_groups import merge_groups
from evaluation.stats.suppression import protect
from evaluation.stats.verdict import Decision, Minimum, decide, gate

__all__ = [
    "OTHER_GROUPS", "Decision", "Minimum", "decide", "gate", "holm", "holm_by_family",
    "merge_groups", "protect",
]  # fmt: skip
