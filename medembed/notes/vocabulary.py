"""The chest findings that reports are read for and the embedded cohort shows."""

from __future__ import annotations

__all__ = ["FINDINGS", "SIDED_FINDINGS"]

SIDED_FINDINGS: tuple[str, ...] = (
    "effusion",
    "consolidation",
    "pneumothorax",
    "nodule",
    "mass",
    "atelectasis",
    "fracture",
)
"""Findings that lie on one side or the other."""

FINDINGS: tuple[str, ...] = (
    *SIDED_FINDINGS,
    "cardiomegaly",
    "oedema",
    "emphysema",
    "fibrosis",
    "support device",
)
"""All findings of the vocabulary, sided ones first."""
