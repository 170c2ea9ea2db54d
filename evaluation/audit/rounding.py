"""How exact an audit's means may be, beside the counts that it hides.

The reader of :func:`evaluation.stats.rounding.settle` has everything that the table
shows: sizes, means of groups and of the rest, how precise each is called, what is marked as
suppressed; and knows that a patient has a query at least, and a value lies within the range of its
outcome.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.suppression import (
    ALL,
    Hidden,
    InUnit,
    Measured,
    known_ends,
    sums,
    system_of,
    together,
)
from evaluation.audit.table_input import Queries
from evaluation.stats import Minimum
from evaluation.stats.attacker_lp import Bounds, Limit, Relation
from evaluation.stats.rounding import BLANK, EXACT, FINE, ROUNDED, Mean, rounded, settle, step_of

__all__ = ["Levels", "levels_of"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Levels:
    """Levels of every mean (:mod:`evaluation.stats.rounding`).

    Parameters
    ----------
    of : dict of (outcome, attribute, group) or (outcome,) to int
        The second: what the rest's is at least, since the total is hidden.
    """

    of: Mapping[Hashable, int]

    def own(self, row: Row) -> int:
        """Level of a row's own mean."""
        return self.of.get((row["outcome"], row["attribute"], row["group"]), EXACT)

    def other(self, row: Row) -> int:
        """Level of the mean that it is compared with."""
        if row["_other"] is not None:
            return self.of.get((row["outcome"], row["attribute"], row["_other"]), EXACT)
        return max(self.own(row), self.of.get((row["outcome"],), EXACT))


def levels_of(
    queries: Queries,
    measured: Measured,
    hidden: Hidden,
    rows: Sequence[dict[str, Any]],
    minimum: Minimum,
) -> Levels:
    """Find how exact each mean may be.

    Parameters
    ----------
    queries : Queries
    measured : Measured
    hidden : Hidden
    rows : sequence of dict
        Of the table, with every figure still in it.
    minimum : Minimum

    Returns
    -------
    Levels
    """
    units = {
        unit: system_of(queries, measured, minimum.reported - 1, unit)
        for unit in ("patients", "queries")
    }
    if not any(system.small for system in units.values()):
        return Levels({})
    return _Settling(queries, measured, hidden, rows, minimum, units).levels()


class _Settling:
    def __init__(
        self,
        queries: Queries,
        measured: Measured,
        hidden: Hidden,
        rows: Sequence[dict[str, Any]],
        minimum: Minimum,
        units: Mapping[str, Any],
    ) -> None:
        self.set_of = dict(zip(queries.outcomes, measured.of_outcome, strict=True))
        self.hidden, self.minimum = hidden, minimum
        self.system = together(units)
        self.known = known_ends(queries, measured, minimum)
        self.reportable = queries.n_patients >= minimum.reported
        self.rows = [
            row for row in rows if row["comparison"] == "rest" and row["precision"] != "suppressed"
        ]
        self.counts: dict[Hashable, int | float] = dict(self.system.counts)
        self.relations: list[Relation] = list(self.system.relations)
        self.span: dict[str, tuple[float, float]] = {}
        self.fractions: set[Hashable] = set()
        for column, outcome in enumerate(queries.outcomes):
            self._sum_up(queries, outcome, queries.values[:, column])
        self.sizes = {cell for cell in self.system.counts if self._size_hidden(cell)}
        self.beside: dict[tuple[Hashable, ...], set[tuple[Hashable, ...]]] = {}

    def _sum_up(self, queries: Queries, outcome: str, values: NDArray[np.float64]) -> None:
        """Sums of values, in the range from 0 to 1, as cells."""
        known = ~np.isnan(values)
        low, high = 0.0, 1.0
        if known.any() and not (values[known].min() >= 0 and values[known].max() <= 1):
            low, high = -1.0, 1.0  # scores are divided by more than the largest
        self.span[outcome] = low, high
        of = np.where(known, (values - low) / (high - low), 0.0)
        made: list[Hashable] = [("sum", outcome, ALL)]
        made += [("sum", outcome, g.attribute, name) for g in queries.groupings for name in g.names]
        if queries.kinds[queries.outcomes.index(outcome)] == "score":
            self.fractions.update(made)
        self.counts["sum", outcome, ALL] = float(of.sum())
        for grouping in queries.groupings:
            totals = np.bincount(grouping.of_query, of, minlength=len(grouping.names))
            for label, total in zip(grouping.names, totals.tolist(), strict=True):
                self.counts["sum", outcome, grouping.attribute, label] = total
        self.relations += sums(("sum", outcome), list(queries.groupings))

    def _size_hidden(self, cell: Hashable) -> bool:
        if not isinstance(cell, InUnit) or cell.unit == "more":
            return True
        name = _name(cell)
        if not isinstance(name[0], int):
            return True  # what is shown of differences and sums follows from sizes
        if name == (0, ALL) and not self.reportable:
            return True
        return name[0] in self.hidden.nearly_all or name in self.hidden.cells

    def levels(self) -> Levels:
        """Settle."""
        start: dict[Hashable, int] = {}
        for row in self.rows:
            number = self.set_of[row["outcome"]]
            key = (row["outcome"], row["attribute"], row["group"])
            size = InUnit("queries", (number, *key[1:]))
            nearly = number in self.hidden.nearly_all
            known = nearly and (0, *key[1:]) not in self.hidden.cells
            start[key] = (FINE if known else ROUNDED) if size in self.sizes else EXACT
            total = InUnit("queries", (number, ALL))
            level = FINE if nearly else ROUNDED
            start[row["outcome"],] = level if total in self.sizes else EXACT
        bounds = Bounds(
            self.counts,  # type: ignore[arg-type]  # only those of sizes are asked for
            self.system.small,
            set(self.counts),
            self.minimum.reported - 1,
            marked=True,
            own=False,
            known=self.known,
        )
        found = settle(
            start, self._told, self._near, self.counts, self.relations, bounds, self.fractions,
            _place,
        )  # fmt: skip
        return Levels(found)

    def _told(self, levels: Mapping[Hashable, int]) -> tuple[Collection[Hashable], list[Limit]]:
        exact: dict[str, bool] = {}
        hidden = set(self.sizes)
        for name in self.counts:
            if isinstance(name, tuple) and name[0] == "sum" and levels.get(name[1:]) != EXACT:
                hidden.add(name)
        means = []
        for row in self.rows:
            outcome = row["outcome"]
            end, number = (row["attribute"], row["group"]), self.set_of[outcome]
            own = levels[outcome, *end]
            other = max(own, levels[outcome,])
            compared = row["_other_k"] >= self.minimum.reported
            exact[outcome] = exact.get(outcome, False) or (compared and other == EXACT)
            total, size = (InUnit("queries", (number, *rest)) for rest in ((ALL,), end))
            every, mine = ("sum", outcome, ALL), ("sum", outcome, *end)
            if own != EXACT:
                means += self._mean(row, "estimate", own, {mine: 1.0}, {size: 1.0})
            if compared and other != EXACT:
                rest: tuple[dict[Hashable, float], dict[Hashable, float]]
                rest = {every: 1.0, mine: -1.0}, {total: 1.0, size: -1.0}
                means += self._mean(row, "rest_estimate", other, *rest)
        hidden -= {("sum", outcome, ALL) for outcome, known in exact.items() if known}
        limits = [limit for mean in means for limit in mean.limits()]
        for name in sorted(hidden, key=repr):  # so that a rerun's programs are the same
            if isinstance(name, tuple) and name[0] == "sum":
                queries = InUnit("queries", (self.set_of[name[1]], *name[2:]))
                limits.append(Limit({name: 1.0, queries: -1.0}, -inf, 0.0))
        return hidden, limits

    def _mean(
        self,
        row: Row,
        field: str,
        level: int,
        values: dict[Hashable, float],
        sizes: dict[Hashable, float],
    ) -> list[Mean]:
        if level == BLANK or isnan(row[field]):
            return []
        low, high = self.span[row["outcome"]]
        step = step_of(level, row["precision"], row["_everyone"][1], self.minimum)
        mean = rounded(row[field] / row["_unit"], step)
        return [Mean(values, sizes, (mean - low) / (high - low), step / (high - low) / 2 + 1e-7)]

    def _near(self, cell: Hashable) -> Collection[Hashable]:
        """Means of groups that stand in a sum with a cell, in whatever unit."""
        if not self.beside:
            for total, parts in self.system.relations:
                ends = {_end(name) for name in (total, *parts)}
                for end in ends:
                    self.beside.setdefault(end, set()).update(ends)
        near = self.beside.get(_end(cell), ())
        return {(outcome, *end) for end in near for outcome in self.set_of}


def _name(cell: Hashable) -> tuple[Hashable, ...]:
    name = cell.cell if isinstance(cell, InUnit) else cell
    if not isinstance(name, tuple):
        raise TypeError(f"a cell is a tuple, not {type(name).__name__}")
    return name


def _end(cell: Hashable) -> tuple[Hashable, ...]:
    """Attribute and group of a cell; nothing of a total."""
    name = _name(cell)
    name = name[3:] if name[0] == "less" else name[1:]
    return name if len(name) == 2 else ()


def _place(cell: Hashable) -> tuple[Hashable, Hashable]:
    """Group of a cell, and what it is of its group."""
    name = _name(cell)
    if name[0] == "sum":
        return (name[2:], name[:3]) if len(name) == 4 else (cell, "")
    end = _end(cell)
    if not end or not isinstance(cell, InUnit):
        return cell, ""
    return end, (cell.unit, name[:-1])
