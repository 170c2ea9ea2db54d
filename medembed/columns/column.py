"""The kinds of column: texts by number, keyed hashes of texts, and lists of what a case has."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

__all__ = ["Coded", "Column", "Hashed", "Listed", "fold", "joined_columns", "joined_lists"]

Mask: TypeAlias = npt.NDArray[np.bool_]
Codes: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
Hashes: TypeAlias = npt.NDArray[np.uint64]
Positions: TypeAlias = npt.NDArray[np.intp]
Value = TypeVar("Value", bound=Hashable)

_MOST_VALUES = 20_000  # days of 54 years, but not the ids of studies
_CODES = (np.uint8, np.uint16, np.uint32)
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def fold(text: str) -> str:
    """Return a text that is equal for texts that SQLite's ``NOCASE`` takes for equal.

    It ignores the case of ASCII letters, and what follows a NUL but for the length.

    Examples
    --------
    >>> fold("Chest PA") == fold("chest pa"), fold("É") == fold("é")
    (True, False)
    """
    if "\x00" in text:
        size = len(text.encode())
        return f"{text.partition(chr(0))[0].translate(_LOWER)}\x00{size}"
    return text.lower() if text.isascii() else text.translate(_LOWER)


@dataclass(frozen=True, eq=False)
class Coded:
    """A text for each case.

    Parameters
    ----------
    codes : unsigned int array, shape ``(n,)``
        Places in ``values``.
    values : tuple of str or None
        Sorted, without any that no case has; None, first, if a case has none.
    """

    codes: Codes
    values: tuple[str | None, ...]

    @classmethod
    def of(cls, texts: Sequence[str | None]) -> Coded:
        """Number the texts of the cases."""
        numbers: dict[str | None, int] = {}
        codes = np.fromiter(
            (numbers.setdefault(text, len(numbers)) for text in texts), np.uint32, len(texts)
        )
        return cls(codes, tuple(numbers)).tidied()

    def tidied(self) -> Coded:
        """Sort the values and drop those that no case has."""
        codes, values = _tidied(self.codes, self.values, lambda v: (v is not None, v or ""))
        return Coded(codes, values)

    def where(self, test: Callable[[str | None], bool]) -> Mask:
        """Return which cases have a value that passes a test, shape ``(n,)``."""
        table = np.fromiter(map(test, self.values), np.bool_, len(self.values))
        found: Mask = table[self.codes] if len(table) else np.zeros(len(self.codes), np.bool_)
        return found

    def among(self, texts: Iterable[str]) -> Mask:
        """Return which cases have one of the texts, in any case; no text is ``"unknown"``."""
        wanted = {fold(text) for text in texts}
        return self.where(lambda value: fold("unknown" if value is None else value) in wanted)

    def take(self, at: Positions) -> Coded:
        """Return the column of some cases."""
        return Coded(self.codes[at], self.values).tidied()

    def hashed(self, key: bytes) -> Hashed:
        """Return the same as hashes."""
        table = np.array([_hash(value, key) for value in self.values], np.uint64)
        hashes: Hashes = table[self.codes] if len(table) else np.zeros(0, np.uint64)
        return Hashed(hashes, key)


@dataclass(frozen=True, eq=False)
class Hashed:
    """A text for each case, as a keyed hash of 64 bits: identifiers, and texts of all kinds.

    Two texts are taken for the same once in 10^13 conditions on a million cases.

    Parameters
    ----------
    hashes : uint64 array, shape ``(n,)``
        0 if a case has no text.
    key : bytes
    """

    hashes: Hashes
    key: bytes

    @classmethod
    def of(cls, texts: Sequence[str | None], key: bytes) -> Hashed:
        """Hash the texts of the cases."""
        hashes = np.fromiter((_hash(text, key) for text in texts), np.uint64, len(texts))
        return cls(hashes, key)

    def among(self, texts: Iterable[str]) -> Mask:
        """Return which cases have one of the texts, in any case; no text is ``"unknown"``."""
        wanted = [_hash(text, self.key) for text in texts]
        if _hash("unknown", self.key) in wanted:
            wanted.append(0)
        # sorted: NumPy before 2.3 overflows where it would make a table of numbers of 64 bits
        found: Mask = np.isin(self.hashes, np.array(wanted, np.uint64), kind="sort")
        return found

    def take(self, at: Positions) -> Hashed:
        """Return the column of some cases."""
        return Hashed(self.hashes[at], self.key)


Column: TypeAlias = "Coded | Hashed"


@dataclass(frozen=True, eq=False)
class Listed(Generic[Value]):
    """Things of which a case may have several: its findings.

    Parameters
    ----------
    positions : uint32 array, shape ``(m,)``
        Cases, ascending for each thing.
    codes : unsigned int array, shape ``(m,)``
        Places in ``values``, ascending.
    values : tuple
        Sorted, without any that no case has.
    n_cases : int
    """

    positions: npt.NDArray[np.uint32]
    codes: Codes
    values: tuple[Value, ...]
    n_cases: int

    @classmethod
    def of(cls, positions: Sequence[int], things: Sequence[Value], n_cases: int) -> Listed[Value]:
        """Number things; ``positions`` name their cases."""
        numbers: dict[Value, int] = {}
        codes = np.fromiter(
            (numbers.setdefault(thing, len(numbers)) for thing in things), np.uint32, len(things)
        )
        return cls(np.array(positions, np.uint32), codes, tuple(numbers), n_cases).tidied()

    def tidied(self, *, is_ascending: bool = False) -> Listed[Value]:
        """Sort, and drop the things that no case has.

        Parameters
        ----------
        is_ascending : bool
            Whether the cases of each thing ascend already.
        """
        codes, values = _tidied(self.codes, self.values, lambda value: value)
        if is_ascending:  # codes of 8 or 16 bits are sorted without comparisons
            order = np.argsort(codes, kind="stable")
        else:
            order = np.lexsort((self.positions, codes))
        return Listed(self.positions[order], codes[order], values, self.n_cases)

    @cached_property
    def _starts(self) -> Positions:
        return np.searchsorted(self.codes, np.arange(len(self.values) + 1))

    def of_code(self, code: int) -> npt.NDArray[np.uint32]:
        """Return the cases that have one thing."""
        cases: npt.NDArray[np.uint32] = self.positions[self._starts[code] : self._starts[code + 1]]
        return cases

    def having(self, test: Callable[[Value], bool]) -> Mask:
        """Return which cases have a thing that passes a test, shape ``(n,)``."""
        found = np.zeros(self.n_cases, np.bool_)
        for code, value in enumerate(self.values):
            if test(value):
                found[self.of_code(code)] = True
        return found

    def take(self, at: Positions) -> Listed[Value]:
        """Return the lists of some cases."""
        place = np.full(self.n_cases, -1, np.int64)
        place[at] = np.arange(len(at))
        moved = place[self.positions]
        kept = moved >= 0
        moved_to = moved[kept].astype(np.uint32)
        is_ascending = bool((np.diff(at) > 0).all())
        taken = Listed(moved_to, self.codes[kept], self.values, len(at))
        return taken.tidied(is_ascending=is_ascending)


def joined_columns(parts: Sequence[tuple[Column | None, int]], key: bytes) -> Column:
    """Put the columns of groups of cases one after the other.

    Parameters
    ----------
    parts : sequence of (Coded or Hashed or None, int)
        And the number of cases; None if none of them has a text.
    key : bytes
        Of the hashes that take over from 20,000 texts on.
    """
    columns = [
        Coded(np.zeros(n, np.uint8), (None,) if n else ()) if column is None else column
        for column, n in parts
    ]
    coded = [column for column in columns if isinstance(column, Coded)]
    numbers: dict[str | None, int] = {}
    for column in coded:
        for value in column.values:
            numbers.setdefault(value, len(numbers))
    if len(coded) == len(columns) and len(numbers) <= _MOST_VALUES:
        return Coded(_recoded(coded, numbers), tuple(numbers)).tidied()
    hashed = [column.hashed(key) if isinstance(column, Coded) else column for column in columns]
    return Hashed(np.concatenate([column.hashes for column in hashed]), key)


def joined_lists(parts: Sequence[Listed[Value]]) -> Listed[Value]:
    """Put the lists of groups of cases one after the other."""
    numbers: dict[Value, int] = {}
    for part in parts:
        for value in part.values:
            numbers.setdefault(value, len(numbers))
    starts = np.cumsum([0, *(part.n_cases for part in parts)])
    positions = [
        part.positions + np.uint32(start) for part, start in zip(parts, starts, strict=False)
    ]
    return Listed(
        np.concatenate([np.zeros(0, np.uint32), *positions]),
        _recoded(parts, numbers),
        tuple(numbers),
        int(starts[-1]),
    ).tidied(is_ascending=True)


def _recoded(parts: Sequence[Coded | Listed[Any]], numbers: dict[Any, int]) -> Codes:
    tables = [np.array([numbers[value] for value in part.values], np.uint32) for part in parts]
    codes = [
        table[part.codes] if len(table) else np.zeros(0, np.uint32)
        for table, part in zip(tables, parts, strict=True)
    ]
    return np.concatenate([np.zeros(0, np.uint32), *codes])


def _tidied(
    codes: Codes, values: tuple[Value, ...], by: Callable[[Value], Any]
) -> tuple[Codes, tuple[Value, ...]]:
    used = np.bincount(codes, minlength=len(values)) > 0
    order = sorted(np.flatnonzero(used).tolist(), key=lambda at: by(values[at]))
    kind = next(kind for kind in _CODES if len(order) <= np.iinfo(kind).max + 1)
    if order == list(range(len(values))):
        return codes.astype(kind, copy=False), values
    table = np.zeros(len(values), kind)
    table[order] = np.arange(len(order))
    return cast("Codes", table[codes]), tuple(values[at] for at in order)


def _hash(text: str | None, key: bytes) -> int:
    if text is None:
        return 0
    digest = hashlib.blake2b(fold(text).encode(), digest_size=8, key=key, person=b"columns")
    return int.from_bytes(digest.digest(), "little") or 1
