"""How rare the words of a text are in the reports of a library, whatever the model."""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from medembed.explain import content_words
from medembed.library.statements import count_reports
from medembed.notes.attribute_words import attribute_words

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["FEWEST_WORDS", "REPORT", "WORD_CLASSES", "WordRarity", "class_of", "words_of"]

FEWEST_WORDS = 20
"""A shorter text is never a report; a longer one is, if it is as long as the library's reports."""

REPORT = "report"
"""The kind of query that is a whole report."""

WORD_CLASSES: dict[str, tuple[int, int]] = {
    "1 word": (1, 1),
    "2 words": (2, 2),
    "3 to 4 words": (3, 4),
    "5 to 9 words": (5, 9),
    "10 words or more": (10, 19),
}
"""Kinds of short texts: fewest and most content words of the texts they are calibrated on."""

_MOST_COUNTED = 2000
_REQUEST = """
    please search searching similar look looking give list want need images pictures picture
    studies side sides
"""
_REQUEST_WORDS = frozenset(_REQUEST.split())
"""Of a question, not of what it is about."""


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text that say what it is about, in order, once each.

    Function words, words of a request, sides, and the sex and age of a patient are left out:
    reports seldom repeat what the header says. A text of other scripts or signs only keeps all its
    words.
    """
    for named in attribute_words(text):
        if named.kind in ("sex", "age"):
            text = re.sub(rf"(?<!\w){re.escape(named.words)}(?!\w)", " ", text, flags=re.IGNORECASE)
    found = tuple(word for word in content_words(text) if word not in _REQUEST_WORDS)
    return found or tuple(
        word for word in re.findall(r"[^\W\d_]+", text.casefold()) if not word.isascii()
    )


def class_of(n_words: int) -> str:
    """Return the kind of a short text by its number of content words, at least 1."""
    return next(
        (name for name, (_, most) in WORD_CLASSES.items() if n_words <= most), [*WORD_CLASSES][-1]
    )


class WordRarity:
    """Scores texts by the mean surprisal of their words in a library's reports.

    Frequent words are counted once; from 2,000 reports on, a word's exact number does not matter.

    Parameters
    ----------
    library : CaseLibrary
    """

    def __init__(self, library: CaseLibrary) -> None:
        self._library = library
        self._frequent: dict[str, int] = {}
        self._lock = threading.Lock()

    def score(self, words: Sequence[str], n_reports: int, own: Collection[str] = ()) -> float:
        """Return the mean of -log of the share of reports with each word.

        Parameters
        ----------
        words : sequence of str
            As :func:`words_of` returns them; at least one.
        n_reports : int
            Number of reports in the library.
        own : collection of str
            The reports of the text's own patient, which do not count.
        """
        held = [_tokens(text) for text in own]
        total = 0.0
        for word in words:
            parts = _tokens(word)
            own_count = sum(parts <= each for each in held)
            count = max(0, self._count(word) - own_count)
            total -= math.log((count + 0.5) / (n_reports - len(held) + 1))
        return total / len(words)

    def _count(self, word: str) -> int:
        with self._lock:
            if word in self._frequent:
                return self._frequent[word]
        count = count_reports(self._library, word, _MOST_COUNTED)
        if count >= _MOST_COUNTED:
            with self._lock:
                self._frequent[word] = count
        return count


def _tokens(text: str) -> set[str]:
    """Split a text as the library's word index does: lower case, without diacritics."""
    plain = unicodedata.normalize("NFD", text.casefold())
    return set(re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c))))
