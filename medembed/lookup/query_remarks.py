"""What is said of a query's words and conditions."""

from __future__ import annotations

from collections.abc import Iterable

from medembed.cases import Finding
from medembed.library import CaseLibrary, Condition, library_vocabulary
from medembed.notes import is_known_finding, unknown_findings

__all__ = ["unknown_labels", "unknown_words"]

_MOST = 5


def unknown_words(library: CaseLibrary, text: str) -> list[str]:
    """Say which findings of a query the library's vocabulary does not know."""
    unknown = unknown_findings(text, library_vocabulary(library))[:_MOST]
    if not unknown:
        return []
    named = ", ".join(unknown)
    return [f"not a finding of this library's vocabulary: {named}; compared by its words only"]


def unknown_labels(library: CaseLibrary, conditions: Iterable[Condition]) -> list[str]:
    """Say which findings of conditions neither the vocabulary nor any case of the library has."""
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
    return [f"no finding of this library or its vocabulary: {', '.join(unknown)}"]
