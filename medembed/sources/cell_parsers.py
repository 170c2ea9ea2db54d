"""Parsers for the cells of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Literal

from medembed.cases import UNKNOWN, Finding, is_unknown
from medembed.errors import InputError
from medembed.notes import Note, Vocabulary, asserted_findings, canonical_label, read_note
from medembed.sources.refusal import CellError

__all__ = [
    "RESERVED",
    "age_of",
    "date_of",
    "findings_of",
    "kept_of",
    "note_of",
    "shift_date",
    "split_of",
    "text_of",
    "units_of",
    "view_of",
]

RESERVED = ("case", "patient", "group", "date", "finding", "kind")
"""Field names of conditions, which no kept column may have."""

_SPLITS = {
    "training": "train", "validation": "val", "validate": "val", "valid": "val", "dev": "val",
    "tune": "val", "tuning": "val", "testing": "test",
}  # fmt: skip
_NO_FINDING = {"", "no finding", "no findings", "none", "normal"}
_LATERAL = {"L", "LL", "RL", "LAT", "LATERAL", "LEFT LATERAL", "RIGHT LATERAL"}
_AGE = re.compile(r"(\d{1,3}(?:[.,]\d+)?)\s*([DWMY]?)", re.IGNORECASE | re.ASCII)
_NO_AGES = ("000Y", "999Y")  # written by anonymizers for a missing age
_YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_DATE = re.compile(r"(\d{4})(?:(\d\d)(\d\d)|([-./])(\d{1,2})\4(\d{1,2}))", re.ASCII)
_DAY_AND_YEAR = re.compile(r"\d{1,2}([-./ ])\w+\1(\d{2}|\d{4})")
_FIRST_YEAR, _LAST_YEAR = 1895, 2299  # the first radiograph; shared archives shift dates far ahead


def text_of(row: Mapping[str, str], column: str) -> str:
    """Return the text of a cell; ``"unknown"`` if it is blank or means that."""
    value = " ".join(row.get(column, "").split())
    return UNKNOWN if is_unknown(value) else value


def age_of(row: Mapping[str, str]) -> float | None:
    """Parse an age in years: ``63.5``, ``63,5``, or DICOM's ``071Y``; None if unknown.

    ``000Y`` and ``999Y`` are placeholders for a missing age.

    Raises
    ------
    CellError
        If it is none of these, or outside 0 to 130.
    """
    text = text_of(row, "age")
    if text == "unknown":
        return None
    if text.upper() in _NO_AGES:
        return None
    match = _AGE.fullmatch(text)
    years = float(match[1].replace(",", ".")) * _YEARS[match[2].upper()] if match else -1.0
    if not 0 <= years <= 130:
        raise CellError("age is not between 0 and 130 years", "bad-age")
    return years


def date_of(row: Mapping[str, str]) -> date | None:
    """Parse a study date: ISO 8601, optional time, or DICOM's ``YYYYMMDD``; None if unknown.

    Raises
    ------
    CellError
        If it is neither.
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
        raise CellError("study date does not exist", "bad-date") from None
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise CellError(f"study date is not between {_FIRST_YEAR} and {_LAST_YEAR}", "bad-date")
    return found


def _date_fault(text: str) -> str:
    if re.fullmatch(r"\d{5}(\.\d*)?", text, re.ASCII):
        return "study date is a spreadsheet day number; format the column as 2020-01-31"
    if _DAY_AND_YEAR.fullmatch(text):
        return (
            "study date is ambiguous: it begins with the day or the month; write it as 2020-01-31"
        )
    return "study date is not written year-month-day"


def findings_of(row: Mapping[str, str], note: Note | None) -> tuple[Finding, ...]:
    """Parse findings, ``label`` or ``label:side`` separated by ``;``; a blank cell uses the note.

    ``No Finding`` means that there are none.

    Raises
    ------
    CellError
        If a side is not valid.
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
    """Parse the report of the cell; None if it is blank."""
    text = row.get("note", "")
    return read_note(text, vocabulary) if text.strip() else None


def split_of(row: Mapping[str, str]) -> str:
    """Parse the split in any of its usual names; empty if the table gives none.

    Raises
    ------
    CellError
        If it is none of them.

    Examples
    --------
    >>> [split_of({"split": name}) for name in ("Training", "validate", "test set", "n/a")]
    ['train', 'val', 'test', '']
    """
    text = re.sub(r"[\s_-]+(set|split)$", "", row.get("split", "").strip().lower())
    text = _SPLITS.get(text, text)
    if is_unknown(text):
        return ""
    if text not in ("train", "val", "test"):
        raise CellError(
            "split is not train, val or test (also: training, validate, validation, valid, dev, "
            "tune, testing)",
            "bad-split",
        )
    return text


def units_of(row: Mapping[str, str]) -> Literal["", "HU", "stored"]:
    """Parse the units of the pixel values; empty if the table does not declare them.

    Raises
    ------
    CellError
        If they are neither Hounsfield units nor values as stored.
    """
    text = text_of(row, "units").casefold()
    if text == "unknown":
        return ""
    if re.fullmatch(r"hu|hounsfield( units?)?", text):
        return "HU"
    if text != "stored":
        raise CellError("units is not HU or stored", "bad-units")
    return "stored"


def view_of(row: Mapping[str, str]) -> str:
    """Return the view in DICOM spelling; ``"unknown"`` if blank."""
    text = text_of(row, "view")
    if text == "unknown":
        return text
    return "LATERAL" if text.upper() in _LATERAL else text.upper()


def kept_of(row: Mapping[str, str], columns: tuple[str, ...]) -> dict[str, str]:
    """Return the kept columns that are not blank."""
    values = {name: row.get(name, "").strip() for name in columns}
    return {name: value for name, value in values.items() if value}


def shift_date(day: date | None, days: int) -> date | None:
    """Shift a date; None stays None, and a date outside the calendar becomes None."""
    try:
        return day + timedelta(days=days) if day else None
    except OverflowError:
        return None
