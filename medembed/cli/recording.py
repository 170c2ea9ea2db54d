"""What the commands record in the library's journal: searches, hits, and data taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medembed.cli.command import note
from medembed.journal import LOCAL, Action

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["record_export", "record_search"]

_VIA = "command_line"


def record_search(
    library: CaseLibrary,
    parts: Mapping[str, object],
    cases: Sequence[str],
    hits: Sequence[Mapping[str, Any]],
) -> None:
    """Record a search and the hits that it is about to show.

    Parameters
    ----------
    library : CaseLibrary
    parts : mapping
        Options of the query by name; only the names of those given are recorded.
    cases : sequence of str
        Ids of the cases that were asked with.
    hits : sequence of mapping
        Hits as in ``search --json``.

    Raises
    ------
    LibraryError
        If it cannot be recorded: then nothing is shown.
    """
    if _is_read_only(library, "search"):
        return
    given = "+".join(sorted(name for name, value in parts.items() if value))
    library.journal.record(
        Action.QUERY, actor=LOCAL, cases=cases, details={"via": _VIA, "parts": given}
    )
    library.journal.record(
        Action.SHOWN,
        actor=LOCAL,
        cases=[str(hit["case_id"]) for hit in hits],
        details={"via": _VIA, "hits": len(hits)},
    )


def record_export(library: CaseLibrary, form: str, n_cases: int) -> None:
    """Record that cases are taken out of a library.

    Raises
    ------
    LibraryError
        If it cannot be recorded.
    """
    if not _is_read_only(library, "export"):
        library.journal.record(
            Action.EXPORT,
            actor=LOCAL,
            details={"via": _VIA, "format": form, "count": n_cases},
        )


def _is_read_only(library: CaseLibrary, what: str) -> bool:
    if library.database.read_only or library.journal.is_read_only:
        note(f"{library.path.name}: read-only, so that this {what} is not in the journal")
        return True
    return False
