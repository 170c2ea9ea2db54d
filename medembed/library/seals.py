"""Checksums of rows ("seals"), so that damage on the disk is detected and never returned.

They protect against damage, not against an intruder, who could rewrite them. A case has a seal
over its rows in all tables, a vector over itself and its id, a cached file over its row. The seals
of small tables are in the table ``seals``, which triggers maintain.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "FILE_COLUMNS",
    "REVIEW_TABLES",
    "SEALED_TABLES",
    "case_seal",
    "row_seal",
    "schema_seal",
    "seal_rows",
    "seal_schema",
    "seal_triggers",
    "vector_seal",
]

SEALED_TABLES: dict[str, tuple[str, ...]] = {
    "meta": ("name", "value"),
    "spaces": ("id", "fingerprint", "kind", "dimensions", "revision"),
    "ingests": ("id", "started", "finished", "source", "added", "unchanged", "refused"),
    "identities": ("person", "bare", "issuer", "sex", "birth", "patient_id"),
}
"""Tables of schema 2 whose rows are sealed by triggers, and the sealed columns."""

REVIEW_TABLES: dict[str, tuple[str, ...]] = {
    "review_sessions": ("id", "link", "name", "creator", "created", "state"),
    "review_cases": ("session", "case_row", "position", "query", "query_case"),
    "review_readings": (
        *("session", "case_row", "reader", "state", "open_seconds", "seen", "opened"),
        *("impression", "findings", "impression_at", "impression_seconds"),
        *("revealed_at", "reveal_seconds", "revision", "revision_findings"),
        *("finished_at", "end_seconds", "shortlisted", "teaching"),
    ),
}
"""Tables of schema 5, sealed in the same way."""

FILE_COLUMNS = (
    *("path", "size", "mtime_ns", "sha256", "modality", "view", "code", "reason", "shown"),
    *("reader", "header", "frame_digests"),
)
"""Sealed columns of ``files``, in this order."""


def row_seal(*values: object) -> int:
    """Return the checksum of a row's values; SQL has it under the same name.

    Examples
    --------
    >>> row_seal("dates", "shifted") == row_seal("dates", "shifted") != row_seal("dates", "as is")
    True
    """
    # ascii(), not repr(): printable characters differ between Python versions
    digest = hashlib.blake2b(ascii(values).encode(), digest_size=7, usedforsecurity=False)
    return int.from_bytes(digest.digest(), "little")


def case_seal(case: Sequence[Any], *parts: Iterable[Sequence[Any]]) -> int:
    """Return the checksum of a case: its row in ``cases`` and its rows in other tables."""
    return zlib.crc32(ascii([tuple(case), *(list(map(tuple, rows)) for rows in parts)]).encode())


def vector_seal(number: int, vector: bytes) -> int:
    """Return the checksum of the vector stored under ``number``."""
    return zlib.crc32(vector, zlib.crc32(number.to_bytes(8, "little")))


def seal_triggers(tables: Mapping[str, tuple[str, ...]] = SEALED_TABLES) -> str:
    """Return the SQL of the triggers that maintain ``seals`` for these tables."""
    statements = []
    for table, columns in tables.items():
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
                f"CREATE TRIGGER IF NOT EXISTS {table}_{name} AFTER {event} ON {table} BEGIN\n"
                f"  {action}\nEND;\n"
            )
    return "".join(statements)


def schema_seal(db: sqlite3.Connection) -> int:
    """Return the checksum of the schema: the definitions of tables and triggers."""
    return row_seal(
        *db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")
    )


def seal_schema(db: sqlite3.Connection) -> None:
    """Write the seal of the current schema."""
    db.execute("DELETE FROM seals WHERE owner = 'schema'")
    db.execute("INSERT INTO seals VALUES ('schema', ?)", (schema_seal(db),))


def seal_rows(db: sqlite3.Connection) -> None:
    """Write the seals of all rows of the small tables."""
    for table, columns in SEALED_TABLES.items():
        db.execute(
            f"INSERT OR IGNORE INTO seals SELECT '{table}', "  # noqa: S608  own names only
            f"row_seal({', '.join(columns)}) FROM {table}"
        )
