"""Read columns from ``library.sqlite``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.columns.case_columns import IDENTIFIERS, TEXTS, CaseColumns, CaseRow, joined
from medembed.errors import LibraryError

__all__ = ["Stamp", "all_seals", "consistent", "numbers_after", "read_columns", "read_stamp"]

_CHUNK = 20_000


class Stamp(NamedTuple):
    """What tells a state of a library's cases from every other.

    Parameters
    ----------
    revision : int
        Another one after each change or removal of a case.
    newest : int
        Number of the case added last that is still there; 0 if there is none.
    seal : int
        Of that case: two libraries that grew from one backup may have given a number twice.
    """

    revision: int
    newest: int
    seal: int


@contextmanager
def consistent(db: sqlite3.Connection) -> Iterator[None]:
    """Let all reads of a block see one state of the library."""
    db.execute("SAVEPOINT columns")
    try:
        yield
    finally:
        with suppress(sqlite3.Error, LibraryError):  # SQLite may have ended the transaction itself
            db.execute("RELEASE columns")


def read_stamp(db: sqlite3.Connection) -> Stamp:
    """Return the stamp of the present state, whatever the number of cases."""
    (revision,) = db.execute("SELECT number FROM revisions WHERE owner = 'cases'").fetchone()
    newest = db.execute("SELECT id, seal FROM cases ORDER BY id DESC LIMIT 1").fetchone()
    return Stamp(int(revision), *(newest or (0, 0)))


def numbers_after(db: sqlite3.Connection, number: int) -> list[int]:
    """Return the numbers of the cases that were added after one."""
    rows = db.execute("SELECT id FROM cases WHERE id > ? ORDER BY id", (number,))
    return [row for (row,) in rows]


def all_seals(
    db: sqlite3.Connection,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return number and seal of every case, each of shape ``(n,)``."""
    found = np.array(db.execute("SELECT id, seal FROM cases ORDER BY id").fetchall(), np.int64)
    found = found.reshape(-1, 2)
    return found[:, 0], found[:, 1]


def read_columns(db: sqlite3.Connection, numbers: Sequence[int], key: bytes) -> CaseColumns:
    """Read the columns of the cases with these numbers.

    Parameters
    ----------
    db : sqlite3.Connection
        Within :func:`consistent`.
    numbers : sequence of int
        Ascending.
    key : bytes
        Of the hashes.
    """
    parts = [
        _read(db, numbers[start : start + _CHUNK], key)
        for start in range(0, max(len(numbers), 1), _CHUNK)
    ]
    return parts[0] if len(parts) == 1 else joined(parts, key)


def _read(db: sqlite3.Connection, numbers: Sequence[int], key: bytes) -> CaseColumns:
    wanted = (json.dumps(list(numbers)),)
    among = "IN (SELECT value FROM json_each(?))"
    columns = ", ".join((*IDENTIFIERS.values(), *TEXTS.values()))
    cases = [
        CaseRow(number, seal, age, tuple(texts))
        for number, seal, age, *texts in db.execute(
            f"SELECT id, seal, age_years, {columns} FROM cases "  # noqa: S608  own names only
            f"WHERE id {among} ORDER BY id",
            wanted,
        )
    ]
    attributes = db.execute(
        f"SELECT case_row, name, value FROM attributes WHERE case_row {among}",  # noqa: S608
        wanted,
    )
    findings = db.execute(
        f"SELECT case_row, label, side FROM findings WHERE case_row {among}",  # noqa: S608
        wanted,
    )
    notes = db.execute(
        f"SELECT case_row, assertions FROM notes WHERE case_row {among}",  # noqa: S608
        wanted,
    )
    reports = ((number, json.loads(assertions)) for number, assertions in notes)
    return CaseColumns.of(cases, attributes, findings, reports, key)
