"""The audit of a library: its protocol, its queries' outcomes by group, its report's JSON."""

from __future__ import annotations

from evaluation.library_audit.audit import audit_library
from evaluation.library_audit.outcomes import OUTCOMES
from evaluation.library_audit.protocol import Protocol, load_protocol
from evaluation.library_audit.queries import TextSide

__all__ = ["OUTCOMES", "Protocol", "TextSide", "audit_library", "load_protocol"]
