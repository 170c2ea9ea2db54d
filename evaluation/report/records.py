"""Records: JSON objects with known keys, read leniently and written without loss."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from math import isfinite
from typing import Any, Self

__all__ = [
    "GateAnswer",
    "Record",
    "RowPrecision",
    "RowVerdict",
    "mapping_or_empty",
    "number_or_none",
]


class RowVerdict(StrEnum):
    """What was found in a row; :data:`evaluation.report.texts.VERDICTS` holds the words."""

    EXCEEDS = "exceeds"
    DIFFERS = "differs"
    WORSE = "worse"
    IMPROVED = "improved"
    INCONCLUSIVE = "inconclusive"
    NO_CHANGE_SHOWN = "no_change_shown"
    WITHIN = "within"
    NOT_ASSESSABLE = "not_assessable"


class RowPrecision(StrEnum):
    """What a row of that many patients may be used for."""

    USUAL = "usual"
    LOW = "low"
    SUPPRESSED = "suppressed"


class GateAnswer(StrEnum):
    """Whether the release check passed; undecided does not pass."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


def number_or_none(value: Any) -> Any:
    """Take a finite number as it is, and None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isfinite(value) else None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def _verdict(value: Any) -> str:
    """Read a verdict: a member of the enum, or the text of one that this version does not know."""
    text = str(value or RowVerdict.NOT_ASSESSABLE)
    return RowVerdict(text) if text in set(RowVerdict) else text


def mapping_or_empty(value: Any) -> Mapping[str, Any]:
    """Take a JSON object as it is, and an empty one for everything else."""
    return value if isinstance(value, Mapping) else {}


_READERS: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "str | None": lambda value: None if value is None else str(value),
    "int | None": number_or_none,
    "float | None": number_or_none,
    "bool": lambda value: value is True,
    "bool | None": lambda value: value if isinstance(value, bool) else None,
    "tuple[str, ...]": _texts,
    "RowVerdict | str": _verdict,
    "Mapping[str, Any]": mapping_or_empty,
}
"""By a field's type, how its JSON is read."""


def _read(declared: str, value: Any, module: str) -> Any:
    """Read a value by the type that its field declares, in the module of its record."""
    if declared in _READERS:
        return _READERS[declared](value)
    many, _, name = declared.rstrip(".], ").rpartition("[")
    kind: type[Record] = getattr(sys.modules[module], name.removeprefix("str, "))
    if many == "tuple":
        given = value if isinstance(value, list | tuple) else ()
        return tuple(kind.from_json(item) for item in given if isinstance(item, Mapping))
    if many == "Mapping":
        return {str(key): kind.from_json(item) for key, item in mapping_or_empty(value).items()}
    return kind.from_json(value)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A JSON object with known keys.

    Parameters
    ----------
    more : mapping
        Keys that are not known here, with their values.
    keys : tuple of str
        The keys that were read, in their order; empty for a record that was not read from JSON.
    """

    more: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    nulls: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, given: Any) -> Self:
        """Read a JSON object; what is none gives an empty record."""
        held = mapping_or_empty(given)
        known = {
            one.name: _read(str(one.type), held.get(one.name, _default(one)), cls.__module__)
            for one in fields(cls)
            if one.name not in {"more", "keys", "nulls"}
        }
        more = {str(key): value for key, value in held.items() if key not in known}
        return cls(
            **known,
            more=more,
            keys=tuple(map(str, held)),
            nulls=frozenset(str(key) for key, value in held.items() if value is None),
        )

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values: the keys that were read, or else every field."""
        names = self.keys or tuple(
            f.name for f in fields(self) if f.name not in {"more", "keys", "nulls"}
        )
        return {
            name: _plain(
                None
                if name in self.nulls
                else self.more[name]
                if name in self.more
                else getattr(self, name)
            )
            for name in names
        }


def _default(one: Any) -> Any:
    return one.default if isinstance(one.default, str | int) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        # An object that was null or missing when it was read is null again.
        return value.to_json() if value.keys or value != type(value)() else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    return None if isinstance(value, float) and not isfinite(value) else value
