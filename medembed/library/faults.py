"""Errors of the file ``library.sqlite``; those of any SQLite file are in ``machine_faults``."""

from __future__ import annotations

from medembed.errors import LibraryError
from medembed.machine_faults import connect, damaged_file, explain_os_error, file_errors

__all__ = ["DATABASE_NAME", "connect", "damaged", "explain_os_error", "file_errors"]

DATABASE_NAME = "library.sqlite"


def damaged(what: str) -> LibraryError:
    """Return the error for data of ``library.sqlite`` that fails its checksum."""
    return damaged_file(what, DATABASE_NAME)
