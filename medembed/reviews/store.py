"""Review sessions in ``library.sqlite``: every step is on disk when its method returns."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from medembed.errors import ReviewError
from medembed.reviews.rows import (
    Place,
    case_row,
    find_reading,
    find_row,
    kept_reading,
    load_readings,
    load_session,
    named,
    place_of,
    session_row,
    state_of,
    stored,
)
from medembed.reviews.session import (
    Impression,
    Mark,
    Reading,
    ReadingState,
    ReviewCase,
    ReviewSession,
    SessionState,
)

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["PAUSE_SECONDS", "ReviewStore"]

PAUSE_SECONDS = 30.0
"""A case that was not seen open for longer was put aside: the time in between does not count."""

_LINK_BYTES = 16
_MOST_CASES = 1000
_ONE = "session = ? AND case_row = ? AND reader = ?"


class ReviewStore:
    """The review sessions of one library, for several readers and processes at once.

    Parameters
    ----------
    library : CaseLibrary
    clock : callable
        Seconds since 1970; a test gives its own.

    Raises
    ------
    LibraryError
        By every method, if the library cannot be read or written.
    """

    def __init__(self, library: CaseLibrary, clock: Callable[[], float] = time.time) -> None:
        self._database = library.database
        self._clock = clock

    # sessions

    def create(self, name: str, creator: str, cases: Sequence[ReviewCase]) -> ReviewSession:
        """Make a session of these cases, in this order.

        Raises
        ------
        ReviewError
            If it has no name, creator or case, too many cases, a case twice, or a case that the
            library does not have.
        """
        name = named(name, "a session")
        creator = named(creator, "the creator")
        ids = [case.case_id for case in cases]
        if not ids:
            raise ReviewError("a review session needs a case", hint="choose at least one")
        if len(ids) > _MOST_CASES:
            raise ReviewError(
                f"a review session takes at most {_MOST_CASES:,} cases", hint="make several"
            )
        if len(set(ids)) < len(ids):
            raise ReviewError("a case is in the session twice", hint="choose each case once")
        link = secrets.token_urlsafe(_LINK_BYTES)
        with self._database.write() as db:
            number = db.execute(
                "INSERT INTO review_sessions (link, name, creator, created, state) "
                "VALUES (?, ?, ?, ?, ?)",
                (link, name, creator, self._now(), SessionState.OPEN.value),
            ).lastrowid
            for position, case in enumerate(cases, 1):
                query = case.query
                db.execute(
                    "INSERT INTO review_cases VALUES (?, ?, ?, ?, ?)",
                    (
                        number,
                        case_row(db, case.case_id),
                        position,
                        "" if query is None else query.stored(),
                        find_row(db, query.case_id) if query and query.case_id else None,
                    ),
                )
        return self.session(link)

    def session(self, link: str) -> ReviewSession:
        """Return a session by its link.

        Raises
        ------
        ReviewError
            If there is none.
        """
        db = self._database.read()
        return load_session(db, session_row(db, link))

    def sessions(self, person: str | None = None) -> list[ReviewSession]:
        """Return the sessions, the newest first.

        Parameters
        ----------
        person : str, optional
            Only those that this person made or reads in.
        """
        db = self._database.read()
        rows = db.execute("SELECT id FROM review_sessions ORDER BY id DESC").fetchall()
        found = [load_session(db, row) for (row,) in rows]
        if person is None:
            return found
        return [one for one in found if person == one.creator or person in one.readers]

    def rename(self, link: str, name: str) -> None:
        """Give a session another name."""
        name = named(name, "a session")
        with self._database.write() as db:
            row = session_row(db, link)
            db.execute("UPDATE review_sessions SET name = ? WHERE id = ?", (name, row))

    def close(self, link: str) -> None:
        """Take no more readings: what was written stays as it is."""
        with self._database.write() as db:
            row = session_row(db, link)
            if state_of(db, row) is SessionState.OPEN:
                db.execute("UPDATE review_readings SET seen = NULL WHERE session = ?", (row,))
                self._set_state(db, row, SessionState.CLOSED)

    def reopen(self, link: str) -> None:
        """Take readings again."""
        with self._database.write() as db:
            self._set_state(db, session_row(db, link), SessionState.OPEN)

    @staticmethod
    def _set_state(db: sqlite3.Connection, row: int, state: SessionState) -> None:
        db.execute("UPDATE review_sessions SET state = ? WHERE id = ?", (state.value, row))

    # readings

    def readings(self, link: str, reader: str | None = None) -> list[Reading]:
        """Return what was read, in the order of the cases and of the readers' names."""
        db = self._database.read()
        return load_readings(db, session_row(db, link), reader)

    def reading(self, link: str, case_id: str, reader: str) -> Reading | None:
        """Return what this reader did with this case so far; None if it was not opened."""
        db = self._database.read()
        return find_reading(db, place_of(db, link, case_id, reader))

    def open_case(self, link: str, case_id: str, reader: str) -> Reading:
        """Open a case, or say that it still is open: the time since it was last seen counts.

        The page calls this every few seconds. If it did not for more than :data:`PAUSE_SECONDS`,
        or the reader had another case open, the time in between does not count.

        Raises
        ------
        ReviewError
            If there is no such session, it is closed and the case was not opened before, or the
            case is not in it.
        """
        reader = named(reader, "a reader")
        with self._database.write() as db:
            place = place_of(db, link, case_id, reader)
            found = find_reading(db, place)
            if state_of(db, place.session) is SessionState.CLOSED:
                if found is None:
                    raise ReviewError("this session is closed", hint="ask its creator to reopen it")
                return found
            if found is None:
                db.execute(
                    "INSERT INTO review_readings (session, case_row, reader, state, opened) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (*place.key, ReadingState.OPENED.value, self._now()),
                )
            self._count(db, place)
            return kept_reading(db, place)

    def pause(self, link: str, case_id: str, reader: str) -> None:
        """Stop counting the time of this case, until it is opened again."""
        with self._step(link, case_id, reader) as (db, place, _):
            db.execute(f"UPDATE review_readings SET seen = NULL WHERE {_ONE}", place.key)  # noqa: S608

    def write_impression(
        self, link: str, case_id: str, reader: str, impression: Impression
    ) -> Reading:
        """Write the first impression, or write it anew before the reveal.

        Raises
        ------
        ReviewError
            If it is empty, or the report was revealed already.
        """
        if impression.is_empty:
            raise ReviewError(
                "a first impression needs a text or a finding", hint="“no finding” is one, too"
            )
        with self._step(link, case_id, reader) as (db, place, reading):
            if reading.impression == impression:
                return reading
            if not reading.state.is_blind:
                raise ReviewError(
                    "the report was revealed: the first impression stays as it is",
                    hint="write the final impression instead",
                )
            db.execute(
                "UPDATE review_readings SET state = ?, impression = ?, findings = ?, "  # noqa: S608
                f"impression_at = ?, impression_seconds = open_seconds WHERE {_ONE}",
                (ReadingState.IMPRESSION.value, *stored(impression), self._now(), *place.key),
            )
            return kept_reading(db, place)

    def reveal(self, link: str, case_id: str, reader: str) -> Reading:
        """Record that the reader now sees the report.

        Raises
        ------
        ReviewError
            If there is no first impression yet.
        """
        with self._step(link, case_id, reader) as (db, place, reading):
            if reading.state is ReadingState.OPENED:
                raise ReviewError(
                    "no first impression yet", hint="write or dictate it before the reveal"
                )
            if reading.state is ReadingState.IMPRESSION:
                db.execute(
                    "UPDATE review_readings SET state = ?, revealed_at = ?, "  # noqa: S608
                    f"reveal_seconds = open_seconds WHERE {_ONE}",
                    (ReadingState.REVEALED.value, self._now(), *place.key),
                )
            return kept_reading(db, place)

    def revise(self, link: str, case_id: str, reader: str, impression: Impression) -> Reading:
        """Write the final impression after the reveal; the first one stays beside it.

        Raises
        ------
        ReviewError
            If it is empty, the report was not revealed, or the reading is finished.
        """
        if impression.is_empty:
            raise ReviewError("a final impression needs a text or a finding")
        with self._step(link, case_id, reader) as (db, place, reading):
            if reading.revision == impression:
                return reading
            if reading.state is not ReadingState.REVEALED:
                raise ReviewError(
                    "this reading is finished" if reading.is_finished else "not revealed yet"
                )
            db.execute(
                "UPDATE review_readings SET revision = ?, revision_findings = ? "  # noqa: S608
                f"WHERE {_ONE}",
                (*stored(impression), *place.key),
            )
            return kept_reading(db, place)

    def finish(self, link: str, case_id: str, reader: str) -> Reading:
        """End a reading; without a revision, the final impression is the first one.

        Raises
        ------
        ReviewError
            If the report was not revealed.
        """
        with self._step(link, case_id, reader) as (db, place, reading):
            if reading.is_finished:
                return reading
            if reading.state is not ReadingState.REVEALED:
                raise ReviewError("not revealed yet", hint="reveal the report first")
            db.execute(
                "UPDATE review_readings SET state = ?, finished_at = ?, seen = NULL, "  # noqa: S608
                "end_seconds = open_seconds, revision = coalesce(revision, impression), "
                f"revision_findings = coalesce(revision_findings, findings) WHERE {_ONE}",
                (ReadingState.FINISHED.value, self._now(), *place.key),
            )
            return kept_reading(db, place)

    def mark(self, link: str, case_id: str, reader: str, mark: Mark, on: bool = True) -> Reading:
        """Put a case on the shortlist or into the teaching file, or take it off."""
        with self._step(link, case_id, reader) as (db, place, _):
            db.execute(
                f"UPDATE review_readings SET {mark.value} = ? WHERE {_ONE}",  # noqa: S608  an enum
                (int(on), *place.key),
            )
            return kept_reading(db, place)

    @contextmanager
    def _step(
        self, link: str, case_id: str, reader: str
    ) -> Iterator[tuple[sqlite3.Connection, Place, Reading]]:
        """Open a transaction on one reading, with its time counted."""
        with self._database.write() as db:
            place = place_of(db, link, case_id, reader)
            if find_reading(db, place) is None:
                raise ReviewError("this case was not opened", hint="open it first")
            if state_of(db, place.session) is SessionState.CLOSED:
                raise ReviewError("this session is closed", hint="ask its creator to reopen it")
            self._count(db, place)
            yield db, place, kept_reading(db, place)

    def _count(self, db: sqlite3.Connection, place: Place) -> None:
        """Count the time since the reader was last seen, for the case that was open then."""
        now = self._clock()
        db.execute(
            "UPDATE review_readings SET "
            "open_seconds = open_seconds + iif(?1 - seen BETWEEN 0 AND ?2, ?1 - seen, 0), "
            "seen = NULL WHERE reader = ?3 AND seen IS NOT NULL AND state <> 'finished' "
            "AND session IN (SELECT id FROM review_sessions WHERE state = 'open')",
            (now, PAUSE_SECONDS, place.reader),
        )
        db.execute(
            f"UPDATE review_readings SET seen = ? WHERE {_ONE} AND state <> 'finished'",  # noqa: S608
            (now, *place.key),
        )

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
