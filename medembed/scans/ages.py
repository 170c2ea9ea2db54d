"""A patient's age from plausible dates."""

from __future__ import annotations

import re
from datetime import date

__all__ = ["age_at", "stated_age"]

# Written by archives and anonymizers for a missing date.
_PLACEHOLDERS = frozenset({date(1900, 1, 1), date(1901, 1, 1), date(1111, 11, 11)})
_EARLIEST = 1900
_OLDEST_BY_DATES = 110.0
_OLDEST_STATED = 120.0
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}


def age_at(birth: date | None, study: date | None) -> float | None:
    """Return the age in years on the day of a study.

    Returns
    -------
    float or None
        None if a date is missing or a placeholder (1900-01-01, 1901-01-01, any year before 1900,
        9999-12-31), if the birth is after the study, or above 110 years, which indicates an error.

    Examples
    --------
    >>> age_at(date(1960, 2, 29), date(2020, 2, 29))
    60.0
    >>> age_at(date(1900, 1, 1), date(2020, 2, 29)) is None
    True
    """
    if birth is None or study is None:
        return None
    if any(day in _PLACEHOLDERS or day.year < _EARLIEST for day in (birth, study)):
        return None
    years = (study - birth).days / _DAYS["Y"]
    return years if 0 <= years <= _OLDEST_BY_DATES else None


def stated_age(text: str) -> float | None:
    """Parse ``PatientAge`` (DICOM PS3.5 6.2, AS) to an age in years.

    Returns
    -------
    float or None
        None if invalid, a placeholder (000Y, 999Y) or above 120 years. A newborn has an age in
        days, weeks or months; anonymizers write 0 years.

    Examples
    --------
    >>> stated_age("006M")
    0.5
    >>> stated_age("000Y") is None
    True
    """
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text.strip().upper())
    if match is None:
        return None
    number, unit = int(match[1]), match[2]
    years = number * _DAYS[unit] / _DAYS["Y"]
    if (number == 0 and unit != "D") or number == 999 or years > _OLDEST_STATED:
        return None
    return years
