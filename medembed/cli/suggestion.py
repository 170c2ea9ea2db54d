"""The next command that a verb suggests, from what the library at hand holds."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["suggested_search"]

_NOTHING = ("no finding", "no findings", "normal")


def suggested_search(library: CaseLibrary, place: str | Path) -> str:
    """Return a search that finds something here: its most frequent finding, else its first case.

    Labels of findings are English, so that a library read in another language gets a case.

    Parameters
    ----------
    library : CaseLibrary
    place : path
        The library as the user named it.
    """
    from medembed.library import library_vocabulary

    start = f"medembed search {shlex.quote(str(place))}"
    if library_vocabulary(library).language == "en":
        rows = library.database.read().execute(
            "SELECT label, side FROM findings WHERE label NOT IN (?, ?, ?) "
            "GROUP BY label, side ORDER BY count(DISTINCT case_row) DESC, label, side",
            _NOTHING,
        )
        if found := rows.fetchone():
            label, side = found
            words = f"{side} {label}" if side in ("left", "right") else label
            return f"{start} --text {_quoted(words)}"
    cases = library.find()
    return f"{start} --case {shlex.quote(cases[0])}" if cases else f"medembed ingest {place} SOURCE"


def _quoted(text: str) -> str:
    plain = all(c.isalnum() or c in " -/,()" for c in text)
    return f'"{text}"' if plain else shlex.quote(text)
