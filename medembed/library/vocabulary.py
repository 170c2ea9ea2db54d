"""The vocabulary of a library, stored with it and used for all its reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from medembed.counted import counted_line
from medembed.errors import LibraryError
from medembed.library.library import CaseLibrary
from medembed.notes import (
    Vocabulary,
    VocabularyDocument,
    load_vocabulary,
    packaged_vocabularies,
    vocabulary_of,
)

__all__ = ["choose_vocabulary", "foreign_language_remarks", "library_vocabulary"]

_META = "vocabulary"


def library_vocabulary(library: CaseLibrary) -> Vocabulary:
    """Return the vocabulary of a library; the packaged English one if none was chosen."""
    kept = library.get_meta(_META)
    return _restored(kept) if kept else load_vocabulary("en")


def choose_vocabulary(library: CaseLibrary, vocabulary: Vocabulary | None) -> Vocabulary:
    """Choose the vocabulary to read a library's reports with.

    Parameters
    ----------
    library : CaseLibrary
    vocabulary : Vocabulary or None
        None keeps the library's own.

    Returns
    -------
    Vocabulary

    Raises
    ------
    LibraryError
        If the library has cases read with another vocabulary.
    """
    current = library_vocabulary(library)
    if vocabulary is None or vocabulary.digest == current.digest:
        return current
    if len(library):
        raise LibraryError(
            f"this library reads reports with the vocabulary {current.name!r}",
            where=library.path.name,
            hint="ingest without --vocabulary, or into a new library",
        )
    document = vocabulary.document
    content = {"where": document.where, "content": document.content}
    library.set_meta(_META, json.dumps(content, ensure_ascii=False))
    return vocabulary


def foreign_language_remarks(counts: Mapping[str, int], language: str) -> tuple[str, ...]:
    """Report how many reports are in a language other than that of the library's vocabulary.

    Parameters
    ----------
    counts : mapping of str to int
        Reports by ISO 639-1 code of their language.
    language : str
        Language of the vocabulary.
    """
    if not counts:
        return ()
    each = ", ".join(f"{code} {counts[code]}" for code in sorted(counts))
    line = counted_line(
        sum(counts.values()),
        f"[report is|reports are] not in {_name(language)} ({each}); "
        "[its|their] findings were not extracted",
    )
    others = sorted(set(counts) & set(packaged_vocabularies()))
    if others:
        line += f"; for {_name(others[0])} reports use a library with --vocabulary {others[0]}"
    return (line,)


def _name(code: str) -> str:
    return {"en": "English", "de": "German"}.get(code, code)


@lru_cache(maxsize=4)
def _restored(kept: str) -> Vocabulary:
    return vocabulary_of(VocabularyDocument(**json.loads(kept)))
