"""The noun :class:`Hits`: the cases found for each query, their scores and the search plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import InternalError
from medembed.index.search_notes import SearchNote

__all__ = ["Hits", "Method", "Plan"]

Method = Literal["exact", "ann"]


@dataclass(frozen=True)
class Plan:
    """How a search was carried out.

    Parameters
    ----------
    method : {"exact", "ann"}
        ``"exact"``: every eligible case was compared. ``"ann"``: an approximate graph was
        searched, which can miss a near case.
    searched : int
        Number of cases searched: the eligible ones if exact, the whole index if approximate.
    matching : int
        Number of eligible cases: those that pass the filter.
    notes : tuple of SearchNote
        What else a reader should know.
    """

    method: Method
    searched: int
    matching: int
    notes: tuple[SearchNote, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data, its notes in English."""
        return {
            "method": self.method,
            "searched": self.searched,
            "matching": self.matching,
            "notes": list(map(str, self.notes)),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Hits:
    """The nearest cases of each query.

    Rows are never padded: if fewer cases are eligible than requested, the second axis is shorter,
    :attr:`is_truncated` is true and the plan has a note.

    Parameters
    ----------
    case_ids : object array of str, shape ``(q, k)``
        Nearest first. Ties are ordered by case id.
    scores : float32 array, shape ``(q, k)``
        Cosine similarity, -1 to 1, descending along each row.
    plan : Plan
    k_requested : int
        The requested ``k``.
    """

    case_ids: npt.NDArray[np.object_]
    scores: npt.NDArray[np.float32]
    plan: Plan
    k_requested: int

    def __post_init__(self) -> None:
        if self.case_ids.ndim != 2 or self.case_ids.shape != self.scores.shape:
            raise InternalError("ids and scores of the hits have different shapes")
        if not np.isfinite(self.scores).all() or (np.diff(self.scores, axis=1) > 0).any():
            raise InternalError("scores of the hits are not finite or not descending")

    def __len__(self) -> int:
        return int(self.case_ids.shape[0])

    def __repr__(self) -> str:
        queries = counted(len(self), "query", "queries")
        return f"Hits({queries}, {counted(self.case_ids.shape[1], 'hit')} each, {self.plan.method})"

    @property
    def is_truncated(self) -> bool:
        """Whether there are fewer hits than requested."""
        return int(self.case_ids.shape[1]) < self.k_requested

    def of(self, query: int) -> list[tuple[str, float]]:
        """Return case ids and scores of one query, nearest first."""
        return [
            (str(name), float(score))
            for name, score in zip(self.case_ids[query], self.scores[query], strict=True)
        ]
