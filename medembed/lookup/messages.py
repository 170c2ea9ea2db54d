"""What a search says to a person: every sentence in one place, none of which steers anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

__all__ = [
    "COLLAPSED",
    "Novelty",
    "NoveltyReason",
    "cut_off_line",
    "novelty_line",
    "own_cases_line",
    "own_patient_line",
]

Novelty = Literal["novel", "familiar", "unknown"]
NoveltyReason = Literal["", "mixture", "few cases", "short text", "nobody else"]

_UNKNOWN: dict[NoveltyReason, str] = {
    "": "novelty was not checked",
    "mixture": "no novelty check for this mixture of text and image",
    "few cases": "no novelty check: too few cases of other patients",
    "short text": "no novelty check for a text shorter than {fewest_words} words",
    "nobody else": "no novelty check: no other patients to compare with",
}
_MOST_NAMED = 5

COLLAPSED = "this model collapsed in training: the order of the hits means little"
"""Remark on a search with a model that is kept but never activated."""


def novelty_line(
    state: Novelty,
    reason: NoveltyReason,
    best: float | None,
    threshold: float | None,
    fewest_words: int,
) -> str:
    """Say whether the library holds the like of a query."""
    if state == "unknown" or best is None or threshold is None:
        return _UNKNOWN[reason].format(fewest_words=fewest_words)
    compared = (
        f"best score {best:.2f}; 1 in 100 of the library's own cases scores below {threshold:.2f}"
    )
    if state == "novel":
        return f"novel, nothing quite like it here: {compared}"
    return f"not novel: {compared}"


def own_cases_line(cases: Sequence[str]) -> str:
    """Say which cases are the query itself."""
    if not cases:
        return ""
    named = ", ".join(cases[:_MOST_NAMED])
    more = f" and {len(cases) - _MOST_NAMED} more" if len(cases) > _MOST_NAMED else ""
    word = "case" if len(cases) == 1 else "cases"
    return f"this image is in the library: {word} {named}{more}"


def own_patient_line(n: int, n_patients: int = 1) -> str:
    """Say how many cases of the query's own patient, or of those it may be, were left out."""
    cases = f"{n} {'case' if n == 1 else 'cases'}"
    if n_patients > 1:
        return f"the {n_patients} patients whom the query may belong to were left out ({cases})"
    return f"the query's own patient was left out ({cases})"


def cut_off_line(limit: int) -> str:
    """Say that a text was longer than the model reads."""
    return f"the model reads {limit} tokens; the rest of the text was not used"
