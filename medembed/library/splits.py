"""Assign cases to splits; a patient, a group or an image never spans two splits."""

from __future__ import annotations

import sqlite3

from medembed.cases import Case
from medembed.privacy import Pseudonymizer

__all__ = ["SHARES", "assign_split", "draw_split", "splits_of_images"]

SHARES: tuple[tuple[str, float], ...] = (("train", 0.7), ("val", 0.1), ("test", 0.2))
"""Share of groups in each split, for sources without splits."""


def draw_split(owner: str, names: Pseudonymizer) -> str:
    """Draw the split of a group or patient by a keyed hash, independent of order.

    Parameters
    ----------
    owner : str
        Group, or the patient if there is no group.
    """
    fraction = names.fraction("split", owner)
    for split, share in SHARES:
        if fraction < share:
            return split
        fraction -= share
    return SHARES[-1][0]


def assign_split(db: sqlite3.Connection, case: Case, names: Pseudonymizer) -> str | None:
    """Find the split of a case and record it for its patient and group.

    Patients that share a PatientID may be one person and therefore share a split; it is drawn from
    that id alone, so that it does not depend on the order of ingest. A patient with an image that
    the library has of another patient gets the split of that image: a model would otherwise be
    asked for what it was trained on.

    Returns
    -------
    str or None
        None if the splits of the patient, of others with its PatientID, of the group, of the same
        image and of the case disagree; nothing is written then.
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
    wanted |= splits_of_images(db, case)
    if len(wanted) > 1:
        return None
    owner = case.group_id or person or case.patient_id
    split = wanted.pop() if wanted else draw_split(owner, names)
    for table, owner in missing:
        db.execute(f"INSERT INTO {table} VALUES (?, ?)", (owner, split))  # noqa: S608  own names
    return split


def splits_of_images(db: sqlite3.Connection, case: Case) -> set[str]:
    """Return the splits of other cases that have an image with the same pixels.

    Images that identify nothing, such as blank ones, have no digest and never count.
    """
    digests = sorted({scan.pixel_sha256 for scan in case.scans} - {""})
    found: set[str] = set()
    for digest in digests:
        found.update(
            split
            for (split,) in db.execute(
                "SELECT DISTINCT c.split FROM scan_contents s JOIN cases c ON c.id = s.case_row "
                "WHERE s.pixel_sha256 = ? AND s.pixel_sha256 <> '' AND c.case_id <> ?",
                (digest, case.case_id),
            )
        )
    return found


def _person_of(db: sqlite3.Connection, patient_id: str) -> str:
    row = db.execute(
        "SELECT person FROM identities WHERE patient_id = ? LIMIT 1", (patient_id,)
    ).fetchone()
    return str(row[0]) if row else ""
