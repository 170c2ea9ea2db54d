"""The noun :class:`NoteWords`: how well the notes of cases match the words of a query."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.columns import CaseFilter
from medembed.library.note_words import NoteScores, note_scores, rarities

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["TYPICAL_RARITY", "NoteWords", "WordMatch", "name_ranks"]

Floats = npt.NDArray[np.float32]

TYPICAL_RARITY = 1.0
"""The rarity of a query's words at which they count as much as its vector; chosen on validation
cases (``tests/benchmarks/fused_search.py --choose``)."""


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

    def beside(self, agreement: Floats) -> WordMatch:
        """Return the match with what the cases state in mind.

        BM25 knows no denial: "no effusion" has the word. So a share is multiplied by
        ``1 + agreement``, at most 1: a note that contradicts anything the text asks for gains
        nothing by its words, one that does not mention a finding half.

        Parameters
        ----------
        agreement : float32 array, shape ``(n,)``, in [-1, 1]
            With the term that a case contradicts most.
        """
        kept = np.minimum(np.float32(1), np.float32(1) + agreement)
        return replace(self, shares=(self.shares * kept).astype(np.float32))


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
        self._lock = threading.Lock()

    def match(
        self, words: Sequence[str], stated: Sequence[tuple[Sequence[str], Floats]] = ()
    ) -> WordMatch:
        """Match words with every note.

        Their weight is ``r / (r + TYPICAL_RARITY)`` with the sum ``r`` of their rarities. The score
        ``(1 - weight) * cosine + weight * share`` then ranks much as ``cosine + BM25 / constant``
        does, and stays within [-1, 1].

        Parameters
        ----------
        words : sequence of str
            In small letters; without any that tells notes apart, nothing counts.
        stated : sequence of (words, float32 array of shape ``(n,)``)
            The words of each finding, and how far each case agrees with it. They count in the
            notes that state it, and add nothing to the weight.
        """
        found, shares = self._scores(words)
        if not found.rarity:
            return WordMatch(shares, 0.0)
        looked_up = dict.fromkeys(found.words)
        total = np.float64(found.rarity)
        sums = shares.astype(np.float64) * found.rarity
        for those, agreement in stated:
            of_finding, each = self._scores([word for word in those if word not in looked_up])
            looked_up |= dict.fromkeys(of_finding.words)
            total += of_finding.rarity
            sums += np.where(agreement > 0, each.astype(np.float64) * of_finding.rarity, 0.0)
        weight = found.rarity / (found.rarity + TYPICAL_RARITY)
        return WordMatch((sums / total).astype(np.float32), weight, tuple(looked_up))

    def _scores(self, words: Sequence[str]) -> tuple[NoteScores, Floats]:
        """Return the scores of the notes that have one of the words, and the shares of all."""
        with self._lock:
            missing = [word for word in words if word not in self._rarity]
            self._rarity |= rarities(self._library, missing)
            rarity = {word: self._rarity[word] for word in words}
        found = note_scores(self._library, rarity)
        shares = np.zeros(self._n, dtype=np.float32)
        rows = self._index_rows[self._columns.positions_of(found.case_rows)]
        known = rows >= 0  # others have no vector
        shares[rows[known]] = found.shares[known]
        return found, shares


def name_ranks(case_ids: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the position of each case id among the sorted ids: the order of equal scores."""
    rank = np.empty(len(case_ids), dtype=np.intp)
    rank[sorted(range(len(rank)), key=case_ids.__getitem__)] = np.arange(len(rank))
    return rank
