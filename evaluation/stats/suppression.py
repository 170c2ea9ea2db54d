"""Small groups, by a rule that a board can repeat.

1. Groups of 1 to 10 patients are merged into "other (small groups)" of their attribute before
   anything is computed; where these are still 1 to 10 patients, the next smallest group of fewer
   than 50 joins them (:func:`merge_groups`).
2. A row that rests on 1 to 10 patients shows no number.
3. In a report that merges or hides anything, every count is rounded to 10 and every rate and gap
   to steps of .02 (.1 below 50 patients), intervals outwards, p up to the next of seven levels
   (:func:`protect`). Verdicts are those of the figures before rounding.
4. A report that hides nothing is exact.

Which field is a count and which a rate is declared in :data:`FIELDS`; no sentence is read.

References
----------
Hundepool et al., *Statistical Disclosure Control*, 2012, ch. 4 and 5 (recoding, rounding);
CMS Cell Size Suppression Policy (no cell of 1 to 10).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, permutations
from math import ceil, floor, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.stats.verdict import Minimum

__all__ = [
    "FIELDS", "OTHER_GROUPS", "TABLES", "Kind", "Merge", "Reason", "any_few", "merge_groups",
    "merge_labels", "minimum_of", "protect", "round_count", "round_rows", "tells_small",
]  # fmt: skip

Row = dict[str, Any]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

OTHER_GROUPS = "other (small groups)"
"""Name of an attribute's merged group."""

_COUNT, _RATE, _LOW, _TENTH, _HUNDREDTH = 10, 0.02, 0.1, 0.1, 0.01
_P_LEVELS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)


class Reason(StrEnum):
    """Why a row shows no number."""

    FEW = "few"
    NO_GROUP = "no_group"
    MERGED = "merged"

    def text(self, minimum: Minimum) -> str:
        """Give the reason in words."""
        return _TEXTS[self].format(reported=minimum.reported, other=OTHER_GROUPS)


_TEXTS = {
    Reason.FEW: "fewer than {reported} patients",
    Reason.NO_GROUP: "no query of such a group",
    Reason.MERGED: "the group is small and part of {other!r}",
}


class Kind(StrEnum):
    """What a field's number is, and so how it is rounded."""

    COUNT = "count"
    """Of patients, cases or events: to 10."""
    PART = "part"
    """A count of those whom a set lacks or holds; 1 to 10 of them make a report a rounded one."""
    RATE = "rate"
    """Of the group: to the group's step."""
    GAP = "gap"
    """Of the group and the rest: to the coarser step of the two."""
    MEASURE = "measure"
    """Made of vectors and not of counts: to hundredths."""
    P = "p"
    """Up to the next level."""
    TENTH = "tenth"
    """A ratio that describes the design: to tenths."""
    KEPT = "kept"
    """A number of the method, or of nobody."""


def _of(kind: Kind, names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), kind)


FIELDS: dict[str, dict[str, Kind]] = {
    "": {
        **_of(Kind.COUNT, "n_patients n_queries n_items n_units n_events n_cases n_query_patients"),
        **_of(Kind.PART, "n_unmeasured n_unpaired n_unknown n_said"),
        **_of(Kind.RATE, "estimate ci_low ci_high before after change worst share share_archive"),
        **_of(Kind.RATE, "exposure top_k ratio ratio_top_k ratio_given_relevance null_low"),
        **_of(Kind.RATE, "null_high auc null_mean by_group"),
        **_of(Kind.GAP, "rest_estimate gap gap_ci_low gap_ci_high gap_naive gap_naive_ci_low"),
        **_of(Kind.GAP, "gap_naive_ci_high gap_before gap_after gap_change gap_change_ci_low"),
        **_of(Kind.GAP, "gap_change_ci_high inner_low inner_high"),
        **_of(Kind.P, "p p_value p_adjusted p_max_t p_naive p_archive"),
        **_of(Kind.TENTH, "overlap design_effect icc"),
        **_of(Kind.KEPT, "n_groups step step_rest"),
    },
    "label_quality": _of(Kind.PART, "n_events"),
    "modality_gap": _of(
        Kind.MEASURE,
        "gap ci_low ci_high rest_gap rest_estimate difference difference_ci_low "
        "difference_ci_high inner_low inner_high",
    ),
    "counterfactual": _of(Kind.MEASURE, "effect ci_low ci_high placebo inner_low inner_high"),
}
"""Kind of each field: under "" that of every section, under a section's name where it differs."""

TABLES = {
    "outcomes": ("table", "cells"),
    "missing": ("unknown",),
    "exposure": ("rows",),
    "leakage": ("rows",),
    "counterfactual": ("rows",),
    "modality_gap": ("rows",),
    "label_quality": ("rows",),
    "zero_shot": ("rows",),
    "mitigation": ("rows",),
    "comparison": ("rows",),
}
"""Lists of rows in a report, by section. What changed since an earlier audit (``drift``) is made of
what both audits show."""

_TOTALS = {
    ("stamp",): ("n_cases", "n_patients"),
    ("outcomes", "settings"): ("n_patients", "n_queries"),
    ("exposure",): ("n_queries", "n_query_patients"),
    ("comparison", "overlap"): (
        "patients_both", "patients_only_before", "patients_only_after", "queries_both",
    ),
}  # fmt: skip
_WORDS = frozenset({
    "attribute", "group", "outcome", "comparison", "family", "primary", "verdict", "verdict_naive",
    "reason", "precision", "measure", "finding", "space", "probe", "swap", "name", "target",
    "recommended", "higher_is_better",
})  # fmt: skip
_SAME = ("attribute", "outcome", "measure", "finding", "name", "space", "probe")
_DIFFERENCES = (
    ("gap", "estimate", "rest_estimate"),
    ("gap_naive", "estimate", "rest_estimate"),
    ("change", "after", "before"),
    ("gap_change", "gap_after", "gap_before"),
)


@dataclass(frozen=True)
class Merge:
    """An attribute whose small groups are put together.

    Parameters
    ----------
    names : tuple of str
        Groups afterwards, sorted.
    of_case : int array of shape (n_cases,)
        Each case's place in ``names``.
    merged : tuple of str
        Groups that became :data:`OTHER_GROUPS`.
    small : tuple of str
        Of ``names``, the one that still has too few patients: everybody else is in groups that
        are too large to be merged. It shows no number.
    """

    names: tuple[str, ...]
    of_case: Ints
    merged: tuple[str, ...] = ()
    small: tuple[str, ...] = ()


def merge_groups(names: Sequence[str], of_case: Ints, owner: Ints, minimum: Minimum) -> Merge:
    """Merge an attribute's groups of 1 to ``minimum.reported - 1`` patients.

    Parameters
    ----------
    names : sequence of str
        Groups.
    of_case : int array of shape (n_cases,)
        Each case's place in ``names``.
    owner : int array of shape (n_cases,)
        Patient of each case, from 0.
    minimum : Minimum

    Returns
    -------
    Merge

    Notes
    -----
    A next smallest group joins only while it has fewer than ``minimum.precise`` patients and
    another group is left to compare with: an archive of 1,460 women, 1,702 men and 5 of unknown
    sex keeps its women. A single small group that nothing joins keeps its name.

    Examples
    --------
    >>> of_case = np.repeat([0, 1, 2, 3], [60, 30, 6, 7])
    >>> found = merge_groups("abcd", of_case, np.arange(103), Minimum())
    >>> found.names, found.merged, np.bincount(found.of_case).tolist()
    (('a', 'b', 'other (small groups)'), ('c', 'd'), [60, 30, 13])
    >>> merge_groups("ab", np.repeat([0, 1], [97, 6]), np.arange(103), Minimum()).small
    ('b',)
    """
    span = int(owner.max()) + 1 if len(owner) else 1
    pairs = np.unique(of_case * span + owner)
    size = np.bincount(pairs // span, minlength=len(names))
    joined = {at for at in range(len(names)) if 0 < size[at] < minimum.reported}
    if not joined:
        return Merge(tuple(names), of_case)
    if OTHER_GROUPS in names:
        joined.add(list(names).index(OTHER_GROUPS))

    def patients() -> int:
        return len(np.unique(pairs[np.isin(pairs // span, list(joined))] % span))

    rest = sorted(
        (int(size[at]), name, at) for at, name in enumerate(names) if at not in joined and size[at]
    )
    while patients() < minimum.reported and len(rest) > 1 and rest[0][0] < minimum.precise:
        joined.add(rest.pop(0)[2])
    too_few = patients() < minimum.reported
    if len(joined) == 1:
        return Merge(tuple(names), of_case, small=(names[joined.pop()],))
    labels = [OTHER_GROUPS if at in joined else name for at, name in enumerate(names)]
    kept = sorted(set(labels))
    place = np.array([kept.index(label) for label in labels], dtype=np.int64)
    merged = tuple(sorted({names[at] for at in joined} - {OTHER_GROUPS}))
    return Merge(tuple(kept), place[of_case], merged, (OTHER_GROUPS,) if too_few else ())


def merge_labels(
    labels: NDArray[np.str_], owner: Ints, minimum: Minimum
) -> tuple[NDArray[np.str_], tuple[str, ...]]:
    """Merge small groups of an array of names; see :func:`merge_groups`.

    Parameters
    ----------
    labels : str array of shape (n_cases,)
    owner : int array of shape (n_cases,)
    minimum : Minimum

    Returns
    -------
    labels : str array of shape (n_cases,)
    merged : tuple of str
        Groups that became :data:`OTHER_GROUPS`.
    """
    names, of_case = np.unique(labels, return_inverse=True)
    found = merge_groups(names.tolist(), of_case.astype(np.int64), owner, minimum)
    return np.array(found.names, dtype=np.str_)[found.of_case], found.merged


def any_few(
    owner: Ints, groupings: Iterable[Ints], sets: Iterable[Bools], minimum: Minimum
) -> bool:
    """Whether a group has 1 to ``minimum.reported - 1`` patients in a set, or in one less another.

    Parameters
    ----------
    owner : int array of shape (n_cases,)
        Patient of each case, from 0.
    groupings : iterable of int arrays of shape (n_cases,)
    sets : iterable of bool arrays of shape (n_cases,)
        Cases that something was measured on; all cases are always one of them.
    """
    distinct = {one.tobytes(): one for one in (np.ones(len(owner), dtype=np.bool_), *sets)}
    masks = list(distinct.values())
    masks += [one & ~other for one, other in permutations(distinct.values(), 2)]
    span = int(owner.max()) + 1
    for of_case in (np.zeros(len(owner), dtype=np.int64), *groupings):
        pairs, pair_of = np.unique(of_case * span + owner, return_inverse=True)
        for mask in masks:
            there = np.zeros(len(pairs), dtype=np.bool_)
            there[pair_of[mask]] = True
            if _few(np.bincount(pairs[there] // span), minimum):
                return True
    return False


def _few(counts: Any, minimum: Minimum) -> bool:
    held = np.asarray(counts)
    return bool(((held > 0) & (held < minimum.reported)).any())


def minimum_of(report: Mapping[str, Any]) -> Minimum:
    """Read how many patients a group needs, from the protocol, or else from the audit's settings.

    Examples
    --------
    >>> minimum_of({"protocol": {"minimum": {"reported": 5}}}).reported
    5
    """
    usual = Minimum()
    for place in (("protocol",), ("outcomes", "settings")):
        declared = (_inside(report, place) or {}).get("minimum")
        if isinstance(declared, Mapping):
            reported, precise = (declared.get(name) for name in ("reported", "precise"))
            return Minimum(
                int(reported) if _number(reported) else usual.reported,
                int(precise) if _number(precise) else usual.precise,
            )
    return usual


def protect(report: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a report as it may be shown: the one door that every output passes.

    Parameters
    ----------
    report : mapping
        See docs/reference/audit-report.md. One that has passed already (``small_groups``) is
        copied as it is.

    Returns
    -------
    dict
        Rows that rest on 1 to ``minimum.reported - 1`` patients without their numbers. Where the
        report merges or hides anything, or its counts differ by so few, all of it rounded, and
        ``small_groups: {"rounded": True}``.

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
    whole = {
        (row.get("attribute"), row.get("group")): row["n_patients"]
        for row in _rows(copy, "outcomes", "cells")
        if _number(row.get("n_patients"))
    }
    for section, table, rows in _tables(copy):
        shown = [_without_small(row, minimum) for row in rows]
        if rounded:
            round_rows(shown, minimum, section=section, whole=whole)
        copy[section][table] = shown
    if rounded:
        copy["small_groups"] = {"rounded": True}
        for path, names in _TOTALS.items():
            place = _inside(copy, path)
            for name in names if place else ():
                place[name] = round_count(place.get(name))
    _round_detectable(copy, rounded)
    return copy


def tells_small(report: Mapping[str, Any], minimum: Minimum) -> bool:
    """Whether a report merges or hides a small group, or shows counts that tell one.

    Parameters
    ----------
    report : mapping
        Before it is rounded.
    minimum : Minimum

    Notes
    -----
    Counts tell a small one where two of one group within a section differ by so few, one differs
    by so few from all of the group, or those with a finding and those without exceed all by so few.
    """
    settings = _inside(report, ("outcomes", "settings")) or {}
    if settings.get("merged") or settings.get("rounded"):
        return True
    overlap = _inside(report, ("comparison", "overlap")) or {}
    counts = [value for value in overlap.values() if _number(value)]
    sizes: dict[tuple[Any, ...], set[int]] = {}
    for section, table, rows in _tables(report):
        for row in rows:
            if row.get("precision") == "suppressed" and row.get("n_patients") != 0:
                return True
            if row.get("step"):
                return True
            of_group = (row.get("attribute"), row.get("group"))
            key = (section if table != "cells" else "", row.get("finding"), *of_group)
            for name, value in row.items():
                kind = _kind(section, name, value)
                if kind is Kind.PART:
                    counts.append(value)
                    if name == "n_said" and _number(row.get("n_queries")):
                        counts.append(row["n_queries"] - value)
                elif kind is Kind.COUNT and name != "n_events":
                    unit = "patients" if name == "n_patients" else "cases"
                    sizes.setdefault((*key, unit), set()).add(value)
                    counts.append(value if unit == "patients" else 0)
    for (section, _, *of_group, unit), held in sizes.items():
        whole = sizes.get(("", None, *of_group, unit), set())
        counts += [abs(one - other) for one, other in combinations({*held, *whole}, 2)]
        if section == "zero_shot":
            counts += [a + b - n for a, b in combinations(held, 2) for n in whole]
    return _few(counts, minimum)


def round_rows(
    rows: Sequence[Row],
    minimum: Minimum,
    *,
    section: str = "outcomes",
    whole: Mapping[tuple[Any, Any], int] | None = None,
    units: Mapping[str, float] | None = None,
) -> None:
    """Round a section's rows, each once: a row that has a ``step`` is left as it is.

    Parameters
    ----------
    rows : sequence of dict
        Changed in place; ``step`` and ``step_rest`` say to what.
    minimum : Minimum
    section : str
        Whose :data:`FIELDS` hold.
    whole : mapping of (attribute, group) to int, optional
        Patients of the groups, for rows without a size of their own.
    units : mapping of outcome to float, optional
        Range of an outcome that is no proportion.
    """
    sizes: dict[tuple[Any, ...], dict[Any, int]] = {}
    for row in rows:
        if row.get("comparison", "rest") == "rest" and _number(row.get("n_patients")):
            key = tuple(row.get(name) for name in _SAME)
            sizes.setdefault(key, {})[row.get("group")] = row["n_patients"]
    for row in rows:
        if not row.get("step"):
            of_kind = sizes.get(tuple(row.get(name) for name in _SAME)) or {
                group: n for (name, group), n in (whole or {}).items()
                if name == row.get("attribute")
            }  # fmt: skip
            own, other = _steps(row, of_kind, minimum)
            unit = (units or {}).get(str(row.get("outcome")), 1.0)
            _round_row(row, section, own * unit, max(own, other) * unit)


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
    elif comparison.startswith("pair:"):
        others = sizes.get(comparison.removeprefix("pair:"), 0)
    else:
        others = sum(n for group, n in sizes.items() if group != row.get("group"))
    return own, own if not sizes or others >= minimum.precise else _LOW


def _round_row(row: Row, section: str, own: float, gap: float) -> None:
    differences = [
        (name, one, other)
        for name, one, other in _DIFFERENCES
        if all(_number(row.get(field)) for field in (name, one, other))
        and abs(row[name] - (row[one] - row[other])) < 1e-9
    ]
    steps = {
        Kind.RATE: own, Kind.GAP: gap, Kind.TENTH: _TENTH, Kind.MEASURE: _HUNDREDTH,
    }  # fmt: skip
    for name, value in row.items():
        kind = _kind(section, name, value)
        if isinstance(value, Mapping):
            row[name] = {key: _rounded(kind, name, one, steps) for key, one in value.items()}
        else:
            row[name] = _rounded(kind, name, value, steps)
    for name, one, other in differences:  # so that it tells no more than the two
        row[name] = round(row[one] - row[other], 9)
        low, high = ("ci_low", "ci_high") if name == "change" else (f"{name}_ci_low",) * 2
        if name != "change":
            high = f"{name}_ci_high"
        for end, outer in ((low, min), (high, max)):
            if _number(row.get(end)):
                row[end] = outer(row[end], row[name])
    row["step"] = own
    if "step_rest" in row:
        row["step_rest"] = gap


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
    n = row.get("n_patients")
    few = _number(n) and 0 < n < minimum.reported
    if not few and (row.get("precision") != "suppressed" or n == 0):
        return row
    blank = {key: value if key in _WORDS else None for key, value in row.items()}
    if few and "verdict" in row:
        blank |= {"verdict": "not_assessable", "reason": Reason.FEW.text(minimum)}
    return blank | {"precision": "suppressed"}


def _round_detectable(report: dict[str, Any], rounded: bool) -> None:
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
            rows = _rows(report, section, table)
            if rows:
                yield section, table, rows


def _rows(report: Mapping[str, Any], section: str, table: str) -> list[Row]:
    held = (_inside(report, (section,)) or {}).get(table)
    return [row for row in held if isinstance(row, dict)] if isinstance(held, list) else []


def _inside(report: Mapping[str, Any], path: Sequence[str]) -> Any:
    held: Any = report
    for name in path:
        held = held.get(name) if isinstance(held, Mapping) else None
    return held if isinstance(held, Mapping) else None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
