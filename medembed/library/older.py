"""Content of cases as schema 1 stored it, so that the same files are the same case again."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import replace

from medembed.cases import Case, ScanRef
from medembed.library.rows import content_digest
from medembed.privacy import Pseudonymiser

__all__ = ["older_digest"]


def older_digest(db: sqlite3.Connection, case: Case, names: Pseudonymiser) -> bytes | None:
    """Give the content digest under the scan hash of schema 1: over the files in slice order.

    Returns
    -------
    bytes or None
        None where it is the same as today's, or a file's hash is not in the journal.
    """
    if all(len(scan.files) == 1 for scan in case.scans):
        return None
    scans = tuple(_older(db, scan, names) for scan in case.scans)
    known = [scan for scan in scans if scan is not None]
    if len(known) < len(scans):
        return None
    return content_digest(replace(case, scans=tuple(known)))


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
