"""The audit of a library: its protocol, its queries' outcomes by group, its report's JSON."""

from __future__ import annotations

from evaluation.library_audit.cases import TextSide
from evaluation.library_audit.outcomes import OUTCOMES
from evaluation.library_audit.protocol import Protocol, load_protocol
from evaluation.library_audit.run import audit_library

__all__ = ["OUTCOMES", "Protocol", "TextSide", "audit_library", "load_protocol"]
