"""The end of the chain, where entries are appended."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass

from medembed.errors import LibraryError
from medembed.journal.action import SYSTEM, Action, Outcome
from medembed.journal.entry import Details, Entry, utc_now
from medembed.journal.head import Head, HeadFault
from medembed.journal.journal_file import JOURNAL_NAME, insert_entry
from medembed.privacy import Pseudonymizer

__all__ = ["Tail", "digest_at", "last_entry"]


@dataclass
class Tail:
    """Where the chain ends, within a transaction.

    Parameters
    ----------
    db : sqlite3.Connection
    names : Pseudonymizer
    journal : str
        Name of the journal.
    number : int
        Of the last entry.
    digest : str
        Of the last entry.
    time : str
        Of the last entry.
    """

    db: sqlite3.Connection
    names: Pseudonymizer
    journal: str
    number: int
    digest: str
    time: str

    @classmethod
    def of(cls, db: sqlite3.Connection, names: Pseudonymizer) -> Tail:
        """Find the end of a journal.

        Raises
        ------
        LibraryError
            If the file is not a journal.
        """
        start = db.execute("SELECT journal, number, digest FROM start").fetchone()
        if start is None:
            raise LibraryError(
                "the journal has no beginning",
                where=JOURNAL_NAME,
                hint="run medembed verify LIBRARY; docs/guides/journal.md says what to do",
            )
        number, digest = last_entry(db) or (int(start[1]), str(start[2]))
        return cls(db, names, str(start[0]), number, digest, utc_now())

    @property
    def head(self) -> Head:
        """The head of the journal as it ends here."""
        return Head(self.journal, self.number, self.digest, self.time)

    def append(
        self,
        action: Action,
        actor: str,
        outcome: Outcome,
        numbers: tuple[str, ...],
        details: Details,
    ) -> Entry:
        """Write the next entry."""
        entry = Entry(
            number=self.number + 1,
            time=utc_now(),
            actor=actor,
            action=action,
            outcome=outcome,
            cases=numbers,
            details=dict(details),
            previous=self.digest,
        )
        insert_entry(self.db, self.names, entry)
        self.number, self.digest, self.time = entry.number, entry.digest, entry.time
        return entry

    def count(self, action: Action, word: str) -> int:
        """Count the entries of this action that have this word among their details."""
        (found,) = self.db.execute(
            "SELECT count(*) FROM entries WHERE instr(body, ?) AND instr(body, ?)",
            (f'"action":"{action.value}"', f'"{word}"'),
        ).fetchone()
        return int(found)

    def first_time(self) -> str:
        """Return the time of the first entry that is kept; empty if there is none."""
        row = self.db.execute(
            "SELECT CAST(body AS BLOB) FROM entries ORDER BY number LIMIT 1"
        ).fetchone()
        try:
            return Entry.parse(bytes(row[0])).time if row else ""
        except ValueError:
            return ""

    def note_losses(self, sealed: Head | HeadFault, known: str) -> None:
        """Record what is missing before anything hides it: the next head replaces the sealed one.

        Parameters
        ----------
        sealed : Head or HeadFault
            As it was read.
        known : str
            Name of the journal that the library knows; empty if it knows none.
        """
        if known and known != self.journal:
            self._lose({"reason": "other_journal"})
        elif isinstance(sealed, HeadFault):
            self._lose({"reason": sealed.value, "found": self.number})
        elif sealed.journal != self.journal:
            self._lose({"reason": "head_of_another_journal", "found": self.number})
        elif sealed.count > self.number:
            self._lose(
                {
                    "reason": "entries_missing",
                    "expected": sealed.count,
                    "found": self.number,
                    "digest": sealed.digest,
                }
            )
        elif self._digest_at(sealed.count) != sealed.digest:
            self._lose({"reason": "another_entry", "entry": sealed.count, "digest": sealed.digest})

    def _digest_at(self, number: int) -> str | None:
        return self.digest if number == self.number else digest_at(self.db, number)

    def _lose(self, details: Details) -> None:
        self.append(Action.LOST, SYSTEM, Outcome.FAILED, (), details)


def last_entry(db: sqlite3.Connection) -> tuple[int, str] | None:
    """Return number and digest of the last entry, None if there is none."""
    row = db.execute(
        "SELECT number, CAST(body AS BLOB) FROM entries ORDER BY number DESC LIMIT 1"
    ).fetchone()
    return (int(row[0]), hashlib.sha256(bytes(row[1])).hexdigest()) if row else None


def digest_at(db: sqlite3.Connection, number: int) -> str | None:
    """Return the digest of an entry, or of the last archived one; None if it is not there."""
    row = db.execute(
        "SELECT CAST(body AS BLOB) FROM entries WHERE number = ?", (number,)
    ).fetchone()
    if row:
        return hashlib.sha256(bytes(row[0])).hexdigest()
    start = db.execute("SELECT digest FROM start WHERE number = ?", (number,)).fetchone()
    return str(start[0]) if start else None
