"""Who looks at what: the page's entries in the library's journal, and whose pixels may leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from apps.access import Person, person_of, visible
from apps.pixels.guard import Guard, Scope, Visitor
from medembed.journal import Action

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession
    from medembed.library import CaseLibrary
    from medembed.lookup import Result

__all__ = ["note_result", "pixel_guard", "visitor_of"]


def note_result(library: CaseLibrary, person: Person, result: Result) -> None:
    """Record a search and the hits that are about to be shown; never what was asked."""
    plan = result.plan
    details = {"hits": len(result.hits), "matching": plan.matching, "method": plan.method}
    _record(library, Action.QUERY, person.name, (), details)
    if result.hits:
        _record(library, Action.SHOWN, person.name, [hit.case_id for hit in result.hits])


def visitor_of(session: LibrarySession, person: Person) -> Visitor:
    """Return who is in front of the page, for the page of a case and its viewer."""
    library = session.library
    return Visitor(
        person.name,
        lambda case_id: case_id in library,
        lambda case_id: _record(library, Action.OPENED, person.name, [case_id]),
    )


def pixel_guard(source: Callable[[], LibrarySession]) -> Guard:
    """Return who decides about the pixels of a request, behind the guard of every route.

    Parameters
    ----------
    source : callable
        Returns the open library.
    """

    def may_see(scope: Scope, case_id: str) -> bool:
        return visible(source().library, _person(scope), case_id)

    def record(actor: str, case_id: str) -> None:
        _record(source().library, Action.PIXELS, actor, [case_id] if case_id else ())

    return Guard(lambda scope: _person(scope).name, may_see, record)


def _person(scope: Scope) -> Person:
    return person_of(dict(scope))


def _record(
    library: CaseLibrary,
    action: Action,
    actor: str,
    cases: Sequence[str] = (),
    details: Mapping[str, str | int | float] | None = None,
) -> None:
    """Write an entry before the thing is done; a library that is read only has no journal."""
    journal = library.journal
    if not journal.is_read_only:
        journal.record(action, actor=actor, cases=cases, details=details or {})
