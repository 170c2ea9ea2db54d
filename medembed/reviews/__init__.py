"""Review sessions: several readers judge cases blind first, then see the report and may revise."""

from __future__ import annotations

from medembed.reviews.session import (
    NO_FINDING_LABEL,
    Impression,
    Mark,
    Reading,
    ReadingState,
    ReviewCase,
    ReviewQuery,
    ReviewSession,
    SessionState,
)
from medembed.reviews.store import ReviewStore

__all__ = [
    "NO_FINDING_LABEL",
    "Impression",
    "Mark",
    "Reading",
    "ReadingState",
    "ReviewCase",
    "ReviewQuery",
    "ReviewSession",
    "ReviewStore",
    "SessionState",
]
