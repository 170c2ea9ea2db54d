"""Record reveals, reviews and exports in the library's journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

__all__ = ["ReviewAction", "record"]


class ReviewAction(StrEnum):
    """Actions of the journal that happen in a review."""

    REVIEW = "REVIEW"
    REVEAL = "REVEAL"
    EXPORT = "EXPORT"


def record(
    folder: Path,
    action: ReviewAction,
    *,
    actor: str,
    cases: Sequence[str] = (),
    details: Mapping[str, str | int | float] | None = None,
) -> None:
    """Write one entry; nothing is written where the journal is not part of the installation.

    Parameters
    ----------
    folder : Path
        Of the library.
    action : ReviewAction
    actor : str
    cases : sequence of str
        Case ids; the journal keeps keyed digests of them.
    details : mapping, optional
    """
    if find_spec("medembed.journal") is None:
        return
    journal = import_module("medembed.journal")
    journal.Journal.open(folder).record(
        journal.Action[action.value], actor=actor, cases=cases, details=dict(details or {})
    )
