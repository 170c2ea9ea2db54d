"""Conversion of cases to rows and back, and the digest that detects changes."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from medembed.cases import UNITS_ATTRIBUTE, Case, Finding, ScanRef, Sex
from medembed.errors import LibraryError
from medembed.library.faults import damaged
from medembed.library.seals import case_seal
from medembed.notes import Assertion, Note, Section, Side

__all__ = [
    "attribute_names",
    "content_digest",
    "fetch_cases",
    "insert_case",
    "read_cases",
    "seal_cases",
    "store_files",
    "update_case",
]

_Row: TypeAlias = tuple[Any, ...]
_Parts: TypeAlias = tuple[list[_Row], ...]

_COLUMNS = (
    "id, case_id, patient_id, group_id, split, study_date, date_shift_days, modality, view, sex, "
    "age_years, race, site, scanner, kind, content"
)
_PARTS = (  # table, its columns beside case_row, and their order
    ("scans", "position, files, sha256, modality, view, frame", "position"),
    ("scan_contents", "position, kind, pixel_sha256", "position"),
    ("notes", "text, sections, assertions", "case_row"),
    ("findings", "label, side", "label, side"),
    ("attributes", "name, value", "name"),
)
_CHUNK = 500


def _scalars(case: Case) -> dict[str, str | int | float | None]:
    return {
        "study_date": case.study_date.isoformat() if case.study_date else None,
        "date_shift_days": case.date_shift_days,
        "modality": case.modality,
        "view": case.view,
        "sex": case.sex,
        "age_years": None if case.age_years is None else float(case.age_years),
        "race": case.race,
        "site": case.site,
        "scanner": case.scanner,
    }


def attribute_names(db: sqlite3.Connection) -> list[str]:
    """Return the names of the kept attributes, sorted, by one look-up in an index for each."""
    return [
        name
        for (name,) in db.execute(
            "WITH RECURSIVE names (name) AS (SELECT min(name) FROM attributes UNION ALL "
            "SELECT (SELECT min(a.name) FROM attributes a WHERE a.name > names.name) FROM names "
            "WHERE names.name IS NOT NULL) SELECT name FROM names WHERE name IS NOT NULL"
        )
    ]


def content_digest(case: Case) -> bytes:
    """Return the SHA-256 of everything the source states about a case.

    Paths and the split are excluded: a moved file is the same file, and the library may have
    assigned the split. Sections, assertions, kinds of scans and pixel digests are excluded too,
    since they follow from the source and the current rules.
    """
    content: dict[str, Any] = {
        **_scalars(case),
        "patient_id": case.patient_id,
        "group_id": case.group_id,
        "scans": [[s.sha256, s.modality, s.view, s.frame] for s in case.scans],
        "note": case.note.text if case.note else None,
        "findings": [[f.label, f.side] for f in case.findings],
        "attributes": sorted(case.attributes.items()),
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).digest()


def store_files(files: Sequence[str], home: Path) -> str:
    """Write paths as JSON, relative to ``home`` if they are inside it."""
    stored = []
    for file in files:
        path = Path(file)
        if path.is_absolute() and path.is_relative_to(home):
            path = path.relative_to(home)
        stored.append(path.as_posix())
    return json.dumps(stored, ensure_ascii=True)


def insert_case(db: sqlite3.Connection, case: Case, split: str, digest: bytes, home: Path) -> int:
    """Insert a new case and return its row; the caller seals it."""
    values = {
        "case_id": case.case_id,
        "patient_id": case.patient_id,
        "group_id": case.group_id or None,
        "split": split,
        "content": digest,
        "kind": case.kind,
        **_scalars(case),
    }
    marks = ", ".join(f":{name}" for name in values)
    row = db.execute(
        f"INSERT INTO cases ({', '.join(values)}) VALUES ({marks})",  # noqa: S608  own names only
        values,
    ).lastrowid
    _insert_content(db, int(row or 0), case, home)
    return int(row or 0)


def update_case(db: sqlite3.Connection, row: int, case: Case, digest: bytes, home: Path) -> None:
    """Replace the case in ``row``, keeping its split; the caller seals it."""
    values = {
        "group_id": case.group_id or None,
        "content": digest,
        "kind": case.kind,
        **_scalars(case),
    }
    sets = ", ".join(f"{name} = :{name}" for name in values)
    db.execute(
        f"UPDATE cases SET {sets} WHERE id = :row",  # noqa: S608  own names only
        {**values, "row": row},
    )
    for table, _, _ in _PARTS:
        db.execute(f"DELETE FROM {table} WHERE case_row = ?", (row,))  # noqa: S608  own names
    _insert_content(db, row, case, home)


def _insert_content(db: sqlite3.Connection, row: int, case: Case, home: Path) -> None:
    db.executemany(
        "INSERT INTO scans VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (row, i, store_files(s.files, home), s.sha256, s.modality, s.view, s.frame)
            for i, s in enumerate(case.scans)
        ],
    )
    db.executemany(
        "INSERT INTO scan_contents VALUES (?, ?, ?, ?)",
        [
            (row, i, s.kind, s.pixel_sha256)
            for i, s in enumerate(case.scans)
            if s.kind != "unknown" or s.pixel_sha256
        ],
    )
    if case.note:
        sections = [[s.name, s.start, s.end] for s in case.note.sections]
        assertions = [
            [a.label, a.status, a.side, a.start, a.end, a.historical] for a in case.note.assertions
        ]
        db.execute(
            "INSERT INTO notes VALUES (?, ?, ?, ?)",
            (row, case.note.text, json.dumps(sections), json.dumps(assertions)),
        )
    db.executemany(
        "INSERT INTO findings VALUES (?, ?, ?)", [(row, f.label, f.side) for f in case.findings]
    )
    db.executemany(
        "INSERT INTO attributes VALUES (?, ?, ?)",
        [(row, name, value) for name, value in case.attributes.items()],
    )


def seal_cases(db: sqlite3.Connection, rows: Sequence[int]) -> None:
    """Compute and store the seals of the cases in ``rows``."""
    for start in range(0, len(rows), _CHUNK):
        stored = _stored(db, rows[start : start + _CHUNK])
        db.executemany(
            "UPDATE cases SET seal = ? WHERE id = ?",
            [(case_seal(values, *parts), row) for row, (_, values, parts) in stored.items()],
        )


def fetch_cases(db: sqlite3.Connection, rows: Sequence[int]) -> Iterator[Case]:
    """Yield the cases in ``rows``, in this order, reading a few hundred at a time.

    A case deleted in the meantime is skipped.

    Raises
    ------
    LibraryError
        If a case fails its checksum.
    """
    for values, parts in read_cases(db, rows):
        yield _case(values, *parts)


def read_cases(db: sqlite3.Connection, rows: Sequence[int]) -> Iterator[tuple[_Row, _Parts]]:
    """Yield the stored values of the cases in ``rows``, verified against their seals."""
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        stored = _stored(db, chunk)
        for row in chunk:
            if row in stored:
                seal, values, parts = stored[row]
                if seal != case_seal(values, *parts):
                    raise damaged(f"case {values[1]!a}")
                yield values, parts


def _stored(db: sqlite3.Connection, rows: Sequence[int]) -> dict[int, tuple[int, _Row, _Parts]]:
    """Return seal, values and parts of each case by row."""
    marks = ", ".join("?" * len(rows))
    found: list[dict[int, list[_Row]]] = []
    db.execute("SAVEPOINT reading")  # a consistent snapshot of each case
    try:
        cases = db.execute(
            f"SELECT seal, {_COLUMNS} FROM cases WHERE id IN ({marks})",  # noqa: S608  marks only
            rows,
        ).fetchall()
        for table, columns, order in _PARTS:
            of_row: dict[int, list[_Row]] = {}
            sql = (
                f"SELECT case_row, {columns} FROM {table} "  # noqa: S608  own names and marks only
                f"WHERE case_row IN ({marks}) ORDER BY case_row, {order}"
            )
            for row, *values in db.execute(sql, rows):
                of_row.setdefault(row, []).append(tuple(values))
            found.append(of_row)
    except BaseException:
        with suppress(sqlite3.Error, LibraryError):  # SQLite may have ended the transaction already
            db.execute("RELEASE reading")
        raise
    db.execute("RELEASE reading")
    return {
        row: (seal, (row, *values), tuple(part.get(row, []) for part in found))
        for seal, row, *values in cases
    }


def _note(values: _Row) -> Note:
    text, sections, assertions = values
    return Note(
        text,
        tuple(Section(*section) for section in json.loads(sections)),
        tuple(Assertion(*assertion) for assertion in json.loads(assertions)),
    )


def _case(
    values: _Row,
    scans: list[_Row],
    contents: list[_Row],
    notes: list[_Row],
    findings: list[_Row],
    attributes: list[_Row],
) -> Case:
    (case_id, patient_id, group_id, split, study_date, shift) = values[1:7]
    (modality, view, sex, age_years, race, site, scanner, kind) = values[7:15]
    shown = {position: (scan_kind, pixels) for position, scan_kind, pixels in contents}
    named = dict(cast("list[tuple[str, str]]", attributes))
    # declared for all scans of a case: an attribute, so that a library of any version can keep it
    units = cast(Literal["", "HU", "stored"], named.get(UNITS_ATTRIBUTE, ""))
    if units not in ("HU", "stored"):  # a column of that name, kept by an earlier version
        units = ""
    return Case(
        case_id=case_id,
        patient_id=patient_id,
        scans=tuple(
            replace(ScanRef(tuple(json.loads(files)), *rest, *shown.get(position, ())), units=units)
            for position, files, *rest in scans
        ),
        note=_note(notes[0]) if notes else None,
        findings=tuple(Finding(label, cast(Side, side)) for label, side in findings),
        study_date=date.fromisoformat(study_date) if study_date else None,
        date_shift_days=shift,
        modality=modality,
        view=view,
        sex=cast(Sex, sex),
        age_years=age_years,
        race=race,
        site=site,
        scanner=scanner,
        kind=kind,
        split=split,
        group_id=group_id or "",
        attributes=named,
    )
