"""A region that a reader marked in an image of the query."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from medembed.errors import QueryError

__all__ = ["MarkedRegions", "Region", "regions_of"]

_ROUNDING = 1e-6
"""A page computes fractions from pixels: this much beyond an edge is the edge."""
_ENDS = ("top", "left", "bottom", "right")
_COUNTED = ("slice", "image")
_HINT = "give top,left,bottom,right as fractions of the image, such as 0.1,0.2,0.4,0.5"


@dataclass(frozen=True)
class Region:
    """A box in an image of the query, in fractions of the image as it is displayed.

    Parameters
    ----------
    top, left, bottom, right : float
        0 to 1, from the upper left corner of the whole image.
    slice : int, optional
        The slice of a volume, from 1. Default: all slices.
    image : int
        The image of a case with several, from 1.

    Raises
    ------
    QueryError
        If it lies outside the image, or is empty.

    Examples
    --------
    >>> str(Region(0.1, 0.2, 0.4, 0.5, slice=30))
    '0.1,0.2,0.4,0.5,slice=30'
    >>> Region.parse("0.1,0.2,0.4,0.5,slice=30").slice
    30
    """

    top: float
    left: float
    bottom: float
    right: float
    slice: int | None = None
    image: int = 1

    def __post_init__(self) -> None:
        for name in _ENDS:
            object.__setattr__(self, name, _fraction(getattr(self, name)))
        if self.top >= self.bottom or self.left >= self.right:
            raise QueryError(
                "the region is empty: top must be less than bottom, and left less than right",
                where="region",
                hint=_HINT,
            )
        for name in _COUNTED:
            object.__setattr__(self, name, _counted(name, getattr(self, name)))
        if self.image is None:
            raise QueryError("the image of a region is a whole number", where="region")

    @classmethod
    def of(cls, given: Region | str | Sequence[float]) -> Region:
        """Return the region that is given as such, as text, or as four numbers.

        Raises
        ------
        QueryError
            If it is not one.
        """
        if isinstance(given, Region):
            return given
        if isinstance(given, str):
            return cls.parse(given)
        ends = tuple(given) if isinstance(given, Iterable) else ()
        if len(ends) != len(_ENDS):
            raise QueryError("a region has four ends", where="region", hint=_HINT)
        top, left, bottom, right = ends
        return cls(top, left, bottom, right)

    @classmethod
    def parse(cls, text: str) -> Region:
        """Read a region as ``str`` writes it: ``0.1,0.2,0.4,0.5,slice=30,image=2``.

        Raises
        ------
        QueryError
            If it is not one.
        """
        numbers = [part.strip() for part in text.split(",") if "=" not in part]
        pairs = (part.split("=", 1) for part in text.split(",") if "=" in part)
        named = {name.strip(): value for name, value in pairs}
        if len(numbers) != len(_ENDS) or not set(named) <= set(_COUNTED):
            raise QueryError("a region has four ends", where="region", hint=_HINT)
        try:
            top, left, bottom, right = (float(number) for number in numbers)
            at = int(named["slice"]) if "slice" in named else None
            image = int(named.get("image", 1))
        except ValueError:
            raise QueryError("a region consists of numbers", where="region", hint=_HINT) from None
        return cls(top, left, bottom, right, at, image)

    def __str__(self) -> str:
        parts = [f"{getattr(self, name):.6g}" for name in _ENDS]
        if self.slice is not None:
            parts.append(f"slice={self.slice}")
        if self.image != 1:
            parts.append(f"image={self.image}")
        return ",".join(parts)

    @property
    def is_whole(self) -> bool:
        """Whether the box is that of the whole image."""
        return (self.top, self.left, self.bottom, self.right) == (0, 0, 1, 1)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {name: getattr(self, name) for name in (*_ENDS, *_COUNTED)}


MarkedRegions: TypeAlias = (
    "Region | str | Sequence[float] | Mapping[str, Region | str | Sequence[float]] | None"
)


def regions_of(given: MarkedRegions, parts: Sequence[str]) -> dict[str, Region]:
    """Return the region of each part of a query in which one was marked.

    Parameters
    ----------
    given : Region, text, four numbers, mapping, or None
        One region belongs to the only image or case; with several, a mapping by their names.
    parts : sequence of str
        Names of the query's images and cases.

    Raises
    ------
    QueryError
        If a region is not valid, or belongs to nothing.
    """
    if given is None or (isinstance(given, Mapping) and not given):
        return {}
    if isinstance(given, Mapping):
        found = {str(name): Region.of(one) for name, one in given.items()}
    elif len(parts) > 1:
        raise QueryError(
            f"the query has several images, and a region belongs to one: {', '.join(parts)}",
            where="region",
            hint=f'name it, for example {{"{parts[0]}": region}}, or {parts[0]}:0.1,0.2,0.4,0.5',
        )
    else:
        found = {(parts[0] if parts else "image"): Region.of(given)}
    unknown = [name for name in found if name not in parts]
    if unknown:
        raise QueryError(
            "a region needs an image or a case, in which it was marked"
            if not parts
            else f"a region belongs to an image or a case of the query: {', '.join(parts)}",
            where="region",
        )
    return found


def _counted(name: str, value: object) -> int | None:
    if value is None:
        return None
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise QueryError(f"the {name} of a region is a whole number", where="region")
    if number < 1:
        raise QueryError(f"the {name} of a region is counted from 1", where="region")
    return number


def _fraction(value: object) -> float:
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise QueryError("an end of the region is not a number", where="region", hint=_HINT)
    if not -_ROUNDING <= number <= 1 + _ROUNDING:
        raise QueryError("the region lies outside the image", where="region", hint=_HINT)
    return min(1.0, max(0.0, number))
