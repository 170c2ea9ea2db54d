"""Rows of a report and the cells that they show: whose size stands in which field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evaluation.library_audit.counting import Cell, Sizes
from evaluation.library_audit.populations import EVERYONE, Key
from evaluation.stats import Minimum

__all__ = ["Average", "Reading", "Row", "readings"]

Row = dict[str, Any]

_SIZES = ("n_patients", "n_queries", "n_items", "n_units")
_OF_THE_GROUP = "sizes are the group's"
"""So the audit says where all but a few were measured: set 0's sizes stand in the rows."""


@dataclass(frozen=True)
class Average:
    """A mean over cases that a row shows.

    Parameters
    ----------
    name : tuple of str
        What is averaged: its sums add up over groups.
    number : int
        Set of cases that it is of.
    field : str
        Where the row has the group's mean.
    rest, gap : str
        Where it has the others', or the group's less theirs.
    events : int or None
        Set of cases that it is a share of, where it is one.
    """

    name: tuple[str, ...]
    number: int
    field: str = "estimate"
    rest: str = "rest_estimate"
    gap: str = "gap"
    events: int | None = None


@dataclass(frozen=True)
class Reading:
    """What a row of a report tells of cells.

    Parameters
    ----------
    section : str
    row : dict
    sizes : dict of str to cell
        Fields that show a count, and the cell that it is of.
    beside : tuple of cells
        Their counts could be told from the row's unrounded figures.
    events : cell or None
        What ``n_events`` counts where that is a set of records: with the row's size its rate
        tells the count.
    averages : tuple of Average
        Of which the row's figures are means, if they are.
    loose : bool
        Whether the row's cases are not known here, so that its own counts are all there is.
    """

    section: str
    row: Row
    sizes: dict[str, Cell]
    beside: tuple[Cell, ...] = ()
    events: Cell | None = None
    averages: tuple[Average, ...] = ()
    loose: bool = False

    @property
    def shown(self) -> dict[Cell, bool]:
        """Cells, and whether a field shows them."""
        found = dict.fromkeys(self.beside, False)
        for field, cell in self.sizes.items():
            found[cell] = found.get(cell, False) or self.row.get(field) is not None
        return found


def readings(report: Mapping[str, Any], sizes: Sizes, minimum: Minimum) -> Iterator[Reading]:
    """Read every row that stands on a number of patients.

    Parameters
    ----------
    report : mapping
        As the audit made it; its rows are handed on, not copied.
    sizes : Sizes
    minimum : Minimum
    """
    read = _Reader(report, sizes, minimum)
    for section, table in (("outcomes", "cells"), ("missing", "unknown"), ("exposure", "rows")):
        for row in _rows(report, section, table):
            group = {"group": "unknown"} | row
            yield from read.sized(section, row, EVERYONE, group)
    for row in _rows(report, "outcomes", "table"):
        yield from read.outcome(row)
    for row in _rows(report, "modality_gap", "rows"):
        yield from read.sized("modality_gap", row, ("pairs",), row)
    for row in _rows(report, "label_quality", "rows"):
        yield from read.label(row)
    for row in _rows(report, "zero_shot", "rows"):
        yield from read.finding(row)
    for row in _rows(report, "leakage", "rows"):
        yield from read.leakage(row)
    for row in _rows(report, "counterfactual", "rows"):
        yield from read.asked(row)
    known = {
        "outcomes", "missing", "exposure", "modality_gap", "label_quality", "zero_shot", "leakage",
        "counterfactual",
    }  # fmt: skip
    for section in report:
        if section not in known:
            for row in _rows(report, section, "rows"):
                yield from read.other(section, row)


def _rows(report: Mapping[str, Any], section: str, table: str) -> list[Row]:
    held = report.get(section)
    rows = held.get(table) if isinstance(held, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


class _Reader:
    def __init__(self, report: Mapping[str, Any], sizes: Sizes, minimum: Minimum) -> None:
        self.sizes = sizes
        self.minimum = minimum
        self.nearly_all = {
            row["outcome"]
            for row in _rows(report, "outcomes", "table")
            if _OF_THE_GROUP in row["reason"]
        }
        self.counted: dict[tuple[int, str], dict[str, tuple[int, int]]] = {}

    def cell(self, key: Key, row: Row) -> Cell | None:
        """Find the cell of a row within a set; None where there is none."""
        number = self.sizes.index(key)
        of = self.sizes.attributes.get(str(row.get("attribute")))
        if number is None or of is None or row.get("group") not in of.names:
            return None
        return (number, row["attribute"], row["group"])

    def counts(self, cell: Cell) -> tuple[int, int]:
        """Patients and cases of a cell of a set."""
        number, attribute, group = int(str(cell[0])), str(cell[1]), str(cell[2])
        if (number, attribute) not in self.counted:
            mask = self.sizes.masks[number]
            k = self.sizes.patients(self.sizes.entries(mask, attribute), attribute)
            n = self.sizes.cases(mask, attribute)
            names = self.sizes.attributes[attribute].names
            self.counted[number, attribute] = dict(zip(names, zip(k, n, strict=True), strict=True))
        return self.counted[number, attribute][group]

    def fits(self, cell: Cell, row: Row) -> bool:
        """Whether what the row shows is the size of the cell."""
        k, n = self.counts(cell)
        return row.get("n_patients") in (None, k) and row.get("n_queries") in (None, n)

    def sized(self, section: str, row: Row, key: Key, group: Row) -> Iterator[Reading]:
        cell = self.cell(key, group)
        if cell is not None:
            fields = {name: cell for name in _SIZES if name in row}
            yield Reading(section, row, fields)

    def outcome(self, row: Row) -> Iterator[Reading]:
        cell, whole = self.cell(("outcome", row["outcome"]), row), self.cell(EVERYONE, row)
        if cell is None or whole is None:
            return
        if row["outcome"] in self.nearly_all or not self.fits(cell, row):
            cell = whole
        fields = {name: cell for name in _SIZES if name in row}
        if cell != whole:
            fields["n_unmeasured"] = ("less", whole[0], *cell)
        number = self.sizes.index(("outcome", row["outcome"])) or 0
        name = ("outcome", row["outcome"])
        average = Average(name, number, gap="gap_naive")
        beside: tuple[Cell, ...] = ()
        if row["comparison"] != "rest":  # the other's mean is a mean of some group's, too
            average = Average(name, number, rest="", gap="")
            names = self.sizes.attributes[row["attribute"]].names
            beside = tuple((cell[0], row["attribute"], one) for one in names)
        yield Reading("outcomes", row, fields, beside, averages=(average,))

    def label(self, row: Row) -> Iterator[Reading]:
        measure = row["measure"]
        own = self.sizes.index(("label", measure)) is not None
        cell = self.cell(("label" if own else "outcome", measure), row)
        if cell is None:
            return
        fields = {name: cell for name in _SIZES if name in row}
        events = self.cell(("label", measure, "events"), row) if own else None
        if events is not None and "n_events" in row:
            fields["n_events"] = events
        name = ("label", measure) if own else ("outcome", measure)
        told = None if events is None else int(str(events[0]))
        average = Average(name, int(str(cell[0])), events=told)
        yield Reading("label_quality", row, fields, events=events, averages=(average,))

    def finding(self, row: Row) -> Iterator[Reading]:
        sides = [self.cell(("finding", row["finding"], side), row) for side in ("with", "without")]
        whole = self.cell(EVERYONE, row)
        if sides[0] is None or sides[1] is None or whole is None:
            return
        measure = row["measure"]
        averages: list[Average] = []
        if measure in ("FNR", "FPR"):
            cell = sides[0] if measure == "FNR" else sides[1]
            fields = {name: cell for name in _SIZES if name in row}
            beside: tuple[Cell, ...] = ()
            averages = [Average(("finding", row["finding"], measure), int(str(cell[0])))]
        else:
            fields = {} if measure == "EO" else {n: whole for n in _SIZES if n in row}
            beside = (sides[0], sides[1])
            if measure == "AUC":
                fields["n_events"] = sides[0]
        yield Reading("zero_shot", row, fields, beside, averages=tuple(averages))

    def leakage(self, row: Row) -> Iterator[Reading]:
        number = self.sizes.index(EVERYONE if row["space"] == "image" else ("pairs",))
        attribute = row["attribute"]
        if number is None or attribute not in self.sizes.attributes:
            return
        fields: dict[str, Cell] = {"n_patients": ("read", number, attribute)}
        unknown = self.cell(EVERYONE, {"attribute": attribute, "group": "unknown"})
        if unknown is not None:
            fields["n_unknown"] = (number, *unknown[1:])
        cells = [(number, attribute, name) for name in self.sizes.attributes[attribute].names]
        beside = tuple(
            cell
            for cell in cells
            if cell[2] != "unknown" and self.counts(cell)[0] >= self.minimum.reported
        )
        yield Reading("leakage", row, fields, beside)

    def asked(self, row: Row) -> Iterator[Reading]:
        """Only where all who have a report are asked with it are they a known set."""
        number = self.sizes.index(("noted",))
        if number is None:
            return
        mask = self.sizes.masks[number]
        if row.get("n_queries") == int(mask.sum()):
            yield Reading(
                "counterfactual", row, {"n_units": (number, ""), "n_queries": (number, "")}
            )

    def other(self, section: str, row: Row) -> Iterator[Reading]:
        """A section of changes: a set that the sizes fit, else its counts alone."""
        name = row.get("outcome", row.get("measure"))
        if "n_patients" not in row or not isinstance(name, str):
            return
        whole = row.get("attribute") == "all"
        if not whole and self.cell(EVERYONE, row) is None:
            return
        fields = [field for field in _SIZES if field in row]
        for key in self._named(name):
            number = self.sizes.index(key)
            full = None if number is None else (number, "", "") if whole else self.cell(key, row)
            if full is None or not self.fits(full, row):
                continue
            cell: Cell = full[:2] if whole else full
            held = dict.fromkeys(fields, cell)
            if cell[0] != 0 and "n_unpaired" in row:
                held["n_unpaired"] = ("less", 0, *cell)
            averages = tuple(
                Average((section, name, run), int(str(cell[0])), run, "", f"gap_{run}")
                for run in ("before", "after")
                if run in row
            )
            yield Reading(section, row, held, averages=averages)
            return
        words = ("name", "outcome", "measure", "attribute", "group")
        own: Cell = ("own", section, *(str(row.get(word, "")) for word in words))
        yield Reading(section, row, dict.fromkeys(fields, own), loose=True)

    def _named(self, name: str) -> list[Key]:
        """Sets that an outcome may be of; a finding's errors are of those with it or without."""
        keys: list[Key] = [("outcome", name)]
        for key in self.sizes.place:
            sign = "(FNR)" if key[-1] == "with" else "(FPR)"
            if key[0] == "finding" and name.startswith(f"{key[1]} ") and name.endswith(sign):
                keys.append(key)
        return keys
