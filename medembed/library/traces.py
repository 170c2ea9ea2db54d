"""The bytes by which a patient could be found in a library's files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from medembed.journal.links import case_lookup
from medembed.library.byte_search import SHORTEST, text_forms
from medembed.library.review_rows import review_texts
from medembed.privacy import Pseudonymizer

__all__ = ["TraceKind", "still_stored", "traces_of"]

TraceKind = str
"""``"case id"``, ``"pseudonym"``, ``"note"``, ``"vector"``, ``"digest"``, ``"path"``, …"""

_WINDOW = 32  # bytes of a note or a vector: enough to be nobody else's by chance
_MOST_WINDOWS = 8
_CHUNK = 20_000


def traces_of(
    db: sqlite3.Connection, patients: Sequence[str], names: Pseudonymizer, home: Path
) -> dict[bytes, TraceKind]:
    """Return what to search for, and what it is.

    Too short values and those of all patients (a vector of zeros) are left out.

    Parameters
    ----------
    db : sqlite3.Connection
    patients : sequence of str
        Pseudonyms.
    names : Pseudonymizer
        Of the library.
    home : Path
        The library's folder.
    """
    wanted = json.dumps(list(patients))
    cases = db.execute(
        "SELECT id, case_id, patient_id, group_id, content FROM cases "
        "WHERE patient_id IN (SELECT value FROM json_each(?))",
        (wanted,),
    ).fetchall()
    found: dict[bytes, TraceKind] = {}

    def add(kind: TraceKind, *forms: bytes) -> None:
        for form in forms:
            if len(form) >= SHORTEST and len(set(form)) > 2:
                found.setdefault(form, kind)

    for patient in patients:
        add("pseudonym", *text_forms(patient))
    for hashes in db.execute(
        "SELECT bare, issuer, sex, birth FROM identities "
        "WHERE patient_id IN (SELECT value FROM json_each(?))",
        (wanted,),
    ):
        for one in hashes:
            add("identity", one, one.hex().encode())
    for row, case_id, _, group, content in cases:
        add("case id", *text_forms(case_id))
        lookup = case_lookup(names, case_id)
        add("journal", lookup, lookup.hex().encode())
        add("group", *text_forms(group or ""))
        add("digest", content)
        for files, sha256 in db.execute(
            "SELECT files, sha256 FROM scans WHERE case_row = ?", (row,)
        ):
            add("digest", sha256.encode(), bytes.fromhex(sha256))
            for file in json.loads(files):
                add("path", *text_forms(file))
                add("path", names.digest("file", str(home / file))[:16])
        for (pixels,) in db.execute(
            "SELECT pixel_sha256 FROM scan_contents WHERE case_row = ?", (row,)
        ):
            add("digest", pixels.encode(), bytes.fromhex(pixels))
        for (text,) in db.execute("SELECT text FROM notes WHERE case_row = ?", (row,)):
            for part in _windows(text):
                add("note", *text_forms(part))
        for text in review_texts(db, row):
            for part in _windows(text):
                add("impression", *text_forms(part))
        for (vector,) in db.execute(
            "SELECT vector FROM vectors WHERE id IN (SELECT (id << 40) + ? FROM spaces)", (row,)
        ):
            add("vector", _middle(vector))
    return found


def _windows(text: str) -> Iterator[str]:
    """Yield pieces of a note, evenly spread."""
    if len(text) <= _WINDOW:
        yield text
        return
    starts = np.linspace(0, len(text) - _WINDOW, _MOST_WINDOWS).astype(int)
    yield from (text[at : at + _WINDOW] for at in dict.fromkeys(starts.tolist()))


def _middle(vector: bytes) -> bytes:
    at = max(0, (len(vector) // 2 - _WINDOW // 2) // 4 * 4)
    return vector[at : at + _WINDOW]


def still_stored(
    db: sqlite3.Connection, traces: Mapping[bytes, TraceKind], names: Pseudonymizer, home: Path
) -> set[bytes]:
    """Return the traces that another patient's data have, too: they prove nothing.

    A report may share a sentence with others, and ``case-1`` stands in ``case-10``.
    """
    found: set[bytes] = set()
    for sql in _TEXTS:
        for block in _blocks(db, sql):
            found.update(trace for trace in traces if trace not in found and trace in block)
    if "path" not in traces.values():
        return found
    keys = {
        names.digest("file", str(home / file))[:16]
        for (files,) in db.execute("SELECT files FROM scans")
        for file in json.loads(files)
    }
    return found | (keys & traces.keys())


_TEXTS = (
    "SELECT case_id, patient_id, coalesce(group_id, ''), content FROM cases",
    "SELECT files, sha256 FROM scans",
    "SELECT pixel_sha256 FROM scan_contents",
    "SELECT text FROM notes",
    "SELECT value FROM attributes",
    "SELECT name, creator FROM review_sessions",
    "SELECT query FROM review_cases",
    "SELECT reader, impression, findings, revision, revision_findings FROM review_readings",
    "SELECT name, value FROM meta",
    "SELECT person, bare, issuer, sex, birth, patient_id FROM identities",
    "SELECT path, sha256, shown, header, frame_digests FROM files",
    "SELECT vector FROM vectors",
)


def _blocks(db: sqlite3.Connection, sql: str) -> Iterator[bytes]:
    """Yield all values of a query, thousands of rows joined, in the forms of the traces."""
    rows = db.execute(sql)
    while chunk := rows.fetchmany(_CHUNK):
        parts: list[bytes] = []
        for row in chunk:
            for value in row:
                if isinstance(value, bytes):
                    parts += [value, value.hex().encode()]
                else:
                    raw = str(value).encode("utf-8", "surrogatepass")
                    parts += [raw, json.dumps(str(value))[1:-1].encode()]
        yield b"\n".join(parts)
