"""What a reader can work out who knows that no count is a fraction: integer programs.

Linear programs (:mod:`evaluation.stats.attacker_lp`) leave a range; rounded means may leave one
whole number in it. Groups that could be each other's are open without any program.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager

import numpy as np

from evaluation.stats.attacker_lp import Bounds, System

__all__ = ["swappable", "told_by_whole_numbers"]

_EXACT = 1e-6
_SEARCHED = 2000
_NODES = 200


def swappable(
    system: System, bounds: Bounds, place_of: Callable[[Hashable], tuple[Hashable, Hashable]]
) -> set[Hashable]:
    """Find cells that cannot be told, since they could be another group's and that one's theirs.

    Where all counts and sums of two groups stand in the same sums and limits, one group's exchanged
    for the other's fit as well; so those cells are open that have another value there.

    Parameters
    ----------
    system : System
    bounds : Bounds
    place_of : callable
        Gives a cell's group, and what it is of its group.

    Returns
    -------
    set of cells
    """
    groups, roles = zip(*map(place_of, system.names), strict=True)
    marks: dict[Hashable, list[str]] = defaultdict(list)
    for matrix, values in ((system.matrix, system.values), (system.limits, system.most)):
        if matrix is None:
            continue
        rows = matrix.tocsr()
        for number, value in enumerate(values):
            at = slice(rows.indptr[number], rows.indptr[number + 1])
            terms = list(zip(rows.indices[at].tolist(), rows.data[at].tolist(), strict=True))
            if len({groups[column] for column, _ in terms}) == 1:  # of this group alone
                form = sorted((repr(roles[column]), sign) for column, sign in terms)
                marks[groups[terms[0][0]]].append(repr((matrix is system.limits, value, form)))
                continue
            for column, sign in terms:
                row = (matrix is system.limits, number, roles[column], sign)
                marks[groups[column]].append(repr(row))
    members: dict[Hashable, list[int]] = defaultdict(list)
    for column, name in enumerate(system.names):
        marks[groups[column]].append(repr((roles[column], bounds.of(name))))
        members[groups[column]].append(column)
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for group, made_of in marks.items():
        alike[tuple(sorted(made_of))] += members[group]
    found: set[Hashable] = set()
    for columns in alike.values():
        by_role: dict[Hashable, list[Hashable]] = defaultdict(list)
        for column in columns:
            if system.names[column] in bounds.few:
                by_role[roles[column]].append(system.names[column])
        for names in by_role.values():
            if len({bounds.counts[name] for name in names}) > 1:
                found.update(names)
    return found


def told_by_whole_numbers(
    system: System, wanted: set[Hashable], bounds: Bounds, fractions: Collection[Hashable]
) -> list[Hashable]:
    """Wanted cells of which no other whole number fits, though other fractions do.

    Each integer program looks for a solution in which one cell is larger, or smaller, than it is; a
    solution clears all cells that differ in it. Where none is found within a fixed number of nodes
    the cell counts as told. Systems of more than 2,000 cells are not searched.

    Parameters
    ----------
    system : System
    wanted : set of cells
    bounds : Bounds
    fractions : collection of cells
        Those that need not be whole.

    Returns
    -------
    list of cells
    """
    if system.limits is None or not wanted or len(system.names) > _SEARCHED:
        return []
    from scipy.optimize import Bounds as Box
    from scipy.optimize import LinearConstraint, milp

    column = {name: number for number, name in enumerate(system.names)}
    ends = [bounds.of(name) for name in system.names]
    low = np.array([end[0] for end in ends])
    high = np.array([np.inf if end[1] is None else end[1] for end in ends])
    whole = np.array([name not in fractions for name in system.names], dtype=np.int64)
    rules = [LinearConstraint(system.limits, -np.inf, np.array(system.most) + _EXACT)]
    if system.matrix is not None:
        values = np.array(system.values)
        rules.append(LinearConstraint(system.matrix, values - _EXACT, values + _EXACT))
    left = sorted(wanted & column.keys(), key=repr)
    found = []
    while left:
        cell = left.pop(0)
        at, truth, other = column[cell], bounds.counts[cell], None
        for above in (True, False):
            here_low, here_high = low.copy(), high.copy()
            if above:
                here_low[at] = max(low[at], truth + 1)
            else:
                here_high[at] = min(high[at], truth - 1)
            if here_low[at] <= here_high[at] and other is None:
                with _unheard():
                    other = milp(
                        np.zeros(len(column)), constraints=rules, bounds=Box(here_low, here_high),
                        integrality=whole, options={"node_limit": _NODES, "presolve": False},
                    ).x  # fmt: skip
        if other is None:
            found.append(cell)
        else:
            left = [c for c in left if abs(other[column[c]] - bounds.counts[c]) < 1 - _EXACT]
    return found


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep what the solver prints, past Python, out of a stdout that may be somebody's JSON."""
    try:
        libc, kept, nowhere = ctypes.CDLL(None), os.dup(1), os.open(os.devnull, os.O_WRONLY)
    except (OSError, TypeError):  # no such library, or no stdout at all
        yield
        return
    sys.stdout.flush()
    libc.fflush(None)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        libc.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
