"""What a reader can work out of what is shown: linear programs over the hidden counts.

The sums that hold among shown and hidden counts bound each hidden one; its least and its largest
value are two linear programs. Hidden counts that share no sum, not even through others, fall into
systems of their own.

References
----------
Fischetti and Salazar, Management Science 47:1008, 2001 (the attacker's two linear programs).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = [
    "Bounds", "Limit", "Relation", "System", "attack", "exposed_cells", "few_together", "split",
    "touched",
]  # fmt: skip

Relation = tuple[Hashable, tuple[Hashable, ...]]
"""A cell that is the sum of others: (total, parts)."""

_Terms = dict[Hashable, float]

_EXACT = 1e-6
_ALONE = 4  # so few cells are as quickly solved one by one
_PROGRESS = 0.8


@dataclass(frozen=True)
class Limit:
    """A weighted sum of cells that lies between two values, as rounded figures tell.

    Parameters
    ----------
    terms : dict of cell to float
    low, high : float
        -inf or inf for no end.
    """

    terms: _Terms
    low: float
    high: float


@dataclass(frozen=True)
class Bounds:
    """What a reader knows of a hidden cell before any sum.

    Parameters
    ----------
    counts : mapping of cell to int
    few : set of cells
        Small ones.
    unseen : set of cells
        Never shown: nothing is known of them.
    threshold : int
    marked : bool
        Whether the reader can tell small cells from others.
    own : bool
        Whether counts are of patients, so that small ones are at most the threshold.
    capped : collection of cells
        Those of patients, where others are not.
    known : mapping of cell to (low, high or None)
        What the reader knows of some cells, in place of all this.
    """

    counts: Mapping[Hashable, int]
    few: set[Hashable]
    unseen: set[Hashable]
    threshold: int
    marked: bool
    own: bool
    capped: Collection[Hashable] = frozenset()
    known: Mapping[Hashable, tuple[float, float | None]] = field(default_factory=dict)

    def of(self, cell: Hashable) -> tuple[float, float | None]:
        """Least and largest value that the reader takes for possible; None for no end."""
        if cell in self.known:
            return self.known[cell]
        if cell in self.unseen:
            return 0.0, None
        if not self.marked:
            return float(min(1, self.counts[cell])), None
        if cell in self.few:
            most = self.own or cell in self.capped
            return 1.0, float(self.threshold) if most else None
        return (float(self.threshold + 1) if self.counts[cell] else 0.0), None


@dataclass(frozen=True)
class System:
    """Hidden cells that share sums, directly or through others, and those sums.

    Parameters
    ----------
    names : list of cells
        Columns of the matrix.
    matrix : sparse array of shape (n_sums, n_cells) or None
        None where a cell is in no sum.
    values : list of float
        What the sums come to.
    limits : sparse array of shape (n_ends, n_cells) or None
    most : list of float
        What each of ``limits`` is at most.
    """

    names: list[Hashable]
    matrix: Any
    values: list[float]
    limits: Any = None
    most: list[float] = field(default_factory=list)

    def solve(self, goal: np.ndarray[Any, Any], bounds: list[tuple[float, float | None]]) -> Any:
        """Minimise the goal over all values that fit."""
        from scipy.optimize import linprog  # the command line starts without scipy

        return linprog(
            goal, A_ub=self.limits, b_ub=self.most or None, A_eq=self.matrix,
            b_eq=self.values or None, bounds=bounds, method="highs",
        )  # fmt: skip


def split(
    counts: Mapping[Hashable, int | float],
    relations: Sequence[Relation],
    hidden: Collection[Hashable],
    limits: Sequence[Limit] = (),
) -> list[System]:
    """Split the hidden cells into systems without a sum or a limit in common."""
    parent: dict[Hashable, Hashable] = {cell: cell for cell in hidden}

    def root(cell: Hashable) -> Hashable:
        while parent[cell] != cell:
            parent[cell] = parent[parent[cell]]
            cell = parent[cell]
        return cell

    def join(terms: Iterable[Hashable]) -> None:
        first, *others = terms
        for cell in others:
            parent[root(cell)] = root(first)

    sums, ends = [], []
    for total, parts in relations:
        terms, value = _unknown([(total, -1.0), *((part, 1.0) for part in parts)], parent, counts)
        if terms:
            sums.append((terms, -value))
            join(terms)
    for limit in limits:
        terms, value = _unknown(list(limit.terms.items()), parent, counts)
        if terms:
            join(terms)
            if limit.high < np.inf:
                ends.append((terms, limit.high - value))
            if limit.low > -np.inf:
                ends.append(({cell: -sign for cell, sign in terms.items()}, value - limit.low))
    members: dict[Hashable, list[Hashable]] = defaultdict(list)
    for cell in sorted(parent, key=repr):
        members[root(cell)].append(cell)
    rows: dict[Hashable, tuple[list[tuple[_Terms, float]], list[tuple[_Terms, float]]]]
    rows = defaultdict(lambda: ([], []))
    for kind, held in enumerate((sums, ends)):
        for terms, value in held:
            rows[root(next(iter(terms)))][kind].append((terms, value))
    return [_gather(names, *rows[key]) for key, names in members.items()]


def _unknown(
    terms: list[tuple[Hashable, float]],
    hidden: Collection[Hashable],
    counts: Mapping[Hashable, int | float],
) -> tuple[_Terms, float]:
    """Terms over hidden cells, and what the others come to."""
    left: _Terms = defaultdict(float)
    value = 0.0
    for cell, sign in terms:
        if cell in hidden:
            left[cell] += sign
        else:
            value += sign * counts[cell]
    return {cell: sign for cell, sign in left.items() if sign}, value


def _gather(
    names: list[Hashable], sums: list[tuple[_Terms, float]], ends: list[tuple[_Terms, float]]
) -> System:
    column = {cell: number for number, cell in enumerate(names)}
    return System(
        names,
        _matrix(sums, column),
        [value for _, value in sums],
        _matrix(ends, column),
        [value for _, value in ends],
    )


def _matrix(rows: list[tuple[_Terms, float]], column: Mapping[Hashable, int]) -> Any:
    from scipy.sparse import csr_array

    if not rows:
        return None
    at = [number for number, (terms, _) in enumerate(rows) for _ in terms]
    to = [column[cell] for terms, _ in rows for cell in terms]
    signs = [sign for terms, _ in rows for sign in terms.values()]
    return csr_array((signs, (at, to)), shape=(len(rows), len(column)))


def few_together(
    relations: Iterable[Relation],
    small: Collection[Hashable],
    patients: Mapping[Hashable, int],
    threshold: int,
) -> dict[Hashable, tuple[Hashable, ...]]:
    """Find small cells of one sum that are few together, too.

    Where all others of a sum are shown, so is what these come to.

    Parameters
    ----------
    relations : iterable of (total, parts)
    small : collection of cells
    patients : mapping of cell to int
    threshold : int

    Returns
    -------
    dict of cell to cells
        A new cell ``("few", ...)``, and those that it is the sum of.
    """
    found: dict[Hashable, tuple[Hashable, ...]] = {}
    for total, parts in relations:
        few = tuple(part for part in dict.fromkeys(parts) if part in small)
        if total not in small and len(few) > 1 and sum(patients[part] for part in few) <= threshold:
            found["few", *sorted(few, key=repr)] = few
    return found


def touched(systems: list[System], cells: Iterable[Hashable]) -> set[Hashable]:
    """Cells of the systems that hold one of ``cells``."""
    sought = set(cells)
    return {name for s in systems if sought & set(s.names) for name in s.names}


def exposed_cells(
    system: System, wanted: set[Hashable], bounds: Bounds, protection: float
) -> list[Hashable]:
    """Wanted cells whose range is narrower than the protection, or holds one whole number alone.

    First, without any program: two cells that stand in the same sums can pass 1 between them. Then
    goals over all cells left, each solution telling something of all; then each cell's own two.
    """
    if not wanted or system.matrix is None:
        return []
    far = 10.0 * (sum(map(abs, system.values)) + sum(map(abs, system.most))) + 1000.0
    box: list[tuple[float, float | None]] = [  # unbounded is as good as far
        (low, far if high is None else high) for low, high in map(bounds.of, system.names)
    ]
    if protection <= 1 and system.limits is None:
        wanted = wanted - _exchangeable(system, bounds)
    where = np.array(
        [number for number, name in enumerate(system.names) if name in wanted], dtype=np.int64
    )
    truth = np.array([float(bounds.counts[system.names[number]]) for number in where])
    least, most = truth.copy(), truth.copy()
    rng = np.random.default_rng(0)

    def learn(goal: np.ndarray[Any, Any]) -> None:
        solved = system.solve(goal, box)
        if solved.status == 0:
            np.minimum(least, solved.x[where], out=least)
            np.maximum(most, solved.x[where], out=most)

    def told(at: int | slice = slice(None)) -> Any:
        above, below = most[at] - truth[at], truth[at] - least[at]
        alone = (above < 1 - _EXACT) & (below < 1 - _EXACT)
        return alone | (above + below < protection - _EXACT)

    left = len(where)
    while left > _ALONE:
        goal = np.zeros(len(system.names))
        goal[where] = rng.standard_normal(len(where)) * told()
        learn(goal)
        learn(-goal)
        before, left = left, int(told().sum())
        if left > _PROGRESS * before:
            break
    found = []
    for number, place in enumerate(where.tolist()):
        for sign in (1.0, -1.0):
            if told(number):
                goal = np.zeros(len(system.names))
                goal[place] = sign
                learn(goal)
        if told(number):
            found.append(system.names[place])
    return found


def _exchangeable(system: System, bounds: Bounds) -> set[Hashable]:
    """Cells that can trade 1 with another of exactly the same sums."""
    columns = system.matrix.tocsc()
    alike: dict[bytes, list[tuple[Hashable, bool, bool]]] = defaultdict(list)
    for number, name in enumerate(system.names):
        at = slice(columns.indptr[number], columns.indptr[number + 1])
        key = columns.indices[at].tobytes() + columns.data[at].tobytes()
        low, high = bounds.of(name)
        value = bounds.counts[name]
        alike[key].append((name, high is None or value + 1 <= high, value - 1 >= low))
    found: set[Hashable] = set()
    for cells in alike.values():
        ups, downs = sum(up for _, up, _ in cells), sum(down for _, _, down in cells)
        found |= {
            name for name, up, down in cells if (up and downs - down > 0) or (down and ups - up > 0)
        }
    return found


def attack(
    counts: Mapping[Hashable, int],
    relations: Sequence[Relation],
    hidden: Collection[Hashable],
    wanted: Collection[Hashable],
    *,
    bounds: Mapping[Hashable, tuple[float, float | None]] | None = None,
) -> dict[Hashable, tuple[float, float]]:
    """Find the range that a reader can pin each wanted cell down to.

    Parameters
    ----------
    counts, relations
        As in :func:`suppress`.
    hidden : collection of cells
        Not shown; all others are.
    wanted : collection of cells
        Hidden ones to find out.
    bounds : mapping of cell to (low, high or None), optional
        What the reader knows of hidden cells beforehand.

    Returns
    -------
    dict of cell to (low, high)
        Least and largest value that agrees with everything shown; infinite where nothing bounds
        it.

    Notes
    -----
    The reader knows that 0 is shown where it can be, so that what is hidden is 1 or more unless it
    had to be hidden as a partner of 0; that is granted to the attacker.
    """
    known = bounds or {}
    found: dict[Hashable, tuple[float, float]] = {}
    sought = set(wanted)
    for system in split(counts, relations, hidden):
        box = [known.get(name, (min(1, counts[name]), None)) for name in system.names]
        for number, name in enumerate(system.names):
            if name not in sought:
                continue
            ends = []
            for sign in (1.0, -1.0):
                goal = np.zeros(len(system.names))
                goal[number] = sign
                solved = system.solve(goal, box)
                ends.append(
                    np.inf if solved.fun is None or solved.status else sign * float(solved.fun)
                )
            found[name] = (ends[0], ends[1])
    return found
