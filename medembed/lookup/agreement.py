"""Agreement of a case's statements with one term of a query, from -1 to 1.

What a report states about one finding is kept as bits in one byte, so the agreement of every case
with a term is one look-up in a table of 256 values. The values order what a reader would order:
for a denied finding, a report that denies it comes before one that does not mention it, that before
one in doubt, and that before one that states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from medembed.lookup.terms import Term
from medembed.notes import Side
from medembed.notes.degrees import Degree

__all__ = [
    "DEGREES",
    "NO_REPORT",
    "STATEMENT_BITS",
    "age_agreement",
    "degree_factors",
    "finding_table",
]

Floats = npt.NDArray[np.float32]

_LEFT, _RIGHT, _SOMEWHERE = 1, 2, 4
_UNCERTAIN = 8
_NOT_LEFT, _NOT_RIGHT = 16, 32
NO_REPORT = 128
"""A case without a report states nothing: its agreement with a finding is 0."""

_PRESENT: dict[str, int] = {
    "left": _LEFT, "right": _RIGHT, "bilateral": _LEFT | _RIGHT, "": _SOMEWHERE
}  # fmt: skip
_ABSENT: dict[str, int] = {
    "left": _NOT_LEFT,
    "right": _NOT_RIGHT,
    "bilateral": _NOT_LEFT | _NOT_RIGHT,
    "": _NOT_LEFT | _NOT_RIGHT,
}

_YEARS = 15.0
"""An age this far from the one asked for agrees 0; twice as far, -1."""

DEGREES: tuple[Degree, ...] = ("", "mild", "moderate", "severe")
_OTHER_DEGREE = (1.0, 0.6, 0.3)
"""Share of the agreement that is left for the same, the next, and the opposite degree."""
_NO_DEGREE = 0.75


STATEMENT_BITS: Mapping[tuple[str, str], int] = MappingProxyType(
    {("present", side): bits for side, bits in _PRESENT.items()}
    | {("absent", side): bits for side, bits in _ABSENT.items()}
    | {("uncertain", side): _UNCERTAIN for side in _PRESENT}
)
"""Bits of one assertion, by status and side; those of several are combined by OR."""


@lru_cache(maxsize=1024)
def finding_table(term: Term) -> Floats:
    """Return the agreement with a finding term for each of the 256 combinations of bits."""
    table = np.array([_agreement(bits, term) for bits in range(256)], dtype=np.float32)
    table.flags.writeable = False
    return table


def _agreement(bits: int, term: Term) -> float:
    if bits & NO_REPORT:
        return 0.0
    if term.status == "absent":
        return _denied(bits, term.side)
    if term.status == "uncertain":
        return 1.0 if bits & _UNCERTAIN else 0.5 * _stated(bits, term.side)
    return _stated(bits, term.side)


def _stated(bits: int, side: Side) -> float:
    present = bits & (_LEFT | _RIGHT | _SOMEWHERE)
    if present:
        sided = present & (_LEFT | _RIGHT)
        if not side:
            return 1.0
        if not sided:
            return 0.5
        if side == "bilateral":
            return 1.0 if sided == _PRESENT["bilateral"] else 0.25
        return 1.0 if sided & _PRESENT[side] else -0.25
    if bits & _UNCERTAIN:
        return 0.25
    if _is_denied(bits, side):
        return -1.0
    return -0.5


def _denied(bits: int, side: Side) -> float:
    present = bits & (_LEFT | _RIGHT | _SOMEWHERE)
    sided = present & (_LEFT | _RIGHT)
    if present and (not side or side == "bilateral" or sided & _PRESENT[side]):
        return -1.0
    if present & _SOMEWHERE:
        return -0.75
    if bits & _UNCERTAIN:
        return -0.5
    if _is_denied(bits, side):
        return 1.0
    return 0.5


def _is_denied(bits: int, side: Side) -> bool:
    """Whether the finding is denied on this side; without one, on both."""
    wanted = _ABSENT[side]
    return bits & wanted == wanted


def degree_factors(wanted: Degree) -> Floats:
    """Return the share of the agreement that is left for each of :data:`DEGREES`."""
    place = DEGREES.index(wanted)
    return np.array(
        [_NO_DEGREE, *(_OTHER_DEGREE[abs(place - other)] for other in (1, 2, 3))], dtype=np.float32
    )


def age_agreement(ages: Floats, years: tuple[float, float]) -> Floats:
    """Return the agreement of ages (NaN is unknown) with a range of years."""
    distance = np.maximum(np.maximum(years[0] - ages, ages - years[1]), 0)
    agreement: Floats = np.clip(1 - distance / _YEARS, -1, 1).astype(np.float32)
    return np.where(np.isnan(ages), np.float32(0), agreement)
