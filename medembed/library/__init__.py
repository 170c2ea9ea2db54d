"""The store of record: cases, notes, findings and vectors in one folder."""

from medembed.library.conditions import FIELDS, Condition, parse_condition
from medembed.library.ingest import IngestReport, ingest
from medembed.library.library import AddReport, CaseLibrary
from medembed.library.vectors import VectorSpace

__all__ = [
    "FIELDS",
    "AddReport",
    "CaseLibrary",
    "Condition",
    "IngestReport",
    "VectorSpace",
    "ingest",
    "parse_condition",
]
