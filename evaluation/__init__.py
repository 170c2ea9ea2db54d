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
    from evaluation.retrieval.runs import RunScores, evaluate_run, read_qrels, read_run
    from evaluation.retrieval.scores import RetrievalScores, retrieval_scores
    from evaluation.retrieval.zero_shot import plain_queries, zero_shot_means, zero_shot_table
    from evaluation.stats.bootstrap import PatientResampler
    from evaluation.table_audit import TableProtocol, audit_table, load_table_protocol

_NAMES = {
    "audit": ("Audit", "audit_outcomes"),
    "change.comparison": ("Comparison", "compare_outcomes"),
    "library_audit": ("Protocol", "audit_library", "load_protocol"),
    "retrieval.library": ("LibraryScores", "evaluate_library"),
    "retrieval.null_controls": ("NullControl", "null_control"),
    "retrieval.relevance": ("SameLabel", "SharedTrait"),
    "retrieval.runs": ("RunScores", "evaluate_run", "read_qrels", "read_run"),
    "retrieval.scores": ("RetrievalScores", "retrieval_scores"),
    "retrieval.zero_shot": ("plain_queries", "zero_shot_means", "zero_shot_table"),
    "stats.bootstrap": ("PatientResampler",),
    "table_audit": ("TableProtocol", "audit_table", "load_table_protocol"),
}
_HOME = {name: f"evaluation.{module}" for module, names in _NAMES.items() for name in names}

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
