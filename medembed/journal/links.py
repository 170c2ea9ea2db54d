"""Which random number stands for which case: the only way from an entry to a case, and back.

An entry names a case by a random number. The table ``links`` has the number under a keyed digest
of the case's id. Erasing a patient deletes the rows: then nobody, even with the key and the id, can
find the patient's entries, and no entry has to be changed for it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence

from medembed.privacy import Pseudonymizer

__all__ = ["case_lookup", "case_numbers", "find_number", "forget_others", "link_seal"]

_BYTES = 16


def case_lookup(names: Pseudonymizer, case_id: str) -> bytes:
    """Return the keyed digest under which the number of a case is found."""
    return names.digest("journal case", case_id)[:_BYTES]


def link_seal(names: Pseudonymizer, lookup: bytes, number: bytes) -> bytes:
    """Return the keyed digest of a row of ``links``."""
    return names.digest("journal link", lookup.hex(), number.hex())


def find_number(db: sqlite3.Connection, names: Pseudonymizer, case_id: str) -> str | None:
    """Return the number of a case in hexadecimal, None if no entry names it."""
    row = db.execute(
        "SELECT number FROM links WHERE lookup = ?", (case_lookup(names, case_id),)
    ).fetchone()
    return bytes(row[0]).hex() if row else None


def case_numbers(
    db: sqlite3.Connection, names: Pseudonymizer, case_ids: Sequence[str]
) -> tuple[str, ...]:
    """Return the numbers of cases in this order, each once; new ones within the transaction."""
    found = []
    for case_id in dict.fromkeys(case_ids):
        number = find_number(db, names, case_id)
        if number is None:
            lookup, fresh = case_lookup(names, case_id), os.urandom(_BYTES)
            seal = link_seal(names, lookup, fresh)
            db.execute("INSERT INTO links VALUES (?, ?, ?)", (lookup, fresh, seal))
            number = fresh.hex()
        found.append(number)
    return tuple(found)


def forget_others(
    db: sqlite3.Connection, names: Pseudonymizer, case_ids: Iterable[str]
) -> tuple[str, ...]:
    """Delete the links of all cases but these; return the numbers that lead nowhere now."""
    kept = {case_lookup(names, case_id) for case_id in case_ids}
    gone = [
        (bytes(lookup), bytes(number))
        for lookup, number in db.execute("SELECT lookup, number FROM links")
        if bytes(lookup) not in kept
    ]
    db.executemany("DELETE FROM links WHERE lookup = ?", [(lookup,) for lookup, _ in gone])
    return tuple(sorted(number.hex() for _, number in gone))
