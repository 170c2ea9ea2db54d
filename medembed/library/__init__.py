"""The store of record: cases, notes, findings and vectors in one folder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medembed.library.filters import FIELDS, Condition, parse_condition
from medembed.library.library import CaseLibrary
from medembed.library.upsert import AddReport
from medembed.library.vectors import EmbeddingSet
from medembed.library.vocabulary import choose_vocabulary, library_vocabulary

if TYPE_CHECKING:
    from medembed.library.ingestion import IngestReport, ingest

__all__ = [
    "FIELDS",
    "AddReport",
    "CaseLibrary",
    "Condition",
    "EmbeddingSet",
    "IngestReport",
    "choose_vocabulary",
    "ingest",
    "library_vocabulary",
    "parse_condition",
]


def __getattr__(name: str) -> Any:
    """Import ingestion on first use: a search starts without the sources."""
    if name in ("IngestReport", "ingest"):
        return getattr(import_module("medembed.library.ingestion"), name)
    raise AttributeError(f"module 'medembed.library' has no attribute {name!r}")
