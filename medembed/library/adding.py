"""One case into the library: new, the same, changed, or not to be taken."""

from __future__ import annotations

import sqlite3
from dataclasses import replace as replaced
from pathlib import Path

from medembed.cases import Case
from medembed.library.rows import (
    content_digest,
    fetch_cases,
    insert_case,
    seal_cases,
    store_files,
    update_case,
    write_scan_contents,
)
from medembed.library.splits import settle_split
from medembed.library.vectors import VectorStore
from medembed.privacy import Pseudonymiser
from medembed.sources.refusal import Refusal

__all__ = ["add_case"]


def add_case(
    db: sqlite3.Connection, case: Case, replace: bool, names: Pseudonymiser, home: Path
) -> str | Refusal:
    """Write one case within an open transaction.

    Parameters
    ----------
    db : sqlite3.Connection
    case : Case
    replace : bool
        Whether a changed case takes the place of the old one; its vectors are dropped then.
    names : Pseudonymiser
        Draws the split where none is given.
    home : Path
        The library's folder; files inside it are stored relative to it.

    Returns
    -------
    {"added", "unchanged", "replaced"} or Refusal
        A refused case leaves no trace.
    """
    digest = content_digest(case)
    row = db.execute(
        "SELECT id, patient_id, split, content FROM cases WHERE case_id = ?", (case.case_id,)
    ).fetchone()
    if row is None:
        split = settle_split(db, case, names)
        if split is None:
            return _split_conflict(case)
        insert_case(db, case, split, digest, home)
        return "added"
    number, patient, split, content = row
    if patient != case.patient_id:
        return Refusal(
            case.case_id, "this case id belongs to another patient already", "wrong-patient"
        )
    if case.split not in ("", split):
        return _split_conflict(case)
    if content == digest:
        _follow_scans(db, number, case, home)
        return "unchanged"
    if not replace:
        return Refusal(
            case.case_id, "in the library already with another content", "changed-content"
        )
    if settle_split(db, case, names) is None:
        return _split_conflict(case)
    VectorStore(db).forget_case(number)
    update_case(db, number, case, digest, home)
    return "replaced"


def _follow_scans(db: sqlite3.Connection, row: int, case: Case, home: Path) -> None:
    """Take new paths of an unchanged case if the old files are gone, and newly known contents."""
    stored = next(fetch_cases(db, [row]))
    new = [store_files(scan.files, home) for scan in case.scans]
    moved = new != [store_files(scan.files, home) for scan in stored.scans] and not all(
        (home / file).exists() for scan in stored.scans for file in scan.files
    )  # else it is a copy elsewhere, and the files known are still there
    if moved:
        db.executemany(
            "UPDATE scans SET files = ? WHERE case_row = ? AND position = ?",
            [(files, row, i) for i, files in enumerate(new)],
        )
    learned = tuple(
        replaced(
            old,
            kind=_known(scan.kind, old.kind, "unknown"),
            pixel_sha256=_known(scan.pixel_sha256, old.pixel_sha256, ""),
        )
        for scan, old in zip(case.scans, stored.scans, strict=True)
    )
    kind = _known(case.kind, stored.kind, "unknown")
    if learned != stored.scans or kind != stored.kind:
        write_scan_contents(db, row, learned)
        db.execute("UPDATE cases SET kind = ? WHERE id = ?", (kind, row))
    elif not moved:
        return
    seal_cases(db, [row])


def _known(new: str, old: str, unknown: str) -> str:
    return old if new == unknown else new


def _split_conflict(case: Case) -> Refusal:
    return Refusal(
        case.case_id,
        "its patient, its group and its split do not agree with the cases already there",
        "split-conflict",
    )
