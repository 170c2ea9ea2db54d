"""What is asked, checked before anything is read or computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from medembed.errors import QueryError
from medembed.library import Condition, parse_condition
from medembed.scans import Scan

__all__ = ["MOST_CHARACTERS", "ImageQuery", "Question", "Where"]

ImageQuery: TypeAlias = str | Path | Sequence[str | Path] | Scan
Where: TypeAlias = str | Condition | Iterable[str | Condition] | None

MOST_CHARACTERS = 20_000
"""A longer text is refused: it is no report, and no model reads that far."""

_PARTS = ("text", "image", "case")


@dataclass(frozen=True, eq=False)
class Question:
    """A search, valid once constructed by :meth:`of`.

    Parameters
    ----------
    text : str or None
        Stripped; never blank.
    files : tuple of Path
        Of the image; empty where there is none or a Scan was given.
    scan : Scan or None
    case : str or None
    weights : mapping of str to float
        For the parts that are there; they sum to 1.
    where : tuple of Condition
    k : int
    """

    text: str | None = field(repr=False)
    files: tuple[Path, ...] = field(repr=False)
    scan: Scan | None
    case: str | None
    weights: Mapping[str, float]
    where: tuple[Condition, ...]
    k: int

    @classmethod
    def of(
        cls,
        text: str | None,
        image: ImageQuery | None,
        case: str | None,
        weights: Mapping[str, float] | None,
        where: Where,
        k: int,
    ) -> Question:
        """Check what was asked.

        Raises
        ------
        QueryError
            Where there is nothing to look for, or a part makes no sense.
        ConditionError
            Where a condition cannot be understood.
        """
        words = None if text is None else _text(text)
        scan = image if isinstance(image, Scan) else None
        files = () if image is None or isinstance(image, Scan) else _files(image)
        if case is not None and (not isinstance(case, str) or not case.strip()):
            raise QueryError("an empty case id")
        given = {"text": words, "image": scan or files or None, "case": case}
        parts = [name for name in _PARTS if given[name] is not None]
        if not parts:
            raise QueryError(
                "nothing to look for", hint="give a text, an image, a case, or several of them"
            )
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise QueryError("the number of hits asked for is a whole number from 1 on")
        asked = [where] if isinstance(where, str | Condition) else list(where or ())
        conditions = tuple(parse_condition(c) if isinstance(c, str) else c for c in asked)
        return cls(words, files, scan, case, _weights(weights, parts), conditions, int(k))

    @property
    def parts(self) -> tuple[str, ...]:
        """Those of ``"text"``, ``"image"``, ``"case"`` that are asked by."""
        return tuple(self.weights)

    def to_json(self) -> dict[str, Any]:
        """Give the question as plain data; parts that are not asked by are null."""
        image: str | list[str] | None = None
        if self.files:
            names = [str(path) for path in self.files]
            image = names[0] if len(names) == 1 else names
        elif self.scan is not None:
            image = "scan"
        return {
            "text": self.text,
            "image": image,
            "case": self.case,
            "weights": dict(self.weights),
            "where": [_condition(c) for c in self.where],
            "k": self.k,
        }


def _text(text: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise QueryError("an empty text has nothing to look for")
    if len(text) > MOST_CHARACTERS:
        raise QueryError(
            f"a text of {len(text)} characters; at most {MOST_CHARACTERS} are read",
            hint="give the findings or the impression only",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise QueryError("a text that is not valid Unicode") from None
    return text.replace("\x00", " ").strip()


def _files(image: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    given = [image] if isinstance(image, str | Path) else list(image)
    files = tuple(Path(path) for path in given)
    if not files or not all(str(path) for path in given):
        raise QueryError("no file given for the image")
    for path in files:
        if not path.exists():
            raise QueryError("there is no such file", where="image", hint="check its path")
    return files


def _weights(weights: Mapping[str, float] | None, parts: list[str]) -> dict[str, float]:
    if weights is None:
        return {name: 1 / len(parts) for name in parts}
    unknown = sorted(set(weights) - set(_PARTS))
    if unknown:
        raise QueryError("a weight for something else than text, image or case", where="weights")
    if set(weights) != set(parts):
        raise QueryError(
            f"weights are for {', '.join(sorted(weights)) or 'nothing'}, "
            f"the query has {', '.join(parts)}",
            where="weights",
            hint="give one for each part of the query",
        )
    values = {}
    for name in parts:
        value = weights[name]
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise QueryError("a weight that is not a number", where="weights")
        if not math.isfinite(value) or value < 0:
            raise QueryError("a weight that is not a finite number from 0 on", where="weights")
        values[name] = float(value)
    total = sum(values.values())
    if total <= 0 or not math.isfinite(total):
        raise QueryError("weights that do not sum to more than 0", where="weights")
    return {name: value / total for name, value in values.items()}


def _condition(condition: Condition) -> str:
    values = ",".join("unknown" if v is None else f"{v}" for v in condition.values)
    gap = " " if condition.op.isalpha() or " " in condition.op else ""
    return f"{condition.field}{gap}{condition.op}{gap}{values}"
