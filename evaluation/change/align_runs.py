"""Two tables of outcomes, lined up by query or by patient; and which of the counts may be shown."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.labels import group_labels
from evaluation.stats.disclosure import suppress
from evaluation.stats.verdict import Minimum
from medembed.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Overlap", "Pairing", "Runs", "line_up", "patients_of"]

Pairing = Literal["queries", "patients", "all"]
Text = NDArray[np.str_]


@dataclass(frozen=True)
class Overlap:
    """Who is in both runs, and who in one alone.

    Parameters
    ----------
    patients_both, patients_only_before, patients_only_after : int or None
        None where a number would be small, or give a small one away.
    queries_both : int or None
        None where queries are not paired.
    """

    patients_both: int | None
    patients_only_before: int | None
    patients_only_after: int | None
    queries_both: int | None

    def shown(self, minimum: Minimum) -> Overlap:
        """Without the small numbers, and without the one that they could be derived from."""
        counts = (self.patients_both, self.patients_only_before, self.patients_only_after)
        if any(count and count < minimum.reported for count in counts):
            left, right = (0 if count == 0 else None for count in counts[1:])
            return Overlap(None, left, right, None)
        return self

    def sentences(self, pairing: Pairing, minimum: Minimum) -> tuple[str, ...]:
        """Say who is in one run only."""
        said = []
        for name, count in (
            ("earlier", self.patients_only_before),
            ("later", self.patients_only_after),
        ):
            if count == 0:
                continue
            number = f"fewer than {minimum.reported} or not shown" if count is None else str(count)
            part = "are part of" if pairing == "all" else "are left out of"
            said.append(f"Patients in the {name} run only: {number}; they {part} the comparison.")
        return tuple(said)

    def to_json(self) -> dict[str, int | None]:
        """Plain JSON values."""
        return {
            "patients_both": self.patients_both,
            "patients_only_before": self.patients_only_before,
            "patients_only_after": self.patients_only_after,
            "queries_both": self.queries_both,
        }


@dataclass(frozen=True)
class Runs:
    """Outcomes of two runs, ready to be compared.

    Parameters
    ----------
    before, after : float64 arrays of shape (size, n_outcomes)
        Paired: the same query in each row. Else ``after`` holds both runs, and ``before`` nothing.
    later : bool array of shape (size,) or None
        Which rows are of the later run; None where paired.
    owner : int array of shape (size,)
        Number of the patient.
    groups : dict of attribute to text array of shape (size,)
    overlap : Overlap
    alone : dict of (attribute, group) to tuple of int
        Patients in both, in the earlier and in the later run only.
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    later: NDArray[np.bool_] | None
    owner: NDArray[np.int64]
    groups: dict[str, Text]
    overlap: Overlap
    alone: dict[tuple[str, str], tuple[int, int, int]]

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.owner)

    def unpaired(self, outcome: int, member: NDArray[np.bool_]) -> int:
        """Queries among ``member`` that lack a measurement they would be compared by."""
        lost = np.isnan(self.after[:, outcome])
        if self.later is None:
            lost = lost | np.isnan(self.before[:, outcome])
        return int((lost & member).sum())

    def hidden_counts(
        self, rows: Sequence[Mapping[str, Any]], minimum: Minimum
    ) -> tuple[set[tuple[str, str, str]], bool]:
        """Which counts must not be shown, and whether none by group may be.

        Parameters
        ----------
        rows : sequence of mappings
            With ``attribute, group, outcome, n_patients``.
        minimum : Minimum

        Returns
        -------
        hidden : set of (attribute, group, outcome)
        everything : bool
            True where the runs have other patients than each other and a number of those in one
            run only, or in both, is small for any group: each run's own audit shows its counts,
            and a difference would give the small one away.

        Notes
        -----
        Patients of a group who lack an outcome are a count of their own here: the difference of
        two outcomes' counts shows it.
        """
        small = range(1, minimum.reported)
        if any(any(c[1:]) for c in self.alone.values()) and any(
            count in small for counts in self.alone.values() for count in counts
        ):
            return set(), True
        counts: dict[Hashable, int] = {}
        relations: list[tuple[Hashable, tuple[Hashable, ...]]] = []
        for row in rows:
            group, outcome = (row["attribute"], row["group"]), row["outcome"]
            counts[*group, outcome] = row["n_patients"]
            counts[*group, ""] = sum(self.alone[group])
            lacking = counts[*group, ""] - row["n_patients"]
            if lacking:
                counts[*group, outcome, "lacking"] = lacking
                both = (*group, outcome), (*group, outcome, "lacking")
                relations.append(((*group, ""), both))
        names = {row["outcome"] for row in rows} | {""}
        for total, cells in _sums_of_groups(list(self.alone)):
            for outcome in sorted(names):
                inside = tuple((*cell, outcome) for cell in cells if (*cell, outcome) in counts)
                if counts.get((*total, outcome)) == sum(counts[part] for part in inside):
                    relations.append(((*total, outcome), inside))
        held = suppress(counts, relations, threshold=minimum.reported - 1)
        return {
            (cell[0], cell[1], cell[2])
            for cell in held.small | held.partners
            if isinstance(cell, tuple) and len(cell) == 3
        }, False


def _sums_of_groups(
    cells: list[tuple[str, str]],
) -> list[tuple[tuple[str, str], list[tuple[str, str]]]]:
    """Every group that is the sum of others: all patients, and margins of crossed attributes."""
    of: dict[str, list[tuple[str, str]]] = {}
    for cell in cells:
        of.setdefault(cell[0], []).append(cell)
    everyone = cells[0]
    sums = [(everyone, members) for name, members in of.items() if name != everyone[0]]
    for name, members in of.items():
        parts = name.split("*")
        for place, part in enumerate(parts if len(parts) > 1 else []):
            for total in of.get(part, []):
                inside = [c for c in members if c[1].split("*")[place : place + 1] == [total[1]]]
                if inside and all(len(c[1].split("*")) == len(parts) for c in members):
                    sums.append((total, inside))
    return sums


@dataclass(frozen=True)
class _Run:
    outcomes: NDArray[np.float64]
    patients: Text
    groups: dict[str, Text]
    queries: Text | None

    def take(self, rows: NDArray[Any]) -> _Run:
        return _Run(
            self.outcomes[rows],
            self.patients[rows],
            {name: labels[rows] for name, labels in self.groups.items()},
            None if self.queries is None else self.queries[rows],
        )


def line_up(
    before: pd.DataFrame | Mapping[str, Any],
    after: pd.DataFrame | Mapping[str, Any],
    outcomes: list[str],
    attributes: list[str],
    patient: str,
    query: str | None,
    pairing: Pairing,
) -> Runs:
    """Read both tables and pair them.

    Parameters
    ----------
    before, after, outcomes, attributes, patient, query, pairing
        As in :func:`~evaluation.change.comparison.compare_outcomes`.

    Raises
    ------
    InputError
        Where a table cannot be read or nothing of the two belongs together.
    """
    if pairing not in ("queries", "patients", "all"):
        raise InputError("a pairing other than queries, patients or all")
    if not outcomes:
        raise InputError("no outcome to compare")
    key = query if pairing == "queries" else None
    one = _read(before, outcomes, attributes, patient, key, "before", [])
    two = _read(
        after, outcomes, attributes, patient, key, "after",
        attributes if pairing == "queries" else [],
    )  # fmt: skip
    everyone = np.unique(np.concatenate([one.patients, two.patients]))
    in_one, in_two = (np.isin(everyone, run.patients) for run in (one, two))
    overlap = Overlap(
        int((in_one & in_two).sum()), int((in_one & ~in_two).sum()), int((in_two & ~in_one).sum()),
        None,
    )  # fmt: skip
    if pairing != "all" and not overlap.patients_both:
        raise InputError("no patient is in both tables", hint='compare them with pairing="all"')
    alone = _alone(one, two)
    later = None
    if pairing == "queries":
        one, two = _same_queries(one, two)
        overlap = replace(overlap, queries_both=len(one.patients))
        first, second, owner, groups = one.outcomes, two.outcomes, one.patients, one.groups
    else:
        if pairing == "patients":
            one, two = (run.take(np.isin(run.patients, everyone[in_one & in_two])) for run in
                        (one, two))  # fmt: skip
        later = np.arange(len(one.patients) + len(two.patients)) >= len(one.patients)
        second = np.concatenate([one.outcomes, two.outcomes])
        first = np.empty((0, len(outcomes)))
        owner = np.concatenate([one.patients, two.patients])
        groups = {a: np.concatenate([one.groups[a], two.groups[a]]) for a in attributes}
    numbers = np.searchsorted(everyone, owner).astype(np.int64)
    return Runs(first, second, later, numbers, groups, overlap, alone)


def patients_of(table: pd.DataFrame | Mapping[str, Any], patient: str, where: str) -> set[str]:
    """All patients of a table, as they are paired: for a check, not for an output."""
    return set(_read(table, [], [], patient, None, where, []).patients.tolist())


def _alone(one: _Run, two: _Run) -> dict[tuple[str, str], tuple[int, int, int]]:
    counts = {}
    for attribute in ["all", *one.groups]:
        names = {"all"} if attribute == "all" else set(one.groups[attribute].tolist())
        if attribute != "all" and attribute in two.groups:
            names |= set(two.groups[attribute].tolist())
        for group in sorted(names):
            a, b = (_members(run, attribute, group) for run in (one, two))
            if attribute not in two.groups and attribute != "all":  # known of the earlier run only
                b = set(two.patients.tolist()) & a
            counts[attribute, group] = (len(a & b), len(a - b), len(b - a))
    return counts


def _members(run: _Run, attribute: str, group: str) -> set[str]:
    if attribute == "all":
        return set(run.patients.tolist())
    if attribute not in run.groups:
        return set()
    return set(run.patients[run.groups[attribute] == group].tolist())


def _same_queries(one: _Run, two: _Run) -> tuple[_Run, _Run]:
    hint = "name the column of queries with query="
    if one.queries is None or two.queries is None:
        if one.patients.shape != two.patients.shape or (one.patients != two.patients).any():
            raise InputError("tables that are not the same queries in the same order", hint=hint)
    else:
        for run in (one, two):
            if len(np.unique(run.queries)) < len(run.patients):  # type: ignore[arg-type]
                raise InputError("a query that occurs twice in one table")
        _, left, right = np.intersect1d(one.queries, two.queries, return_indices=True)
        if not len(left):
            raise InputError("no query is in both tables", hint='pair them by "patients"')
        one, two = one.take(left), two.take(right)
        if (one.patients != two.patients).any():
            raise InputError("a query that belongs to another patient in the other table")
    for name, labels in two.groups.items():
        if (labels != one.groups[name]).any():
            raise InputError(
                f"attribute {name!r} differs between the tables for the same query",
                hint="give both tables the attributes that are to be compared by",
            )
    return one, two


def _read(
    table: pd.DataFrame | Mapping[str, Any],
    outcomes: list[str],
    attributes: list[str],
    patient: str,
    query: str | None,
    where: str,
    optional: list[str],
) -> _Run:
    import pandas as pd

    try:
        frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(dict(table))
    except (ValueError, TypeError):
        raise InputError("not a table of columns of one length", where=where) from None
    if not len(frame):
        raise InputError("a table without a query", where=where)
    values = np.empty((len(frame), len(outcomes)))
    for number, name in enumerate(outcomes):
        try:
            column = pd.to_numeric(_column(frame, name, where))
            values[:, number] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (ValueError, TypeError):
            raise InputError(f"outcome {name!r} is not a column of numbers", where=where) from None
    if np.isinf(values).any():
        raise InputError("an outcome that is infinite", where=where)
    patients = _text(_column(frame, patient, where), "")
    if (patients == "").any():
        raise InputError("a query without a patient", where=where, hint="give each query one")
    queries = None if query is None else _text(_column(frame, query, where), "")
    if queries is not None and (queries == "").any():
        raise InputError(f"a query without a name in {query!r}", where=where)
    groups = {}
    for name in attributes:
        parts = [name] if name in frame.columns else name.split("*")
        if name in optional and any(part not in frame.columns for part in parts):
            continue
        labels = [group_labels(_column(frame, part, where).tolist()).tolist() for part in parts]
        groups[name] = np.array(["*".join(pair) for pair in zip(*labels, strict=True)], dtype=str)
    return _Run(values, patients, groups, queries)


def _column(frame: pd.DataFrame, name: str, where: str) -> pd.Series[Any]:
    found = list(frame.columns).count(name)
    if found != 1:
        what = "no" if not found else "more than one"
        raise InputError(f"{what} column {name!r}", where=where)
    return frame[name]


def _text(column: pd.Series[Any], empty: str) -> Text:
    """Text of a column: nothing for a missing value, whole numbers without a point."""
    missing = column.isna().to_numpy()
    out = []
    for value, gone in zip(column.tolist(), missing, strict=True):
        if isinstance(value, float) and not gone and value.is_integer():
            value = int(value)  # noqa: PLW2901
        out.append(empty if gone else str(value).strip() or empty)
    return np.array(out, dtype=str)
