"""The noun :class:`NoteWords`: how well the notes of cases match the words of a query."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.columns import CaseFilter
from medembed.library.note_words import NoteScores, note_scores, rarest, rarities

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["TYPICAL_RARITY", "NoteWords", "WordMatch", "name_ranks"]

Floats = npt.NDArray[np.float32]

TYPICAL_RARITY = 1.0
"""The rarity of a query's words at which they count as much as its vector; chosen on validation
cases (``tests/benchmarks/fused_search.py --choose``)."""

_MOST_KEPT = 32
"""Groups of words whose scores are kept: up to 12 bytes for each note that has one of them."""


@dataclass(frozen=True, eq=False)
class WordMatch:
    """How well each case's note matches the words of a query.

    Parameters
    ----------
    shares : float32 array, shape ``(n,)``, in [0, 1]
        BM25 as a share of its bound, in the order of the index; 0 without a note.
    weight : float
        Of the words beside the vector, 0 to 1: the more, the rarer they are.
    words : tuple of str
        The words that were looked up, the rarest first.
    """

    shares: Floats
    weight: float
    words: tuple[str, ...] = ()


class NoteWords:
    """Matches words with the notes of an index's cases; valid for one revision of it.

    Parameters
    ----------
    library : CaseLibrary
    case_ids : sequence of str
        Of the index, in its order.

    Attributes
    ----------
    rank : int array, shape ``(n,)``
        Position of each case id among the sorted ids: the order of equal scores.
    """

    def __init__(self, library: CaseLibrary, case_ids: Sequence[str]) -> None:
        self._library = library
        self._n = len(case_ids)
        self.rank = name_ranks(case_ids)
        self._columns, places = CaseFilter.of(library).placed(tuple(case_ids))
        there = np.flatnonzero(places >= 0)
        # the last one is that of a case that the columns do not have
        self._index_rows = np.full(len(self._columns) + 1, -1, np.intp)
        self._index_rows[places[there]] = there
        self._rarity: dict[str, float] = {}
        self._scores: OrderedDict[tuple[str, ...], NoteScores] = OrderedDict()
        self._lock = threading.Lock()

    def match(
        self,
        words: Sequence[str],
        unread: Sequence[str] | None = None,
        opposed: Sequence[tuple[npt.NDArray[np.bool_], Sequence[str]]] = (),
    ) -> WordMatch:
        """Match words with every note.

        Their weight is ``r / (r + TYPICAL_RARITY)`` with the sum ``r`` of their rarities. The score
        ``(1 - weight) * cosine + weight * share`` then ranks as ``cosine + BM25 / constant``
        does, and stays within [-1, 1].

        Parameters
        ----------
        words : sequence of str
            In small letters.
        unread : sequence of str, optional
            Unless one of these words tells notes apart, none counts; by default all of them.
        opposed : sequence of (bool array, shape ``(n,)``, sequence of str)
            Words that count nothing in the notes of some cases. BM25 knows no denial: "no effusion"
            has the word.
        """
        with self._lock:
            missing = [word for word in words if word not in self._rarity]
            self._rarity |= rarities(self._library, missing)
            rarity = {word: self._rarity[word] for word in words}
        if not any(rarity.get(word) for word in (words if unread is None else unread)):
            return WordMatch(np.zeros(self._n, dtype=np.float32), 0.0)
        rarity = rarest(rarity)
        total = sum(rarity.values())
        shares = np.zeros(self._n, dtype=np.float32)
        for group, silent in _groups(rarity, opposed):
            found = self._scores_of(tuple(group))
            rows = self._index_rows[self._columns.positions_of(found.case_rows)]
            known = rows >= 0  # others have no vector
            rows = rows[known]
            part = found.shares[known] * np.float32(found.rarity / total)
            if silent is not None:
                part[silent[rows]] = 0
            shares[rows] += part
        return WordMatch(shares, total / (total + TYPICAL_RARITY), tuple(rarity))

    def _scores_of(self, words: tuple[str, ...]) -> NoteScores:
        """Score the notes by some words; those of recent queries are kept."""
        with self._lock:
            found = self._scores.pop(words, None)
            rarity = {word: self._rarity[word] for word in words}
        if found is None:
            found = note_scores(self._library, rarity)
        with self._lock:
            self._scores[words] = found
            while len(self._scores) > _MOST_KEPT:
                self._scores.popitem(last=False)
        return found


def _groups(
    words: Iterable[str], opposed: Sequence[tuple[npt.NDArray[np.bool_], Sequence[str]]]
) -> Iterator[tuple[list[str], npt.NDArray[np.bool_] | None]]:
    """Yield words with the cases in which they count nothing; those of the same cases together."""
    opposed = [(cases, own) for cases, own in opposed if cases.any()]
    groups: dict[tuple[int, ...], list[str]] = {}
    for word in words:
        by = tuple(at for at, (_, own) in enumerate(opposed) if word in own)
        groups.setdefault(by, []).append(word)
    for by, group in groups.items():
        yield group, np.any([opposed[at][0] for at in by], axis=0) if by else None


def name_ranks(case_ids: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the position of each case id among the sorted ids: the order of equal scores."""
    rank = np.empty(len(case_ids), dtype=np.intp)
    rank[sorted(range(len(rank)), key=case_ids.__getitem__)] = np.arange(len(rank))
    return rank
