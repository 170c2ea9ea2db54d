"""Which counts of an audit may be shown: one system of sums over all its outputs.

A reader of the report knows the groups' sizes, how many of each were measured for every outcome,
the sizes of intersections and the total. Each is a sum of others. Hidden are counts of 1 to 10
patients, differences and sums of that size (the few of a group that one outcome was measured on
and not another; several small groups that are few together), and as many others as it takes to
keep those unknown, for a reader who can tell small cells from their partners
(:func:`evaluation.stats.suppress`). First in patients, for attributes that each patient has one
value of; then in queries for all attributes, where those of few patients count as small.

Where an outcome was measured on all but a few of every group, its own counts are not shown at all:
the group's stand in their place, so that a size stands beside every figure and the few stay
unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.table_input import Grouping, Queries
from evaluation.stats import Minimum, suppress
from evaluation.stats.attacker_lp import Relation, few_together
from medembed.errors import InputError

__all__ = [
    "ALL", "Hidden", "InUnit", "Measured", "System", "hide", "known_ends", "measured_sets", "sums",
    "system_of", "together",
]  # fmt: skip

Bools = NDArray[np.bool_]
ALL = "all"
_FEW = 0.1


@dataclass(frozen=True)
class Measured:
    """Outcomes that were measured on the same queries.

    Parameters
    ----------
    of_outcome : tuple of int
        For each outcome its set.
    masks : tuple of bool arrays of shape (n_queries,)
        The first holds all queries.
    """

    of_outcome: tuple[int, ...]
    masks: tuple[Bools, ...]


@dataclass(frozen=True)
class System:
    """Counts in one unit, and the sums among them.

    Parameters
    ----------
    counts : dict of cell to int
    relations : list of (total, parts)
    small : set of cells
        Of 1 to ``threshold`` patients.
    unseen : set of cells
        In no output, but sums or differences of what is.
    capped : set of cells
        Small ones that are patients where others are queries.
    """

    counts: dict[Hashable, int]
    relations: list[Relation]
    small: set[Hashable]
    unseen: set[Hashable]
    capped: set[Hashable] = field(default_factory=set)


@dataclass(frozen=True)
class InUnit:
    """A cell of both units' system; more queries than patients are ``"more"``."""

    unit: str
    cell: Hashable


@dataclass(frozen=True)
class Hidden:
    """Counts that are not shown.

    Parameters
    ----------
    cells : frozenset of (set, attribute, group)
        Set 0 is all queries, others as in :class:`Measured`; ``("all",)`` the total.
    unmeasured : frozenset of (set, attribute, group)
        Numbers of queries without a measurement.
    nearly_all : frozenset of int
        Sets whose outcomes are given with the sizes of all queries.
    """

    cells: frozenset[Hashable]
    unmeasured: frozenset[Hashable]
    nearly_all: frozenset[int]


def measured_sets(values: NDArray[np.float64]) -> Measured:
    """Find the sets of queries that outcomes (n_queries, n_outcomes) were measured on."""
    masks: list[Bools] = [np.ones(len(values), dtype=bool)]
    place: dict[bytes, int] = {masks[0].tobytes(): 0}
    of_outcome = []
    for column in values.T:
        mask = ~np.isnan(column)
        key = mask.tobytes()
        if key not in place:
            place[key] = len(masks)
            masks.append(mask)
        of_outcome.append(place[key])
    return Measured(tuple(of_outcome), tuple(masks))


def hide(queries: Queries, measured: Measured, minimum: Minimum) -> Hidden:
    """Find which counts are not shown."""
    threshold = minimum.reported - 1
    known = known_ends(queries, measured, minimum)
    gone: set[Hashable] = set()
    nearly = _nearly_all(queries, measured, threshold)
    systems = {
        unit: system_of(queries, measured, threshold, unit, without=nearly)
        for unit in ("patients", "queries")
    }
    if not any(system.small for system in systems.values()):
        return Hidden(frozenset(), frozenset(), nearly)
    whole = together(systems)
    for system in (*systems.values(), whole):
        joint = system is whole
        told = {cell: cell.cell if isinstance(cell, InUnit) else cell for cell in system.counts}
        found: Collection[Hashable]
        try:
            kept = suppress(
                system.counts,
                system.relations,
                threshold=threshold,
                small=system.small,
                unseen=system.unseen,
                hidden={cell for cell, name in told.items() if name in gone} - system.unseen,
                marked=threshold > 1,
                harmless=system.unseen if joint else (),
                capped=system.capped,
                known=known if joint else {},
            )
            found = kept.small | kept.partners
        except InputError:  # so few that nothing of them can be shown
            found = system.counts
        gone |= {told[cell] for cell in found}
    cells = {cell for cell in gone if isinstance(cell, tuple) and isinstance(cell[0], int)}
    return Hidden(
        frozenset(cells),
        frozenset(
            (cell[2], *cell[3:])
            for cell in gone
            if isinstance(cell, tuple) and cell[0] == "less" and cell[1] == 0 and len(cell) > 3
        ),
        nearly,
    )


def known_ends(
    queries: Queries, measured: Measured, minimum: Minimum
) -> dict[Hashable, tuple[float, float | None]]:
    """Find what words tell of the sizes of groups: how precise they are called, and of nobody.

    Where small means one patient, words tell them all, and this is no secret to keep.
    """
    if minimum.reported <= 2:
        return {}
    found: dict[Hashable, tuple[float, float | None]] = {}
    for number, mask in enumerate(measured.masks):
        for grouping in queries.groupings:
            patients, _ = _sizes(queries, grouping, mask)
            for label, k in zip(grouping.names, patients.tolist(), strict=True):
                cell = (number, grouping.attribute, label)
                low, high = minimum.ends(k) if k else (0.0, 0.0)
                found[InUnit("patients", cell)] = low, high
                found[InUnit("queries", cell)] = low, None if k else 0.0
    return found


def together(systems: Mapping[str, System]) -> System:
    """Both units in one system: nobody has less than one query."""
    counts: dict[Hashable, int] = {}
    relations: list[Relation] = []
    small: set[Hashable] = set()
    unseen: set[Hashable] = set()
    for unit, system in systems.items():
        counts |= {InUnit(unit, cell): count for cell, count in system.counts.items()}
        relations += [
            (InUnit(unit, total), tuple(InUnit(unit, part) for part in parts))
            for total, parts in system.relations
        ]
        small |= {InUnit(unit, cell) for cell in system.small}
        unseen |= {InUnit(unit, cell) for cell in system.unseen}
    patients, asked = systems["patients"].counts, systems["queries"].counts
    for cell, k in patients.items():
        if cell in asked and asked[cell] >= k:
            more = InUnit("more", cell)
            counts[more] = asked[cell] - k
            unseen.add(more)
            relations.append((InUnit("queries", cell), (InUnit("patients", cell), more)))
    capped: set[Hashable] = {InUnit("patients", cell) for cell in systems["patients"].small}
    return System(counts, relations, small, unseen, capped)


def _nearly_all(queries: Queries, measured: Measured, threshold: int) -> frozenset[int]:
    """Sets that lack a few patients of some group, and of no group more than a tenth."""
    found = set()
    for number, mask in enumerate(measured.masks[1:], start=1):
        few = False
        for grouping in queries.groupings:
            lacking, _ = _sizes(queries, grouping, ~mask)
            everyone, _ = _sizes(queries, grouping, measured.masks[0])
            if (lacking > np.maximum(threshold, everyone * _FEW)).any():
                break
            few |= bool(((lacking > 0) & (lacking <= threshold)).any())
        else:
            if few:
                found.add(number)
    return frozenset(found)


def system_of(
    queries: Queries,
    measured: Measured,
    threshold: int,
    unit: str,
    *,
    without: Collection[int] = (),
) -> System:
    """Counts and sums, in ``"patients"`` (of exclusive groups) or ``"queries"`` (of all).

    Sets of ``without`` are in no output.
    """
    in_patients = unit == "patients"
    chosen = [g for g in queries.groupings if not (in_patients and g.varies)]
    counts: dict[Hashable, int] = {}
    patients: dict[Hashable, int] = {}
    unseen: set[Hashable] = set()
    relations: list[Relation] = []
    shown = {n: mask for n, mask in enumerate(measured.masks) if n not in without}
    sets: dict[tuple[Hashable, ...], Bools] = {(number,): mask for number, mask in shown.items()}
    for wide, mask in shown.items():
        for narrow, other in shown.items():
            if wide != narrow and (mask | ~other).all() and (wide == 0 or narrow != 0):
                sets["less", wide, narrow] = _less(mask, other, queries, in_patients)
    for name, mask in sets.items():
        here = queries.owner[mask]
        total = (*name, ALL)
        patients[total] = len(np.unique(here))
        counts[total] = patients[total] if in_patients else int(mask.sum())
        if name[0] == "less":
            unseen.add(total)
        for grouping in chosen:
            k, n = _sizes(queries, grouping, mask)
            for group, label in enumerate(grouping.names):
                cell = (*name, grouping.attribute, label)
                patients[cell] = int(k[group])
                counts[cell] = int(k[group] if in_patients else n[group])
                if name[0] == "less" and (in_patients or name[1] != 0):
                    unseen.add(cell)
        relations += sums(name, chosen)
    for name in sets:
        if name[0] == "less":
            _, wide_set, narrow_set = name
            ends: list[tuple[Hashable, ...]] = [(ALL,)]
            ends += [(g.attribute, label) for g in chosen for label in g.names]
            relations += [((wide_set, *end), ((narrow_set, *end), (*name, *end))) for end in ends]
    small: set[Hashable] = {cell for cell, k in patients.items() if 1 <= k <= threshold}
    for union, cells in few_together(relations, small, patients, threshold).items():
        counts[union] = sum(counts[cell] for cell in cells)
        relations.append((union, cells))
        unseen.add(union)
        small.add(union)
    return System(counts, relations, small, unseen)


def _less(mask: Bools, other: Bools, queries: Queries, in_patients: bool) -> Bools:
    """Queries in the first set alone; in patients, all of those who have none in the second."""
    if not in_patients:
        return np.asarray(mask & ~other)
    inside = np.zeros(queries.n_patients, dtype=bool)
    inside[queries.owner[other]] = True
    return np.asarray(mask & ~inside[queries.owner])


def _sizes(
    queries: Queries, grouping: Grouping, mask: Bools
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Patients and queries of each group."""
    n_groups = len(grouping.names)
    of_query, owner = grouping.of_query[mask], queries.owner[mask]
    n = np.bincount(of_query, minlength=n_groups)
    if not grouping.varies:
        of_patient = np.full(queries.n_patients, -1, dtype=np.int64)
        of_patient[owner] = of_query
        return np.bincount(of_patient[of_patient >= 0], minlength=n_groups), n
    cells = np.unique(of_query * queries.n_patients + owner)
    return np.bincount(cells // queries.n_patients, minlength=n_groups), n


def sums(name: tuple[Hashable, ...], groupings: list[Grouping]) -> list[Relation]:
    """Each attribute adds up to the total, each intersection to what it crosses."""
    found: list[Relation] = []
    for fine in groupings:
        found.append(((*name, ALL), tuple((*name, fine.attribute, g) for g in fine.names)))
        for coarse in groupings:
            if coarse is fine or not set(coarse.parts) < set(fine.parts):
                continue
            at = [fine.parts.index(part) for part in coarse.parts]
            inside: dict[tuple[str, ...], list[Hashable]] = {g: [] for g in coarse.part_groups}
            for label, parts in zip(fine.names, fine.part_groups, strict=True):
                inside[tuple(parts[i] for i in at)].append((*name, fine.attribute, label))
            found += [
                ((*name, coarse.attribute, label), tuple(inside[parts]))
                for label, parts in zip(coarse.names, coarse.part_groups, strict=True)
            ]
    return found
