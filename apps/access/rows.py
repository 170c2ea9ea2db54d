"""Which cases a person may see: conditions that hold in every search, and for single cases.

A hidden case is not told from a missing one: both give the same answer in the same words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from medembed.errors import LibraryError
from medembed.library.filters import compile_conditions

if TYPE_CHECKING:
    from apps.access.people import Person
    from medembed.cases import Case
    from medembed.library import CaseLibrary, Condition

__all__ = ["conditions", "visible", "visible_case", "visible_cases"]


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
        "SELECT c.case_id FROM cases c "
        f"WHERE c.case_id IN (SELECT value FROM json_each(?)) AND {sql}",  # noqa: S608  bound
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
