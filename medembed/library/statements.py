"""What the library states: assertions, findings, body parts and words of reports."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, cast

from medembed.cases import UNITS_ATTRIBUTE, ScanRef, is_unknown

if TYPE_CHECKING:
    from medembed.library.library import CaseLibrary

__all__ = [
    "affirmed_counts",
    "body_part_of",
    "count_reports",
    "first_scans",
    "is_body_part",
    "is_recorded",
    "note_assertions",
    "words_in_reports",
]

_CHUNK = 500
_BODY_PART = ("body_part", "body part", "bodypart", "body_part_examined", "bodypartexamined")


def body_part_of(attributes: Mapping[str, str]) -> str:
    """Return the body part among the kept columns of a case; empty if there is none."""
    for name, value in attributes.items():
        if is_body_part(name) and not is_unknown(value):
            return value
    return ""


def is_body_part(name: str) -> bool:
    """Return whether a kept column of this name holds the body part."""
    return name.lower() in _BODY_PART


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


def is_recorded(library: CaseLibrary, label: str) -> bool:
    """Return whether a case of the library has a finding of this label."""
    sql = "SELECT 1 FROM findings WHERE label = ? LIMIT 1"
    return library.database.read().execute(sql, (label,)).fetchone() is not None


def count_reports(library: CaseLibrary, word: str, most: int) -> int:
    """Count the reports of the library that contain a word, up to ``most``."""
    parts = re.findall(r"\w+", word)
    if not parts:
        return 0
    quoted = " ".join(f'"{part}"' for part in parts)
    sql = "SELECT count(*) FROM (SELECT 1 FROM note_words WHERE note_words MATCH ? LIMIT ?)"
    return int(library.database.read().execute(sql, (quoted, most)).fetchone()[0])
