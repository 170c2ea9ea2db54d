"""Patients behind each PatientID of a library: the table ``identities``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from medembed.counted import counted_line
from medembed.library.database import Database
from medembed.privacy import Claim, Pseudonymizer, ResolvedPatient, fold_id, is_placeholder
from medembed.privacy.identity import IdentityRow
from medembed.privacy.people import People, count_remarks

if TYPE_CHECKING:
    from medembed.library.library import CaseLibrary

__all__ = ["LibraryIdentities", "patients_of_id"]

_COLUMNS = "person, bare, issuer, sex, birth, patient_id"
_CHUNK = 500


class LibraryIdentities:
    """Patients of a library's cases, stored across ingests as keyed hashes only.

    Parameters
    ----------
    database : Database
    names : Pseudonymizer
        Pseudonymizer of the library.
    """

    def __init__(self, database: Database, names: Pseudonymizer) -> None:
        self._database = database
        self._names = names
        self._touched: dict[str, None] = {}

    def resolve(
        self, claims: Sequence[tuple[str, Claim]], keep_together: bool = False
    ) -> list[ResolvedPatient]:
        """Return the patient of each claim; decisions are on disk when this returns.

        A case in the library keeps its patient unless the claim contradicts it, and all dates of a
        patient shift by the same number of days.
        """
        persons = dict.fromkeys(
            claim.row.person
            for _, claim in claims
            if claim.row and (keep_together or not claim.is_anonymous)
        )
        with self._database.write() as db:
            people = People(
                self._names, _rows(db, list(persons)), lambda patient: _sexes(db, patient)
            )
            found = []
            for case_id, claim in claims:
                patient = people.resolve(claim, _patient_of(db, case_id), keep_together)
                shift = _shift_of(db, patient)
                found.append(
                    ResolvedPatient(patient, claim.new_shift_days if shift is None else shift)
                )
            db.executemany(
                f"INSERT INTO identities ({_COLUMNS}) "  # noqa: S608  own names only
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(r.person, r.bare, r.issuer, r.sex, r.birth, r.patient_id) for r in people.new],
            )
        self._touched.update(persons)
        return found

    def remarks(self) -> list[str]:
        """Report doubtful ids among those resolved here, each kind with its count."""
        db, rows = self._database.read(), dict[str, list[IdentityRow]]()
        for row in _rows(db, list(self._touched)):
            rows.setdefault(row.person, []).append(row)
        found = count_remarks(rows.values())
        torn = sum(person in rows for person in _in_several_splits(db))
        if torn:
            found.append(
                counted_line(
                    torn,
                    "[PatientID is|PatientIDs are] in several splits, assigned by an earlier "
                    "version; rebuild the library to keep each in one split",
                )
            )
        return found


def patients_of_id(library: CaseLibrary, raw_id: str) -> set[str]:
    """Return all patients who may have this ``PatientID``, in any spelling.

    Parameters
    ----------
    library : CaseLibrary
    raw_id : str
        Any issuer. A placeholder for a missing id matches nobody.
    """
    if is_placeholder(raw_id):
        return set()
    person = library.pseudonymizer.patient(fold_id(raw_id))
    return {row.patient_id for row in _rows(library.database.read(), [person])}


def _rows(db: sqlite3.Connection, persons: Sequence[str]) -> Iterable[IdentityRow]:
    for start in range(0, len(persons), _CHUNK):
        chunk = persons[start : start + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        for values in db.execute(
            f"SELECT {_COLUMNS} FROM identities WHERE person IN ({marks}) "  # noqa: S608  marks only
            "ORDER BY person, bare, issuer, sex, birth",
            chunk,
        ).fetchall():
            yield IdentityRow(*values)


def _in_several_splits(db: sqlite3.Connection) -> list[str]:
    return [
        person
        for (person,) in db.execute(
            "SELECT i.person FROM identities i JOIN patients p USING (patient_id) "
            "GROUP BY i.person HAVING count(DISTINCT p.split) > 1"
        )
    ]


def _patient_of(db: sqlite3.Connection, case_id: str) -> str:
    row = db.execute("SELECT patient_id FROM cases WHERE case_id = ?", (case_id,)).fetchone()
    return str(row[0]) if row else ""


def _sexes(db: sqlite3.Connection, patient: str) -> list[str] | None:
    if not db.execute("SELECT 1 FROM patients WHERE patient_id = ?", (patient,)).fetchone():
        return None
    return [
        sex
        for (sex,) in db.execute(
            "SELECT DISTINCT sex FROM cases WHERE patient_id = ? AND sex IN ('F', 'M')", (patient,)
        )
    ]


def _shift_of(db: sqlite3.Connection, patient: str) -> int | None:
    row = db.execute(
        "SELECT date_shift_days FROM cases WHERE patient_id = ? LIMIT 1", (patient,)
    ).fetchone()
    return int(row[0]) if row else None
