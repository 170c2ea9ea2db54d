"""Notes on findings of a query that the library does not know."""

from __future__ import annotations

from collections.abc import Iterable

from medembed.cases import Finding
from medembed.library import CaseLibrary, Condition, library_vocabulary
from medembed.notes import is_known_finding, unknown_findings

__all__ = ["unknown_labels", "unknown_words"]

_MOST = 5


def unknown_words(library: CaseLibrary, text: str) -> list[str]:
    """Report findings of a query text that are missing from the library's vocabulary."""
    unknown = unknown_findings(text, library_vocabulary(library))[:_MOST]
    if not unknown:
        return []
    named = ", ".join(unknown)
    return [f"not in this library's vocabulary: {named}; compared by wording only"]


def unknown_labels(library: CaseLibrary, conditions: Iterable[Condition]) -> list[str]:
    """Report findings of conditions that neither the vocabulary nor any case has."""
    vocabulary = library_vocabulary(library)
    labels = {
        Finding.parse(str(value)).label
        for condition in conditions
        if condition.field == "finding"
        for value in condition.values
    }
    unknown = sorted(
        label
        for label in labels
        if not is_known_finding(label, vocabulary)
        and not library.find(Condition("finding", "=", (label,)))
    )
    if not unknown:
        return []
    return [f"unknown finding, in neither the library nor its vocabulary: {', '.join(unknown)}"]
