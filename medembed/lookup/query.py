"""The noun :class:`Query`, checked before anything is read or computed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import numpy.typing as npt

from medembed.embeddings import unit_rows
from medembed.errors import QueryError
from medembed.library import Condition, parse_condition
from medembed.lookup.given import ImageQuery, as_images, as_vector
from medembed.lookup.marked_region import MarkedRegions, Region, regions_of
from medembed.scans import Scan

__all__ = [
    "LIKE_WEIGHT",
    "MOST_CHARACTERS",
    "UNLIKE_WEIGHT",
    "Against",
    "CaseIds",
    "ImageQuery",
    "Part",
    "Query",
    "Texts",
    "Where",
]

Where: TypeAlias = str | Condition | Iterable[str | Condition] | None

MOST_CHARACTERS = 20_000
"""A longer text is refused: it is not a report, and no model reads that far."""

Vectors = npt.NDArray[np.float32]

_OPPOSED = 1e-3
_KINDS = ("text", "image", "case", "vector")
_MOST_PARTS = 20
_MOST_MARKS = 100

PartKind: TypeAlias = Literal["text", "image", "case", "vector"]
Against: TypeAlias = Literal["scans", "notes", "both"]
Texts: TypeAlias = str | Sequence[str] | None
CaseIds: TypeAlias = str | Collection[str] | None

LIKE_WEIGHT, UNLIKE_WEIGHT = 0.75, 0.15
"""Of the mean of the cases marked as like and unlike, beside 1 for the query itself.

C. D. Manning, P. Raghavan and H. Schütze, "Introduction to Information Retrieval", 2008, section
9.1.1, names these values for the rule of J. J. Rocchio, "Relevance feedback in information
retrieval", 1971: wanted cases should count more than unwanted ones.
"""


@dataclass(frozen=True, eq=False)
class Part:
    """One of the things that a query consists of.

    Parameters
    ----------
    name : str
        Its kind; the second text is ``text2``.
    kind : {"text", "image", "case", "vector"}
    text : str
        Stripped; never blank for a text.
    files : tuple of Path
        Files of an image; empty if it is a Scan.
    scan : Scan or None
    case : str
        Id of a case.
    vector : float32 array, shape ``(d,)``, or None
        Of length 1, made by the model whose vectors are searched.
    region : Region or None
        The part of an image or a case that counts; None for all of it.
    """

    name: str
    kind: PartKind
    text: str = field(default="", repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)
    scan: Scan | None = None
    case: str = ""
    vector: Vectors | None = field(default=None, repr=False)
    region: Region | None = None


@dataclass(frozen=True, eq=False)
class Query:
    """A search, valid once constructed by :meth:`of`.

    Parameters
    ----------
    inputs : tuple of Part
        Texts, images, cases and vector; empty if only :attr:`like` is given.
    weights : mapping of str to float
        One for each part by its name; they sum to 1.
    where : tuple of Condition
    k : int
    against : {"scans", "notes", "both"}
        The vectors of the cases that are compared.
    like, unlike : tuple of str
        Ids of cases that the hits should resemble or not.
    """

    inputs: tuple[Part, ...]
    weights: Mapping[str, float]
    where: tuple[Condition, ...]
    k: int
    against: Against = "scans"
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        text: Texts = None,
        image: ImageQuery | None = None,
        case: CaseIds = None,
        weights: Mapping[str, float] | None = None,
        where: Where = None,
        k: int = 10,
        vector: npt.ArrayLike | None = None,
        *,
        against: str = "scans",
        like: CaseIds = None,
        unlike: CaseIds = None,
        region: MarkedRegions = None,
    ) -> Query:
        """Check and normalize the arguments of a search.

        Raises
        ------
        QueryError
            If there is no query, or a part of it is not valid.
        ConditionError
            If a condition cannot be parsed.
        """
        given: dict[PartKind, list[dict[str, Any]]] = {
            "text": [{"text": _text(one)} for one in _listed(text)],
            "image": [
                {"scan": scan, "files": files}
                for scan, files in ([] if image is None else as_images(image))
            ],
            "case": [{"case": one} for one in _case_ids(case)],
            "vector": [] if vector is None else [{"vector": as_vector(vector)}],
        }
        inputs = tuple(
            Part(kind if at == 0 else f"{kind}{at + 1}", kind, **values)
            for kind, several in given.items()
            for at, values in enumerate(several)
        )
        regions = regions_of(region, [p.name for p in inputs if p.kind in ("image", "case")])
        inputs = tuple(replace(part, region=regions.get(part.name)) for part in inputs)
        wanted, unwanted = _marks(like, unlike)
        if not inputs and not wanted:
            raise QueryError(
                "nothing to search for",
                hint="give a text, an image, a case, a vector, or several of them",
            )
        if len(inputs) > _MOST_PARTS:
            raise QueryError(f"the query has too many parts; the limit is {_MOST_PARTS}")
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise QueryError("the number of hits must be a whole number of at least 1")
        if against not in get_args(Against):
            raise QueryError(
                "a query is compared with scans, notes or both", where="against", hint="scans"
            )
        listed = [where] if isinstance(where, str | Condition) else list(where or ())
        conditions = tuple(parse_condition(c) if isinstance(c, str) else c for c in listed)
        return cls(
            inputs,
            _weights(weights, [part.name for part in inputs]),
            conditions,
            int(k),
            cast(Against, against),
            wanted,
            unwanted,
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of :attr:`inputs`: ``text``, ``text2``, ``image``, ``case``, ``vector``."""
        return tuple(self.weights)

    def of_kind(self, kind: PartKind) -> tuple[Part, ...]:
        """Return the parts of one kind."""
        return tuple(part for part in self.inputs if part.kind == kind)

    @property
    def regions(self) -> dict[str, Region]:
        """The region of each image or case in which one was marked, by the name of the part."""
        return {part.name: part.region for part in self.inputs if part.region is not None}

    @property
    def text(self) -> str | None:
        """The first text; None without one."""
        return next((part.text for part in self.of_kind("text")), None)

    @property
    def vector(self) -> Vectors | None:
        """The vector given; None without one."""
        return next((part.vector for part in self.of_kind("vector")), None)

    @property
    def marked(self) -> tuple[str, ...]:
        """Cases marked as like or unlike."""
        return (*self.like, *self.unlike)

    def mixed(
        self, vectors: Mapping[str, Vectors], marks: Mapping[str, Vectors] | None = None
    ) -> Vectors:
        """Combine vectors ``(d,)`` of the parts into one unit vector ``(1, d)``.

        Without marks, its cosines rank cases exactly as the weighted sum of the parts' cosines.

        Parameters
        ----------
        vectors : mapping of str to float32 array
            Of each part, by its name.
        marks : mapping of str to float32 array, optional
            Of each case marked as like or unlike, by its id.

        Raises
        ------
        QueryError
            If the parts differ in dimensions or cancel each other out.
        """
        total = self.total(vectors, marks or {})
        if np.linalg.norm(total) < _OPPOSED:
            raise QueryError(
                "the parts of the query cancel each other out", hint="choose other weights"
            )
        return unit_rows(total)

    def total(
        self, vectors: Mapping[str, Vectors], marks: Mapping[str, Vectors]
    ) -> npt.NDArray[np.float64]:
        """Add vectors of the parts and marks, each ``(d,)`` or ``(n, d)``, to ``(n, d)``.

        Raises
        ------
        QueryError
            If the parts differ in dimensions.
        """
        given = (*vectors.values(), *marks.values())
        if len({vector.shape[-1] for vector in given}) != 1:
            raise QueryError("the parts of the query have vectors of different dimensions")
        total = np.zeros((1, given[0].shape[-1]), dtype=np.float64)
        for name, vector in vectors.items():
            total = total + self.weights[name] * vector.astype(np.float64)
        if vectors and marks:  # the coefficients are those of a query of length 1
            lengths = np.linalg.norm(total, axis=1, keepdims=True)
            total /= np.where(lengths < _OPPOSED, 1.0, lengths)
        for names, weight in ((self.like, LIKE_WEIGHT), (self.unlike, -UNLIKE_WEIGHT)):
            if names and marks:
                total += weight * np.mean([marks[name] for name in names], axis=0, dtype=np.float64)
        return total

    def to_json(self) -> dict[str, Any]:
        """Return plain data; parts that the query lacks are null, several a list."""

        def shown(kind: PartKind) -> Any:
            values = [_shown(part) for part in self.of_kind(kind)]
            return values[0] if len(values) == 1 else values or None

        return {
            "text": shown("text"),
            "image": shown("image"),
            "case": shown("case"),
            "vector": shown("vector"),
            "region": {name: one.to_json() for name, one in self.regions.items()} or None,
            "weights": dict(self.weights),
            "where": [_condition(c) for c in self.where],
            "k": self.k,
            "against": self.against,
            "like": list(self.like),
            "unlike": list(self.unlike),
        }


def _shown(part: Part) -> Any:
    if part.kind == "text":
        return part.text
    if part.kind == "image":
        names = [str(path) for path in part.files]
        return names[0] if len(names) == 1 else names or "scan"
    return part.case if part.vector is None else len(part.vector)


def _listed(text: Texts) -> list[str]:
    return [text] if isinstance(text, str) else [] if text is None else _sequence(text, "text")


def _sequence(given: Collection[str], where: str) -> list[str]:
    if not isinstance(given, Collection) or isinstance(given, Mapping | bytes):
        raise QueryError(f"a {where} must be given as text", where=where)
    if not given:
        raise QueryError(f"the list of {where}s is empty", where=where)
    return list(given)


def _case_ids(given: CaseIds, where: str = "case") -> tuple[str, ...]:
    if given is None:
        return ()
    names = [given] if isinstance(given, str) else _sequence(given, where)
    if any(not isinstance(name, str) or not name.strip() for name in names):
        raise QueryError("the case id is empty", where=None if where == "case" else where)
    return tuple(dict.fromkeys(names))


def _marks(like: CaseIds, unlike: CaseIds) -> tuple[tuple[str, ...], tuple[str, ...]]:
    wanted = _case_ids(like, "like") if like else ()
    unwanted = _case_ids(unlike, "unlike") if unlike else ()
    if set(wanted) & set(unwanted):
        raise QueryError("a case is marked both as like and as unlike", where="unlike")
    if len(wanted) + len(unwanted) > _MOST_MARKS:
        raise QueryError(f"at most {_MOST_MARKS} cases can be marked", where="like")
    return wanted, unwanted


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
    if not parts:
        if weights:
            raise QueryError("the query has no parts to weight", where="weights")
        return {}
    if weights is None:
        return {name: 1 / len(parts) for name in parts}
    if any(str(name).rstrip("0123456789") not in _KINDS for name in weights):
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
