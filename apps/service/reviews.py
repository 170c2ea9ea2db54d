"""Review sessions as the service gives them: the one place where it meets them.

A reader sees what others wrote about a case only after having finished it: whoever knows it before
is no longer blind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apps.service.person import LOCAL, Caller, Right
from apps.service.problems import Problem, ProblemKind
from apps.service.rows import visible_cases
from evaluation.reader_study import measure_review
from medembed.errors import InputError, LibraryError
from medembed.reviews import ReviewStore

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["list_reviews", "one_review"]

_NO_SUCH_REVIEW = "there is no such review session; check the link, or ask who shared it"


def list_reviews(library: CaseLibrary, caller: Caller) -> list[dict[str, Any]]:
    """Return the sessions that the caller made or reads in, the newest first; an auditor all."""
    store = ReviewStore(library)
    found = []
    for session in store.sessions(None if _oversees(caller) else caller.name):
        data = _visible(library, caller, session.to_json())
        if data is not None:
            data["cases"] = len(data["cases"])
            found.append(data)
    return found


def one_review(library: CaseLibrary, caller: Caller, link: str) -> dict[str, Any]:
    """Return a session with the readings and measures that the caller may see.

    Raises
    ------
    Problem
        NOT_FOUND if there is none, or none of its cases may be seen.
    """
    store = ReviewStore(library)
    try:
        session = store.session(link)
    except InputError as error:
        if isinstance(error, LibraryError):
            raise
        raise Problem(ProblemKind.NOT_FOUND, _NO_SUCH_REVIEW) from None
    data = _visible(library, caller, session.to_json())
    if data is None:
        raise Problem(ProblemKind.NOT_FOUND, _NO_SUCH_REVIEW)
    shown = {case["case_id"] for case in data["cases"]}
    kept = [one for one in store.readings(link) if one.case_id in shown]
    readings = [one.to_json() for one in kept]
    own = {one["case_id"]: one["state"] for one in readings if one["reader"] == caller.name}
    finished = {case_id for case_id, state in own.items() if state == "finished"}
    oversees = _oversees(caller) or session.creator == caller.name
    blind = set() if oversees and not own else shown - finished
    seen = [r for r in readings if r["reader"] == caller.name or r["case_id"] not in blind]
    measures = None if blind else _measures(library, kept)
    return {"review": data, "readings": seen, "measures": measures}


def _oversees(caller: Caller) -> bool:
    """Whether somebody may see the sessions of others: an auditor, or who is alone here."""
    return caller.name == LOCAL.name or caller.may(Right.AUDIT)


def _visible(library: CaseLibrary, caller: Caller, data: dict[str, Any]) -> dict[str, Any] | None:
    """Return a session without the cases that the caller may not see; None if none is left."""
    if not caller.is_restricted:
        return data
    names = [case["case_id"] for case in data["cases"]]
    names += [case["query"]["case_id"] for case in data["cases"] if case.get("query")]
    seen = visible_cases(library, caller, names)
    cases = [case for case in data["cases"] if case["case_id"] in seen]
    for case in cases:
        if case.get("query") and case["query"]["case_id"] not in seen:
            case["query"]["case_id"] = ""
    return {**data, "cases": cases} if cases else None


def _measures(library: CaseLibrary, readings: Sequence[Any]) -> dict[str, Any]:
    """Return times, revisions and agreement over the readings that may be seen."""
    cases = library.select(sorted({one.case_id for one in readings}))
    patients = {case.case_id: case.patient_id for case in cases}
    known = [one for one in readings if one.case_id in patients]
    data: dict[str, Any] = measure_review(known, patients).to_json()
    return data
