"""Statistics for patients as the sampling unit: tests, intervals, verdicts, disclosure."""

from __future__ import annotations

from evaluation.stats.clusters import ClusterMean, cluster_mean
from evaluation.stats.multiplicity import MaxT, holm, holm_by_family, permutation_max_t
from evaluation.stats.proportions import Proportion, gap_interval, korn_graubard, mover
from evaluation.stats.report_fields import OTHER_GROUPS
from evaluation.stats.score_test import GroupTests, ScoreTest, group_tests, score_test
from evaluation.stats.small_groups import merge_groups
from evaluation.stats.standardised_gaps import StandardisedGap, standardised_gap
from evaluation.stats.studentised import (
    StudentisedInterval,
    bootstrap_t_gap,
    bootstrap_t_mean,
)
from evaluation.stats.suppression import protect
from evaluation.stats.verdict import Decision, Minimum, decide, gate

__all__ = [
    "OTHER_GROUPS",
    "ClusterMean",
    "Decision",
    "GroupTests",
    "MaxT",
    "Minimum",
    "Proportion",
    "ScoreTest",
    "StandardisedGap",
    "StudentisedInterval",
    "bootstrap_t_gap",
    "bootstrap_t_mean",
    "cluster_mean",
    "decide",
    "gap_interval",
    "gate",
    "group_tests",
    "holm",
    "holm_by_family",
    "korn_graubard",
    "merge_groups",
    "mover",
    "permutation_max_t",
    "protect",
    "score_test",
    "standardised_gap",
]
