"""The noun :class:`Query`, checked before anything is read or computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from medembed.embeddings import unit_rows
from medembed.errors import QueryError
from medembed.library import Condition, parse_condition
from medembed.lookup.given import ImageQuery, as_image, as_vector
from medembed.scans import Scan

__all__ = ["MOST_CHARACTERS", "ImageQuery", "Query", "Where"]

Where: TypeAlias = str | Condition | Iterable[str | Condition] | None

MOST_CHARACTERS = 20_000
"""A longer text is refused: it is not a report, and no model reads that far."""

Vectors = npt.NDArray[np.float32]

_OPPOSED = 1e-3
_PARTS = ("text", "image", "case", "vector")


@dataclass(frozen=True, eq=False)
class Query:
    """A search, valid once constructed by :meth:`of`.

    Parameters
    ----------
    text : str or None
        Stripped; never blank.
    files : tuple of Path
        Files of the image; empty if there is no image or it is a Scan.
    scan : Scan or None
    case : str or None
    vector : float32 array, shape ``(d,)``, or None
        Of length 1, made by the model whose vectors are searched.
    weights : mapping of str to float
        One for each part of the query; they sum to 1.
    where : tuple of Condition
    k : int
    """

    text: str | None = field(repr=False)
    files: tuple[Path, ...] = field(repr=False)
    scan: Scan | None
    case: str | None
    vector: npt.NDArray[np.float32] | None = field(repr=False)
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
        vector: npt.ArrayLike | None = None,
    ) -> Query:
        """Check and normalize the arguments of a search.

        Raises
        ------
        QueryError
            If there is no query, or a part of it is not valid.
        ConditionError
            If a condition cannot be parsed.
        """
        words = None if text is None else _text(text)
        scan, files = (None, ()) if image is None else as_image(image)
        row = None if vector is None else as_vector(vector)
        if case is not None and (not isinstance(case, str) or not case.strip()):
            raise QueryError("the case id is empty")
        given = {"text": words, "image": scan or files or None, "case": case, "vector": row}
        parts = [name for name in _PARTS if given[name] is not None]
        if not parts:
            raise QueryError(
                "nothing to search for",
                hint="give a text, an image, a case, a vector, or several of them",
            )
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise QueryError("the number of hits must be a whole number of at least 1")
        listed = [where] if isinstance(where, str | Condition) else list(where or ())
        conditions = tuple(parse_condition(c) if isinstance(c, str) else c for c in listed)
        return cls(words, files, scan, case, row, _weights(weights, parts), conditions, int(k))

    @property
    def parts(self) -> tuple[str, ...]:
        """Those of ``text``, ``image``, ``case``, ``vector`` that the query has."""
        return tuple(self.weights)

    def mixed(self, vectors: Mapping[str, Vectors]) -> Vectors:
        """Combine vectors ``(d,)`` of the parts into one unit vector ``(1, d)``.

        Its cosines rank cases exactly as the weighted sum of the parts' cosines.

        Raises
        ------
        QueryError
            If the parts differ in dimensions or cancel each other out.
        """
        if len({vector.shape for vector in vectors.values()}) != 1:
            raise QueryError("the parts of the query have vectors of different dimensions")
        total = np.zeros(next(iter(vectors.values())).shape, dtype=np.float64)
        for name, vector in vectors.items():
            total += self.weights[name] * vector.astype(np.float64)
        if np.linalg.norm(total) < _OPPOSED:
            raise QueryError(
                "the parts of the query cancel each other out", hint="choose other weights"
            )
        return unit_rows(total[np.newaxis])

    def to_json(self) -> dict[str, Any]:
        """Return plain data; parts that the query lacks are null."""
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
            "vector": None if self.vector is None else len(self.vector),
            "weights": dict(self.weights),
            "where": [_condition(c) for c in self.where],
            "k": self.k,
        }


def _text(text: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise QueryError("the query text is empty")
    if len(text) > MOST_CHARACTERS:
        raise QueryError(
            f"the query text has {len(text)} characters; the limit is {MOST_CHARACTERS}",
            hint="use only the findings or the impression",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise QueryError("the query text is not valid Unicode") from None
    return text.replace("\x00", " ").strip()


def _weights(weights: Mapping[str, float] | None, parts: list[str]) -> dict[str, float]:
    if weights is None:
        return {name: 1 / len(parts) for name in parts}
    unknown = sorted(set(weights) - set(_PARTS))
    if unknown:
        raise QueryError("weights are for text, image, case and vector only", where="weights")
    if set(weights) != set(parts):
        raise QueryError(
            f"weights given for {', '.join(sorted(weights)) or 'nothing'}, but "
            f"the query has {', '.join(parts)}",
            where="weights",
            hint="give one weight for each part of the query",
        )
    values = {}
    for name in parts:
        value = weights[name]
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise QueryError("a weight is not a number", where="weights")
        if not math.isfinite(value) or value < 0:
            raise QueryError("a weight is negative or not finite", where="weights")
        values[name] = float(value)
    total = sum(values.values())
    if total <= 0 or not math.isfinite(total):
        raise QueryError("the weights are all 0", where="weights")
    return {name: value / total for name, value in values.items()}


def _condition(condition: Condition) -> str:
    values = ",".join("unknown" if v is None else f"{v}" for v in condition.values)
    gap = " " if condition.op.isalpha() or " " in condition.op else ""
    return f"{condition.field}{gap}{condition.op}{gap}{values}"
