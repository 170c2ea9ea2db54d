"""Which counts of a whole report are taken out: small ones, and what gives them away.

All counts are put into one system of sums (:mod:`evaluation.library_audit.counting`), in patients
first, then in cases, then in both together, and :func:`evaluation.stats.suppress` chooses.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass

from evaluation.library_audit.counting import Cell, Sizes, System, system_of
from evaluation.library_audit.rows import Reading
from evaluation.stats import Minimum, suppress
from evaluation.stats.attacker_lp import Relation
from medembed.errors import InputError

__all__ = ["Known", "Withheld", "find_withheld"]

_OF_CASES = frozenset({"n_queries", "n_items", "n_unmeasured", "n_unpaired", "n_events"})


@dataclass(frozen=True)
class Withheld:
    """Cells that a report may not show.

    Parameters
    ----------
    small : frozenset of cells
        Of few patients.
    partners : frozenset of cells
        Others that would give them away.
    """

    small: frozenset[Hashable]
    partners: frozenset[Hashable]

    def __contains__(self, cell: object) -> bool:
        return cell in self.small or cell in self.partners


@dataclass(frozen=True)
class Known:
    """What a reader of all parts knows of their counts.

    Parameters
    ----------
    counts : dict of (unit, cell) to int
    relations : list of (total, parts)
    hidden : frozenset of (unit, cell)
        That he does not see.
    small : frozenset of (unit, cell)
    ends : dict of (unit, cell) to (low, high or None)
        Of hidden ones, what words tell.
    """

    counts: dict[Hashable, int]
    relations: list[Relation]
    hidden: frozenset[Hashable]
    small: frozenset[Hashable]
    ends: dict[Hashable, tuple[float, float | None]]


def find_withheld(
    rows: Collection[Reading], sizes: Sizes, minimum: Minimum
) -> tuple[Withheld, Known]:
    """Find the cells of a report that may not be shown, and what a reader is left with.

    Parameters
    ----------
    rows : collection of Reading
    sizes : Sizes
    minimum : Minimum

    Returns
    -------
    Withheld
    Known
    """
    threshold = minimum.reported - 1
    crossed = {(0, name) for name in sizes.attributes if name}
    reads = set()
    for reading in rows:
        for cell in reading.shown:
            if cell[0] == "read":
                number, attribute = int(str(cell[1])), str(cell[2])
                groups = tuple(str(beside[2]) for beside in reading.beside)
                reads.add((number, attribute, groups))
                crossed.add((number, attribute))
            elif isinstance(cell[0], int) and len(cell) == 3:
                crossed.add((cell[0], str(cell[1])))
    outcomes = {number for key, number in sizes.place.items() if key[0] == "outcome"}
    totals = {(number, "") for number in range(len(sizes.masks))}
    systems = {
        unit: system_of(sizes, crossed, sorted(reads), threshold, unit)
        for unit in ("patients", "cases")
    }
    parts: dict[str, _Part] = {}
    few: set[Hashable] = set()
    for unit, system in systems.items():
        _add_loose(rows, system, unit, threshold)
        shown, held = _shown(rows, system, unit)
        counts, relations = _without_known_zeros(system, shown)
        small = system.small & counts.keys()
        unseen = counts.keys() - shown - totals
        capped: set[Hashable] = set(small & held) if unit == "patients" else set()
        parts[unit] = _Part(counts, relations, small, {*held}, {*unseen}, capped)
        few |= small
    joint = _together(parts["patients"], parts["cases"], systems["cases"].alias)
    ends = _ends(rows, parts["patients"].counts, minimum)
    gone: set[Hashable] = set()
    for part in (parts["patients"], parts["cases"], joint):
        told: dict[Hashable, Hashable] = {c: _of(c) for c in joint.counts} if part is joint else {}
        hidden: set[Hashable] = part.hidden | {c for c in part.counts if told.get(c, c) in gone}
        try:
            kept = suppress(
                part.counts,
                part.relations,
                threshold=threshold,
                small=part.small,
                unseen=part.unseen - hidden,
                hidden=hidden,
                marked=threshold > 1,
                spared={cell: _missed(told.get(cell, cell), outcomes) for cell in part.counts},
                harmless=part.unseen - hidden,
                capped=part.capped,
                known=ends if part is joint else {},
            )
            found = kept.small | kept.partners
        except InputError:  # so few that nothing of them can be shown
            found = frozenset(part.counts)
        gone |= {told.get(cell, cell) for cell in found}
        alias = systems["cases"].alias
        gone.update(less for less, twin in alias.items() if twin in gone)
    lost = {cell for cell in joint.counts if _of(cell) in gone}
    known = Known(
        joint.counts,
        joint.relations,
        frozenset(lost | joint.hidden | joint.unseen),
        frozenset(joint.small),
        ends,
    )
    return Withheld(frozenset(gone & few), frozenset(gone - few - {None})), known


def _ends(
    rows: Collection[Reading], patients: Mapping[Hashable, int], minimum: Minimum
) -> dict[Hashable, tuple[float, float | None]]:
    """What rows say of sizes that they may not show: how precise a group is called."""
    if minimum.reported <= 2:
        return {}
    found: dict[Hashable, tuple[float, float | None]] = {}
    for reading in rows:
        cell = reading.sizes.get("n_patients")
        k = 0 if cell is None else patients.get(cell, 0)
        if k and reading.row.get("precision") == minimum.precision(k):  # else it is of others
            found["patients", cell] = minimum.ends(k)
            found["cases", cell] = found["patients", cell][0], None
    return found


@dataclass(frozen=True)
class _Part:
    """A system without what everybody knows, and what is hidden in it or in no output."""

    counts: dict[Hashable, int]
    relations: list[Relation]
    small: set[Hashable]
    hidden: set[Hashable]
    unseen: set[Hashable]
    capped: set[Hashable]


def _together(patients: _Part, cases: _Part, alias: Mapping[Cell, Cell]) -> _Part:
    """Both units in one system: nobody has less than one case."""
    named = {"patients": patients, "cases": cases}
    counts: dict[Hashable, int] = {
        (unit, cell): count for unit, part in named.items() for cell, count in part.counts.items()
    }
    relations: list[Relation] = [
        ((unit, total), tuple((unit, cell) for cell in cells))
        for unit, part in named.items()
        for total, cells in part.relations
    ]
    more: set[Hashable] = set()
    for cell, count in patients.counts.items():
        twin = alias.get(cell, cell) if isinstance(cell, tuple) else cell
        if twin in cases.counts:
            counts["more", cell] = cases.counts[twin] - count
            more.add(("more", cell))
            relations.append((("cases", twin), (("patients", cell), ("more", cell))))
    tagged: dict[str, set[Hashable]] = {
        name: {(unit, cell) for unit, part in named.items() for cell in getattr(part, name)}
        for name in ("small", "hidden", "unseen", "capped")
    }
    tagged["unseen"] |= more
    return _Part(counts, relations, **tagged)


def _of(cell: Hashable) -> Hashable:
    """Take the unit off a cell of both together."""
    return cell[1] if isinstance(cell, tuple) and cell[0] != "more" else None


def _missed(cell: Hashable, outcomes: set[int]) -> int:
    """How much a count is missed: who is in the archive most, then who was measured."""
    number = cell[0] if isinstance(cell, tuple) else None
    if number == 0:
        return 2
    return 1 if number in outcomes else 0


def _without_known_zeros(
    system: System, shown: set[Cell]
) -> tuple[dict[Hashable, int], list[Relation]]:
    """Leave out groups without anybody: they hide nobody, and words tell of them."""
    known = {cell for cell in shown if not system.counts[cell]}
    counts = {cell: count for cell, count in system.counts.items() if cell not in known}
    kept = [
        (total, tuple(part for part in parts if part not in known))
        for total, parts in system.relations
        if total not in known
    ]
    return counts, kept


def _shown(rows: Collection[Reading], system: System, unit: str) -> tuple[set[Cell], set[Hashable]]:
    """Cells that some row shows, and those that rows hold but hide; a hidden 0 is told by words."""
    shown: set[Cell] = set()
    held: set[Cell] = set()
    for reading in rows:
        for field, known in reading.sizes.items():
            cell = system.alias.get(known, known)
            if cell not in system.counts or (field in _OF_CASES) != (unit == "cases"):
                continue
            held.add(cell)
            if reading.row.get(field) is not None or not system.counts[cell]:
                shown.add(cell)
    return shown, {*(held - shown)}


def _add_loose(rows: Collection[Reading], system: System, unit: str, threshold: int) -> None:
    """Rows of unknown cases: some of the group's, so that the rest of it is a cell, too."""
    for reading in rows:
        field = "n_patients" if unit == "patients" else "n_queries"
        own = reading.sizes.get(field)
        count = reading.row.get(field)
        if not reading.loose or own is None or count is None:
            continue
        attribute, group = reading.row["attribute"], reading.row["group"]
        whole: Cell = (0, "") if attribute == "all" else (0, attribute, group)
        if whole not in system.counts or count > system.counts[whole]:
            continue
        rest: Cell = ("less", 0, own)
        system.counts[own], system.counts[rest] = count, system.counts[whole] - count
        people = reading.row.get("n_patients")
        for cell, few in ((own, people), (rest, system.counts[rest])):
            if few is not None and 1 <= few <= threshold:
                system.small.add(cell)
        system.relations.append((whole, (own, rest)))
