"""What the library states about many cases at once: assertions, findings, attributes.

Read for columns that are kept in memory: one pass over the tables, without building cases.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from medembed.cases import UNITS_ATTRIBUTE, ScanRef, is_unknown
from medembed.notes import current_label

if TYPE_CHECKING:
    from medembed.library.library import CaseLibrary

__all__ = [
    "CaseStatements",
    "affirmed_counts",
    "body_part_of",
    "count_reports",
    "first_scans",
    "note_assertions",
    "read_statements",
    "words_in_reports",
]

_CHUNK = 500
_BODY_PART = ("body_part", "body part", "bodypart", "body_part_examined", "bodypartexamined")


class CaseStatements(NamedTuple):
    """What the library states about one case.

    Parameters
    ----------
    case_id : str
    sex, modality, view, body_part : str
        ``"unknown"`` if the source gives none.
    age_years : float or None
    assertions : list or None
        Of its report, each label, status, side, start, end and historical; None without a
        report.
    findings : list of (label, side)
        As recorded.
    """

    case_id: str
    sex: str
    age_years: float | None
    modality: str
    view: str
    body_part: str
    assertions: list[tuple[str, str, str, int, int, bool]] | None
    findings: list[tuple[str, str]]


def body_part_of(attributes: Mapping[str, str]) -> str:
    """Return the body part among the kept columns of a case; empty if there is none."""
    for name, value in attributes.items():
        if name.lower() in _BODY_PART and not is_unknown(value):
            return value
    return ""


def read_statements(library: CaseLibrary) -> Iterator[CaseStatements]:
    """Yield the statements about every case, in the order of the library."""
    db = library.database.read()
    findings: dict[int, list[tuple[str, str]]] = {}
    for row, label, side in db.execute("SELECT case_row, label, side FROM findings"):
        findings.setdefault(row, []).append((current_label(label), side))
    marks = ", ".join("?" * len(_BODY_PART))
    parts = dict(
        db.execute(
            f"SELECT case_row, value FROM attributes WHERE lower(name) IN ({marks})",  # noqa: S608  marks only
            _BODY_PART,
        )
    )
    rows = db.execute(
        "SELECT c.id, c.case_id, c.sex, c.age_years, c.modality, c.view, n.assertions "
        "FROM cases c LEFT JOIN notes n ON n.case_row = c.id ORDER BY c.id"
    )
    for row, case_id, sex, age, modality, view, assertions in rows:
        yield CaseStatements(
            case_id,
            sex,
            age,
            modality,
            view,
            parts.get(row, "unknown"),
            None if assertions is None else json.loads(assertions),
            findings.get(row, []),
        )


def first_scans(library: CaseLibrary) -> Iterator[tuple[str, str, ScanRef]]:
    """Yield case id, patient and first scan of every case that has one, without view or kind."""
    rows = library.database.read().execute(
        "SELECT c.case_id, c.patient_id, s.files, s.sha256, s.frame, a.value FROM cases c "
        "JOIN scans s ON s.case_row = c.id AND s.position = 0 "
        "LEFT JOIN attributes a ON a.case_row = c.id AND a.name = ? ORDER BY c.id",
        (UNITS_ATTRIBUTE,),
    )
    for case_id, patient_id, files, sha256, frame, declared in rows:
        units = cast(Literal["", "HU", "stored"], declared)
        if declared not in ("HU", "stored"):
            units = ""
        ref = ScanRef(tuple(json.loads(files)), sha256, frame=frame, units=units)
        yield case_id, patient_id, ref


def affirmed_counts(library: CaseLibrary) -> Counter[str]:
    """Count the reports that state each finding of this study as present or uncertain."""
    counts: Counter[str] = Counter()
    for (assertions,) in library.database.read().execute("SELECT assertions FROM notes"):
        counts.update(
            {
                label
                for label, status, _, _, _, historical in json.loads(assertions)
                if status != "absent" and not historical
            }
        )
    return counts


def note_assertions(
    library: CaseLibrary, case_ids: Sequence[str]
) -> Iterator[tuple[str, str, list[tuple[str, str, str, int, int, bool]]]]:
    """Yield case id, report and assertions of those of the given cases that have a report."""
    db = library.database.read()
    for start in range(0, len(case_ids), _CHUNK):
        chunk = list(case_ids[start : start + _CHUNK])
        marks = ", ".join("?" * len(chunk))
        for case_id, text, assertions in db.execute(
            f"SELECT c.case_id, n.text, n.assertions FROM cases c "  # noqa: S608  marks only
            f"JOIN notes n ON n.case_row = c.id WHERE c.case_id IN ({marks})",
            chunk,
        ):
            yield case_id, text, json.loads(assertions)


def words_in_reports(library: CaseLibrary, words: Iterable[str]) -> set[str]:
    """Return those of the words that occur in a report of the library."""
    db = library.database.read()
    found = set()
    for word in words:
        parts = re.findall(r"\w+", word)
        quoted = " ".join(f'"{part}"' for part in parts)  # quoted: no FTS5 operator takes effect
        sql = "SELECT 1 FROM note_words WHERE note_words MATCH ? LIMIT 1"
        if parts and db.execute(sql, (quoted,)).fetchone():
            found.add(word)
    return found


def count_reports(library: CaseLibrary, word: str, most: int) -> int:
    """Count the reports of the library that contain a word, up to ``most``."""
    parts = re.findall(r"\w+", word)
    if not parts:
        return 0
    quoted = " ".join(f'"{part}"' for part in parts)
    sql = "SELECT count(*) FROM (SELECT 1 FROM note_words WHERE note_words MATCH ? LIMIT ?)"
    return int(library.database.read().execute(sql, (quoted, most)).fetchone()[0])
