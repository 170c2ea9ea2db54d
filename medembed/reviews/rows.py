"""Rows of the review tables as sessions and readings, and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from medembed.errors import ReviewError
from medembed.library.faults import damaged
from medembed.reviews.session import (
    Impression,
    Mark,
    Reading,
    ReadingState,
    ReviewCase,
    ReviewQuery,
    ReviewSession,
    SessionState,
    plain_text,
)

__all__ = [
    "Place",
    "case_row",
    "find_reading",
    "find_row",
    "kept_reading",
    "load_readings",
    "load_session",
    "named",
    "place_of",
    "session_row",
    "state_of",
    "stored",
]

_LONGEST_NAME = 200
_COLUMNS = (
    "c.case_id, r.reader, r.state, r.opened, r.open_seconds, r.impression, r.findings, "
    "r.impression_at, r.impression_seconds, r.revealed_at, r.reveal_seconds, r.revision, "
    "r.revision_findings, r.finished_at, r.end_seconds, r.shortlisted, r.teaching"
)
_FROM = "review_readings r JOIN cases c ON c.id = r.case_row"


@dataclass(frozen=True)
class Place:
    """Row of a session, row of a case, and the reader: the key of a reading."""

    session: int
    case: int
    reader: str

    @property
    def key(self) -> tuple[int, int, str]:
        """The three, in the order of the primary key."""
        return self.session, self.case, self.reader


def named(text: str, what: str) -> str:
    """Return a name on one line.

    Raises
    ------
    ReviewError
        If it is empty or too long.
    """
    name = " ".join(plain_text(text, f"the name of {what}", _LONGEST_NAME).split())
    if not name:
        raise ReviewError(f"{what} needs a name")
    return name


def session_row(db: sqlite3.Connection, link: str) -> int:
    """Return the row of the session with this link.

    Raises
    ------
    ReviewError
        If there is none.
    """
    found = None
    if link.isascii():  # anything may stand in an address
        found = db.execute("SELECT id FROM review_sessions WHERE link = ?", (link,)).fetchone()
    if found is None:
        raise ReviewError(
            "there is no such review session", hint="check the link, or ask who shared it"
        )
    return int(found[0])


def state_of(db: sqlite3.Connection, row: int) -> SessionState:
    """Return the state of a session."""
    (state,) = db.execute("SELECT state FROM review_sessions WHERE id = ?", (row,)).fetchone()
    return SessionState(state)


def find_row(db: sqlite3.Connection, case_id: str) -> int | None:
    """Return the row of a case, None if the library has no such case."""
    row = db.execute("SELECT id FROM cases WHERE case_id = ?", (case_id,)).fetchone()
    return None if row is None else int(row[0])


def case_row(db: sqlite3.Connection, case_id: str) -> int:
    """Return the row of a case of the library.

    Raises
    ------
    ReviewError
        If there is none.
    """
    row = find_row(db, case_id)
    if row is None:
        raise ReviewError(
            "a case of this session is not in the library", hint="it may have been erased"
        )
    return row


def place_of(db: sqlite3.Connection, link: str, case_id: str, reader: str) -> Place:
    """Return the key of a reading, whether it exists or not.

    Raises
    ------
    ReviewError
        If there is no such session, or the case is not in it.
    """
    session = session_row(db, link)
    row = db.execute(
        "SELECT p.case_row FROM review_cases p JOIN cases c ON c.id = p.case_row "
        "WHERE p.session = ? AND c.case_id = ?",
        (session, case_id),
    ).fetchone()
    if row is None:
        raise ReviewError("this case is not in the session", hint="it may have been erased")
    return Place(session, int(row[0]), named(reader, "a reader"))


def load_session(db: sqlite3.Connection, row: int) -> ReviewSession:
    """Return the session of this row."""
    head = db.execute(
        "SELECT link, name, creator, created, state FROM review_sessions WHERE id = ?", (row,)
    ).fetchone()
    if head is None:
        raise ReviewError("there is no such review session", hint="it may have been erased")
    cases = db.execute(
        "SELECT c.case_id, p.query, q.case_id, p.position FROM review_cases p "
        "JOIN cases c ON c.id = p.case_row LEFT JOIN cases q ON q.id = p.query_case "
        "WHERE p.session = ? ORDER BY p.position",
        (row,),
    ).fetchall()
    readers = db.execute(
        "SELECT DISTINCT reader FROM review_readings WHERE session = ? ORDER BY reader", (row,)
    ).fetchall()
    link, name, creator, created, state = head
    try:
        return ReviewSession(
            link, name, creator, created, SessionState(state),
            tuple(
                ReviewCase(case_id, ReviewQuery.from_stored(query, asked), position)
                for case_id, query, asked, position in cases
            ),
            tuple(reader for (reader,) in readers),
        )  # fmt: skip
    except (ValueError, TypeError, LookupError) as error:
        raise damaged("a review session") from error


def find_reading(db: sqlite3.Connection, place: Place) -> Reading | None:
    """Return a reading, None if the reader has not opened the case."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM {_FROM} "  # noqa: S608  own names only
        "WHERE r.session = ? AND r.case_row = ? AND r.reader = ?",
        place.key,
    ).fetchone()
    return None if row is None else _reading(row)


def kept_reading(db: sqlite3.Connection, place: Place) -> Reading:
    """Return a reading that must exist."""
    found = find_reading(db, place)
    if found is None:
        raise ReviewError("this case was not opened", hint="open it first")
    return found


def _reading(values: Sequence[object]) -> Reading:
    (
        case_id, reader, state, opened, seconds, text, findings, written, written_after,
        revealed, revealed_after, revision, revised, finished, finished_after, *marks,
    ) = values  # fmt: skip
    try:
        return Reading(
            str(case_id), str(reader), ReadingState(str(state)), str(opened), _number(seconds) or 0,
            _loaded(text, findings), str(written or ""), _number(written_after),
            str(revealed or ""), _number(revealed_after),
            _loaded(revision, revised), str(finished or ""), _number(finished_after),
            frozenset(mark for mark, on in zip(Mark, marks, strict=True) if on),
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        raise damaged("a reading of a review") from error


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def stored(impression: Impression) -> tuple[str, str]:
    """Return text and findings as they are stored."""
    return impression.text, json.dumps(impression.findings, ensure_ascii=False)


def _loaded(text: object, findings: object) -> Impression | None:
    if text is None:
        return None
    return Impression(str(text), tuple(json.loads(str(findings))))


def load_readings(db: sqlite3.Connection, session: int, reader: str | None) -> list[Reading]:
    """Return the readings of a session, in the order of its cases and of the readers' names."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM {_FROM} JOIN review_cases p "  # noqa: S608  own names only
        "ON p.session = r.session AND p.case_row = r.case_row "
        "WHERE r.session = ? AND (? IS NULL OR r.reader = ?) ORDER BY p.position, r.reader",
        (session, reader, reader),
    ).fetchall()
    return [_reading(values) for values in rows]
