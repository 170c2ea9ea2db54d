"""How rare the words of a text are in the reports of a library, whatever the model.

A word that names a finding which enough reports state is not rare, whatever these call it.
"""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from medembed.explain import content_words
from medembed.library.statements import count_reports
from medembed.lookup.diagnoses import shown_diagnoses
from medembed.notes.attribute_words import attribute_words

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.notes import Note

__all__ = [
    "ENOUGH",
    "FEWEST_WORDS",
    "REPORT",
    "WORD_CLASSES",
    "WordRarity",
    "class_of",
    "stated_words",
    "tokens_of",
    "words_of",
]

ENOUGH = 5
"""Reports that state a finding; with fewer there is hardly anything to find."""

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


def stated_words(note: Note, stated: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Return the words of a text that name a finding stated by enough reports, with that finding.

    Parameters
    ----------
    note : Note
        The text, parsed with the library's vocabulary.
    stated : mapping of str to int
        Number of reports that state each finding, those of the text's own patient left out.
    """
    spans: list[tuple[int, int, tuple[str, ...]]] = [
        (one.start, one.end, (one.label,)) for one in note.assertions
    ]
    if note.language == "en":
        spans += shown_diagnoses(note.text)
    found: dict[str, tuple[str, ...]] = {}
    for start, end, labels in spans:
        enough = tuple(label for label in labels if stated.get(label, 0) >= ENOUGH)
        if enough:
            found.update(dict.fromkeys(words_of(note.text[start:end]), enough))
    return found


class WordRarity:
    """Scores texts by the mean surprisal of their words in a library's reports.

    Frequent words are counted once; from 2,000 reports on, a word's exact number does not matter.

    Parameters
    ----------
    library : CaseLibrary
    once : bool
        Count every word once: for a pass over many texts, during which no report is added.
    """

    def __init__(self, library: CaseLibrary, *, once: bool = False) -> None:
        self._library = library
        self._once = once
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def score(
        self,
        words: Sequence[str],
        n_reports: int,
        own: Sequence[frozenset[str]] = (),
        stated: Collection[str] = (),
    ) -> float:
        """Return the mean of -log of the share of reports with each word.

        Parameters
        ----------
        words : sequence of str
            As :func:`words_of` returns them; at least one.
        n_reports : int
            Number of reports in the library.
        own : sequence of frozenset of str
            Words of each report of the text's own patient (:func:`tokens_of`): they do not count.
        stated : collection of str
            Words that are not rare, since enough reports state what they name.
        """
        total = 0.0
        for word in words:
            if word in stated:
                continue
            parts = tokens_of(word)
            own_count = sum(parts <= each for each in own) if own else 0
            count = max(0, self._count(word) - own_count)
            total -= math.log((count + 0.5) / (n_reports - len(own) + 1))
        return total / len(words)

    def _count(self, word: str) -> int:
        with self._lock:
            if word in self._counts:
                return self._counts[word]
        count = count_reports(self._library, word, _MOST_COUNTED)
        if self._once or count >= _MOST_COUNTED:
            with self._lock:
                self._counts[word] = count
        return count


def tokens_of(text: str) -> frozenset[str]:
    """Split a text as the library's word index does: lower case, without diacritics."""
    plain = unicodedata.normalize("NFD", text.casefold())
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    return frozenset(re.findall(r"[^\W_]+", kept))
