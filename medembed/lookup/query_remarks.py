"""What is said of a query's words."""

from __future__ import annotations

from medembed.library import CaseLibrary, library_vocabulary
from medembed.notes import unknown_findings

__all__ = ["unknown_words"]

_MOST = 5


def unknown_words(library: CaseLibrary, text: str) -> list[str]:
    """Say which findings of a query the library's vocabulary does not know."""
    unknown = unknown_findings(text, library_vocabulary(library))[:_MOST]
    if not unknown:
        return []
    named = ", ".join(unknown)
    return [f"not a finding of this library's vocabulary: {named}; compared by its words only"]
