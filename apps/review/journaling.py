"""Record reveals, reviews and exports in the library's journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["ReviewAction", "record"]


class ReviewAction(StrEnum):
    """Actions of the journal that happen in a review."""

    REVIEW = "REVIEW"
    REVEAL = "REVEAL"
    EXPORT = "EXPORT"


def record(
    library: CaseLibrary,
    action: ReviewAction,
    *,
    actor: str,
    cases: Sequence[str] = (),
    details: Mapping[str, str | int | float] | None = None,
) -> None:
    """Write one entry before the thing is done: what cannot be recorded is not done.

    Nothing is written where the journal is not part of the installation.

    Parameters
    ----------
    library : CaseLibrary
    action : ReviewAction
    actor : str
    cases : sequence of str
        Case ids; the journal keeps no id that leads to a case without the library's key.
    details : mapping, optional
    """
    journal = getattr(library, "journal", None)
    if journal is None:
        return
    actions = import_module("medembed.journal").Action
    journal.record(actions[action.value], actor=actor, cases=cases, details=dict(details or {}))
