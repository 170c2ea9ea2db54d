"""Verify a journal: every seal, every link of the chain, the head; nothing is ever repaired."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from medembed.journal.action import Action
from medembed.journal.entry import Entry
from medembed.journal.head import Head, HeadFault
from medembed.journal.journal_file import (
    APPLICATION_ID,
    FORMAT,
    SCHEMA,
    entry_seal,
    start_seal,
)
from medembed.journal.links import link_seal
from medembed.privacy import Pseudonymizer

__all__ = ["Fault", "JournalCheck", "check_journal"]

_NUMBER_BYTES = 16
_BATCH = 2000


class Fault(Enum):
    """What is wrong with a journal; ``{n}`` is the entry."""

    ABSENT = "journal.sqlite is missing, although the library has had a journal"
    UNREADABLE = "journal.sqlite cannot be read"
    OTHER = "this is not the journal of this library"
    SCHEMA = "its tables are not those that were written"
    START = "its beginning does not match its seal"
    MISSING = "entry {n} is missing"
    CHANGED = "entry {n} does not match its seal"
    MOVED = "entry {n} is in the place of another"
    UNCHAINED = "entry {n} does not follow from the entry before it"
    CUT = "the entries from {n} on are missing: the sealed head is further"
    HEAD_MISSING = "journal.head is missing"
    HEAD_DAMAGED = "journal.head does not match its seal"
    HEAD_OTHER = "entry {n} is not the one that journal.head names"
    LINKS = "the links between entries and cases do not match their seals, or some are missing"
    LOST = "entry {n} records that entries or the head before it were lost"
    ANCHOR_OTHER = "entry {n} is not the one that the earlier head names"
    ANCHOR_CUT = "the earlier head names entry {n}, and the chain ends before it"
    ANCHOR_ARCHIVED = "the earlier head names entry {n}, which is in an archived part"
    ANCHOR_JOURNAL = "the earlier head is of another journal"


@dataclass(frozen=True)
class JournalCheck:
    """Outcome of verifying a journal.

    Parameters
    ----------
    n_entries : int
        Entries that were read.
    first, last : int
        Their numbers; 0 if there are none.
    fault : Fault or None
        The first thing that is wrong.
    entry : int or None
        The first wrong entry.
    losses : tuple of int
        Entries that record an earlier loss.
    has_journal : bool
        Whether there is a journal.
    """

    n_entries: int
    first: int = 0
    last: int = 0
    fault: Fault | None = None
    entry: int | None = None
    losses: tuple[int, ...] = field(default=())
    has_journal: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong, and nothing was recorded as lost."""
        return self.fault is None

    @property
    def text(self) -> str:
        """What is wrong, in one clause; empty if nothing is."""
        return self.fault.value.format(n=self.entry) if self.fault else ""

    @classmethod
    def unreadable(cls) -> JournalCheck:
        """Return the outcome for a file that SQLite cannot read."""
        return cls(0, fault=Fault.UNREADABLE)


class _Wrong(Exception):  # noqa: N818  leads to the outcome, never out of this module
    def __init__(self, fault: Fault, entry: int | None = None) -> None:
        super().__init__(fault)
        self.fault, self.entry = fault, entry


def check_journal(
    db: sqlite3.Connection | None,
    names: Pseudonymizer,
    sealed: Head | HeadFault,
    known: str,
    earlier: Head | None = None,
) -> JournalCheck:
    """Verify a journal.

    Parameters
    ----------
    db : sqlite3.Connection or None
        None if there is no file.
    names : Pseudonymizer
    sealed : Head or HeadFault
        As it was read before ``db`` is.
    known : str
        Name of the journal that the library knows.
    earlier : Head, optional
        A head that was kept outside.
    """
    if db is None:
        count = sealed.count if isinstance(sealed, Head) else 0
        had_one = bool(known) or count > 1 or sealed is HeadFault.DAMAGED
        fault = Fault.ABSENT if had_one or earlier else None
        return JournalCheck(0, fault=fault, has_journal=False)
    db.execute("BEGIN")  # one state: others may be appending
    try:
        return _Check(db, names).run(sealed, known, earlier)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


class _Check:
    """One pass over a journal."""

    def __init__(self, db: sqlite3.Connection, names: Pseudonymizer) -> None:
        self._db = db
        self._names = names
        self._journal = ""
        self._start = 0
        self._number = 0
        self._n_entries = 0
        self._digest = ""
        self._wanted: dict[int, str] = {}  # digests of the entries that heads name
        self._losses: list[int] = []
        self._named: set[str] = set()
        self._forgotten: set[str] = set()

    def run(self, sealed: Head | HeadFault, known: str, earlier: Head | None) -> JournalCheck:
        """Verify in the order of what depends on what."""
        fault: Fault | None = None
        entry: int | None = None
        for head in (sealed, earlier):
            if isinstance(head, Head):
                self._wanted[head.count] = ""
        try:
            self._check_file()
            self._check_start(known)
            self._check_entries()
            self._check_head(sealed)
            self._check_links()
            if self._losses:
                raise _Wrong(Fault.LOST, self._losses[0])
            if earlier is not None:
                self._check_earlier(earlier)
        except _Wrong as wrong:
            fault, entry = wrong.fault, wrong.entry
        return JournalCheck(
            self._n_entries,
            first=self._start + 1 if self._n_entries else 0,
            last=self._number if self._n_entries else 0,
            fault=fault,
            entry=entry,
            losses=tuple(self._losses),
        )

    def _check_file(self) -> None:
        found = {sql for (sql,) in self._db.execute("SELECT sql FROM sqlite_schema") if sql}
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if found != set(SCHEMA) or (application, version) != (APPLICATION_ID, FORMAT):
            raise _Wrong(Fault.SCHEMA)
        if self._db.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            raise _Wrong(Fault.UNREADABLE)

    def _check_start(self, known: str) -> None:
        rows = self._db.execute("SELECT journal, number, digest, seal FROM start").fetchall()
        if len(rows) != 1:
            raise _Wrong(Fault.START)
        journal, number, digest, seal = rows[0]
        if not hmac.compare_digest(start_seal(self._names, journal, number, digest), bytes(seal)):
            raise _Wrong(Fault.START)
        if known and journal != known:
            raise _Wrong(Fault.OTHER)
        self._journal, self._start, self._number, self._digest = journal, number, number, digest
        self._keep(number, digest)

    def _rows(self) -> Iterator[tuple[int, bytes, bytes, str]]:
        rows = self._db.execute(
            "SELECT number, CAST(body AS BLOB), seal, typeof(body) FROM entries ORDER BY number"
        )
        while batch := rows.fetchmany(_BATCH):
            yield from batch

    def _check_entries(self) -> None:
        for number, body, seal, kind in self._rows():
            if number != self._number + 1:
                wrong = min(number, self._number + 1)
                raise _Wrong(Fault.MISSING if number > wrong else Fault.MOVED, wrong)
            digest = hashlib.sha256(body).hexdigest()
            if kind != "text" or not hmac.compare_digest(
                entry_seal(self._names, digest), bytes(seal)
            ):
                raise _Wrong(Fault.CHANGED, number)
            try:
                entry = Entry.parse(body)
            except ValueError:
                raise _Wrong(Fault.CHANGED, number) from None
            if entry.number != number:
                raise _Wrong(Fault.MOVED, number)
            if entry.previous != self._digest:
                raise _Wrong(Fault.UNCHAINED, number)
            self._take(entry, digest)
        if not self._n_entries and not self._start:
            raise _Wrong(Fault.CUT, 1)

    def _take(self, entry: Entry, digest: str) -> None:
        if entry.number == 1 and entry.details.get("name") != self._journal:
            raise _Wrong(Fault.OTHER)
        self._number, self._digest = entry.number, digest
        self._n_entries += 1
        self._keep(entry.number, digest)
        if entry.action is Action.LOST:
            self._losses.append(entry.number)
        (self._forgotten if entry.action is Action.ERASED else self._named).update(entry.cases)

    def _keep(self, number: int, digest: str) -> None:
        if number in self._wanted:
            self._wanted[number] = digest

    def _check_head(self, sealed: Head | HeadFault) -> None:
        if sealed is HeadFault.MISSING:
            raise _Wrong(Fault.HEAD_MISSING)
        if sealed is HeadFault.DAMAGED:
            raise _Wrong(Fault.HEAD_DAMAGED)
        if sealed.count > self._number:
            raise _Wrong(Fault.CUT, self._number + 1)
        if sealed.journal != self._journal or self._wanted[sealed.count] != sealed.digest:
            raise _Wrong(Fault.HEAD_OTHER, sealed.count)

    def _check_links(self) -> None:
        """Every number must lead to a case, unless the case was forgotten."""
        linked: set[str] = set()
        for lookup, number, seal in self._db.execute("SELECT lookup, number, seal FROM links"):
            wanted = link_seal(self._names, bytes(lookup), bytes(number))
            if len(number) != _NUMBER_BYTES or not hmac.compare_digest(wanted, bytes(seal)):
                raise _Wrong(Fault.LINKS)
            linked.add(bytes(number).hex())
        if self._named - self._forgotten - linked or linked & self._forgotten:
            raise _Wrong(Fault.LINKS)

    def _check_earlier(self, earlier: Head) -> None:
        if earlier.journal != self._journal:
            raise _Wrong(Fault.ANCHOR_JOURNAL)
        if earlier.count < self._start:
            raise _Wrong(Fault.ANCHOR_ARCHIVED, earlier.count)
        if earlier.count > self._number:
            raise _Wrong(Fault.ANCHOR_CUT, earlier.count)
        if self._wanted[earlier.count] != earlier.digest:
            raise _Wrong(Fault.ANCHOR_OTHER, earlier.count)
