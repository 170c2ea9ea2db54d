"""Which models a library was searched with, in order: the way back to the previous one."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from medembed.library.meta import MetaStore

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["HISTORY", "Activation", "model_history", "note_activation", "previous_activation"]

HISTORY = "model_history"
"""Key in the library's ``meta``."""

_MOST = 100


@dataclass(frozen=True)
class Activation:
    """A model came into use.

    Parameters
    ----------
    name : str
        Of its folder then: one whose name a newer model has taken is kept under another.
    fingerprint : str
    since : str
        ISO 8601 in UTC; empty if it was in use before a history was kept.
    """

    name: str
    fingerprint: str
    since: str = ""


def model_history(library: CaseLibrary) -> tuple[Activation, ...]:
    """Return the models that came into use, the present one last; the last hundred."""
    return _read(library.get_meta(HISTORY))


def previous_activation(library: CaseLibrary, fingerprint: str) -> Activation | None:
    """Return the model that was in use before the one of this fingerprint; None without one."""
    earlier = [each for each in model_history(library) if each.fingerprint != fingerprint]
    return earlier[-1] if earlier else None


def note_activation(
    db: sqlite3.Connection, name: str, fingerprint: str, before: tuple[str, str] | None
) -> None:
    """Note in a transaction that a model comes into use.

    Parameters
    ----------
    db : connection in a transaction
    name, fingerprint : str
    before : (name, fingerprint), optional
        Of the model in use until now, which a library of an earlier version has not noted.
    """
    meta = MetaStore(db)
    history = list(_read(meta.get(HISTORY)))
    if before is not None and (not history or history[-1].fingerprint != before[1]):
        history.append(Activation(*before))
    if history and history[-1].fingerprint == fingerprint:
        return
    history.append(Activation(name, fingerprint, datetime.now(UTC).isoformat(timespec="seconds")))
    meta.set(HISTORY, json.dumps([asdict(each) for each in history[-_MOST:]]))


def _read(stored: str | None) -> tuple[Activation, ...]:
    try:
        return tuple(Activation(**each) for each in json.loads(stored or "[]"))
    except (ValueError, TypeError):
        return ()
