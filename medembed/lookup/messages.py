"""The novelty of a query and its text. Programs read the enums, people read the text."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "Novelty",
    "NoveltyReason",
    "novelty_line",
]


class Novelty(StrEnum):
    """Answer of the novelty check."""

    NOVEL = "novel"
    FAMILIAR = "familiar"
    UNKNOWN = "unknown"


class NoveltyReason(StrEnum):
    """Why :attr:`Novelty.UNKNOWN`; NONE if the check gave an answer."""

    NONE = ""
    MIXTURE = "mixture"
    FEW_CASES = "few cases"
    SHORT_TEXT = "short text"
    NO_OTHER_PATIENTS = "nobody else"
    VECTOR = "vector"


_UNKNOWN: dict[NoveltyReason, str] = {
    NoveltyReason.NONE: "novelty was not checked",
    NoveltyReason.MIXTURE: "no novelty check for this combination of text and image",
    NoveltyReason.FEW_CASES: "no novelty check: too few cases of other patients in the library",
    NoveltyReason.SHORT_TEXT: "query too short (< {fewest_words} words) for the novelty check",
    NoveltyReason.NO_OTHER_PATIENTS: "no novelty check: no other patients to compare with",
    NoveltyReason.VECTOR: "no novelty check: a vector may be of an image or of a text",
}


def novelty_line(
    state: Novelty,
    reason: NoveltyReason,
    best: float | None,
    threshold: float | None,
    fewest_words: int,
) -> str:
    """Describe whether the library holds cases similar to a query."""
    if state is Novelty.UNKNOWN or best is None or threshold is None:
        return _UNKNOWN[reason].format(fewest_words=fewest_words)
    compared = (
        f"best score {best:.2f}; 1 in 100 of the library's own cases scores below {threshold:.2f}"
    )
    if state is Novelty.NOVEL:
        return f"novel: no close match in this library ({compared})"
    return f"not novel ({compared})"
