"""Insert or update cases: added, unchanged, replaced or refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medembed.cases import Case
from medembed.library.case_rows import (
    content_digest,
    fetch_cases,
    insert_case,
    seal_cases,
    store_files,
    update_case,
)
from medembed.library.migrations import upgrade_content
from medembed.library.priors import forget_later_studies
from medembed.library.splits import assign_split, splits_of_images
from medembed.library.vectors import VectorStore
from medembed.privacy import Pseudonymizer
from medembed.sources.refusal import Refusal

__all__ = ["AddReport", "add_cases"]


@dataclass(frozen=True)
class AddReport:
    """Outcome of :meth:`CaseLibrary.add`.

    Parameters
    ----------
    added, unchanged, replaced : int
    refusals : tuple of Refusal
        ``where`` is the case id.
    """

    added: int
    unchanged: int
    replaced: int
    refusals: tuple[Refusal, ...]


def add_cases(
    db: sqlite3.Connection, cases: Sequence[Case], replace: bool, names: Pseudonymizer, home: Path
) -> list[str | Refusal]:
    """Write cases within an open transaction.

    Parameters
    ----------
    db : sqlite3.Connection
    cases : sequence of Case
    replace : bool
        Overwrite cases whose content changed, and drop their vectors.
    names : Pseudonymizer
        Draws the split if the case has none.
    home : Path
        The library's folder; files inside it are stored relative to it.

    Returns
    -------
    list of {"added", "unchanged", "replaced"} or Refusal
        A refused case changes nothing.
    """
    written: dict[int, None] = {}
    outcomes = [_add_case(db, case, replace, names, home, written) for case in cases]
    seal_cases(db, list(written))
    return outcomes


def _add_case(
    db: sqlite3.Connection,
    case: Case,
    replace: bool,
    names: Pseudonymizer,
    home: Path,
    written: dict[int, None],
) -> str | Refusal:
    digest = content_digest(case)
    row = db.execute(
        "SELECT id, patient_id, split, content FROM cases WHERE case_id = ?", (case.case_id,)
    ).fetchone()
    if row is None:
        split = assign_split(db, case, names)
        if split is None:
            return _split_conflict(db, case)
        written[insert_case(db, case, split, digest, home)] = None
        forget_later_studies(db, case)
        return "added"
    number, patient, split, content = row
    if number in written:  # the next statements may read it again
        seal_cases(db, [number])
    if patient != case.patient_id:
        return Refusal(
            case.case_id, "this case id already belongs to another patient", "wrong-patient"
        )
    if case.split not in ("", split):
        return _split_conflict(db, case)
    if upgrade_content(db, number, case, content, names):
        content = digest
    if content == digest:
        if _relink_moved_files(db, number, case, home):
            written[number] = None
        return "unchanged"
    if not replace:
        return Refusal(
            case.case_id,
            "already in the library with different content; use --replace to overwrite",
            "changed-content",
        )
    if assign_split(db, case, names) is None:
        return _split_conflict(db, case)
    VectorStore(db).forget_case(number)
    forget_later_studies(db, case)
    update_case(db, number, case, digest, home)
    forget_later_studies(db, case)  # its date may have changed
    written[number] = None
    return "replaced"


def _relink_moved_files(db: sqlite3.Connection, row: int, case: Case, home: Path) -> bool:
    """Update paths of an unchanged case if its files moved, and fill in unknown contents."""
    old = db.execute(
        "SELECT files, coalesce(c.kind, 'unknown'), coalesce(c.pixel_sha256, '') FROM scans "
        "LEFT JOIN scan_contents c USING (case_row, position) WHERE case_row = ? ORDER BY position",
        (row,),
    ).fetchall()
    (old_kind,) = db.execute("SELECT kind FROM cases WHERE id = ?", (row,)).fetchone()
    kind = _known(case.kind, old_kind, "unknown")
    new = [
        (
            store_files(scan.files, home),
            _known(scan.kind, scan_kind, "unknown"),
            _known(scan.pixel_sha256, pixels, ""),
        )
        for scan, (_, scan_kind, pixels) in zip(case.scans, old, strict=True)
    ]
    if new == old and kind == old_kind:
        return False
    stored = next(fetch_cases(db, [row]))  # verified: never reseal damaged data
    if all((home / file).exists() for scan in stored.scans for file in scan.files):
        new = [(files, *rest) for (files, _, _), (_, *rest) in zip(old, new, strict=True)]
    if new == old and kind == old_kind:
        return False  # a copy elsewhere: the recorded files still exist
    for position, (files, scan_kind, pixels) in enumerate(new):
        db.execute(
            "UPDATE scans SET files = ? WHERE case_row = ? AND position = ?",
            (files, row, position),
        )
        db.execute(
            "INSERT OR REPLACE INTO scan_contents VALUES (?, ?, ?, ?)",
            (row, position, scan_kind, pixels),
        )
    db.execute("UPDATE cases SET kind = ? WHERE id = ?", (kind, row))
    return True


def _known(new: str, old: str, unknown: str) -> str:
    return old if new == unknown else new


def _split_conflict(db: sqlite3.Connection, case: Case) -> Refusal:
    others = splits_of_images(db, case)
    if case.split and others - {case.split}:
        where = " and ".join(sorted(others - {case.split}))
        return Refusal(
            case.case_id,
            f"its image is in the library in {where}, the table puts it into {case.split}: "
            "an image must stay in one split",
            "image-in-two-splits",
        )
    if len(others) > 1 or (others and _known_split(db, case) not in ("", *others)):
        return Refusal(
            case.case_id,
            "its image is in the library in another split than its patient or group",
            "image-in-two-splits",
        )
    return Refusal(
        case.case_id,
        "its split conflicts with cases of the same patient or group in the library",
        "split-conflict",
    )


def _known_split(db: sqlite3.Connection, case: Case) -> str:
    """Return the split of the case's patient, else of its group; empty if neither has one."""
    row = db.execute(
        "SELECT split FROM patients WHERE patient_id = ? "
        "UNION ALL SELECT split FROM groups WHERE group_id = ? LIMIT 1",
        (case.patient_id, case.group_id),
    ).fetchone()
    return str(row[0]) if row else ""
