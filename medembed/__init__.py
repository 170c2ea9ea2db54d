"""MedEmbed: find the most similar past cases of your own hospital by scan, words, or both.

The public names are loaded when first used, so that ``import medembed`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medembed.telemetry import silence

if TYPE_CHECKING:
    from medembed.cases import Case, Finding, ScanRef
    from medembed.embeddings import Embeddings
    from medembed.index import CaseIndex, Hits
    from medembed.library import CaseLibrary
    from medembed.lookup import ActiveLookup, CaseLookup, Result
    from medembed.model import DualEncoder
    from medembed.notes import Note
    from medembed.scans import Scan
    from medembed.verbs import embed, evaluate, ingest, train

silence()  # before a library that would report is loaded

_HOME = {
    "ActiveLookup": "medembed.lookup",
    "Case": "medembed.cases",
    "CaseIndex": "medembed.index",
    "CaseLibrary": "medembed.library",
    "CaseLookup": "medembed.lookup",
    "DualEncoder": "medembed.model",
    "Embeddings": "medembed.embeddings",
    "Finding": "medembed.cases",
    "Hits": "medembed.index",
    "Note": "medembed.notes",
    "Result": "medembed.lookup",
    "Scan": "medembed.scans",
    "ScanRef": "medembed.cases",
    "embed": "medembed.verbs",
    "evaluate": "medembed.verbs",
    "ingest": "medembed.verbs",
    "train": "medembed.verbs",
}

__all__ = [
    "ActiveLookup",
    "Case",
    "CaseIndex",
    "CaseLibrary",
    "CaseLookup",
    "DualEncoder",
    "Embeddings",
    "Finding",
    "Hits",
    "Note",
    "Result",
    "Scan",
    "ScanRef",
    "embed",
    "evaluate",
    "ingest",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'medembed' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
