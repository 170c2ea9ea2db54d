"""The languages of the page, and how each writes numbers and counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["DE", "EN", "Language", "Noun", "Numbers", "language_of"]

_NO_BREAK = "\u00a0"


class Language(StrEnum):
    """A language that the catalog has; the value is its code (BCP 47)."""

    ENGLISH = "en"
    GERMAN = "de"


def language_of(locale: str | None) -> Language | None:
    """Give the catalog's language for a browser's locale, or None if the catalog lacks it.

    Examples
    --------
    >>> language_of("de-AT")
    <Language.GERMAN: 'de'>
    >>> language_of("fr") is None
    True
    """
    code = (locale or "").partition("-")[0].lower()
    return next((language for language in Language if language == code), None)


@dataclass(frozen=True)
class Numbers:
    """How a language writes numbers.

    Parameters
    ----------
    point : str
        Before the decimals.
    group : str
        Between groups of three digits.
    percent : str
        Behind a percentage.
    """

    point: str
    group: str
    percent: str

    def whole(self, value: int) -> str:
        """Write a whole number.

        Examples
        --------
        >>> EN.whole(12345), DE.whole(12345)
        ('12,345', '12.345')
        """
        return f"{value:,}".replace(",", self.group)

    def decimal(self, value: float, digits: int = 2) -> str:
        """Write a number with this many decimals; a rounded zero has no sign.

        Examples
        --------
        >>> EN.decimal(0.925), DE.decimal(0.925), DE.decimal(-0.001)
        ('0.93', '0,93', '0,00')
        """
        whole, _, decimals = f"{value:z,.{digits}f}".partition(".")
        grouped = whole.replace(",", self.group)
        return f"{grouped}{self.point}{decimals}" if decimals else grouped

    def share(self, value: float, digits: int = 0) -> str:
        """Write a share of 0 to 1 as a percentage.

        Examples
        --------
        >>> EN.share(0.052, 1), DE.share(0.052, 1).replace(chr(160), "_")
        ('5.2%', '5,2_%')
        """
        return f"{self.decimal(100 * value, digits)}{self.percent}"

    def percentile(self, value: float) -> str:
        """Write a percentile with as many decimals as set it apart from 100: 72%, 99.98%."""
        digits = 0 if value < 99 else 1 if value < 99.9 else 2
        return self.share(value / 100, digits)

    def share_at_least(self, value: float) -> str:
        """Write a share rounded down to whole percent: it is never claimed to be more."""
        return f"{self.whole(math.floor(100 * value))}{self.percent}"


EN = Numbers(".", ",", "%")
DE = Numbers(",", ".", f"{_NO_BREAK}%")


@dataclass(frozen=True)
class Noun:
    """A counted noun; English and German have the same two plural categories (CLDR: one, other).

    Parameters
    ----------
    one, other : str
        The noun for 1 and for every other count.
    numbers : Numbers

    Examples
    --------
    >>> case = Noun("Fall", "Fälle", DE)
    >>> case(1), case(0), case(1200)
    ('1 Fall', '0 Fälle', '1.200 Fälle')
    """

    one: str
    other: str
    numbers: Numbers = EN

    def __call__(self, n: int) -> str:
        """Write a count with the noun."""
        return f"{self.numbers.whole(n)} {self.one if n == 1 else self.other}"
