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
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Bounds", "Relation", "System", "attack", "exposed_cells", "split", "touched"]

Relation = tuple[Hashable, tuple[Hashable, ...]]
"""A cell that is the sum of others: (total, parts)."""

_EXACT = 1e-6
_ALONE = 4  # so few cells are as quickly solved one by one
_PROGRESS = 0.8


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
    """

    counts: Mapping[Hashable, int]
    few: set[Hashable]
    unseen: set[Hashable]
    threshold: int
    marked: bool
    own: bool
    capped: Collection[Hashable] = frozenset()

    def of(self, cell: Hashable) -> tuple[float, float | None]:
        """Least and largest value that the reader takes for possible; None for no end."""
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
    """

    names: list[Hashable]
    matrix: Any
    values: list[float]

    def solve(self, goal: np.ndarray[Any, Any], bounds: list[tuple[float, float | None]]) -> Any:
        """Minimise the goal over all values that fit."""
        from scipy.optimize import linprog  # the command line starts without scipy

        return linprog(
            goal, A_eq=self.matrix, b_eq=self.values or None, bounds=bounds, method="highs"
        )


def split(
    counts: Mapping[Hashable, int], relations: Sequence[Relation], hidden: Collection[Hashable]
) -> list[System]:
    """Split the hidden cells into systems without a sum in common."""
    parent: dict[Hashable, Hashable] = {cell: cell for cell in hidden}

    def root(cell: Hashable) -> Hashable:
        while parent[cell] != cell:
            parent[cell] = parent[parent[cell]]
            cell = parent[cell]
        return cell

    held = []
    for total, parts in relations:
        terms: dict[Hashable, float] = defaultdict(float)
        value = 0.0
        for cell, sign in ((total, -1.0), *((part, 1.0) for part in parts)):
            if cell in parent:
                terms[cell] += sign
            else:
                value -= sign * counts[cell]
        terms = {cell: sign for cell, sign in terms.items() if sign}
        if terms:
            held.append((terms, value))
            first, *others = terms
            for cell in others:
                parent[root(cell)] = root(first)
    members: dict[Hashable, list[Hashable]] = defaultdict(list)
    for cell in sorted(parent, key=repr):
        members[root(cell)].append(cell)
    rows: dict[Hashable, list[tuple[dict[Hashable, float], float]]] = defaultdict(list)
    for terms, value in held:
        rows[root(next(iter(terms)))].append((terms, value))
    return [_gather(names, rows[key]) for key, names in members.items()]


def _gather(names: list[Hashable], rows: list[tuple[dict[Hashable, float], float]]) -> System:
    from scipy.sparse import csr_array

    if not rows:
        return System(names, None, [])
    column = {cell: number for number, cell in enumerate(names)}
    at = [number for number, (terms, _) in enumerate(rows) for _ in terms]
    to = [column[cell] for terms, _ in rows for cell in terms]
    signs = [sign for terms, _ in rows for sign in terms.values()]
    matrix = csr_array((signs, (at, to)), shape=(len(rows), len(names)))
    return System(names, matrix, [value for _, value in rows])


def touched(systems: list[System], cells: Iterable[Hashable]) -> set[Hashable]:
    """Cells of the systems that hold one of ``cells``."""
    sought = set(cells)
    return {name for s in systems if sought & set(s.names) for name in s.names}


def exposed_cells(
    system: System, wanted: set[Hashable], bounds: Bounds, protection: float
) -> list[Hashable]:
    """Wanted cells whose range is narrower than the protection.

    First, without any program: two cells that stand in the same sums can pass 1 between them. Then
    goals over all cells left, each solution telling something of all; then each cell's own two.
    """
    if not wanted or system.matrix is None:
        return []
    far = 10.0 * sum(abs(v) for v in system.values) + 1000.0  # unbounded is as good as far
    box: list[tuple[float, float | None]] = [
        (low, far if high is None else high) for low, high in map(bounds.of, system.names)
    ]
    if protection <= 1:
        wanted = wanted - _exchangeable(system, bounds)
    where = np.array(
        [number for number, name in enumerate(system.names) if name in wanted], dtype=np.int64
    )
    least = np.array([float(bounds.counts[system.names[number]]) for number in where])
    most = least.copy()
    rng = np.random.default_rng(0)

    def learn(goal: np.ndarray[Any, Any]) -> None:
        solved = system.solve(goal, box)
        if solved.status == 0:
            np.minimum(least, solved.x[where], out=least)
            np.maximum(most, solved.x[where], out=most)

    left = len(where)
    while left > _ALONE:
        goal = np.zeros(len(system.names))
        goal[where] = rng.standard_normal(len(where)) * (most - least < protection)
        learn(goal)
        learn(-goal)
        before, left = left, int((most - least < protection).sum())
        if left > _PROGRESS * before:
            break
    found = []
    for number, place in enumerate(where.tolist()):
        for sign in (1.0, -1.0):
            if most[number] - least[number] < protection - _EXACT:
                goal = np.zeros(len(system.names))
                goal[place] = sign
                learn(goal)
        if most[number] - least[number] < protection - _EXACT:
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
