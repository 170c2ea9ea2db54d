"""Cases to rows and back, and the digest that tells whether a case has changed."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, cast

from medembed.cases import Case, Finding, ScanRef, Sex
from medembed.notes import Assertion, Note, Section, Side

__all__ = ["content_digest", "fetch_cases", "insert_case", "store_files", "update_case"]

_COLUMNS = (
    "id, case_id, patient_id, group_id, split, study_date, date_shift_days, modality, view, sex, "
    "age_years, race, site, scanner"
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


def content_digest(case: Case) -> bytes:
    """Give the SHA-256 over all that the source said of a case.

    Paths and the split are left out: a file that moved is the same file, and a split may have
    been given by the library. Sections and assertions are left out, since they follow from the
    text and the rules of the day.
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
    """Write paths as JSON, relative to ``home`` where they lie inside it."""
    stored = []
    for file in files:
        path = Path(file)
        if path.is_absolute() and path.is_relative_to(home):
            path = path.relative_to(home)
        stored.append(path.as_posix())
    return json.dumps(stored, ensure_ascii=True)


def insert_case(db: sqlite3.Connection, case: Case, split: str, digest: bytes, home: Path) -> int:
    """Write a new case with its content and give its row."""
    values = {
        "case_id": case.case_id,
        "patient_id": case.patient_id,
        "group_id": case.group_id or None,
        "split": split,
        "content": digest,
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
    """Write ``case`` over the one in ``row``; its split stays."""
    values = {"group_id": case.group_id or None, "content": digest, **_scalars(case)}
    sets = ", ".join(f"{name} = :{name}" for name in values)
    db.execute(
        f"UPDATE cases SET {sets} WHERE id = :row",  # noqa: S608  own names only
        {**values, "row": row},
    )
    for table in ("scans", "notes", "findings", "attributes"):
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


def fetch_cases(db: sqlite3.Connection, rows: Sequence[int]) -> Iterator[Case]:
    """Read the cases of ``rows`` in that order, a few hundred at a time.

    A case that was removed after its row was looked up is left out.
    """
    for start in range(0, len(rows), _CHUNK):
        yield from _fetch_chunk(db, rows[start : start + _CHUNK])


def _fetch_chunk(db: sqlite3.Connection, rows: Sequence[int]) -> Iterator[Case]:
    marks = ", ".join("?" * len(rows))

    def gather(columns: str, table: str, order: str) -> dict[int, list[tuple[Any, ...]]]:
        found: dict[int, list[tuple[Any, ...]]] = {}
        sql = (
            f"SELECT case_row, {columns} FROM {table} "  # noqa: S608  own names and marks only
            f"WHERE case_row IN ({marks}) ORDER BY {order}"
        )
        for row, *values in db.execute(sql, rows):
            found.setdefault(row, []).append(tuple(values))
        return found

    db.execute("SAVEPOINT reading")  # the parts of a case out of one moment
    try:
        cases = {
            values[0]: values[1:]
            for values in db.execute(
                f"SELECT {_COLUMNS} FROM cases WHERE id IN ({marks})",  # noqa: S608  marks only
                rows,
            )
        }
        scans = gather("files, sha256, modality, view, frame", "scans", "case_row, position")
        notes = gather("text, sections, assertions", "notes", "case_row")
        findings = gather("label, side", "findings", "case_row, label, side")
        attributes = gather("name, value", "attributes", "case_row, name")
    finally:
        db.execute("RELEASE reading")
    for row in rows:
        if row in cases:
            note = notes.get(row)
            yield _case(
                cases[row],
                tuple(_scan(values) for values in scans[row]),
                _note(note[0]) if note else None,
                tuple(Finding(label, cast(Side, side)) for label, side in findings.get(row, [])),
                dict(cast("list[tuple[str, str]]", attributes.get(row, []))),
            )


def _scan(values: tuple[Any, ...]) -> ScanRef:
    files, sha256, modality, view, frame = values
    return ScanRef(tuple(json.loads(files)), sha256, modality, view, frame)


def _note(values: tuple[Any, ...]) -> Note:
    text, sections, assertions = values
    return Note(
        text,
        tuple(Section(*section) for section in json.loads(sections)),
        tuple(Assertion(*assertion) for assertion in json.loads(assertions)),
    )


def _case(
    values: tuple[Any, ...],
    scans: tuple[ScanRef, ...],
    note: Note | None,
    findings: tuple[Finding, ...],
    attributes: dict[str, str],
) -> Case:
    (case_id, patient_id, group_id, split, study_date, shift) = values[:6]
    (modality, view, sex, age_years, race, site, scanner) = values[6:]
    return Case(
        case_id=case_id,
        patient_id=patient_id,
        scans=scans,
        note=note,
        findings=findings,
        study_date=date.fromisoformat(study_date) if study_date else None,
        date_shift_days=shift,
        modality=modality,
        view=view,
        sex=cast(Sex, sex),
        age_years=age_years,
        race=race,
        site=site,
        scanner=scanner,
        split=split,
        group_id=group_id or "",
        attributes=attributes,
    )
