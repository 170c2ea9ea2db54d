"""Does the library hold images of the query's modality, body part and view at all?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["ArchiveCheck", "Aspect", "CheckState", "check_archive"]


class Aspect(StrEnum):
    """What is compared; the values are fields of a library."""

    MODALITY = "modality"
    BODY_PART = "body_part"
    VIEW = "view"


class CheckState(StrEnum):
    """What a comparison found."""

    HOLDS = "holds"
    LACKS = "lacks"
    NOT_STATED = "not-stated"
    """The query's image does not say."""
    NOT_RECORDED = "not-recorded"
    """The library knows it of none of its cases."""


@dataclass(frozen=True)
class ArchiveCheck:
    """One aspect of the query's image beside the library.

    Parameters
    ----------
    aspect : Aspect
    value : str
        As the image's header has it; empty if it does not say.
    state : CheckState
    n_cases : int
        Of the same value.
    """

    aspect: Aspect
    value: str
    state: CheckState
    n_cases: int = 0


def check_archive(
    image: Mapping[Aspect, str], counts: Callable[[str], Mapping[str, int]]
) -> tuple[ArchiveCheck, ...]:
    """Compare what an image's header says with what the library's cases say.

    Parameters
    ----------
    image : mapping of Aspect to str
        ``"unknown"`` and the empty text count as not stated.
    counts : callable
        Gives the number of cases by value of a field, known values only.
    """
    return tuple(
        _checked(aspect, image.get(aspect, "").strip(), counts(aspect)) for aspect in Aspect
    )


def _checked(aspect: Aspect, value: str, counts: Mapping[str, int]) -> ArchiveCheck:
    if not value or value.casefold() == "unknown":
        return ArchiveCheck(aspect, "", CheckState.NOT_STATED)
    if not counts:
        return ArchiveCheck(aspect, value, CheckState.NOT_RECORDED)
    n = sum(count for name, count in counts.items() if name.casefold() == value.casefold())
    return ArchiveCheck(aspect, value, CheckState.HOLDS if n else CheckState.LACKS, n)
