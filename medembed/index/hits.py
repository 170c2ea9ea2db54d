"""The noun :class:`Hits`: which cases answered a query, how near, and how they were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medembed.errors import InternalError

__all__ = ["Hits", "Method", "Plan"]

Method = Literal["exact", "ann"]


@dataclass(frozen=True)
class Plan:
    """How a search was carried out.

    Parameters
    ----------
    method : {"exact", "ann"}
        ``"exact"``: every case that may answer was compared. ``"ann"``: an approximate graph was
        walked, and a near case may have been missed.
    searched : int
        Cases the method ranged over: those that may answer where it is exact, the whole index
        where it is approximate.
    matching : int
        Cases that may answer, the filter applied.
    notes : tuple of str
        What a reader should know besides, in whole clauses.
    """

    method: Method
    searched: int
    matching: int
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the plan as plain data."""
        return {
            "method": self.method,
            "searched": self.searched,
            "matching": self.matching,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class Hits:
    """The nearest cases of each query.

    There is never a filler: where fewer cases may answer than were asked for, the second axis is
    that much shorter, :attr:`short` is true and the plan says so.

    Parameters
    ----------
    case_ids : object array of str, shape ``(q, k)``
        Nearest first. Equal scores stand in the order of their case ids.
    scores : float32 array, shape ``(q, k)``
        Cosine, -1 to 1, falling along each row.
    plan : Plan
    asked : int
        The ``k`` that was asked for.
    """

    case_ids: npt.NDArray[np.object_]
    scores: npt.NDArray[np.float32]
    plan: Plan
    asked: int

    def __post_init__(self) -> None:
        if self.case_ids.ndim != 2 or self.case_ids.shape != self.scores.shape:
            raise InternalError("hits whose ids and scores have different shapes")
        if not np.isfinite(self.scores).all() or (np.diff(self.scores, axis=1) > 0).any():
            raise InternalError("hits whose scores are not finite or do not fall")

    def __len__(self) -> int:
        return int(self.case_ids.shape[0])

    @property
    def short(self) -> bool:
        """Whether there are fewer hits than were asked for."""
        return int(self.case_ids.shape[1]) < self.asked

    def of(self, query: int) -> list[tuple[str, float]]:
        """Case ids and scores of one query, nearest first."""
        return [
            (str(name), float(score))
            for name, score in zip(self.case_ids[query], self.scores[query], strict=True)
        ]
