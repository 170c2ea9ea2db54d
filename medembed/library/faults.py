"""Errors of the machine under a library, each in one line that says what to do."""

from __future__ import annotations

from medembed.errors import LibraryError

__all__ = ["DATABASE_NAME", "damaged"]

DATABASE_NAME = "library.sqlite"

_RESTORE = "restore the library from a backup, or ingest its sources into a new one"


def damaged(what: str) -> LibraryError:
    """Give the error for something that is not as it was written."""
    return LibraryError(
        f"{what} is not as it was written; the file is damaged", where=DATABASE_NAME, hint=_RESTORE
    )
