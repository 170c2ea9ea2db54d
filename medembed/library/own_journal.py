"""The journal of a library, opened with the library's key and known to it by name."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from medembed.errors import LibraryError
from medembed.journal import Journal
from medembed.library.faults import DATABASE_NAME
from medembed.library.meta import MetaStore
from medembed.privacy import Pseudonymizer

if TYPE_CHECKING:
    from medembed.library.database import Database

__all__ = ["library_names", "open_journal"]

_NAME = "journal"


def library_names(db: sqlite3.Connection) -> Pseudonymizer:
    """Return the pseudonymizer of a library: it has the secret key.

    Raises
    ------
    LibraryError
        If the key is missing or damaged.
    """
    key = MetaStore(db).get("key")
    if key is None:
        raise LibraryError("the library's key is missing", where=DATABASE_NAME)
    return Pseudonymizer(bytes(key))


def open_journal(database: Database, *, start: bool = True) -> Journal:
    """Open the journal of a library.

    Parameters
    ----------
    database : Database
    start : bool
        Start a journal if there is none. The library keeps its name, so that a journal that is
        removed with its head is missed.
    """
    db = database.read()
    known = MetaStore(db).get(_NAME) or ""
    journal = Journal(database.path.parent, library_names(db), str(known))
    if not start or database.read_only or journal.is_read_only:
        return journal
    name = journal.begin()
    if name != known:
        with database.write() as writer:
            MetaStore(writer).set(_NAME, name)
    return journal
