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

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaluation.stats.attacker_lp import (
    Bounds,
    Relation,
    attack,
    exposed_cells,
    split,
    touched,
)
from medembed.errors import InputError

__all__ = ["Relation", "Suppression", "attack", "suppress"]

_Order = Callable[[Hashable], tuple[int, bool, int, str]]


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
    small: Collection[Hashable] | None = None,
    unseen: Collection[Hashable] = (),
    hidden: Collection[Hashable] = (),
    marked: bool = False,
    spared: Mapping[Hashable, int] | None = None,
    harmless: Collection[Hashable] = (),
    capped: Collection[Hashable] = (),
    known: Mapping[Hashable, tuple[float, float | None]] | None = None,
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
    small : collection of cells, optional
        The small cells, where they are not told by their count: queries of few patients.
    unseen : collection of cells
        Never shown by any output, but derivable: those without a measurement.
    hidden : collection of cells
        Not shown for another reason already.
    marked : bool
        Whether the reader can tell small cells from their partners, as where a partner's other
        figures are shown: then small ones are known to be 1 to ``threshold`` and the partners to
        be more.
    spared : mapping of cell to int, optional
        How much each is missed if it is hidden, 0 where not given: partners are those that are
        missed least, and of these the smallest.
    harmless : collection of cells
        Unseen ones that may be known, since nobody is few there. Elsewhere a cell that one sum
        tells gets a partner at once, before any program is solved; more is hidden then.
    capped : collection of cells
        Where ``small`` is given: those of the small that a reader knows to be at most the
        threshold, since they are counts of patients.
    known : mapping of cell to (low, high or None), optional
        What a reader knows of some cells, should they be hidden, in place of all this.

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
    The system falls apart into those of hidden cells that share a sum; each is solved alone.

    Examples
    --------
    >>> kept = suppress(
    ...     {"all": 100, "F": 60, "M": 35, "O": 5}, [("all", ("F", "M", "O"))]
    ... )
    >>> kept.shown, sorted(kept.small), sorted(kept.partners)
    ({'all': 100, 'F': 60}, ['O'], ['M'])
    """
    _check(counts, relations, threshold, protection)
    own = small is None
    few = (
        {cell for cell, count in counts.items() if 1 <= count <= threshold}
        if small is None
        else set(small)
    )
    gone = few | set(hidden) | set(unseen)
    if not few:
        return Suppression(
            {cell: count for cell, count in counts.items() if cell not in gone},
            frozenset(),
            frozenset(gone - set(unseen)),
        )
    groups = [(total, *parts) for total, parts in relations]
    sums: dict[Hashable, list[tuple[Hashable, ...]]] = defaultdict(list)
    for group in groups:
        for cell in dict.fromkeys(group):
            sums[cell].append(group)
    bounds = Bounds(
        counts, few, set(unseen), threshold, marked, own, frozenset(capped), known or {}
    )
    missed = spared or {}

    def order(cell: Hashable) -> tuple[int, bool, int, str]:
        return missed.get(cell, 0), counts[cell] == 0, counts[cell], repr(cell)

    wanted, free = set(few), set(harmless) - few
    while True:
        _pair_up(groups, gone, free, order)
        systems = split(counts, relations, gone)
        exposed = [
            cell
            for system in systems
            for cell in exposed_cells(system, wanted & set(system.names), bounds, protection)
        ]
        if not exposed:
            break
        wanted = touched(systems, exposed) & few  # what was safe stays so: hiding only widens
        before = len(gone)
        for cell in sorted(exposed, key=lambda c: (counts[c], repr(c))):
            _hide_a_partner(cell, sums, gone, order)
        if len(gone) == before:  # no sum of its own is left to hide in: widen its whole system
            reach = _connected(sums, exposed)
            rest = sorted(reach - gone, key=order)
            if not rest:
                raise InputError("sums of counts so small that nothing of them can be shown")
            gone.add(rest[0])
    return Suppression(
        shown={cell: count for cell, count in counts.items() if cell not in gone},
        small=frozenset(few),
        partners=frozenset(gone - few - set(unseen)),
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
    groups: list[tuple[Hashable, ...]],
    hidden: set[Hashable],
    harmless: set[Hashable],
    order: _Order,
) -> None:
    """No sum with exactly one hidden cell, unless that one may be known."""
    changed = True
    while changed:
        changed = False
        for group in groups:
            lost = [cell for cell in dict.fromkeys(group) if cell in hidden]
            if len(lost) == 1 and lost[0] not in harmless:
                partner = _smallest(group, hidden, order)
                if partner is not None:
                    hidden.add(partner)
                    changed = True


def _hide_a_partner(
    exposed: Hashable,
    sums: Mapping[Hashable, list[tuple[Hashable, ...]]],
    hidden: set[Hashable],
    order: _Order,
) -> None:
    """Hide a cell of the exposed one's sums, or, if all there are missed, of the nearest sums."""
    best: Hashable | None = None
    reached, edge = {exposed}, [exposed]
    while edge:
        near = [group for cell in edge for group in sums[cell]]
        options = [
            partner for group in near if (partner := _smallest(group, hidden, order)) is not None
        ]
        if options:
            found = min(options, key=order)
            if best is None or order(found)[0] < order(best)[0]:
                best = found
            if order(best)[0] == 0:
                break
        edge = [c for c in dict.fromkeys(c for g in near for c in g) if c in hidden - reached]
        reached |= set(edge)
    if best is not None:
        hidden.add(best)


def _smallest(group: tuple[Hashable, ...], hidden: set[Hashable], order: _Order) -> Hashable | None:
    """Choose among the parts first, and the total where nothing else is, or is missed less."""
    parts = [cell for cell in group[1:] if cell not in hidden]
    total = group[0] if group[0] not in hidden else None
    part = min(parts, key=order) if parts else None
    if part is None or (total is not None and order(total)[0] < order(part)[0]):
        return total
    return part


def _connected(
    sums: Mapping[Hashable, list[tuple[Hashable, ...]]], start: Iterable[Hashable]
) -> set[Hashable]:
    reach, edge = set(start), list(start)
    while edge:
        for group in sums[edge.pop()]:
            new = set(group) - reach
            reach |= new
            edge.extend(new)
    return reach
