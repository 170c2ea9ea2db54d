"""Which cases a person may see: conditions that hold in every search, and for single cases.

A hidden case is not told from a missing one: both give the same answer in the same words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from medembed.errors import LibraryError
from medembed.index.search_notes import SearchNoteKind
from medembed.library.filters import compile_conditions

if TYPE_CHECKING:
    from apps.access.people import Person
    from medembed.cases import Case
    from medembed.index.search_notes import SearchNote
    from medembed.library import CaseLibrary, Condition
    from medembed.lookup import Result

__all__ = ["conditions", "visible", "visible_case", "visible_cases", "visible_result"]


def conditions(person: Person) -> tuple[Condition, ...]:
    """Give the conditions to add to each search of this person."""
    return person.where


def visible_cases(library: CaseLibrary, person: Person, case_ids: Iterable[str]) -> list[str]:
    """Keep the cases that exist and that this person may see, in the order given.

    Raises
    ------
    ConditionError
        If a condition names an attribute that this library does not have.
    """
    asked = list(case_ids)
    attributes = library.attribute_names() if person.where else ()
    sql, values = compile_conditions(person.where, attributes)
    rows = library.database.read().execute(
        "SELECT c.case_id FROM cases c "  # noqa: S608  values are bound
        f"WHERE c.case_id IN (SELECT value FROM json_each(?)) AND {sql}",
        [json.dumps(asked), *values],
    )
    seen = {str(case_id) for (case_id,) in rows}
    return [case_id for case_id in asked if case_id in seen]


def visible(library: CaseLibrary, person: Person, case_id: str) -> bool:
    """Whether the case exists and this person may see it."""
    return bool(visible_cases(library, person, [case_id]))


def visible_case(library: CaseLibrary, person: Person, case_id: str) -> Case:
    """Return a case that this person may see.

    Raises
    ------
    LibraryError
        If no case has this id, or it is hidden from this person.
    """
    if not visible(library, person, case_id):
        raise LibraryError(
            "no case has this id in this library", hint="list the cases with medembed show LIBRARY"
        )
    return library.case(case_id)


def visible_result(library: CaseLibrary, person: Person, result: Result) -> Result:
    """Take out of a result what it says of cases that this person may not see.

    The hits meet the person's conditions already, as those of the search. Beside them a result
    names the cases that are the query itself, cases that show the same image as a hit, and earlier
    studies of a hit's patient, and counts cases of the query's own patient.
    """
    if not person.where:
        return result
    named = {*result.own_cases, *(name for hit in result.hits for name in hit.same_image)}
    named |= {name for patient in result.patients for name in (*patient.others, *patient.priors)}
    seen = set(visible_cases(library, person, sorted(named)))
    own = tuple(name for name in result.own_cases if name in seen)
    return replace(
        result,
        hits=tuple(
            replace(hit, same_image=tuple(n for n in hit.same_image if n in seen))
            for hit in result.hits
        ),
        own_cases=own,
        own_patient_cases=len(own),
        patients=tuple(
            replace(
                patient,
                others=tuple(n for n in patient.others if n in seen),
                priors={n: days for n, days in patient.priors.items() if n in seen},
            )
            for patient in result.patients
        ),
        plan=replace(result.plan, notes=tuple(_visible_notes(result.plan.notes, own))),
    )


def _visible_notes(notes: Iterable[SearchNote], own: tuple[str, ...]) -> Iterator[SearchNote]:
    for note in notes:
        if note.kind is SearchNoteKind.OWN_CASES:
            if own:
                yield replace(note, names=own)
        elif note.kind not in (SearchNoteKind.OWN_PATIENT, SearchNoteKind.MARKED_PATIENTS):
            yield note
