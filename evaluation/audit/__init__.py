"""The fairness audit: how each group of patients is served, and what cannot be told."""

from __future__ import annotations

from evaluation.audit.outcomes import audit_outcomes
from evaluation.audit.result import Audit, Gate

__all__ = ["Audit", "Gate", "audit_outcomes"]
