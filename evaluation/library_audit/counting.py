"""Counts of a whole report as one system: groups within sets, and every sum that holds among them.

Cells are groups within sets of cases (:mod:`evaluation.library_audit.populations`), in patients or
in cases. Besides those that some output shows there are cells that only a subtraction shows:

- ``less``: what a set has more than one inside it. In patients: who has a case in the first and
  none in the second; in cases: the complement, which may be a set of its own (a finding there, or
  not).
- ``both``: patients with cases in a set and in its complement, |A| + |B| - |A or B|.
- ``not``: patients of a set without a case in a group, of attributes that vary within patients.
- ``read``: patients whose group a probe reads.
- ``few``: small cells of one sum that are few together, too.

A reader is taken to know every total, and which sets lie inside which: more than most will.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.library_audit.populations import Facts, Key
from evaluation.stats.attacker_lp import Relation, few_together

__all__ = ["Cell", "Sizes", "System", "system_of"]

Cell = tuple[Hashable, ...]
"""(set, attribute, group), (set, "") for a total; others begin with a word."""

Bools = NDArray[np.bool_]
TOTAL = ""


@dataclass(frozen=True)
class System:
    """Counts in one unit, and the sums among them.

    Parameters
    ----------
    counts : dict of cell to int
    relations : list of (total, parts)
    small : set of cells
        Of 1 to the threshold of patients, whatever the unit.
    alias : dict of cell to cell
        Differences that are sets of their own.
    """

    counts: dict[Hashable, int]
    relations: list[Relation]
    small: set[Hashable]
    alias: dict[Cell, Cell]


@dataclass(frozen=True)
class _Attribute:
    """Patients with a group (``owners``, ``group_of``: one entry each), and each case's entry."""

    names: list[str]
    of_case: NDArray[np.int64]
    entry: NDArray[np.int64]
    group_of: NDArray[np.int64]
    varies: bool


class Sizes:
    """Sets of cases, alike ones once, and how many patients and cases their groups have.

    Parameters
    ----------
    facts : Facts
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.n_patients = int(facts.owner.max()) + 1
        self.place: dict[Key, int] = {}
        self.masks: list[Bools] = []
        self._known: dict[bytes, int] = {}
        for key, mask in facts.sets.items():
            packed = np.packbits(mask).tobytes()
            if packed not in self._known:
                self._known[packed] = len(self.masks)
                self.masks.append(mask)
            self.place[key] = self._known[packed]
        self.attributes = {TOTAL: self._read(np.full(len(facts.owner), TOTAL))}
        self.attributes |= {name: self._read(labels) for name, labels in facts.groups.items()}

    def _read(self, labels: NDArray[np.str_]) -> _Attribute:
        names, of_case = np.unique(labels, return_inverse=True)
        entries, entry = np.unique(
            self.facts.owner * np.int64(len(names)) + of_case, return_inverse=True
        )
        return _Attribute(
            names.tolist(), of_case, entry, entries % len(names), len(entries) > self.n_patients
        )

    def index(self, key: Key) -> int | None:
        """Give the number of a set; alike ones have the same."""
        return self.place.get(key)

    def same(self, mask: Bools) -> int | None:
        """Find the set of exactly these cases."""
        return self._known.get(np.packbits(mask).tobytes())

    def entries(self, mask: Bools, attribute: str) -> Bools:
        """Patients within groups that have a case in the mask."""
        of = self.attributes[attribute]
        there = np.zeros(len(of.group_of), dtype=np.bool_)
        there[of.entry[mask]] = True
        return there

    def patients(self, entries: Bools, attribute: str) -> list[int]:
        """Entries of each group."""
        of = self.attributes[attribute]
        found: list[int] = np.bincount(of.group_of[entries], minlength=len(of.names)).tolist()
        return found

    def cases(self, mask: Bools, attribute: str) -> list[int]:
        """Cases of each group."""
        of = self.attributes[attribute]
        found: list[int] = np.bincount(of.of_case[mask], minlength=len(of.names)).tolist()
        return found

    def nested(self) -> Iterator[tuple[int, int, bool]]:
        """Sets with one inside; whether none lies between."""
        packed = [np.packbits(mask) for mask in self.masks]
        n = len(packed)
        inside = np.zeros((n, n), dtype=np.bool_)
        for wide in range(n):
            for narrow in range(n):
                if wide != narrow:
                    inside[wide, narrow] = not (packed[narrow] & ~packed[wide]).any()
        between = (inside.astype(np.int64) @ inside.astype(np.int64)) > 0
        for wide, narrow in zip(*np.nonzero(inside), strict=True):
            yield int(wide), int(narrow), not between[wide, narrow]


def system_of(
    sizes: Sizes,
    crossed: Collection[tuple[int, str]],
    reads: Collection[tuple[int, str, tuple[str, ...]]],
    threshold: int,
    unit: str,
) -> System:
    """Count, and say which sums hold.

    Parameters
    ----------
    sizes : Sizes
    crossed : collection of (set, attribute)
        What is shown by group.
    reads : collection of (set, attribute, groups)
        Whose patients are shown together.
    threshold : int
        The largest small count.
    unit : {"patients", "cases"}
    """
    made = _Making(sizes, threshold, unit == "patients")
    ways: dict[int, list[str]] = {number: [TOTAL] for number in range(len(sizes.masks))}
    for number, attribute in sorted(set(crossed)):
        ways[number].append(attribute)
    for number, attributes in ways.items():
        made.add_set(number, attributes)
    for wide, narrow, direct in sizes.nested():
        if not sizes.masks[narrow].any():
            continue
        shared = [name for name in ways[wide] if name in ways[narrow]]
        made.add_nest(wide, narrow, shared, direct or wide == 0)
    if made.in_patients:
        for number, attribute, groups in reads:
            made.add_read(number, attribute, groups)
    small: set[Hashable] = {cell for cell, k in made.people.items() if 1 <= k <= threshold}
    for union, cells in few_together(made.relations, small, made.people, threshold).items():
        made.counts[union] = sum(made.counts[cell] for cell in cells)
        made.relations.append((union, cells))
        small.add(union)
    return System(made.counts, made.relations, small, made.alias)


class _Making:
    def __init__(self, sizes: Sizes, threshold: int, in_patients: bool) -> None:
        self.sizes = sizes
        self.threshold = threshold
        self.in_patients = in_patients
        self.counts: dict[Hashable, int] = {}
        self.people: dict[Hashable, int] = {}
        self.relations: list[Relation] = []
        self.alias: dict[Cell, Cell] = {}

    def add_set(self, number: int, attributes: list[str]) -> None:
        mask = self.sizes.masks[number]
        for attribute in attributes:
            of = self.sizes.attributes[attribute]
            k = self.sizes.patients(self.sizes.entries(mask, attribute), attribute)
            n = k if self.in_patients else self.sizes.cases(mask, attribute)
            for group, name in enumerate(of.names):
                self._put(_cell(number, attribute, name), n[group], k[group])
            if attribute == TOTAL:
                continue
            if self.in_patients and of.varies:
                self._varying(number, attribute)
                continue
            total, cells = (number, TOTAL), [(number, attribute, name) for name in of.names]
            self.relations.append((total, tuple(cells)))
            self._margins(number, attribute, attributes)

    def _put(self, cell: Cell, count: int, patients: int) -> None:
        self.counts[cell], self.people[cell] = count, patients

    def _margins(self, number: int, fine: str, attributes: list[str]) -> None:
        """Each group of an attribute is the sum of the cells that cross it."""
        for place, coarse in enumerate(fine.split("*")):
            if coarse == fine or coarse not in attributes:
                continue
            if self.in_patients and self.sizes.attributes[coarse].varies:
                continue
            inside: dict[str, list[Cell]] = {g: [] for g in self.sizes.attributes[coarse].names}
            for name in self.sizes.attributes[fine].names:
                inside[name.split("*")[place]].append((number, fine, name))
            self.relations += [
                ((number, coarse, group), tuple(cells)) for group, cells in inside.items()
            ]

    def _varying(self, number: int, attribute: str) -> None:
        """Patients may be in several groups: who is not in one; of two groups, who is in both."""
        names = self.sizes.attributes[attribute].names
        total = self.counts[number, TOTAL]
        for name in names:
            cell = (number, attribute, name)
            rest = total - self.counts[cell]
            self._put(("not", *cell), rest, rest)
            self.relations.append(((number, TOTAL), (cell, ("not", *cell))))
        if len(names) == 2:
            one, two = ((number, attribute, name) for name in names)
            both = self.counts[one] - self.counts["not", *two]
            self._put(("both", number, attribute), both, both)
            self.relations.append((one, (("not", *two), ("both", number, attribute))))

    def add_nest(self, wide: int, narrow: int, attributes: list[str], direct: bool) -> None:
        sizes = self.sizes
        outer, inner = sizes.masks[wide], sizes.masks[narrow]
        rest = outer & ~inner
        other = sizes.same(rest)
        for attribute in attributes:
            of = sizes.attributes[attribute]
            k = n = sizes.patients(
                sizes.entries(outer, attribute) & ~sizes.entries(inner, attribute), attribute
            )
            if not self.in_patients:
                k = sizes.patients(sizes.entries(rest, attribute), attribute)
                n = sizes.cases(rest, attribute)
            for group, name in enumerate(of.names):
                if not direct and not 1 <= k[group] <= self.threshold:
                    continue
                end = (TOTAL,) if attribute == TOTAL else (attribute, name)
                less: Cell = ("less", wide, narrow, *end)
                twin: Cell | None = None if other is None else (other, *end)
                if twin not in self.counts:
                    twin = None
                if twin is not None and not self.in_patients:
                    self.alias[less] = twin
                    if int(str(twin[0])) < narrow:
                        continue  # said when it was the twin's turn
                    less = twin
                else:
                    self._put(less, n[group], k[group])
                self.relations.append(((wide, *end), ((narrow, *end), less)))
                if twin is not None and self.in_patients:
                    both: Cell = ("both", *sorted((narrow, int(str(twin[0])))), wide, *end)
                    k_both = self.counts[twin] - k[group]
                    self._put(both, k_both, k_both)
                    self.relations.append((twin, (less, both)))

    def add_read(self, number: int, attribute: str, groups: tuple[str, ...]) -> None:
        cells = tuple((number, attribute, name) for name in groups)
        read: Cell = ("read", number, attribute)
        of = self.sizes.attributes[attribute]
        if of.varies:
            chosen = np.isin(of.of_case, [of.names.index(name) for name in groups])
            there = self.sizes.entries(self.sizes.masks[number] & chosen, TOTAL)
            k = int(there.sum())
            rest = self.counts[number, TOTAL] - k
            self._put(read, k, k)
            self._put(("not", *read), rest, rest)
            self.relations.append(((number, TOTAL), (read, ("not", *read))))
            return
        k = sum(self.counts[cell] for cell in cells)
        self._put(read, k, k)
        self.relations.append((read, cells))


def _cell(number: int, attribute: str, name: str) -> Cell:
    return (number, TOTAL) if attribute == TOTAL else (number, attribute, name)
