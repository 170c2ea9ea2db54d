"""Values out of a table's cells: what is unknown, what is read, what is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta

from medembed.cases import Finding
from medembed.errors import InputError
from medembed.notes import Note, Vocabulary, asserted_findings, canonical_label, read_note
from medembed.sources.rejection import CellError

__all__ = [
    "RESERVED",
    "age_of",
    "date_of",
    "findings_of",
    "kept_of",
    "moved",
    "note_of",
    "split_of",
    "text_of",
    "view_of",
]

RESERVED = ("case", "patient", "group", "date", "finding", "kind")
"""Names that conditions use for themselves, so that no kept column may have them."""

_UNKNOWN = {"", "unknown", "unk", "n/a", "na", "nan", "none", "null", "-", "?"}
_NO_FINDING = {"", "no finding", "no findings", "none", "normal"}
_LATERAL = {"L", "LL", "RL", "LAT", "LATERAL", "LEFT LATERAL", "RIGHT LATERAL"}
_AGE = re.compile(r"(\d{1,3}(?:[.,]\d+)?)\s*([DWMY]?)", re.IGNORECASE | re.ASCII)
_NO_AGES = ("000Y", "999Y")  # what anonymisers write where there is none
_YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_DATE = re.compile(r"(\d{4})(?:(\d\d)(\d\d)|([-./])(\d{1,2})\4(\d{1,2}))", re.ASCII)
_DAY_AND_YEAR = re.compile(r"\d{1,2}([-./ ])\w+\1(\d{2}|\d{4})")
_FIRST_YEAR, _LAST_YEAR = 1895, 2299  # the first radiograph; shared archives move dates far ahead


def text_of(row: Mapping[str, str], column: str) -> str:
    """Give a cell's text; ``"unknown"`` where it is blank or says so."""
    value = " ".join(row.get(column, "").split())
    return "unknown" if value.lower() in _UNKNOWN else value


def age_of(row: Mapping[str, str]) -> float | None:
    """Age in years: a number, ``63.5`` or ``63,5``, or DICOM's ``071Y``; None where unknown.

    ``000Y`` and ``999Y`` stand in for a missing one.

    Raises
    ------
    CellError
        Where it is neither, or outside 0 to 130.
    """
    text = text_of(row, "age")
    if text == "unknown":
        return None
    if text.upper() in _NO_AGES:
        return None
    match = _AGE.fullmatch(text)
    years = float(match[1].replace(",", ".")) * _YEARS[match[2].upper()] if match else -1.0
    if not 0 <= years <= 130:
        raise CellError("an age that is not 0 to 130 years", "bad-age")
    return years


def date_of(row: Mapping[str, str]) -> date | None:
    """Study date: ISO 8601, with or without a time, or DICOM's ``YYYYMMDD``; None where unknown.

    Raises
    ------
    CellError
        Where it is neither.
    """
    text = text_of(row, "study_date")
    if text == "unknown":
        return None
    match = _DATE.fullmatch(re.split(r"[T ]", text, maxsplit=1)[0])
    if match is None:
        raise CellError(_date_fault(text), "bad-date")
    year, month, day = match.group(1), match[2] or match[5], match[3] or match[6]
    try:
        found = date(int(year), int(month), int(day))
    except ValueError:
        raise CellError("a study date that is not in the calendar", "bad-date") from None
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise CellError(f"a study date outside {_FIRST_YEAR} to {_LAST_YEAR}", "bad-date")
    return found


def _date_fault(text: str) -> str:
    if re.fullmatch(r"\d{5}(\.\d*)?", text, re.ASCII):
        return "a study date that is a spreadsheet's day number; format the column as 2020-01-31"
    if _DAY_AND_YEAR.fullmatch(text):
        return (
            "a study date that begins with the day or the month, which cannot be told apart; "
            "write it as 2020-01-31"
        )
    return "a study date that is not written year-month-day"


def findings_of(row: Mapping[str, str], note: Note | None) -> tuple[Finding, ...]:
    """Findings of the cell, ``label`` or ``label:side`` with ``;`` between; else of the note.

    ``No Finding`` says that there are none.

    Raises
    ------
    CellError
        Where one has a side that is no side.
    """
    cell = row.get("findings", "").strip()
    if not cell:
        pairs = asserted_findings(note) if note else ()
        return tuple(Finding(label, side) for label, side in pairs)
    found = []
    for part in cell.split(";"):
        if canonical_label(part) in _NO_FINDING:
            continue
        try:
            finding = Finding.parse(part)
            found.append(Finding(canonical_label(finding.label), finding.side))
        except InputError as error:
            raise CellError(error.what, "bad-finding") from None
    return tuple(found)


def note_of(row: Mapping[str, str], vocabulary: Vocabulary | None = None) -> Note | None:
    """Read the report of the cell; None where it is blank."""
    text = row.get("note", "")
    return read_note(text, vocabulary) if text.strip() else None


def split_of(row: Mapping[str, str]) -> str:
    """Give the split that the table gives, else nothing.

    Raises
    ------
    CellError
        Where it is not one of train, val and test.
    """
    text = row.get("split", "").strip().lower()
    names = {"validation": "val", "validate": "val", "valid": "val", "dev": "val"}
    names |= {"training": "train", "testing": "test"}
    text = names.get(text, text)
    if text in _UNKNOWN:
        return ""
    if text not in ("train", "val", "test"):
        raise CellError("a split that is not train, val or test", "bad-split")
    return text


def view_of(row: Mapping[str, str]) -> str:
    """Give the view as DICOM spells it, ``"unknown"`` where blank."""
    text = text_of(row, "view")
    if text == "unknown":
        return text
    return "LATERAL" if text.upper() in _LATERAL else text.upper()


def kept_of(row: Mapping[str, str], columns: tuple[str, ...]) -> dict[str, str]:
    """Give the kept columns that are not blank."""
    values = {name: row.get(name, "").strip() for name in columns}
    return {name: value for name, value in values.items() if value}


def moved(day: date | None, days: int) -> date | None:
    """Move a date; unknown stays unknown, and so becomes one that leaves the calendar."""
    try:
        return day + timedelta(days=days) if day else None
    except OverflowError:
        return None
