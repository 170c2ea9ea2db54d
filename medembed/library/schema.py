"""Schema of ``library.sqlite``: creation and migration."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from importlib.resources import files

from medembed.library.case_rows import seal_cases
from medembed.library.migrations import rename_labels
from medembed.library.seals import (
    FILE_COLUMNS,
    REVIEW_TABLES,
    seal_rows,
    seal_schema,
    seal_triggers,
)
from medembed.privacy import new_key

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "migrate", "write_schema"]

APPLICATION_ID = 0x4D454D42  # "MEMB"
SCHEMA_VERSION = 5


def write_schema(db: sqlite3.Connection) -> None:
    """Write schema, library id and key into an empty file, within an open transaction."""
    parts = (
        _text("schema.sql"),
        _text("schema_2.sql"),
        _text("schema_4.sql"),
        _text("schema_4_cases.sql"),
        _text("schema_5.sql"),
        seal_triggers(),
        seal_triggers(REVIEW_TABLES),
    )
    for part in parts:
        _execute(db, part)
    db.executemany(
        "INSERT INTO meta (name, value) VALUES (?, ?)",
        [("library_id", str(uuid.uuid4())), ("key", new_key())],
    )
    seal_schema(db)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def migrate(db: sqlite3.Connection) -> None:
    """Migrate a file of an older schema to the current one, within an open transaction.

    Schema 2 added tables and columns, schema 4 the list of changed vectors and the revision of the
    cases, schema 5 the review sessions; schema 3 renamed findings (``FORMER_LABELS``).
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version >= SCHEMA_VERSION:
        return  # another process has migrated it
    if version == 1:
        _add_schema_2(db)
    if version < 3:
        rename_labels(db)
    _execute(db, _text("schema_4.sql"))
    _execute(db, _text("schema_4_cases.sql"))
    _execute(db, _text("schema_5.sql"))
    _execute(db, seal_triggers(REVIEW_TABLES))
    seal_schema(db)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _add_schema_2(db: sqlite3.Connection) -> None:
    for part in (_text("schema_2.sql"), seal_triggers()):
        _execute(db, part)
    seal_rows(db)
    seal_cases(db, [row for (row,) in db.execute("SELECT id FROM cases ORDER BY id")])
    db.execute("UPDATE vectors SET seal = vector_seal(id, vector)")
    columns = ", ".join(FILE_COLUMNS)
    db.execute(f"UPDATE files SET seal = row_seal({columns})")  # noqa: S608  own names only


def _execute(db: sqlite3.Connection, script: str) -> None:
    """Run the statements of a script; ``executescript`` would end the transaction."""
    for statement in _statements(script):
        db.execute(statement)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _text(name: str) -> str:
    return (files("medembed.library") / name).read_text("utf-8")
