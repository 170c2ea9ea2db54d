"""Earlier studies of a patient, whose images a model may pool with a case's own.

The vector of a case then depends on other cases. A library notes which models do so, and a case
that is added or replaced drops the vectors of its patient's later studies: they are encoded again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from medembed.cases import Case
from medembed.library.vectors import VectorStore

if TYPE_CHECKING:
    from medembed.library.library import CaseLibrary

__all__ = ["earlier_studies", "forget_later_studies", "note_priors_read", "with_earlier_studies"]

_META = "models_with_priors"


def earlier_studies(cases: Sequence[Case], most: int) -> dict[str, list[tuple[str, int]]]:
    """Return the earlier studies of each case's patient among the cases, the latest first.

    Parameters
    ----------
    cases : sequence of Case
    most : int
        Maximum number for each case.

    Returns
    -------
    dict of str to list of (str, int)
        For each case id, the ids of earlier cases and the days between. A study of the same day, or
        without a date, is not earlier.
    """
    of_patient: dict[str, list[tuple[date, str]]] = {}
    for case in cases:
        if case.study_date is not None:
            of_patient.setdefault(case.patient_id, []).append((case.study_date, case.case_id))
    found: dict[str, list[tuple[str, int]]] = {}
    for case in cases:
        when = case.study_date
        before = [
            (case_id, (when - day).days)
            for day, case_id in sorted(of_patient.get(case.patient_id, ()), reverse=True)
            if when is not None and day < when
        ]
        found[case.case_id] = before[:most]
    return found


def with_earlier_studies(
    library: CaseLibrary, case_ids: Sequence[str], most: int
) -> dict[str, list[tuple[Case, int]]]:
    """Return each case of the library, and the earlier studies of its patient.

    Returns
    -------
    dict of str to list of (Case, int)
        For each case id, the case itself with 0 days, then at most ``most`` earlier ones with the
        days between, the latest first.
    """
    own = list(library.select(case_ids))
    if not most:
        return {case.case_id: [(case, 0)] for case in own}
    patients = json.dumps(sorted({case.patient_id for case in own}))
    rows = library.database.read().execute(
        "SELECT case_id FROM cases WHERE patient_id IN (SELECT value FROM json_each(?))",
        (patients,),
    )
    everything = {case.case_id: case for case in library.select([row[0] for row in rows])}
    earlier = earlier_studies(list(everything.values()), most)
    return {
        case.case_id: [
            (case, 0),
            *((everything[name], days) for name, days in earlier.get(case.case_id, ())),
        ]
        for case in own
    }


def note_priors_read(library: CaseLibrary, fingerprint: str) -> None:
    """Note that a model's vectors depend on earlier studies."""
    known = set(json.loads(library.get_meta(_META) or "[]"))
    if fingerprint not in known:
        library.set_meta(_META, json.dumps(sorted(known | {fingerprint})))


def forget_later_studies(db: sqlite3.Connection, case: Case) -> None:
    """Drop the vectors of later studies of a case's patient, of models that read earlier ones."""
    noted = db.execute("SELECT value FROM meta WHERE name = ?", (_META,)).fetchone()
    if noted is None or case.study_date is None:
        return
    later = db.execute(
        "SELECT id FROM cases WHERE patient_id = ? AND study_date > ?",
        (case.patient_id, case.study_date.isoformat()),
    ).fetchall()
    for fingerprint in json.loads(noted[0]):
        for (row,) in later:
            VectorStore(db).forget(fingerprint, "image", row)
