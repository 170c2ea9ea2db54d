"""Score the notes of a library by the words of a query: BM25 of the full-text table.

BM25 sums over the query's words how rare each is among the notes, times how often a note has it,
saturating, for its length. A sum depends on the query, so it is divided by what no note can
exceed: the sum for a note that consists of each word without end. The share lies in [0, 1), and a
note's share does not depend on which other cases a filter leaves.

References
----------
S. Robertson and H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009,
equations 3.4 and 3.15; SQLite FTS5, "The bm25() function", for its constants. Dividing by the
theoretical bound before a convex combination: S. Bruch, S. Gai and A. Ingber, "An Analysis of
Fusion Functions for Hybrid Retrieval", ACM TOIS 2023.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from medembed.library.library import CaseLibrary

__all__ = ["MOST_WORDS", "NoteScores", "note_scores", "query_words", "rarest", "rarities"]

MOST_WORDS = 32
"""Only the rarest words of a query are looked up: the others add little and occur everywhere."""

_WORD = re.compile(r"[^\W_]+")
_SATURATION = 1.2 + 1
"""``k1 + 1`` of FTS5: a word that a note has without end counts this many times its rarity."""


@dataclass(frozen=True, eq=False)
class NoteScores:
    """The notes that have a word of a query.

    Parameters
    ----------
    case_rows : int64 array, shape ``(m,)``, ascending
        Row of each case in the table ``cases``.
    shares : float32 array, shape ``(m,)``
        BM25 as a share of its bound, 0 to 1.
    words : tuple of str
        The words that were looked up, the rarest first; empty if none tells notes apart.
    rarity : float
        Sum of how rare these are: how much the words together tell.
    """

    case_rows: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float32]
    words: tuple[str, ...] = ()
    rarity: float = 0.0


def query_words(text: str) -> list[str]:
    """Return the words of a text in small letters, each once, in order.

    Examples
    --------
    >>> query_words('Mass OR "effusion": the mass')
    ['mass', 'or', 'effusion', 'the']
    """
    return list(dict.fromkeys(_WORD.findall(text.lower())))


def rarities(library: CaseLibrary, words: Iterable[str]) -> dict[str, float]:
    """Return how rare each word is among the notes, as FTS5 computes it.

    The logarithm of the odds that a note lacks the word. A word of at least half of the notes,
    such as "the", and one of no note tell none apart: they have 0.
    """
    db = library.database.read()
    n_notes = library.n_notes()
    found = {}
    for word in words:
        (n_with,) = db.execute(
            "SELECT count(*) FROM note_words WHERE note_words MATCH ?", (_quoted(word),)
        ).fetchone()
        odds = (n_notes - n_with + 0.5) / (n_with + 0.5)
        found[word] = max(0.0, math.log(odds)) if n_with else 0.0
    return found


def rarest(rarity: Mapping[str, float]) -> dict[str, float]:
    """Return the words that are looked up: those that tell notes apart, the rarest first."""
    words = sorted((word for word in rarity if rarity[word] > 0), key=lambda w: (-rarity[w], w))
    return {word: rarity[word] for word in words[:MOST_WORDS]}


def note_scores(library: CaseLibrary, rarity: Mapping[str, float]) -> NoteScores:
    """Score every note that has one of the words.

    Parameters
    ----------
    library : CaseLibrary
    rarity : mapping of str to float
        Words of the query, as :func:`rarities` returns them.
    """
    rarity = rarest(rarity)
    total = sum(rarity.values())
    if not total:
        return NoteScores(np.empty(0, np.int64), np.empty(0, np.float32))
    # Quoted, so that no word of a query is an operator of FTS5.
    wanted = " OR ".join(map(_quoted, rarity))
    found = (
        library.database.read()
        .execute(
            "SELECT rowid, -bm25(note_words) FROM note_words WHERE note_words MATCH ? "
            "ORDER BY rowid",
            (wanted,),
        )
        .fetchall()
    )
    table = np.array(found, dtype=np.float64).reshape(-1, 2)
    shares = np.clip(table[:, 1] / (_SATURATION * total), 0.0, 1.0).astype(np.float32)
    return NoteScores(table[:, 0].astype(np.int64), shares, tuple(rarity), total)


def _quoted(word: str) -> str:
    return f'"{word}"'
