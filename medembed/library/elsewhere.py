"""Vectors of a library's cases outside its folder: a search server that it is set to use."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from medembed.library.meta import MetaStore
from medembed.registry import Registry

if TYPE_CHECKING:
    from medembed.library.database import Database

__all__ = ["BACKEND_SETTING", "HOLDER_SETTING", "clean_elsewhere", "is_elsewhere"]

BACKEND_SETTING = "index.backend"
"""Setting of a library that names the backend of its index; not set for the index files."""
HOLDER_SETTING = "index.server"
"""Setting that names the backend whose server holds vectors: set before the first is sent, and not
removed before the last is dropped there, which a server that is away delays."""

_CLEANERS: Registry[Callable[[Database], int]] = Registry("index backend")
_CLEANERS.register("milvus", "medembed.index.milvus_cleaning:clean_server")


def is_elsewhere(db: sqlite3.Connection) -> bool:
    """Return whether a server may hold vectors of the library's cases."""
    return MetaStore(db).get(HOLDER_SETTING) is not None


def clean_elsewhere(database: Database) -> int:
    """Remove from the server the vectors of cases that the library does not have.

    Returns
    -------
    int
        How many were removed.

    Raises
    ------
    IndexServerError
        If the server cannot be reached.
    """
    holder = MetaStore(database.read()).get(HOLDER_SETTING)
    return _CLEANERS[holder](database) if holder else 0
