"""Which split a case belongs to: no patient and no group in two."""

from __future__ import annotations

import sqlite3

from medembed.cases import Case
from medembed.privacy import Pseudonymiser

__all__ = ["SHARES", "draw_split", "settle_split"]

SHARES: tuple[tuple[str, float], ...] = (("train", 0.7), ("val", 0.1), ("test", 0.2))
"""Share of groups that falls to each split where the source gives none."""


def draw_split(owner: str, names: Pseudonymiser) -> str:
    """Split of a group or patient by a keyed hash: the same however often and in what order.

    Parameters
    ----------
    owner : str
        Group, or the patient where there is none.
    """
    fraction = names.fraction("split", owner)
    for split, share in SHARES:
        if fraction < share:
            return split
        fraction -= share
    return SHARES[-1][0]


def settle_split(db: sqlite3.Connection, case: Case, names: Pseudonymiser) -> str | None:
    """Find the split of a case and write it down for its patient and group.

    Patients that share a PatientID may be one person, so that they share a split too; it is drawn
    from that id alone, which makes it the same in whatever order they come.

    Returns
    -------
    str or None
        None where the patient, the others of its PatientID, the group and the given split do not
        agree; nothing is written.
    """
    wanted = {case.split} if case.split else set[str]()
    owners = [("patients", "patient_id", case.patient_id), ("groups", "group_id", case.group_id)]
    missing = []
    for table, column, owner in owners:
        if not owner:
            continue
        row = db.execute(
            f"SELECT split FROM {table} WHERE {column} = ?",  # noqa: S608  own names only
            (owner,),
        ).fetchone()
        if row:
            wanted.add(row[0])
        else:
            missing.append((table, owner))
    person = _person_of(db, case.patient_id)
    if missing[:1] == [("patients", case.patient_id)]:
        wanted.update(
            split
            for (split,) in db.execute(
                "SELECT DISTINCT p.split FROM identities i JOIN patients p USING (patient_id) "
                "WHERE i.person = ?",
                (person,),
            )
        )
    if len(wanted) > 1:
        return None
    owner = case.group_id or person or case.patient_id
    split = wanted.pop() if wanted else draw_split(owner, names)
    for table, owner in missing:
        db.execute(f"INSERT INTO {table} VALUES (?, ?)", (owner, split))  # noqa: S608  own names
    return split


def _person_of(db: sqlite3.Connection, patient_id: str) -> str:
    row = db.execute(
        "SELECT person FROM identities WHERE patient_id = ? LIMIT 1", (patient_id,)
    ).fetchone()
    return str(row[0]) if row else ""
