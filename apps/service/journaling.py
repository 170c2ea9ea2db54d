"""What the service writes into the library's journal: the one place where it meets it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from medembed.journal import Action, Journal, Outcome

__all__ = ["Entry", "JournalWriter"]


class Entry(StrEnum):
    """What is written. The names are those of the journal's actions."""

    QUERY = "query"
    SHOWN = "shown"
    OPENED = "opened"
    PIXELS = "pixels"
    REVIEW = "review"
    AUDIT = "audit"
    REFUSED = "refused"


class JournalWriter:
    """Writes entries into the journal of a library.

    An entry is written before the answer leaves: what cannot be written down is not shown.

    Parameters
    ----------
    library : Path
        Folder of the library.
    """

    def __init__(self, library: Path) -> None:
        self._library = library
        self._journal: Journal | None = None
        self._lock = threading.Lock()

    def write(
        self,
        entry: Entry,
        actor: str,
        cases: Sequence[str] = (),
        details: Mapping[str, str | int | float] | None = None,
        *,
        refused: bool = False,
    ) -> None:
        """Write one entry.

        Parameters
        ----------
        entry : Entry
        actor : str
            Who asked.
        cases : sequence of str
            Ids of cases; the journal keeps keyed digests of them.
        details : mapping, optional
            Numbers and names of kinds; no text of a query.
        refused : bool
            Whether it was not done.
        """
        with self._lock:
            if self._journal is None:
                self._journal = Journal.open(self._library)
            journal = self._journal
        journal.record(
            Action[entry.name],
            actor=actor,
            outcome=Outcome.REFUSED if refused else Outcome.DONE,
            cases=list(cases),
            details=dict(details or {}),
        )

    def close(self) -> None:
        """Close the journal."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None
