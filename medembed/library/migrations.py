"""Content of cases as schema 1 stored it, so that the same files are the same case again."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import replace

from medembed.cases import Case, ScanRef
from medembed.library.case_rows import content_digest, fetch_cases, seal_cases
from medembed.privacy import Pseudonymiser

__all__ = ["take_older_content"]


def take_older_content(
    db: sqlite3.Connection, row: int, case: Case, content: bytes, names: Pseudonymiser
) -> bool:
    """Bring an unchanged case of schema 1 to the scan hash of today; its vectors stay.

    Schema 1 hashed a series over its files in slice order.

    Parameters
    ----------
    db : sqlite3.Connection
        In a transaction.
    row : int
        Of the stored case.
    case : Case
        As it is now.
    content : bytes
        Content digest that is stored.
    names : Pseudonymiser
        Finds the hashes of files in the journal.

    Returns
    -------
    bool
        Whether the case is the same under the older hash, and was brought up to date.
    """
    if all(len(scan.files) == 1 for scan in case.scans):
        return False
    scans = [_older(db, scan, names) for scan in case.scans]
    known = tuple(scan for scan in scans if scan is not None)
    if len(known) < len(scans) or content != content_digest(replace(case, scans=known)):
        return False
    if next(fetch_cases(db, [row]), None) is None:  # checked: damage must not get a new seal
        return False
    db.executemany(
        "UPDATE scans SET sha256 = ? WHERE case_row = ? AND position = ?",
        [(scan.sha256, row, i) for i, scan in enumerate(case.scans)],
    )
    db.execute("UPDATE cases SET content = ? WHERE id = ?", (content_digest(case), row))
    seal_cases(db, [row])
    return True


def _older(db: sqlite3.Connection, scan: ScanRef, names: Pseudonymiser) -> ScanRef | None:
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
