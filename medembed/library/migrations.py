"""Upgrade of stored cases: renamed findings, and the scan hash of schema 1."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from dataclasses import replace

from medembed.cases import Case, ScanRef
from medembed.library.case_rows import content_digest, fetch_cases, seal_cases
from medembed.notes import FORMER_LABELS, current_label
from medembed.privacy import Pseudonymizer

__all__ = ["rename_labels", "upgrade_content"]


def rename_labels(db: sqlite3.Connection) -> None:
    """Give findings and assertions of schema 1 and 2 today's labels, within an open transaction.

    Vectors and splits stay. Content digests follow, so that the same sources are unchanged.

    Raises
    ------
    LibraryError
        If a case fails its checksum.
    """
    named = " OR ".join(f"assertions LIKE '%\"{label}\"%'" for label in FORMER_LABELS)
    marks = ", ".join("?" * len(FORMER_LABELS))
    rows = db.execute(
        f"SELECT case_row FROM findings WHERE label IN ({marks}) "  # noqa: S608  own labels only
        f"UNION SELECT case_row FROM notes WHERE {named}",
        list(FORMER_LABELS),
    ).fetchall()
    for (row,) in rows:
        _rename_in(db, row, next(fetch_cases(db, [row])))  # verified: never reseal damaged data


def _rename_in(db: sqlite3.Connection, row: int, case: Case) -> None:
    findings = {replace(f, label=current_label(f.label)) for f in case.findings}
    renamed = replace(case, findings=tuple(findings))
    db.execute("DELETE FROM findings WHERE case_row = ?", (row,))
    db.executemany(
        "INSERT INTO findings VALUES (?, ?, ?)", [(row, f.label, f.side) for f in renamed.findings]
    )
    if case.note:
        assertions = [
            [current_label(a.label), a.status, a.side, a.start, a.end, a.historical]
            for a in case.note.assertions
        ]
        db.execute(
            "UPDATE notes SET assertions = ? WHERE case_row = ?", (json.dumps(assertions), row)
        )
    db.execute(
        "UPDATE cases SET content = ? WHERE id = ? AND content = ?",
        (content_digest(renamed), row, content_digest(case)),
    )
    seal_cases(db, [row])


def upgrade_content(
    db: sqlite3.Connection, row: int, case: Case, content: bytes, names: Pseudonymizer
) -> bool:
    """Upgrade an unchanged case of schema 1 to the current scan hash; its vectors stay.

    Schema 1 hashed a series over its files in slice order.

    Parameters
    ----------
    db : sqlite3.Connection
        Within a transaction.
    row : int
        Row of the stored case.
    case : Case
        The case as ingested now.
    content : bytes
        Stored content digest.
    names : Pseudonymizer
        Finds the hashes of files in the file cache.

    Returns
    -------
    bool
        Whether the case is unchanged under the older hash and was upgraded.
    """
    if all(len(scan.files) == 1 for scan in case.scans):
        return False
    scans = [_older(db, scan, names) for scan in case.scans]
    known = tuple(scan for scan in scans if scan is not None)
    if len(known) < len(scans) or content != content_digest(replace(case, scans=known)):
        return False
    if next(fetch_cases(db, [row]), None) is None:  # verified: never reseal damaged data
        return False
    db.executemany(
        "UPDATE scans SET sha256 = ? WHERE case_row = ? AND position = ?",
        [(scan.sha256, row, i) for i, scan in enumerate(case.scans)],
    )
    db.execute("UPDATE cases SET content = ? WHERE id = ?", (content_digest(case), row))
    seal_cases(db, [row])
    return True


def _older(db: sqlite3.Connection, scan: ScanRef, names: Pseudonymizer) -> ScanRef | None:
    if len(scan.files) == 1:
        return scan
    digest = hashlib.sha256()
    for file in scan.files:
        key = names.digest("file", os.fspath(file))[:16]
        row = db.execute("SELECT sha256 FROM files WHERE path = ?", (key,)).fetchone()
        if row is None or not row[0]:
            return None
        digest.update(bytes.fromhex(row[0]))
    return replace(scan, sha256=digest.hexdigest())
