"""Small groups, by a rule that a board can repeat (docs/reference/audit-report.md).

Groups of 1 to 10 patients are merged before anything is computed
(:mod:`evaluation.stats.small_groups`). A row that rests on 1 to 10 patients shows no number. In a
report that merges or hides anything every count, rate, gap and p is rounded, intervals outwards;
verdicts are those of the figures before rounding. A report that hides nothing is exact. What a
field is, is declared in :mod:`evaluation.stats.report_fields`; no sentence is read.

References
----------
Hundepool et al., *Statistical Disclosure Control*, 2012, ch. 4 and 5 (recoding, rounding);
CMS Cell Size Suppression Policy (no cell of 1 to 10).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import combinations
from math import ceil, floor, isfinite
from typing import Any, TypeGuard

from evaluation.labels import UNKNOWN
from evaluation.stats.report_fields import (
    DIFFERENCES,
    FIELDS,
    RECORDS,
    TABLES,
    TOTALS,
    WORDS,
    Kind,
)  # fmt: skip
from evaluation.stats.small_groups import has_few
from evaluation.stats.verdict import AGAINST, Minimum, Reason, decides

__all__ = ["minimum_of", "protect", "round_count", "round_rows", "shows_small", "tells_small"]

Row = dict[str, Any]

# So coarse that a group of 50 (of 11) patients can have every rate: a rate excludes no size.
_COUNT, _RATE, _LOW, _TENTH, _HUNDREDTH = 10, 0.02, 0.1, 0.1, 0.01
_P_LEVELS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
_SAME = ("attribute", "outcome", "measure", "finding", "name", "space", "probe")


def minimum_of(report: Mapping[str, Any]) -> Minimum:
    """Read how many patients a group needs, from the protocol, or else from the audit's settings.

    Examples
    --------
    >>> minimum_of({"protocol": {"minimum": {"reported": 5}}}).reported
    5
    """
    for place in (("protocol",), ("outcomes", "settings")):
        declared = _inside(report, place).get("minimum")
        if isinstance(declared, Mapping):
            names = ("reported", "precise")
            return Minimum(**{x: int(declared[x]) for x in names if _number(declared.get(x))})
    return Minimum()


def protect(report: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a report as it may be shown: the one door that every output passes.

    Rows that rest on 1 to ``minimum.reported - 1`` patients lose their numbers. If the report
    merges or hides anything, or its counts differ by so few, all of it is rounded, and says so:
    ``small_groups: {"rounded": True}``. One that says so already is copied as it is.

    Examples
    --------
    >>> small = {"group": "x", "n_patients": 4, "auc": 0.9}
    >>> protect({"leakage": {"rows": [small]}})["leakage"]["rows"][0]["auc"] is None
    True
    """
    copy: dict[str, Any] = deepcopy(dict(report))
    if copy.get("small_groups"):
        return copy
    minimum = minimum_of(copy)
    rounded = tells_small(copy, minimum)
    whole: dict[Any, dict[Any, int]] = {}
    for row in _rows(copy, "outcomes", "cells"):
        if _number(row.get("n_patients")):
            whole.setdefault(row.get("attribute"), {})[row.get("group")] = row["n_patients"]
    for section, table, rows in _tables(copy):
        shown = [_without_small(row, minimum) for row in rows]
        _hide_records(shown, minimum)
        if rounded:
            round_rows(shown, minimum, section=section, whole=whole)
        copy[section][table] = shown
    _hide_detectable(copy, rounded)
    if rounded:
        copy["small_groups"] = {"rounded": True}
        for path, names in TOTALS.items():
            if place := _inside(copy, path):
                place.update({name: round_count(place.get(name)) for name in names})
        likeness = _inside(copy, ("instrument", "icc"))
        for name, n in likeness.items():
            likeness[name] = _rounded(Kind.TENTH, name, n, {Kind.TENTH: _TENTH})
    return copy


def shows_small(report: Mapping[str, Any]) -> bool:
    """Whether a row of a report that was not rounded shows 1 to ``minimum.reported - 1`` patients.

    Examples
    --------
    >>> shows_small({"leakage": {"rows": [{"group": "x", "n_patients": 4, "auc": 0.9}]}})
    True
    """
    if report.get("small_groups"):
        return False
    minimum = minimum_of(report)
    return any(_is_few(row, minimum) for _, _, rows in _tables(report) for row in rows)


def tells_small(report: Mapping[str, Any], minimum: Minimum) -> bool:
    """Whether a report that is not rounded yet merges or hides a small group, or tells of one.

    Counts tell of one if two of one group within a section differ by so few, one differs by so few
    from all of the group, or those with a finding and those without exceed all by so few.
    """
    settings = _inside(report, ("outcomes", "settings"))
    rows = [(section, table, row) for section, table, of in _tables(report) for row in of]
    if settings.get("merged") or settings.get("rounded") or any(
        row.get("step") or (row.get("precision") == "suppressed" and row.get("n_patients") != 0)
        for _, _, row in rows
    ):  # fmt: skip
        return True
    counts = [n for n in _inside(report, ("comparison", "overlap")).values() if _number(n)]
    sizes: dict[tuple[Any, ...], set[int]] = {}
    for section, table, row in rows:
        part, whole = _parts(section, row)
        counts += part
        place = section if table != "cells" else ""
        for unit, n in whole:
            key = (place, row.get("finding"), row.get("attribute"), row.get("group"), unit)
            sizes.setdefault(key, set()).add(n)
    for (section, _, *of_group), held in sizes.items():
        everyone = sizes.get(("", None, *of_group), set())
        counts += [abs(one - other) for one, other in combinations({*held, *everyone}, 2)]
        if section == "zero_shot":
            counts += [a + b - n for a, b in combinations(held, 2) for n in everyone]
    return has_few(counts, minimum)


def _parts(section: str, row: Row) -> tuple[list[int], list[tuple[str, int]]]:
    """Counts of a row that must not be small, and its sizes by unit."""
    parts: list[int] = []
    sizes: list[tuple[str, int]] = []
    for name, value in row.items():
        kind = _kind(section, name, value)
        if kind is Kind.PART:
            parts.append(value)
        elif name == "n_patients" and _number(value):
            parts.append(int(value))
            sizes.append(("patients", int(value)))
        elif kind is Kind.COUNT and name != "n_events":
            sizes.append(("cases", value))
    for name in ("n_said", "n_events") if row.get("measure") in RECORDS else ("n_said",):
        if _number(row.get(name)) and _number(row.get("n_queries")):
            parts += [row[name], row["n_queries"] - row[name]]
    return parts, sizes


def round_rows(
    rows: Sequence[Row],
    minimum: Minimum,
    *,
    section: str = "outcomes",
    whole: Mapping[Any, Mapping[Any, int]] | None = None,
    units: Mapping[str, float] | None = None,
) -> None:
    """Round a section's rows, each once: a row that has a ``step`` is left as it is.

    Parameters
    ----------
    rows : sequence of dict
        Changed in place; ``step`` and ``step_rest`` say to what.
    minimum, section
        ``section`` is whose fields the rows have.
    whole : mapping of attribute to mapping of group to int, optional
        Patients of the groups, for rows without a size of their own.
    units : mapping of outcome to float, optional
        Range of an outcome that is no proportion.
    """

    def key(row: Row) -> tuple[Any, ...]:
        return tuple(row.get(name) for name in _SAME)

    sizes: dict[tuple[Any, ...], dict[Any, int]] = {}
    for row in rows:
        comparison = row.get("comparison", "rest")
        if (decides(comparison) or comparison == "reference") and _number(row.get("n_patients")):
            sizes.setdefault(key(row), {})[row.get("group")] = row["n_patients"]
    for row in rows:
        if not row.get("step"):
            of_kind = sizes.get(key(row)) or (whole or {}).get(row.get("attribute"), {})
            step, rest = _steps(row, of_kind, minimum)
            unit = (units or {}).get(str(row.get("outcome")), 1.0)
            _round_row(row, section, step * unit, max(step, rest) * unit)


def _steps(row: Row, sizes: Mapping[Any, int], minimum: Minimum) -> tuple[float, float]:
    """Steps of a row's group and of whom it is compared with."""
    usual = row.get("precision") == "usual"
    if row.get("precision") is None:
        n = next((row[x] for x in ("n_patients", "n_units") if _number(row.get(x))), 0)
        usual = n >= minimum.precise
    own = _RATE if usual else _LOW
    comparison = row.get("comparison") or "rest"
    if comparison == "largest":
        others = max(sizes.values(), default=0)
    elif comparison.startswith(("pair:", AGAINST)):
        others = sizes.get(comparison.partition(":")[2], 0)
    else:
        others = sum(
            n for group, n in sizes.items()
            if group != row.get("group") and UNKNOWN not in str(group).split("*")
        )  # fmt: skip
    return own, own if not sizes or others >= minimum.precise else _LOW


def _round_row(row: Row, section: str, own: float, gap: float) -> None:
    differences = [
        (name, one, other)
        for name, one, other in DIFFERENCES
        if all(_number(row.get(field)) for field in (name, one, other))
        and abs(row[name] - (row[one] - row[other])) < 1e-9
    ]
    steps = {
        Kind.RATE: own, Kind.GAP: gap, Kind.TENTH: _TENTH, Kind.MEASURE: _HUNDREDTH,
    }  # fmt: skip
    for name, value in row.items():
        kind = _kind(section, name, value)
        if isinstance(value, Mapping):
            row[name] = {part: _rounded(kind, name, one, steps) for part, one in value.items()}
        else:
            row[name] = _rounded(kind, name, value, steps)
    for name, one, other in differences:  # so that it tells no more than the two
        row[name] = round(row[one] - row[other], 9)
        of = "" if name == "change" else f"{name}_"
        for end, outer in ((f"{of}ci_low", min), (f"{of}ci_high", max)):
            if _number(row.get(end)):
                row[end] = outer(row[end], row[name])
    row["step"], row["step_rest"] = own, gap


def _rounded(kind: Kind | None, name: str, value: Any, steps: Mapping[Kind, float]) -> Any:
    if not _number(value) or kind is None or kind is Kind.KEPT:
        return value
    if kind in (Kind.COUNT, Kind.PART):
        return round_count(value)
    if kind is Kind.P:
        return next(level for level in _P_LEVELS if value <= level or level == 1.0)
    way = floor if name.endswith("low") else ceil if name.endswith("high") else round
    return round(way(round(value / steps[kind], 6)) * steps[kind], 9)


def round_count(value: Any) -> Any:
    """Round a count to 10; what is no number stays.

    Examples
    --------
    >>> [round_count(n) for n in (3, 14, 15, 25, 1463, None)]
    [0, 10, 20, 20, 1460, None]
    """
    return type(value)(_COUNT * round(value / _COUNT)) if _number(value) else value


def _kind(section: str, name: str, value: Any) -> Kind | None:
    """Kind of a field's number; None for words. What is not declared is rounded all the same."""
    if not _number(value) and not isinstance(value, Mapping):
        return None
    declared = FIELDS.get(section, {}).get(name) or FIELDS[""].get(name)
    return declared or (Kind.COUNT if isinstance(value, int) else Kind.GAP)


def _without_small(row: Row, minimum: Minimum) -> Row:
    """Leave a row of too few patients its words."""
    few = _is_few(row, minimum)
    if not few and (row.get("precision") != "suppressed" or row.get("n_patients") == 0):
        return row
    blank = {key: value if key in WORDS else None for key, value in row.items()}
    if few and "verdict" in row:
        blank |= {"verdict": "not_assessable", "reason": Reason.FEW.text(minimum)}
    return blank | {"precision": "suppressed"}


def _hide_records(rows: Sequence[Row], minimum: Minimum) -> None:
    """Leave no rate of a record that too few of a group, or of the rest, have or lack."""
    tables: dict[tuple[Any, Any], list[Row]] = {}
    for row in rows:
        if row.get("measure") in RECORDS and _number(row.get("n_events")):
            tables.setdefault((row.get("attribute"), row["measure"]), []).append(row)
    for table in tables.values():
        split = [(row["n_events"], row["n_queries"] - row["n_events"]) for row in table]
        for row, own in zip(table, split, strict=True):
            others = [
                its for it, its in zip(table, split, strict=True)
                if it is not row and it.get("group") != UNKNOWN
            ]  # fmt: skip
            few = has_few(own, minimum)
            if not few and not has_few([sum(kind) for kind in zip(*others, strict=True)], minimum):
                continue
            gone = {Kind.GAP, Kind.P, Kind.RATE} if few else {Kind.GAP, Kind.P}
            row |= {n: None for n, value in row.items() if _kind("label_quality", n, value) in gone}
            if few:
                row["n_events"] = None
            row["verdict"], row["reason"] = "not_assessable", Reason.FEW_RECORDS.text(minimum)


def _is_few(row: Row, minimum: Minimum) -> bool:
    """Whether a row shows too few patients; a precision was given by the count before rounding."""
    n = row.get("n_patients")
    few = _number(n) and 0 < n < minimum.reported
    return bool(few and row.get("precision") not in ("low", "usual"))


def _hide_detectable(report: dict[str, Any], rounded: bool) -> None:
    """The smallest gap to be found goes with the root of a group's size."""
    small = {
        (row.get("attribute"), row.get("group"))
        for table in TABLES["outcomes"]
        for row in _rows(report, "outcomes", table)
        if row.get("precision") == "suppressed"
    }
    for row in _rows(report, "instrument", "detectable"):
        if (row.get("attribute"), row.get("group")) in small:
            row.update({"smallest_gap": None, "error": None, "precision": "suppressed"})
        elif rounded and _number(row.get("smallest_gap")):
            row.update({"smallest_gap": float(f"{row['smallest_gap']:.1g}"), "error": None})


def _tables(report: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Row]]]:
    for section, tables in TABLES.items():
        for table in tables:
            if rows := _rows(report, section, table):
                yield section, table, rows


def _rows(report: Mapping[str, Any], section: str, table: str) -> list[Row]:
    held = _inside(report, (section,)).get(table)
    return [row for row in held if isinstance(row, dict)] if isinstance(held, list) else []


def _inside(report: Mapping[str, Any], path: Sequence[str]) -> Any:
    """Give the mapping at a path of keys, an empty one if there is none."""
    held: Any = report
    for name in path:
        held = held.get(name) if isinstance(held, Mapping) else None
    return held if isinstance(held, Mapping) else {}


def _number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
