"""The fairness audit: how each group of patients is served, and what cannot be told."""

from __future__ import annotations

from evaluation.audit.audit import audit_outcomes
from evaluation.audit.operating_characteristics import Instrument, simulate_instrument
from evaluation.audit.result import Audit, Gate

__all__ = ["Audit", "Gate", "Instrument", "audit_outcomes", "simulate_instrument"]
