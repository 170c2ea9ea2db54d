"""The noun :class:`Hits`: the cases found for each query, their scores and the search plan."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import InternalError
from medembed.index.search_notes import SearchNote

__all__ = ["Hits", "LeftOut", "Method", "Plan", "Recall"]

Method = Literal["exact", "ann"]


class LeftOut(StrEnum):
    """What a filter left out when the recall of a graph was measured."""

    NOTHING = "nothing"
    OWN_PATIENT = "own patient"
    """The four nearest cases, as if they were of the query's own patient."""
    NEAREST = "300 nearest"
    HALF = "random half"


@dataclass(frozen=True)
class Recall:
    """How many of the nearest cases a graph found in a measurement.

    Parameters
    ----------
    asked : {"scans", "notes"}
        Whose vectors were the queries.
    left_out : LeftOut
        The filter under which it was measured.
    method : {"exact", "ann"}
        ``"exact"``: under this filter every eligible case is compared, and none is missed.
    share : float
        Mean share of the ``k`` nearest cases that were found, 0 to 1.
    low, high : float
        95% interval of the mean: Wilson's (1927), with each query counted as one trial, which is
        cautious, since a share varies less than a yes or no with the same mean.
    queries : int
    k : int
    """

    asked: Literal["scans", "notes"]
    left_out: LeftOut
    method: Method
    share: float
    low: float
    high: float
    queries: int
    k: int

    def __str__(self) -> str:
        return f"recall@{self.k} {self.share:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "asked": self.asked,
            "left_out": self.left_out.value,
            "method": self.method,
            "share": self.share,
            "low": self.low,
            "high": self.high,
            "queries": self.queries,
            "k": self.k,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recall:
        """Read what :meth:`to_json` returned; KeyError, TypeError or ValueError if it is none."""
        asked, method = data["asked"], data["method"]
        if asked not in ("scans", "notes") or method not in get_args(Method):
            raise ValueError("an unknown method or query")
        share, low, high = (float(data[name]) for name in ("share", "low", "high"))
        if not 0 <= low <= share <= high <= 1:
            raise ValueError("shares out of order")
        left_out, queries, k = LeftOut(data["left_out"]), int(data["queries"]), int(data["k"])
        return cls(asked, left_out, method, share, low, high, queries, k)


@dataclass(frozen=True)
class Plan:
    """How a search was carried out.

    Parameters
    ----------
    method : {"exact", "ann"}
        ``"exact"``: every eligible case was compared. ``"ann"``: an approximate graph was
        searched, which can miss a near case.
    compared : int
        Number of cases whose vector or code was compared with the query: the eligible ones if
        exact, those that the graph visited if approximate (the mean of several queries).
    matching : int
        Number of allowed cases: those that pass the filter.
    notes : tuple of SearchNote
        What else a reader should know.
    recall : Recall, optional
        Of an approximate search: the lowest recall that was measured of this graph, when it was
        made; None if it was not measured. None if exact, since nothing is missed.
    """

    method: Method
    compared: int
    matching: int
    notes: tuple[SearchNote, ...] = ()
    recall: Recall | None = None

    def __str__(self) -> str:
        """Say in one line what was searched, and how."""
        line = f"Searched {counted(self.matching, 'matching case')}"
        if self.method == "exact":
            return f"{line} (exact)"
        known = "recall not measured" if self.recall is None else str(self.recall)
        return f"{line} (approximate, HNSW: {counted(self.compared, 'case')} compared, {known})"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data, its notes in English."""
        return {
            "method": self.method,
            "compared": self.compared,
            "matching": self.matching,
            "recall": None if self.recall is None else self.recall.to_json(),
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
