"""Assess retrieval: measures with intervals, null controls, and the fairness suite.

The public names are loaded when first used, so that the command line starts without numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.audit import Audit, audit_outcomes
    from evaluation.comparison import Comparison, compare_outcomes
    from evaluation.library_audit import Protocol, audit_library, load_protocol
    from evaluation.library_scores import LibraryScores, evaluate_library
    from evaluation.nulls import NullControl, null_control
    from evaluation.pairs import SameLabel, SharedTrait
    from evaluation.resampling import PatientResampler
    from evaluation.retrieval import RetrievalScores, retrieval_scores
    from evaluation.zero_shot import (
        plain_queries,
        ranking_auc,
        zero_shot_markdown,
        zero_shot_means,
        zero_shot_table,
    )

_HOME = {
    "Audit": "evaluation.audit",
    "Comparison": "evaluation.comparison",
    "LibraryScores": "evaluation.library_scores",
    "NullControl": "evaluation.nulls",
    "PatientResampler": "evaluation.resampling",
    "Protocol": "evaluation.library_audit",
    "RetrievalScores": "evaluation.retrieval",
    "SameLabel": "evaluation.pairs",
    "SharedTrait": "evaluation.pairs",
    "audit_library": "evaluation.library_audit",
    "audit_outcomes": "evaluation.audit",
    "compare_outcomes": "evaluation.comparison",
    "evaluate_library": "evaluation.library_scores",
    "load_protocol": "evaluation.library_audit",
    "null_control": "evaluation.nulls",
    "plain_queries": "evaluation.zero_shot",
    "ranking_auc": "evaluation.zero_shot",
    "retrieval_scores": "evaluation.retrieval",
    "zero_shot_markdown": "evaluation.zero_shot",
    "zero_shot_means": "evaluation.zero_shot",
    "zero_shot_table": "evaluation.zero_shot",
}

__all__ = [
    "Audit",
    "Comparison",
    "LibraryScores",
    "NullControl",
    "PatientResampler",
    "Protocol",
    "RetrievalScores",
    "SameLabel",
    "SharedTrait",
    "audit_library",
    "audit_outcomes",
    "compare_outcomes",
    "evaluate_library",
    "load_protocol",
    "null_control",
    "plain_queries",
    "ranking_auc",
    "retrieval_scores",
    "zero_shot_markdown",
    "zero_shot_means",
    "zero_shot_table",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'evaluation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
