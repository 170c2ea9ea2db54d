"""The nouns :class:`Budget` and :class:`Choice`: what an index may cost, and what was chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, get_args

from medembed.errors import InputError
from medembed.index.hits import Recall

__all__ = ["LARGE", "Budget", "Choice", "Kind", "Reason"]

LARGE = 2_000_000
"""Up to this many cases, ``"auto"`` is exact whatever the budget."""

Kind = Literal["exact", "hnsw"]


@dataclass(frozen=True)
class Budget:
    """What an index may cost, and how much it must find. None sets no limit.

    Parameters
    ----------
    max_memory_mib : float, optional
        Memory of vectors, codes and graph, in MiB.
    max_latency_ms : float, optional
        Time of one search without encoding, in milliseconds on this machine.
    min_recall : float, optional
        Share of the ten nearest cases that an approximate search must find, above 0. None or 1:
        ``"auto"`` compares all cases.

    Raises
    ------
    InputError
        If a value is not a positive number, or the recall is above 1.
    """

    max_memory_mib: float | None = None
    max_latency_ms: float | None = None
    min_recall: float | None = None

    def __post_init__(self) -> None:
        for what, value in (
            ("the limit on memory", self.max_memory_mib),
            ("the limit on time", self.max_latency_ms),
            ("the recall asked for", self.min_recall),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{what} must be a number above 0")
        if self.min_recall is not None and self.min_recall > 1:
            raise InputError("the recall asked for must be at most 1", hint="use 0.99 for 99%")

    def allows(self, mib: float) -> bool:
        """Return whether so much memory is allowed."""
        return self.max_memory_mib is None or mib <= self.max_memory_mib

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "max_memory_mib": self.max_memory_mib,
            "max_latency_ms": self.max_latency_ms,
            "min_recall": self.min_recall,
        }


class Reason(StrEnum):
    """Why an index searches as it does."""

    ASKED = "asked"
    FEW_CASES = "few cases"
    """An approximate search is for more than :data:`LARGE` cases."""
    EXACT_ASKED = "exact asked"
    """No recall below 1 is allowed."""
    NO_TIME_LIMIT = "no time limit"
    FAST_ENOUGH = "fast enough"
    """Comparing all cases took no longer than allowed."""
    NO_MEMORY = "no memory"
    """A graph needs more memory than allowed."""
    RECALL_TOO_LOW = "recall too low"
    """No way to search the graph that was tried found as much as asked for."""
    TOO_SLOW = "too slow"
    """Comparing all cases took longer than allowed: the graph is searched."""


@dataclass(frozen=True)
class Choice:
    """How an index searches, why, and what was measured when this was chosen.

    Parameters
    ----------
    kind : {"exact", "hnsw"}
    reason : Reason
    budget : Budget
    codes : bool
        Whether the codes of the first pass are kept, once there are cases enough for them.
    mib : float
        Memory of vectors, codes and graph, in MiB.
    graph_mib : float, optional
        The same with a graph, where none is kept because of it.
    exact_ms : float, optional
        Median time of a search that compares all cases, if it was measured.
    ef_search : int, optional
        How many nodes a search of the graph keeps at least.
    recalls : tuple of Recall
        What was measured of the graph, one for each filter. If it was refused, of the last way
        that was tried.
    """

    kind: Kind
    reason: Reason
    budget: Budget = Budget()
    codes: bool = True
    mib: float = 0.0
    graph_mib: float | None = None
    exact_ms: float | None = None
    ef_search: int | None = None
    recalls: tuple[Recall, ...] = ()

    @property
    def recall(self) -> Recall | None:
        """The lowest recall of those measured; None if there is none, or nothing was missed."""
        approximate = [one for one in self.recalls if one.method == "ann"]
        return min(approximate, key=lambda one: (one.low, one.share), default=None)

    @property
    def finds_enough(self) -> bool:
        """Whether the lower limit of the lowest recall is what was asked for, or nothing was."""
        lowest, asked = self.recall, self.budget.min_recall
        return lowest is None or asked is None or lowest.low >= asked

    def __str__(self) -> str:
        """Say in one line what was chosen and why."""
        chosen = "exact search" if self.kind == "exact" else "approximate search, HNSW"
        parts = [f"{chosen}: {self._why()}"]
        if self.kind == "hnsw" and self.recall is not None:
            lowest = self.recall
            parts.append(f"{lowest} (asked by {lowest.asked}, left out: {lowest.left_out})")
        parts.append(f"{_mib(self.mib)} of memory")
        if not self.codes:
            parts.append("without codes, which take a quarter more memory and make it faster")
        if not self.budget.allows(self.mib):
            parts.append(
                f"{_mib(self.budget.max_memory_mib or 0)} are allowed, so vectors are read from "
                "the disk again and again"
            )
        return "; ".join(parts)

    def _why(self) -> str:
        asked, budget = self.reason, self.budget
        took = f"comparing all cases takes {self.exact_ms or 0:.3g} ms"
        allowed = f"{budget.max_latency_ms or 0:g} ms are allowed"
        return {
            Reason.ASKED: "as asked",
            Reason.FEW_CASES: f"an approximate one is for more than {LARGE:,} cases",
            Reason.EXACT_ASKED: "no recall below 1 is allowed",
            Reason.NO_TIME_LIMIT: "no limit on its time is set",
            Reason.FAST_ENOUGH: f"{took}, {allowed}",
            Reason.TOO_SLOW: f"{took}, {allowed}",
            Reason.NO_MEMORY: (
                f"with a graph it would take {_mib(self.graph_mib or 0)}, "
                f"{_mib(budget.max_memory_mib or 0)} are allowed"
            ),
            Reason.RECALL_TOO_LOW: (
                f"a graph has {self.recall}, of which the lower limit counts, "
                f"and {budget.min_recall} is asked for"
            ),
        }[asked]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "kind": self.kind,
            "reason": self.reason.value,
            "budget": self.budget.to_json(),
            "codes": self.codes,
            "mib": self.mib,
            "graph_mib": self.graph_mib,
            "exact_ms": self.exact_ms,
            "ef_search": self.ef_search,
            "recalls": [one.to_json() for one in self.recalls],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Choice:
        """Read what :meth:`to_json` returned; KeyError, TypeError or ValueError if it is none."""
        if data["kind"] not in get_args(Kind):
            raise ValueError("an unknown kind")
        known = {**data, "reason": Reason(data["reason"]), "budget": Budget(**data["budget"])}
        return cls(**{**known, "recalls": tuple(map(Recall.from_json, data["recalls"]))})


def _mib(size: float) -> str:
    return f"{math.ceil(size):,} MiB"
