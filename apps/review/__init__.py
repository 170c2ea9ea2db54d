"""Exports of a review session: PDF, CSV, DICOM SR and KO, teaching file."""

from __future__ import annotations

from apps.review.document import CaseEntry, ReviewDocument, gather, visible_cases
from apps.review.exports import Exported, ExportKind, export

__all__ = [
    "CaseEntry",
    "ExportKind",
    "Exported",
    "ReviewDocument",
    "export",
    "gather",
    "visible_cases",
]
