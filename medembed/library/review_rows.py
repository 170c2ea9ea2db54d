"""What an erasure does with review sessions: rows, and names in texts about others.

The store itself is :mod:`medembed.reviews`. Rows of an erased patient's cases go with the cases
(foreign keys); this module counts them, clears what names the patient elsewhere, and drops sessions
that have no case left.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence

from medembed.library.byte_search import SHORTEST

__all__ = ["ERASED", "count_reviews", "forget_in_reviews", "review_texts"]

ERASED = "[erased]"
"""What stands in place of an erased case id or pseudonym that somebody typed."""

_OF = "(SELECT id FROM cases WHERE patient_id IN (SELECT value FROM json_each(?)))"


def count_reviews(db: sqlite3.Connection, patients: Sequence[str]) -> int:
    """Count the cases of review sessions, and their readings, that belong to some patients."""
    wanted = json.dumps(list(patients))
    return sum(
        int(
            db.execute(
                f"SELECT count(*) FROM {table} WHERE case_row IN {_OF}",  # noqa: S608  own names
                (wanted,),
            ).fetchone()[0]
        )
        for table in ("review_cases", "review_readings")
    )


def review_texts(db: sqlite3.Connection, row: int) -> Iterator[str]:
    """Yield what readers wrote about one case."""
    for texts in db.execute(
        "SELECT impression, revision FROM review_readings WHERE case_row = ?", (row,)
    ):
        yield from filter(None, texts)


def forget_in_reviews(
    db: sqlite3.Connection, patients: Sequence[str], case_ids: Sequence[str]
) -> None:
    """Clear what is left in review sessions once the cases are deleted, in that transaction.

    Sessions without a case go. A case id or pseudonym that somebody typed into a session's name or
    into the impression of another case becomes :data:`ERASED`.

    Parameters
    ----------
    db : sqlite3.Connection
    patients, case_ids : sequence of str
        Pseudonyms and case ids that are erased.
    """
    db.execute("DELETE FROM review_sessions WHERE id NOT IN (SELECT session FROM review_cases)")
    names = [re.escape(name) for name in (*patients, *case_ids) if len(name) >= SHORTEST]
    if not names:
        return
    named = re.compile(rf"(?<![\w-])(?:{'|'.join(names)})(?![\w-])")
    for number, name in db.execute("SELECT id, name FROM review_sessions").fetchall():
        if named.search(name):
            cleared = named.sub(ERASED, name)
            db.execute("UPDATE review_sessions SET name = ? WHERE id = ?", (cleared, number))
    columns = [row[1] for row in db.execute("PRAGMA table_info(review_readings)")]
    for values in db.execute(f"SELECT {', '.join(columns)} FROM review_readings").fetchall():  # noqa: S608
        row = dict(zip(columns, values, strict=True))
        cleared_row = {
            column: named.sub(ERASED, value) if column in ("impression", "revision") and value
            else value
            for column, value in row.items()
        }  # fmt: skip
        if cleared_row != row:
            _write_anew(db, cleared_row)


def _write_anew(db: sqlite3.Connection, row: dict[str, object]) -> None:
    """Replace a reading: what was written before a reveal cannot be updated."""
    db.execute(
        "DELETE FROM review_readings WHERE session = ? AND case_row = ? AND reader = ?",
        (row["session"], row["case_row"], row["reader"]),
    )
    db.execute(
        f"INSERT INTO review_readings VALUES ({', '.join('?' * len(row))})",  # noqa: S608  marks
        tuple(row.values()),
    )
