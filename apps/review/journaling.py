"""Record reveals, reviews and exports in the library's journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from medembed.journal import Action

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

    Parameters
    ----------
    library : CaseLibrary
    action : ReviewAction
    actor : str
    cases : sequence of str
        Case ids; the journal keeps no id that leads to a case without the library's key.
    details : mapping, optional
    """
    details = dict(details or {})
    library.journal.record(Action[action.value], actor=actor, cases=cases, details=details)
