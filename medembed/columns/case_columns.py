"""The noun :class:`CaseColumns`: what conditions ask of cases, an array for each field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.columns.column import (
    Coded,
    Column,
    Hashed,
    Listed,
    Mask,
    Positions,
    joined_columns,
    joined_lists,
)

__all__ = ["IDENTIFIERS", "TEXTS", "CaseColumns", "CaseRow", "joined"]

IDENTIFIERS = {"case": "case_id", "patient": "patient_id", "group": "group_id"}
"""Fields of which only hashes are kept, and their columns in ``library.sqlite``."""

TEXTS = {
    "split": "split",
    "date": "study_date",
    "modality": "modality",
    "view": "view",
    "sex": "sex",
    "race": "race",
    "site": "site",
    "scanner": "scanner",
    "kind": "kind",
}
"""Fields whose texts are kept, and their columns in ``library.sqlite``."""

Thing = tuple[str, str]
Statement = tuple[str, str, str]


class CaseRow(NamedTuple):
    """One row of ``cases``: number, seal, age, then the columns of IDENTIFIERS and of TEXTS."""

    number: int
    seal: int
    age_years: float | None
    texts: tuple[str | None, ...]


@dataclass(frozen=True, eq=False)
class CaseColumns:
    """Cases of a library, in the order they were added.

    Parameters
    ----------
    rows : int64 array, shape ``(n,)``
        Their numbers in ``library.sqlite``, ascending; none is ever given twice.
    seals : int64 array, shape ``(n,)``
        Their seals: a changed case has another one.
    ages : float64 array, shape ``(n,)``
        In years; not a number if unknown.
    fields : mapping of str to column
        Of :data:`IDENTIFIERS` and :data:`TEXTS`.
    attributes : mapping of str to column
        The kept attributes.
    findings : Listed of (label, side)
    statements : Listed of (label, status, side)
        What the report says, but for what it tells of the past.
    is_read : bool array, shape ``(n,)``
        Whether the case has a report that states anything.
    """

    rows: npt.NDArray[np.int64]
    seals: npt.NDArray[np.int64]
    ages: npt.NDArray[np.float64]
    fields: Mapping[str, Column]
    attributes: Mapping[str, Column]
    findings: Listed[Thing]
    statements: Listed[Statement]
    is_read: Mask

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(
        cls,
        cases: Sequence[CaseRow],
        attributes: Iterable[tuple[int, str, str]],
        findings: Iterable[tuple[int, str, str]],
        reports: Iterable[tuple[int, Sequence[Sequence[Any]]]],
        key: bytes,
    ) -> CaseColumns:
        """Make columns of rows of the tables.

        Parameters
        ----------
        cases : sequence of CaseRow
            By ascending number.
        attributes : iterable of (case number, name, value)
        findings : iterable of (case number, label, side)
        reports : iterable of (case number, assertions)
            Each assertion is label, status, side, start, end, historical.
        key : bytes
            Of the hashes.
        """
        place = {case.number: at for at, case in enumerate(cases)}
        names = (*IDENTIFIERS, *TEXTS)
        columns = zip(*(case.texts for case in cases), strict=True) if cases else ((),) * len(names)
        texts = dict(zip(names, columns, strict=True))
        kept: defaultdict[str, list[str | None]] = defaultdict(lambda: [None] * len(cases))
        for number, name, value in attributes:
            kept[name][place[number]] = value
        is_read = np.zeros(len(cases), np.bool_)
        said: list[tuple[int, Statement]] = []
        for number, assertions in reports:
            at = place[number]
            is_read[at] = bool(assertions)
            now = {
                (label, status, side) for label, status, side, *_, past in assertions if not past
            }
            said += [(at, one) for one in now]
        things = [(place[number], (label, side)) for number, label, side in findings]
        return cls(
            np.array([case.number for case in cases], np.int64),
            np.array([case.seal for case in cases], np.int64),
            np.array([case.age_years for case in cases], np.float64),
            {name: Hashed.of(texts[name], key) for name in IDENTIFIERS}
            | {name: Coded.of(texts[name]) for name in TEXTS},
            {name: Coded.of(kept[name]) for name in sorted(kept)},
            Listed.of([at for at, _ in things], [thing for _, thing in things], len(cases)),
            Listed.of([at for at, _ in said], [one for _, one in said], len(cases)),
            is_read,
        )

    def parts(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Return all arrays by name, and the values that their codes stand for."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "rows": self.rows,
            "seals": self.seals,
            "ages": self.ages,
            "finding positions": self.findings.positions,
            "finding codes": self.findings.codes,
            "statement positions": self.statements.positions,
            "statement codes": self.statements.codes,
            "is read": self.is_read,
        }
        values: dict[str, Any] = {
            "findings": self.findings.values,
            "statements": self.statements.values,
        }
        for group, named in (("field", self.fields), ("attribute", self.attributes)):
            for name, column in named.items():
                if isinstance(column, Coded):
                    arrays[f"{group} {name}"] = column.codes
                    values[f"{group} {name}"] = column.values
                else:
                    arrays[f"{group} {name}"] = column.hashes
        return arrays, values

    def take(self, at: Positions) -> CaseColumns:
        """Return some cases, in the given order; nothing is left of the others."""
        attributes = {name: column.take(at) for name, column in self.attributes.items()}
        return CaseColumns(
            self.rows[at],
            self.seals[at],
            self.ages[at],
            {name: column.take(at) for name, column in self.fields.items()},
            {name: column for name, column in attributes.items() if not _is_empty(column)},
            self.findings.take(at),
            self.statements.take(at),
            self.is_read[at],
        )

    def positions_of(self, numbers: Sequence[int] | npt.NDArray[Any]) -> Positions:
        """Return the places of cases by number, -1 for one that is not here."""
        wanted = np.asarray(numbers, np.int64)
        if not len(self):
            return np.full(len(wanted), -1, np.intp)
        at = np.minimum(np.searchsorted(self.rows, wanted), len(self) - 1)
        found: Positions = np.where(self.rows[at] == wanted, at, -1)
        return found


def joined(parts: Sequence[CaseColumns], key: bytes) -> CaseColumns:
    """Put groups of cases together, by ascending number.

    Parameters
    ----------
    parts : sequence of CaseColumns
        At least one; no case in two of them.
    key : bytes
        Of the hashes.
    """
    names = sorted({name for part in parts for name in part.attributes})
    whole = CaseColumns(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.seals for part in parts]),
        np.concatenate([part.ages for part in parts]),
        {
            name: joined_columns([(part.fields[name], len(part)) for part in parts], key)
            for name in (*IDENTIFIERS, *TEXTS)
        },
        {
            name: joined_columns([(part.attributes.get(name), len(part)) for part in parts], key)
            for name in names
        },
        joined_lists([part.findings for part in parts]),
        joined_lists([part.statements for part in parts]),
        np.concatenate([part.is_read for part in parts]),
    )
    is_sorted = (np.diff(whole.rows) > 0).all()
    return whole if is_sorted else whole.take(np.argsort(whole.rows))


def _is_empty(column: Column) -> bool:
    if isinstance(column, Coded):
        return column.values in ((), (None,))
    return not column.hashes.any()
