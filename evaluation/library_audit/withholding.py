"""The last step of an audit: what its parts tell together, and no part tells alone.

Each section hides the small cells that it would show, and what betrays them within it. A reader has
all sections: patients of a group in one less those in another, positives and negatives, a group's
share of unknown. Here the counts of the whole report are put into one system
(:mod:`evaluation.library_audit.counting`), and what would give a small cell away is taken out
(:func:`evaluation.inference.suppress`), in patients first and then in cases.

Of a row whose size is taken out the other figures would tell it: a rate of .0303 has 33 cases
below it. So shares go, and what stays is rounded: scores to thousandths, rates to hundredths (of
fewer than ``minimum.precise`` patients to tenths), intervals outwards. Where a rate is that of a
record that few patients have or lack (a report, a label, a finding), it tells their number, and all
figures go.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import Any

from evaluation.inference import suppress
from evaluation.inference.attacking import Relation
from evaluation.library_audit.counting import Cell, Sizes, System, system_of
from evaluation.library_audit.populations import EVERYONE, Facts
from evaluation.library_audit.rows import Reading, Row, readings
from evaluation.report.withheld import blanked, minimum_of
from medembed.errors import InputError

__all__ = ["Withheld", "find_withheld", "withhold"]

_OF_CASES = frozenset({"n_queries", "n_items", "n_unmeasured", "n_unpaired", "n_events"})
_SHARES = ("share", "share_archive", "exposure", "top_k", "design_effect", "icc", "rest_estimate")
_COUNTS = ("n_patients", "n_queries", "n_items", "n_events", "n_unmeasured", "n_unpaired")
_SAYS = "counts are withheld, since others could be told from them"
_NOTE = (
    "Counts are withheld, and figures beside them rounded, where together with other parts of this "
    "report they would tell of fewer than {} patients."
)


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


def withhold(report: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """Copy a report without the counts that would tell of small groups, over all its parts.

    Parameters
    ----------
    report : mapping
        As the sections made it; see docs/reference/audit-report.md.
    facts : Facts
        Whose cases the sections counted.

    Returns
    -------
    dict
    """
    copy: dict[str, Any] = deepcopy(dict(report))
    minimum = minimum_of(copy)
    sizes = Sizes(facts)
    rows = list(readings(copy, sizes, minimum))
    gone = find_withheld(rows, sizes, minimum.reported - 1)
    touched = {reading.section for reading in rows if _hide(reading, gone, minimum.reported)}
    _few_said(copy, minimum.reported)
    _blank_detectable(copy, sizes, gone)
    if (sizes.place[EVERYONE], "") in gone:
        _blank_totals(copy)
    for section in touched:
        notes = copy[section].get("notes")
        if isinstance(notes, list):
            notes.append(_NOTE.format(minimum.reported))
    return copy


def find_withheld(rows: Collection[Reading], sizes: Sizes, threshold: int) -> Withheld:
    """Find the cells of a report that may not be shown.

    Parameters
    ----------
    rows : collection of Reading
    sizes : Sizes
    threshold : int
        The largest small count.

    Returns
    -------
    Withheld
    """
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
        unit: system_of(sizes, crossed, reads, threshold, unit) for unit in ("patients", "cases")
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
        parts[unit] = _Part(counts, relations, small, held, unseen, capped)
        few |= small
    joint = _together(parts["patients"], parts["cases"], systems["cases"].alias)
    gone: set[Any] = set()
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
            )
            found = kept.small | kept.partners
        except InputError:  # so few that nothing of them can be shown
            found = frozenset(part.counts)
        gone |= {told.get(cell, cell) for cell in found}
        alias = systems["cases"].alias
        gone.update(less for less, twin in alias.items() if twin in gone)
    return Withheld(frozenset(gone & few), frozenset(gone - few - {None}))


@dataclass(frozen=True)
class _Part:
    """A system without what everybody knows, and what is hidden in it or in no output."""

    counts: dict[Hashable, int]
    relations: list[Relation]
    small: set[Hashable]
    hidden: set[Any]
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


def _shown(rows: Collection[Reading], system: System, unit: str) -> tuple[set[Cell], set[Cell]]:
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
    return shown, held - shown


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


def _hide(reading: Reading, gone: Withheld, reported: int) -> bool:
    """Take out of a row what may not be shown; whether anything was changed."""
    row = reading.row
    before = dict(row)
    size = reading.sizes.get("n_patients") or reading.sizes.get("n_queries")
    if row.get("precision") == "suppressed":
        return False
    if size is not None and size in gone.small and "group" in row:
        row.update(blanked(row))
        row["verdict"] = "not_assessable"
        row["reason"] = f"fewer than {reported} patients"
        return True
    for field, cell in reading.sizes.items():
        if cell in gone:
            row[field] = None
    if size is not None and size in gone:
        _clear(row, _COUNTS)
        _clear(row, _SHARES)
    total = None if size is None or size[0] in ("read", "own") else (size[0], "")
    events = reading.events
    told = size in gone and row.get("estimate") not in (0.0, 1.0)
    if events is not None and (told or events in gone or (events[0], "") in gone):
        _clear(row, [name for name, value in row.items() if isinstance(value, float)])
        row["verdict"] = "not_assessable"
        row["reason"] = f"its figures would tell of fewer than {reported} patients"
        return row != before
    if size is not None and size in gone:
        _round(row, rate=reading.rate)
    elif total in gone or any(cell in gone for cell in reading.beside):
        _clear(row, ("rest_estimate",))
        _round(row, rate=reading.rate)
    if row == before:
        return False
    if isinstance(row.get("reason"), str) and _SAYS not in row["reason"]:
        row["reason"] = "; ".join(filter(None, [row["reason"], _SAYS]))
    return True


def _clear(row: Row, names: Collection[str]) -> None:
    for name in names:
        if name in row:
            row[name] = None


def _round(row: Row, *, rate: bool) -> None:
    digits = 3 if not rate else 2 if row.get("precision", "usual") == "usual" else 1
    for name, value in row.items():
        if isinstance(value, Mapping):
            row[name] = {key: _rounded(name, one, digits) for key, one in value.items()}
        else:
            row[name] = _rounded(name, value, digits)


def _rounded(name: str, value: Any, digits: int) -> Any:
    if not isinstance(value, float) or not isfinite(value):
        return value
    if name == "p" or name.startswith("p_"):
        return float(f"{value:.2g}")
    unit: int = 10**digits
    if name.endswith("low"):
        return floor(round(value * unit, 6)) / unit
    if name.endswith("high"):
        return ceil(round(value * unit, 6)) / unit
    return round(value, digits)


def _few_said(report: dict[str, Any], reported: int) -> None:
    """How many reports say an attribute is a count of reports like any other."""
    section = report.get("counterfactual")
    for row in section["rows"] if isinstance(section, dict) else []:
        said, asked = row.get("n_said"), row.get("n_queries")
        if said is not None and (
            asked is None or 0 < said < reported or 0 < asked - said < reported
        ):
            row["n_said"] = None


def _blank_detectable(report: dict[str, Any], sizes: Sizes, gone: Withheld) -> None:
    """The smallest gap to be found goes with the root of a group's size."""
    instrument = report.get("instrument")
    for row in instrument["detectable"] if isinstance(instrument, dict) else []:
        number = sizes.index(("outcome", row["outcome"]))
        cells = {(n, row["attribute"], row["group"]) for n in (0, number) if n is not None}
        if cells & gone.small:
            row.update({"smallest_gap": None, "error": None, "precision": "suppressed"})
        elif cells & gone.partners and row["smallest_gap"] is not None:
            row.update({"smallest_gap": float(f"{row['smallest_gap']:.1g}"), "error": None})


def _blank_totals(report: dict[str, Any]) -> None:
    for place, names in (
        (report.get("stamp"), ("n_cases", "n_patients")),
        (report["outcomes"]["settings"], ("n_patients", "n_queries")),
        (report.get("exposure"), ("n_queries", "n_query_patients")),
    ):
        if isinstance(place, dict):
            _clear(place, names)
