"""The states of a search and their texts. Programs read the enums, people read the texts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

__all__ = [
    "COLLAPSED",
    "Novelty",
    "NoveltyReason",
    "novelty_line",
    "own_cases_line",
    "own_patient_line",
    "truncated_line",
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


_UNKNOWN: dict[NoveltyReason, str] = {
    NoveltyReason.NONE: "novelty was not checked",
    NoveltyReason.MIXTURE: "no novelty check for this combination of text and image",
    NoveltyReason.FEW_CASES: "no novelty check: too few cases of other patients in the library",
    NoveltyReason.SHORT_TEXT: "query too short (< {fewest_words} words) for the novelty check",
    NoveltyReason.NO_OTHER_PATIENTS: "no novelty check: no other patients to compare with",
}
_MOST_NAMED = 5

COLLAPSED = "this model collapsed in training; do not rely on the order of the hits"
"""Note on a search with a model that is kept but never activated."""


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


def own_cases_line(cases: Sequence[str]) -> str:
    """List the cases that are the query itself."""
    if not cases:
        return ""
    named = ", ".join(cases[:_MOST_NAMED])
    more = f" and {len(cases) - _MOST_NAMED} more" if len(cases) > _MOST_NAMED else ""
    word = "case" if len(cases) == 1 else "cases"
    return f"this image is in the library: {word} {named}{more}"


def own_patient_line(n: int, n_patients: int = 1) -> str:
    """Report how many cases of the query's own patient, or candidates for it, were excluded."""
    cases = f"{n} {'case' if n == 1 else 'cases'}"
    if n_patients > 1:
        return f"excluded {cases} of the {n_patients} patients the query may belong to"
    return f"excluded {cases} of the query's own patient"


def truncated_line(limit: int) -> str:
    """Report that a text is longer than the model's limit."""
    return f"text cut after {limit} tokens, the model's limit"
