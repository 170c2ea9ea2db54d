"""A library as one person may see it: what is hidden looks as if it were not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import numpy.typing as npt

from apps.access.people import NotAllowedError, Person
from apps.access.rows import visible_cases
from medembed.library import CaseLibrary
from medembed.library.filters import compile_conditions, parse_where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medembed.cases import Case
    from medembed.library.filters import Where

__all__ = ["VisibleLibrary"]


class VisibleLibrary(CaseLibrary):
    """The cases that one person may see, for reading only.

    Parameters
    ----------
    library : CaseLibrary
        Stays open as long as this is used.
    person : Person
    """

    def __init__(self, library: CaseLibrary, person: Person) -> None:
        self.__dict__.update(library.__dict__)
        self._library = library
        self._person = person

    def close(self) -> None:
        """Do nothing: the library itself is closed by whoever opened it."""

    def __repr__(self) -> str:
        return f"<VisibleLibrary of {self._library!r}>"

    def _of_person(self) -> tuple[str, list[str | float]]:
        return compile_conditions(self._person.where, self.attribute_names())

    def __len__(self) -> int:
        sql, values = self._of_person()
        query = f"SELECT count(*) FROM cases c WHERE {sql}"  # noqa: S608  bound
        return int(self._db.execute(query, values).fetchone()[0])

    def __contains__(self, case_id: object) -> bool:
        return isinstance(case_id, str) and bool(self._visible([case_id]))

    def _visible(self, case_ids: Sequence[str]) -> list[str]:
        return visible_cases(self._library, self._person, case_ids)

    def select(self, case_ids: Sequence[str]) -> Iterator[Case]:
        """Yield the visible ones of these cases, in this order."""
        return super().select(self._visible(case_ids))

    def _matching(self, where: Where) -> list[tuple[int, str]]:
        return super()._matching((*self._person.where, *parse_where(where)))

    def mask(self, where: Where = None) -> npt.NDArray[np.bool_]:
        """Return for each visible case whether it meets ``where``."""
        return np.isin(self.find(), self.find(where))

    def patients(self) -> dict[str, str]:
        """Return the patient of each visible case."""
        everyone = super().patients()
        return {case_id: everyone[case_id] for case_id in self.find()}

    def cases_with_note(self) -> list[str]:
        """Return the ids of the visible cases with a note."""
        return self._visible(super().cases_with_note())

    def n_notes(self) -> int:
        """Count the visible cases with a note."""
        return len(self.cases_with_note())

    def value_counts(self, field: str) -> dict[str, int]:
        """Count the visible cases by the value of a field, most frequent first."""
        known = self._library.value_counts(field)  # also refuses a field that does not exist
        sql, values = self._of_person()
        if field == "finding":
            query = (
                "SELECT f.label, count(DISTINCT f.case_row) AS n FROM findings f "  # noqa: S608
                f"JOIN cases c ON c.id = f.case_row WHERE {sql} "
                "GROUP BY f.label ORDER BY n DESC, f.label"
            )
        elif field in self.attribute_names():
            query = (
                "SELECT a.value, count(*) AS n FROM attributes a "  # noqa: S608
                f"JOIN cases c ON c.id = a.case_row WHERE a.name = ? AND {sql} "
                "GROUP BY a.value ORDER BY n DESC, a.value"
            )
            values = [field, *values]
        else:
            query = (
                f"SELECT c.{field}, count(*) AS n FROM cases c WHERE {sql} "  # noqa: S608
                f"GROUP BY c.{field} ORDER BY n DESC, c.{field}"
            )
        return {value: n for value, n in self._db.execute(query, values) if value in known}

    def _ids(self, sql: str, value: str) -> list[str]:
        return self._visible(super()._ids(sql, value))

    def vectors(self, fingerprint: str, kind: str) -> NoReturn:
        """Refuse: vectors are never handed out."""
        raise NotAllowedError("vectors are never handed out")

    def add(self, *_: object, **__: object) -> NoReturn:
        """Refuse: this is for reading."""
        raise NotAllowedError("a library seen by one person is for reading")

    def erase(self, patient_id: str) -> NoReturn:
        """Refuse: this is for reading."""
        raise NotAllowedError("a library seen by one person is for reading")
