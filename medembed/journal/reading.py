"""Reading entries: in their order, of a time, a user or a case."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from medembed.errors import InputError, LibraryError
from medembed.journal.action import Action
from medembed.journal.entry import Entry
from medembed.journal.head import Head
from medembed.journal.journal_file import JOURNAL_NAME, entry_seal
from medembed.journal.links import find_number
from medembed.privacy import Pseudonymizer

__all__ = ["EntryFilter", "last_head", "parse_time", "read_entries", "sealed_entry"]

_BATCH = 1000  # rows at once: no transaction stays open between them


@dataclass(frozen=True)
class EntryFilter:
    """Which entries are wanted; all conditions hold.

    Parameters
    ----------
    since, until : str
        UTC as entries have it (:func:`parse_time`); ``until`` is not included. Empty: no limit.
    actor : str
        Name of a user; empty: any.
    case_id : str
        Id of a case; empty: any.
    action : Action or None
    """

    since: str = ""
    until: str = ""
    actor: str = ""
    case_id: str = ""
    action: Action | None = None

    def matches(self, entry: Entry, number: str) -> bool:
        """Return whether an entry is wanted, given the number of the case."""
        return (
            (not self.since or entry.time >= self.since)
            and (not self.until or entry.time < self.until)
            and (not self.actor or entry.actor == self.actor)
            and (self.action is None or entry.action is self.action)
            and (not number or number in entry.cases)
        )


def parse_time(text: str, option: str) -> str:
    """Return a date, or a time with its zone, as entries have it.

    A time without a zone is UTC, as the journal's times are.

    Raises
    ------
    InputError
        If it is neither.

    Examples
    --------
    >>> parse_time("2026-11-29", "--since")
    '2026-11-29T00:00:00.000000+00:00'
    """
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        return found.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        raise InputError(
            "not a date or a time",
            where=option,
            hint="write 2026-11-29, or 2026-11-29T14:30:00+01:00",
        ) from None


def read_entries(
    db: sqlite3.Connection, names: Pseudonymizer, wanted: EntryFilter
) -> Iterator[Entry]:
    """Yield the wanted entries, each compared with its seal."""
    number = ""
    if wanted.case_id:
        number = find_number(db, names, wanted.case_id) or ""
        if not number:
            return
    last = -1
    while True:
        rows = db.execute(
            "SELECT number, CAST(body AS BLOB), seal FROM entries "
            "WHERE number > ? AND instr(body, ?) ORDER BY number LIMIT ?",
            (last, number, _BATCH),
        ).fetchall()
        for row in rows:
            entry = sealed_entry(names, *row)
            if wanted.matches(entry, number):
                yield entry
        if len(rows) < _BATCH:
            return
        last = int(rows[-1][0])


def sealed_entry(names: Pseudonymizer, number: int, body: bytes, seal: bytes) -> Entry:
    """Return an entry that matches its seal.

    Raises
    ------
    LibraryError
        If it does not.
    """
    wanted = entry_seal(names, hashlib.sha256(bytes(body)).hexdigest())
    try:
        entry = Entry.parse(bytes(body), bytes(seal).hex())
        same = hmac.compare_digest(wanted, bytes(seal)) and entry.number == number
    except (ValueError, TypeError):
        same = False
    if not same:
        raise LibraryError(
            f"entry {number} does not match its seal",
            where=JOURNAL_NAME,
            hint="run medembed verify LIBRARY; docs/guides/journal.md says what to do",
        )
    return entry


def last_head(db: sqlite3.Connection) -> Head:
    """Return where the chain ends."""
    row = db.execute(
        "SELECT CAST(body AS BLOB) FROM entries ORDER BY number DESC LIMIT 1"
    ).fetchone()
    name = db.execute("SELECT journal FROM start").fetchone()
    try:
        entry = Entry.parse(bytes(row[0]))
        return Head(str(name[0]), entry.number, entry.digest, entry.time)
    except (ValueError, TypeError):
        raise LibraryError(
            "the journal's last entry cannot be read",
            where=JOURNAL_NAME,
            hint="run medembed verify LIBRARY; docs/guides/journal.md says what to do",
        ) from None
