"""Checksums of rows, so that a byte that changed on the disk is noticed and never an answer.

They are against damage and not against an intruder, who could write them as well. A case has one
over its rows in all tables, a vector one over itself and its id, a looked-at file one over its row.
The rows of the small tables have theirs in the table ``seals``, where triggers keep them.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "FILE_COLUMNS",
    "SEALED_TABLES",
    "case_seal",
    "row_seal",
    "seal_rows",
    "seal_triggers",
    "vector_seal",
]

SEALED_TABLES: dict[str, tuple[str, ...]] = {
    "meta": ("name", "value"),
    "spaces": ("id", "fingerprint", "kind", "dimensions", "revision"),
    "ingests": ("id", "started", "finished", "source", "added", "unchanged", "refused"),
    "identities": ("person", "bare", "issuer", "sex", "birth", "patient_id"),
}
"""Tables whose rows are sealed by triggers, and the columns that count."""


FILE_COLUMNS = (
    *("path", "size", "mtime_ns", "sha256", "modality", "view", "code", "reason", "shown"),
    *("reader", "header", "frame_digests"),
)
"""Columns of ``files`` that its seal is over, in that order."""


def row_seal(*values: object) -> int:
    """Give the checksum of a row's values; in SQL it has the same name.

    Examples
    --------
    >>> row_seal("dates", "shifted") == row_seal("dates", "shifted") != row_seal("dates", "as is")
    True
    """
    # ascii(), not repr(): what counts as printable differs between versions of Python
    digest = hashlib.blake2b(ascii(values).encode(), digest_size=7, usedforsecurity=False)
    return int.from_bytes(digest.digest(), "little")


def case_seal(case: Sequence[Any], *parts: Iterable[Sequence[Any]]) -> int:
    """Give the checksum of a case: its row in ``cases`` and its rows in the other tables."""
    return zlib.crc32(ascii([tuple(case), *(list(map(tuple, rows)) for rows in parts)]).encode())


def vector_seal(number: int, vector: bytes) -> int:
    """Give the checksum of the vector that is stored under ``number``."""
    return zlib.crc32(vector, zlib.crc32(number.to_bytes(8, "little")))


def seal_triggers() -> str:
    """SQL of the triggers that keep ``seals``."""
    statements = []
    for table, columns in SEALED_TABLES.items():
        new = ", ".join(f"new.{column}" for column in columns)
        old = ", ".join(f"old.{column}" for column in columns)
        put = f"INSERT OR IGNORE INTO seals VALUES ('{table}', row_seal({new}));"  # noqa: S608  own
        drop = f"DELETE FROM seals WHERE owner = '{table}' AND seal = row_seal({old});"  # noqa: S608
        for name, event, action in (
            ("added", "INSERT", put),
            ("removed", "DELETE", drop),
            ("changed", "UPDATE", f"{drop}\n  {put}"),
        ):
            statements.append(
                f"CREATE TRIGGER {table}_{name} AFTER {event} ON {table} BEGIN\n  {action}\nEND;\n"
            )
    return "".join(statements)


def seal_rows(db: sqlite3.Connection) -> None:
    """Write the seals of all rows that are in the small tables."""
    for table, columns in SEALED_TABLES.items():
        db.execute(
            f"INSERT OR IGNORE INTO seals SELECT '{table}', "  # noqa: S608  own names only
            f"row_seal({', '.join(columns)}) FROM {table}"
        )
