"""Which cases a caller may see, and what of a result is left of that."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from apps.service.person import Caller
from apps.service.problems import Problem, ProblemKind
from medembed.index import SearchNoteKind
from medembed.library.filters import compile_conditions

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.lookup import Result

__all__ = ["NO_SUCH_CASE", "require_visible", "seen_by", "visible_case", "visible_cases"]

NO_SUCH_CASE = "no case has this id in this library"

_ABOUT_OTHERS = frozenset({SearchNoteKind.OWN_PATIENT, SearchNoteKind.MARKED_PATIENTS})
"""Notes that count cases of a patient, which the caller may not see."""


def visible_cases(library: CaseLibrary, caller: Caller, case_ids: Iterable[str]) -> set[str]:
    """Return those of some cases that are in the library and that the caller may see."""
    attributes = library.attribute_names() if caller.where else ()
    sql, params = compile_conditions(caller.where, attributes)
    rows = library.database.read().execute(
        "SELECT c.case_id FROM cases c WHERE "  # noqa: S608  bound
        f"c.case_id IN (SELECT value FROM json_each(?)) AND ({sql})",
        (json.dumps(sorted(set(case_ids))), *params),
    )
    return {case_id for (case_id,) in rows}


def require_visible(library: CaseLibrary, caller: Caller, case_ids: Sequence[str]) -> None:
    """Refuse a query that names a case which the caller may not see, as if there were none.

    Raises
    ------
    Problem
        NOT_FOUND.
    """
    if set(case_ids) - visible_cases(library, caller, case_ids):
        raise Problem(ProblemKind.NOT_FOUND, NO_SUCH_CASE)


def visible_case(library: CaseLibrary, caller: Caller, case_id: str) -> Case:
    """Return a case that the caller may see.

    Raises
    ------
    Problem
        NOT_FOUND, whether there is none or it may not be seen.
    """
    require_visible(library, caller, [case_id])
    for case in library.select([case_id]):
        return case
    raise Problem(ProblemKind.NOT_FOUND, NO_SUCH_CASE)  # erased in between


def seen_by(caller: Caller, library: CaseLibrary, result: Result) -> dict[str, Any]:
    """Return a result as JSON, without what it says of cases that the caller may not see.

    The hits meet the caller's conditions already, as those of the search. Beside them, a result
    names earlier studies of a hit's patient and the cases that are the query itself, and counts
    cases of the query's own patient.
    """
    data = result.to_json()
    if not caller.is_restricted:
        return data
    priors = [prior["case_id"] for patient in data["patients"] for prior in patient["priors"]]
    others = [name for patient in data["patients"] for name in patient["others"]]
    seen = visible_cases(library, caller, [*data["own_cases"], *priors, *others])
    for patient in data["patients"]:
        patient["priors"] = [p for p in patient["priors"] if p["case_id"] in seen]
        patient["others"] = [name for name in patient["others"] if name in seen]
    data["own_cases"] = [name for name in data["own_cases"] if name in seen]
    data["own_patient_cases"] = len(data["own_cases"])
    notes = []
    for note in result.plan.notes:
        if note.kind in _ABOUT_OTHERS:
            continue
        if note.kind is SearchNoteKind.OWN_CASES and not set(note.names) <= seen:
            continue
        notes.append(str(note))
    data["plan"]["notes"] = notes
    return data
