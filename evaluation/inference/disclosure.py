"""Small cells: none of 1 to 10 patients is shown, nor any from which one can be derived.

A table of counts and all its totals, over every output of a report, is one system of sums. What
is suppressed has to stay unknown to a reader who solves that system, knowing that counts are not
negative. So: suppress small cells, suppress a partner wherever a sum gives one away, then solve the
system as an attacker would (linear programming) and go on until nothing small is pinned down.

References
----------
Hundepool et al., *Statistical Disclosure Control*, 2012, ch. 4 (primary and secondary suppression);
CMS Cell Size Suppression Policy (no cell of 1 to 10); Fischetti and Salazar, Management Science
47:1008, 2001 (the attacker's two linear programs for each cell).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medembed.errors import InputError

__all__ = ["Suppression", "attack", "suppress"]

Relation = tuple[Hashable, tuple[Hashable, ...]]
"""A cell that is the sum of others: (total, parts)."""


@dataclass(frozen=True)
class Suppression:
    """What may be shown.

    Parameters
    ----------
    shown : dict
        Counts by cell.
    small : frozenset
        Cells that are suppressed because they are small.
    partners : frozenset
        Cells that are suppressed because a small one could be derived from them.
    """

    shown: dict[Hashable, int]
    small: frozenset[Hashable]
    partners: frozenset[Hashable]


def suppress(
    counts: Mapping[Hashable, int],
    relations: Sequence[Relation] = (),
    *,
    threshold: int = 10,
    protection: float = 1.0,
) -> Suppression:
    """Suppress small cells and as many others as it takes to keep them unknown.

    Parameters
    ----------
    counts : mapping of cell to int
        Patients in every cell of every output, totals included.
    relations : sequence of (total, parts)
        Every sum that holds among the cells, across all outputs: whoever reads one page may read
        the others.
    threshold : int
        Cells of 1 to ``threshold`` are small; 0 may be shown.
    protection : float
        Width of the range that an attacker must be left with for each small cell, at least.

    Returns
    -------
    Suppression

    Raises
    ------
    InputError
        Where a count is negative, a relation names an unknown cell or does not add up.

    Notes
    -----
    Partners are chosen greedily, the smallest cell that is not 0 first; the result is safe but not
    the least possible. Where no partner is left in a sum its total goes, up to the grand total.

    Examples
    --------
    >>> kept = suppress(
    ...     {"all": 100, "F": 60, "M": 35, "O": 5}, [("all", ("F", "M", "O"))]
    ... )
    >>> kept.shown, sorted(kept.small), sorted(kept.partners)
    ({'all': 100, 'F': 60}, ['O'], ['M'])
    """
    _check(counts, relations, threshold, protection)
    small = {cell for cell, count in counts.items() if 1 <= count <= threshold}
    hidden = set(small)
    groups = [(total, *parts) for total, parts in relations]
    while True:
        _pair_up(counts, groups, hidden)
        exposed = [
            cell
            for cell, (low, high) in attack(counts, relations, hidden, small).items()
            if high - low < protection
        ]
        if not exposed:
            break
        before = len(hidden)
        for cell in sorted(exposed, key=lambda c: (counts[c], repr(c))):
            _hide_a_partner(counts, groups, hidden, cell)
        if len(hidden) == before:  # no sum of its own is left to hide in: widen its whole system
            reach = _connected(groups, exposed)
            rest = sorted(reach - hidden, key=lambda c: (counts[c] == 0, counts[c], repr(c)))
            if not rest:
                raise InputError("sums of counts so small that nothing of them can be shown")
            hidden.add(rest[0])
    return Suppression(
        shown={cell: count for cell, count in counts.items() if cell not in hidden},
        small=frozenset(small),
        partners=frozenset(hidden - small),
    )


def _check(
    counts: Mapping[Hashable, int],
    relations: Sequence[Relation],
    threshold: int,
    protection: float,
) -> None:
    if threshold < 0 or not 0 < protection <= threshold + 1:
        raise InputError("a threshold below 0, or a protection that no small cell can have")
    if any(count < 0 or count != int(count) for count in counts.values()):
        raise InputError("counts that are not whole numbers from 0 on")
    for total, parts in relations:
        if total not in counts or any(part not in counts for part in parts):
            raise InputError("a sum over a cell that has no count")
        if counts[total] != sum(counts[part] for part in parts):
            raise InputError("counts that do not add up to their total")


def _pair_up(
    counts: Mapping[Hashable, int], groups: list[tuple[Hashable, ...]], hidden: set[Hashable]
) -> None:
    """No sum with exactly one hidden cell."""
    changed = True
    while changed:
        changed = False
        for group in groups:
            if sum(cell in hidden for cell in set(group)) == 1:
                partner = _smallest(counts, group, hidden)
                if partner is not None:
                    hidden.add(partner)
                    changed = True


def _hide_a_partner(
    counts: Mapping[Hashable, int],
    groups: list[tuple[Hashable, ...]],
    hidden: set[Hashable],
    cell: Hashable,
) -> None:
    options = [
        partner
        for group in groups
        if cell in group and (partner := _smallest(counts, group, hidden)) is not None
    ]
    if options:
        hidden.add(min(options, key=lambda c: (counts[c] == 0, counts[c], repr(c))))


def _smallest(
    counts: Mapping[Hashable, int], group: tuple[Hashable, ...], hidden: set[Hashable]
) -> Hashable | None:
    """Choose among the parts first, cells of 0 last, and the total only where nothing else is."""
    parts = [cell for cell in group[1:] if cell not in hidden]
    if parts:
        return min(parts, key=lambda c: (counts[c] == 0, counts[c], repr(c)))
    return group[0] if group[0] not in hidden else None


def _connected(groups: list[tuple[Hashable, ...]], start: Sequence[Hashable]) -> set[Hashable]:
    reach, grown = set(start), True
    while grown:
        grown = False
        for group in groups:
            if reach & set(group) and not reach >= set(group):
                reach |= set(group)
                grown = True
    return reach


def attack(
    counts: Mapping[Hashable, int],
    relations: Sequence[Relation],
    hidden: set[Hashable] | frozenset[Hashable],
    wanted: set[Hashable] | frozenset[Hashable],
) -> dict[Hashable, tuple[float, float]]:
    """Find the range that a reader can pin each wanted cell down to.

    Parameters
    ----------
    counts, relations
        As in :func:`suppress`.
    hidden : set of cells
        Not shown; all others are.
    wanted : set of cells
        Hidden ones to find out.

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
    from scipy.optimize import linprog  # the command line starts without scipy

    names = sorted(hidden, key=repr)
    column = {cell: number for number, cell in enumerate(names)}
    rows, values = [], []
    for total, parts in relations:
        row, value = np.zeros(len(names)), 0.0
        for cell, sign in ((total, -1.0), *((part, 1.0) for part in parts)):
            if cell in column:
                row[column[cell]] += sign
            else:
                value -= sign * counts[cell]
        if row.any():
            rows.append(row)
            values.append(value)
    system: NDArray[np.float64] | None = np.stack(rows) if rows else None
    bounds = [(min(1, counts[cell]), None) for cell in names]
    found: dict[Hashable, tuple[float, float]] = {}
    for cell in sorted(wanted, key=repr):
        ends = []
        for sign in (1.0, -1.0):
            goal = np.zeros(len(names))
            goal[column[cell]] = sign
            solved = linprog(goal, A_eq=system, b_eq=values or None, bounds=bounds)
            reached = solved.fun
            ends.append(np.inf if reached is None or solved.status else sign * float(reached))
        found[cell] = (ends[0], ends[1])
    return found
