"""Statistics for patients as the sampling unit: tests, intervals, verdicts, disclosure."""

from __future__ import annotations

from evaluation.stats.clusters import ClusterMean, cluster_mean
from evaluation.stats.disclosure import Suppression, attack, suppress
from evaluation.stats.multiplicity import MaxT, holm, holm_by_family, permutation_max_t
from evaluation.stats.proportions import Proportion, gap_interval, korn_graubard, mover
from evaluation.stats.score_test import GroupTests, ScoreTest, group_tests, score_test
from evaluation.stats.standardised_gaps import StandardisedGap, standardised_gap
from evaluation.stats.studentised import (
    StudentisedInterval,
    bootstrap_t_gap,
    bootstrap_t_mean,
)
from evaluation.stats.verdict import Decision, Minimum, decide, gate

__all__ = [
    "ClusterMean",
    "Decision",
    "GroupTests",
    "MaxT",
    "Minimum",
    "Proportion",
    "ScoreTest",
    "StandardisedGap",
    "StudentisedInterval",
    "Suppression",
    "attack",
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
    "mover",
    "permutation_max_t",
    "score_test",
    "standardised_gap",
    "suppress",
]
