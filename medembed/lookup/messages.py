"""The answer of the novelty check and its text. Programs read the enums, people read the text."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from medembed.lookup.conformal import ALPHA

__all__ = [
    "Novelty",
    "NoveltyReason",
    "novelty_line",
]


class Novelty(StrEnum):
    """Is there anything like the query in the library?"""

    UNLIKE = "unlike"
    LIKE = "like"
    CANNOT_TELL = "cannot tell"


class NoveltyReason(StrEnum):
    """Why :attr:`Novelty.CANNOT_TELL`; NONE if the check gave an answer."""

    NONE = ""
    NOT_CALIBRATED = "not calibrated"
    FEW_CASES = "few cases"
    NO_WORDS = "no words"
    NO_OTHER_PATIENTS = "nobody else"
    UNREADABLE = "image not readable"
    VECTOR = "vector"
    MARKS = "marks only"


_CANNOT_TELL: dict[NoveltyReason, str] = {
    NoveltyReason.NONE: "novelty was not checked",
    NoveltyReason.NOT_CALIBRATED: (
        "no novelty check: the library is not calibrated (run medembed index LIBRARY)"
    ),
    NoveltyReason.FEW_CASES: "no novelty check: too few patients in the library to calibrate it",
    NoveltyReason.NO_WORDS: "no novelty check: the text has no words to look up",
    NoveltyReason.NO_OTHER_PATIENTS: "no novelty check: no other patients to compare with",
    NoveltyReason.UNREADABLE: (
        "no novelty check: the image is new or could not be read at the last calibration "
        "(run medembed index LIBRARY)"
    ),
    NoveltyReason.VECTOR: "no novelty check: a vector may be of an image or of a text",
    NoveltyReason.MARKS: "no novelty check: the marked cases are the library's own",
}


def novelty_line(
    state: Novelty,
    reason: NoveltyReason,
    p_value: float | None,
    is_stale: bool,
    instead: Sequence[str] = (),
) -> str:
    """Describe whether the library holds anything like a query."""
    if state is Novelty.CANNOT_TELL or p_value is None:
        return _CANNOT_TELL[reason]
    unusual = f"{p_value:.1%} of its own cases are at least as unusual"
    stale = (
        "; calibrated before the library changed, run medembed index LIBRARY" if is_stale else ""
    )
    if state is Novelty.UNLIKE:
        return (
            f"unlike anything in the library ({unusual}; up to {ALPHA:.0%} counts as unlike{stale})"
        )
    like = f"{p_value:.1%} of them are at least as unusual"
    words = (
        f"; its reports do not use these words, but state: {', '.join(instead)}" if instead else ""
    )
    return f"like the library's own cases ({like}{words}{stale})"
