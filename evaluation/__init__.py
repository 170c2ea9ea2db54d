"""Assess retrieval: measures with intervals, null controls, and the fairness suite.

The public names are loaded when first used, so that the command line starts without numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.audit import Audit, audit_outcomes
    from evaluation.change.comparison import Comparison, compare_outcomes
    from evaluation.library_audit import Protocol, audit_library, load_protocol
    from evaluation.retrieval.library import LibraryScores, evaluate_library
    from evaluation.retrieval.null_controls import NullControl, null_control
    from evaluation.retrieval.relevance import SameLabel, SharedTrait
    from evaluation.retrieval.run_files import read_qrels, read_run
    from evaluation.retrieval.runs import RunScores, evaluate_run
    from evaluation.retrieval.scores import RetrievalScores, retrieval_scores
    from evaluation.retrieval.zero_shot import plain_queries, zero_shot_means, zero_shot_table
    from evaluation.stats.bootstrap import PatientResampler
    from evaluation.table_audit import TableProtocol, audit_table, load_table_protocol

_HOME = {
    "Audit": "evaluation.audit",
    "Comparison": "evaluation.change.comparison",
    "LibraryScores": "evaluation.retrieval.library",
    "NullControl": "evaluation.retrieval.null_controls",
    "PatientResampler": "evaluation.stats.bootstrap",
    "Protocol": "evaluation.library_audit",
    "RetrievalScores": "evaluation.retrieval.scores",
    "RunScores": "evaluation.retrieval.runs",
    "SameLabel": "evaluation.retrieval.relevance",
    "SharedTrait": "evaluation.retrieval.relevance",
    "TableProtocol": "evaluation.table_audit",
    "audit_library": "evaluation.library_audit",
    "audit_outcomes": "evaluation.audit",
    "audit_table": "evaluation.table_audit",
    "compare_outcomes": "evaluation.change.comparison",
    "evaluate_library": "evaluation.retrieval.library",
    "evaluate_run": "evaluation.retrieval.runs",
    "load_protocol": "evaluation.library_audit",
    "load_table_protocol": "evaluation.table_audit",
    "null_control": "evaluation.retrieval.null_controls",
    "plain_queries": "evaluation.retrieval.zero_shot",
    "read_qrels": "evaluation.retrieval.run_files",
    "read_run": "evaluation.retrieval.run_files",
    "retrieval_scores": "evaluation.retrieval.scores",
    "zero_shot_means": "evaluation.retrieval.zero_shot",
    "zero_shot_table": "evaluation.retrieval.zero_shot",
}

__all__ = [
    "Audit",
    "Comparison",
    "LibraryScores",
    "NullControl",
    "PatientResampler",
    "Protocol",
    "RetrievalScores",
    "RunScores",
    "SameLabel",
    "SharedTrait",
    "TableProtocol",
    "audit_library",
    "audit_outcomes",
    "audit_table",
    "compare_outcomes",
    "evaluate_library",
    "evaluate_run",
    "load_protocol",
    "load_table_protocol",
    "null_control",
    "plain_queries",
    "read_qrels",
    "read_run",
    "retrieval_scores",
    "zero_shot_means",
    "zero_shot_table",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'evaluation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
