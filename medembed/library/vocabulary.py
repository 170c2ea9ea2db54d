"""The vocabulary that a library's reports were read with: kept with it, and used ever after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from medembed.errors import LibraryError
from medembed.library.library import CaseLibrary
from medembed.notes import (
    Vocabulary,
    VocabularyDocument,
    load_vocabulary,
    packaged_vocabularies,
    vocabulary_of,
)

__all__ = ["foreign_remarks", "library_vocabulary", "settle_vocabulary"]

_META = "vocabulary"


def library_vocabulary(library: CaseLibrary) -> Vocabulary:
    """Give the vocabulary of a library, the package's for English if none was chosen."""
    kept = library.get_meta(_META)
    return _restored(kept) if kept else load_vocabulary("en")


def settle_vocabulary(library: CaseLibrary, vocabulary: Vocabulary | None) -> Vocabulary:
    """Choose the vocabulary that a library's reports are read with.

    Parameters
    ----------
    library : CaseLibrary
    vocabulary : Vocabulary or None
        None takes the library's own.

    Returns
    -------
    Vocabulary

    Raises
    ------
    LibraryError
        If the library has cases that were read with another one.
    """
    current = library_vocabulary(library)
    if vocabulary is None or vocabulary.digest == current.digest:
        return current
    if len(library):
        raise LibraryError(
            f"its reports were read with the vocabulary {current.name!r}",
            where=library.path.name,
            hint="ingest without --vocabulary, or into a new library",
        )
    document = vocabulary.document
    content = {"where": document.where, "content": document.content}
    library.set_meta(_META, json.dumps(content, ensure_ascii=False))
    return vocabulary


def foreign_remarks(counts: Mapping[str, int], language: str) -> tuple[str, ...]:
    """Say once how many reports are in another language than the library's vocabulary.

    Parameters
    ----------
    counts : mapping of str to int
        Reports by ISO 639-1 code of their language.
    language : str
        The vocabulary's.
    """
    if not counts:
        return ()
    total = sum(counts.values())
    each = ", ".join(f"{code} {counts[code]}" for code in sorted(counts))
    plural = total != 1
    line = (
        f"{total} report{'s do' if plural else ' does'} not look like {_name(language)} ({each}); "
        f"{'their' if plural else 'its'} findings were not read"
    )
    others = sorted(set(counts) & set(packaged_vocabularies()))
    if others:
        line += f" (a library of {_name(others[0])} reports: ingest --vocabulary {others[0]})"
    return (line,)


def _name(code: str) -> str:
    return {"en": "English", "de": "German"}.get(code, code)


@lru_cache(maxsize=4)
def _restored(kept: str) -> Vocabulary:
    return vocabulary_of(VocabularyDocument(**json.loads(kept)))
