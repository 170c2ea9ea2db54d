"""The noun :class:`QueryState`: everything that a reader asked for, and its form in the address.

A state is plain data. An uploaded image has no place in an address, and neither has a text that
may name a patient: each stands there as a token, for which only the browser that gave it gets it
back (:mod:`apps.case_lookup.held_queries`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Any

from medembed.library import Condition
from medembed.lookup.query import MOST_CHARACTERS

__all__ = [
    "AGES",
    "FILTER_LISTS",
    "KEYS",
    "MOST_HITS",
    "USUAL_SHARE",
    "Filters",
    "QueryState",
    "Refinement",
    "RefinementKind",
]

AGES = (0, 100)
FILTER_LISTS = ("modality", "view", "sex", "site", "finding")
"""Filters with any number of values."""

_FEWEST_HITS, MOST_HITS, _HITS = 5, 50, 10
USUAL_SHARE = 50
"""Percent of an image beside words."""

_MOST_MARKS = 50
_LONGEST_NAME = 200
_MOST_VALUES = 50

KEYS = frozenset(
    {
        *("words", "typed", "image", "region", "similar", "like", "unlike", "leave", "weight"),
        *(*FILTER_LISTS, "age", "from", "to", "k", "patients"),
    }
)
"""Names in an address that belong to the query."""


class RefinementKind(StrEnum):
    """What a line of the list of refinements is about."""

    WORDS = "words"
    IMAGE = "image"
    REGION = "region"
    SIMILAR = "similar"
    LIKE = "like"
    UNLIKE = "unlike"
    LEFT_OUT = "left-out"
    WEIGHT = "weight"
    FILTER = "filter"
    ONE_PER_PATIENT = "one-per-patient"


@dataclass(frozen=True)
class Refinement:
    """One line of what was asked for, which can be taken away by itself.

    Parameters
    ----------
    kind : RefinementKind
    value : str
        Words, id of a case, name of a term, region, or percent.
    condition : Condition or None
        Of a filter.
    """

    kind: RefinementKind
    value: str = ""
    condition: Condition | None = None


@dataclass(frozen=True)
class Filters:
    """The filters, as the sidebar has them.

    Parameters
    ----------
    modality, view, sex, site : tuple of str
        Any of these; empty allows all.
    finding : tuple of str
        All of these; ``"label"`` or ``"label:side"``.
    age : (int, int)
        In years; at :data:`AGES`, an end is open.
    date_from, date_to : date or None
    """

    modality: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    sex: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    finding: tuple[str, ...] = ()
    age: tuple[int, int] = AGES
    date_from: date | None = None
    date_to: date | None = None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions of a search; all must hold."""
        found = [
            Condition(name, "in", getattr(self, name))
            for name in ("modality", "view", "sex")
            if getattr(self, name)
        ]
        found += [Condition("finding", "=", (name,)) for name in self.finding]
        low, high = self.age
        found += [Condition("age", ">=", (float(low),))] if low > AGES[0] else []
        found += [Condition("age", "<=", (float(high),))] if high < AGES[1] else []
        if self.date_from:
            found.append(Condition("date", ">=", (self.date_from.isoformat(),)))
        if self.date_to:
            found.append(Condition("date", "<=", (self.date_to.isoformat(),)))
        if self.site:
            found.append(Condition("site", "in", self.site))
        return tuple(found)

    def without(self, condition: Condition) -> Filters:
        """Return the filters without one condition."""
        low, high = self.age
        match condition.field, condition.op:
            case "age", ">=":
                return replace(self, age=(AGES[0], high))
            case "age", _:
                return replace(self, age=(low, AGES[1]))
            case "date", ">=":
                return replace(self, date_from=None)
            case "date", _:
                return replace(self, date_to=None)
            case "finding", _:
                kept = tuple(name for name in self.finding if name not in condition.values)
                return replace(self, finding=kept)
            case name, _:
                return self.choosing(name, ()) if name in FILTER_LISTS else self

    def choosing(self, name: str, values: tuple[str, ...]) -> Filters:
        """Return the filters with other values of one of :data:`FILTER_LISTS`."""
        given: dict[str, Any] = {name: values}
        return replace(self, **given)


@dataclass(frozen=True)
class QueryState:
    """A query with its refinements.

    Parameters
    ----------
    words : str
    typed : str
        Token of the words in the address if they may not stand there themselves. With a token and
        no words, they are gone.
    image : str
        Token of the uploaded image.
    region : str
        Part of the image that counts: ``"top,left,bottom,right"`` as fractions, with
        ``",slice=30"`` for a slice.
    similar : str
        Id of the case that is the query.
    like, unlike : tuple of str
        Cases marked as more or less like what is sought.
    leave : tuple of str
        Terms of the words that do not count.
    share : int
        Percent of the image (or case) in a query that has words, too.
    filters : Filters
    k : int
        Hits to show.
    one_per_patient : bool
        Whether only the best case of each patient is a hit.
    """

    words: str = ""
    typed: str = ""
    image: str = ""
    region: str = ""
    similar: str = ""
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    share: int = USUAL_SHARE
    filters: Filters = field(default_factory=Filters)
    k: int = _HITS
    one_per_patient: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to search for; cases marked as unlike alone are nothing."""
        return not (self.words or self.typed or self.image or self.similar or self.like)

    @property
    def is_mixed(self) -> bool:
        """Whether there are words and an image (or case), which have weights."""
        return bool((self.words or self.typed) and (self.image or self.similar))

    def saying(self, words: str, typed: str = "") -> QueryState:
        """Return the state with other words; all of their terms count."""
        return replace(self, words=words, typed=typed, leave=())

    def of_image(self, token: str) -> QueryState:
        """Return the state with another image, in place of a case and of a region."""
        return replace(self, image=token, region="", similar="" if token else self.similar)

    def of_case(self, case_id: str) -> QueryState:
        """Return a query by this case alone; the filters stay."""
        return QueryState(
            similar=case_id, filters=self.filters, k=self.k, one_per_patient=self.one_per_patient
        )

    def marking(self, case_id: str, more: bool) -> QueryState:
        """Return the state with a case marked: the query stays and the mark is added."""
        like, unlike = _but(self.like, case_id), _but(self.unlike, case_id)
        if len(like) + len(unlike) >= _MOST_MARKS:
            return self
        if more:
            return replace(self, like=(*like, case_id), unlike=unlike)
        return replace(self, like=like, unlike=(*unlike, case_id))

    @property
    def refinements(self) -> tuple[Refinement, ...]:
        """Everything that was asked for, a line each, in the order of a query."""
        kind = RefinementKind
        found = [Refinement(kind.WORDS, self.words)] if self.words or self.typed else []
        found += [Refinement(kind.IMAGE)] if self.image else []
        found += [Refinement(kind.SIMILAR, self.similar)] if self.similar else []
        found += [Refinement(kind.REGION, self.region)] if self.region else []
        found += [Refinement(kind.LIKE, case_id) for case_id in self.like]
        found += [Refinement(kind.UNLIKE, case_id) for case_id in self.unlike]
        found += [Refinement(kind.LEFT_OUT, name) for name in self.leave]
        if self.is_mixed and self.share != USUAL_SHARE:
            found.append(Refinement(kind.WEIGHT, str(self.share)))
        found += [Refinement(kind.FILTER, condition=c) for c in self.filters.conditions]
        found += [Refinement(kind.ONE_PER_PATIENT)] if self.one_per_patient else []
        return tuple(found)

    def without(self, gone: Refinement) -> QueryState:
        """Return the state without one line of :attr:`refinements`."""
        match gone.kind:
            case RefinementKind.WORDS:
                return self.saying("")
            case RefinementKind.IMAGE:
                return replace(self, image="", region="")
            case RefinementKind.SIMILAR:
                return replace(self, similar="", region="")
            case RefinementKind.REGION:
                return replace(self, region="")
            case RefinementKind.LIKE:
                return replace(self, like=_but(self.like, gone.value))
            case RefinementKind.UNLIKE:
                return replace(self, unlike=_but(self.unlike, gone.value))
            case RefinementKind.LEFT_OUT:
                return replace(self, leave=_but(self.leave, gone.value))
            case RefinementKind.WEIGHT:
                return replace(self, share=USUAL_SHARE)
            case RefinementKind.ONE_PER_PATIENT:
                return replace(self, one_per_patient=False)
        if gone.condition is None:
            return self
        return replace(self, filters=self.filters.without(gone.condition))

    def to_address(self) -> dict[str, list[str]]:
        """Return the state as the parts of an address; what is as usual is left out."""
        filters = self.filters
        given: dict[str, Sequence[str]] = {
            "words": [] if self.typed else [self.words],
            "typed": [self.typed],
            "image": [self.image],
            "region": [self.region],
            "similar": [self.similar],
            "like": self.like,
            "unlike": self.unlike,
            "leave": self.leave,
            "weight": [str(self.share)] if self.is_mixed and self.share != USUAL_SHARE else [],
            **{name: getattr(filters, name) for name in FILTER_LISTS},
            "age": [f"{filters.age[0]}-{filters.age[1]}"] if filters.age != AGES else [],
            "from": [filters.date_from.isoformat()] if filters.date_from else [],
            "to": [filters.date_to.isoformat()] if filters.date_to else [],
            "k": [str(self.k)] if self.k != _HITS else [],
            "patients": ["one"] if self.one_per_patient else [],
        }
        return {name: kept for name, values in given.items() if (kept := [v for v in values if v])}

    @classmethod
    def from_address(cls, parts: Mapping[str, Sequence[str]]) -> tuple[QueryState, bool]:
        """Read an address, which may have been typed or cut; also say whether all of it was read.

        Parameters
        ----------
        parts : mapping of str to sequence of str
            Names outside of :data:`KEYS` are not looked at.
        """
        read = _Reading(parts)
        filters = Filters(
            **{name: read.several(name) for name in FILTER_LISTS},
            age=read.ages(),
            date_from=read.day("from"),
            date_to=read.day("to"),
        )
        like = read.several("like")
        unlike = tuple(name for name in read.several("unlike") if name not in like)
        typed = read.one("typed")
        state = cls(
            words="" if typed else read.one("words", MOST_CHARACTERS),
            typed=typed,
            image=(image := read.one("image")),
            region=read.region(),
            similar="" if image else read.one("similar"),
            like=like,
            unlike=unlike,
            leave=read.several("leave"),
            share=read.number("weight", 0, 100, 10, USUAL_SHARE),
            filters=filters,
            k=read.number("k", _FEWEST_HITS, MOST_HITS, 5, _HITS),
            one_per_patient=read.one("patients") == "one",
        )
        if state.region and not (state.image or state.similar):
            state = replace(state, region="")
        if not state.words and not state.typed:
            state = replace(state, leave=())
        return state, read.whole


class _Reading:
    """Reads the values of an address; ``whole`` is false once one of them made no sense."""

    def __init__(self, parts: Mapping[str, Sequence[str]]) -> None:
        self._parts = parts
        self.whole = True

    def several(self, name: str) -> tuple[str, ...]:
        given = [value.strip() for value in self._parts.get(name, ())]
        fine = [value for value in given if value and len(value) <= _LONGEST_NAME]
        self.whole &= len(fine) == len(given) <= _MOST_VALUES
        return tuple(dict.fromkeys(fine[:_MOST_VALUES]))

    def one(self, name: str, longest: int = _LONGEST_NAME) -> str:
        given = self._parts.get(name, ())
        value = given[-1].strip() if given else ""
        if len(value) > longest:
            self.whole = False
            return ""
        return value

    def number(self, name: str, low: int, high: int, step: int, usual: int) -> int:
        given = self.one(name)
        if not given:
            return usual
        number = int(given) if given.isascii() and given.isdigit() and len(given) < 5 else -1
        if not low <= number <= high or number % step:
            self.whole = False
            return usual
        return number

    def ages(self) -> tuple[int, int]:
        given = self.one("age")
        low, dash, high = given.partition("-")
        numbers = [int(part) for part in (low, high) if part.isascii() and part.isdigit()]
        if dash and len(numbers) == 2 and AGES[0] <= numbers[0] <= numbers[1] <= AGES[1]:
            return numbers[0], numbers[1]
        self.whole &= not given
        return AGES

    def day(self, name: str) -> date | None:
        given = self.one(name)
        try:
            return date.fromisoformat(given) if given else None
        except ValueError:
            self.whole = False
            return None

    def region(self) -> str:
        given = self.one("region")
        try:
            ends = [float(part) for part in given.split(",") if "=" not in part] if given else []
        except ValueError:
            ends = []
        if len(ends) == 4 and all(0 <= end <= 1 for end in ends):
            top, left, bottom, right = ends
            if top < bottom and left < right:
                return given
        self.whole &= not given
        return ""


def _but(names: tuple[str, ...], gone: str) -> tuple[str, ...]:
    return tuple(name for name in names if name != gone)
