"""Two tables of outcomes, lined up by query or by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.table_input import UNKNOWN, read_queries
from evaluation.stats.verdict import Minimum
from medembed.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ALL", "Pairing", "Runs", "line_up"]

Pairing = Literal["queries", "patients", "all"]
Text = NDArray[np.str_]

ALL = "all"
"""Attribute and group of all patients."""

_NAME = "name the column of queries with query="
_EVERY_SIZE = Minimum(1, 1)
"""A small group is no part of another one here: its row has no figures."""


@dataclass(frozen=True)
class Runs:
    """Outcomes of two runs, ready to be compared.

    Parameters
    ----------
    before, after : float64 arrays of shape (n, n_outcomes)
        Paired: the same query in each row. Else ``after`` holds both runs, and ``before`` nothing.
    later : bool array of shape (n,) or None
        Which rows are of the later run; None where paired.
    owner : int array of shape (n,)
        Number of the patient.
    groups : dict of attribute to text array of shape (n,)
        :data:`ALL` among the attributes.
    scale : float64 array of shape (n_outcomes,)
        Range of each outcome: 1, or a power of two above its values.
    alone : dict of (attribute, group) to tuple of int
        Patients in both, in the earlier and in the later run only.
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    later: NDArray[np.bool_] | None
    owner: NDArray[np.int64]
    groups: dict[str, Text]
    scale: NDArray[np.float64]
    alone: dict[tuple[str, str], tuple[int, int, int]]

    @cached_property
    def differences(self) -> NDArray[np.float64]:
        """After less before, (n, n_outcomes); rows of unpaired runs with the sign of theirs."""
        if self.later is None:
            return self.after - self.before
        return np.where(self.later[:, None], self.after, -self.after)

    def tells_small(self, rows: Sequence[Mapping[str, Any]], minimum: Minimum) -> bool:
        """Whether a count of these rows, or one less another, is of 1 to ``reported - 1`` patients.

        Rows hold ``attribute, group, n_patients, n_unpaired``.
        """
        counts = [count for cell in self.alone.values() for count in cell]
        for row in rows:
            everyone = sum(self.alone[row["attribute"], row["group"]])
            counts += [row["n_patients"], everyone - row["n_patients"], row["n_unpaired"]]
        return any(0 < count < minimum.reported for count in counts)


@dataclass(frozen=True)
class _Run:
    values: NDArray[np.float64]
    scale: NDArray[np.float64]
    patients: Text
    queries: NDArray[Any]
    groups: dict[str, Text]

    def take(self, rows: NDArray[Any]) -> _Run:
        groups = {name: labels[rows] for name, labels in self.groups.items()}
        return replace(self, values=self.values[rows], patients=self.patients[rows], groups=groups)


def line_up(
    before: pd.DataFrame | Mapping[str, Any],
    after: pd.DataFrame | Mapping[str, Any],
    outcomes: Sequence[str],
    attributes: Sequence[str],
    patient: str,
    query: str | None,
    pairing: Pairing,
) -> Runs:
    """Read both tables and pair them, as :func:`~evaluation.change.comparison.compare_outcomes`.

    Raises
    ------
    InputError
        Where a table cannot be read or nothing of the two belongs together.
    """
    if pairing not in ("queries", "patients", "all"):
        raise InputError("a pairing other than queries, patients or all")
    key = query if pairing == "queries" else None
    one = _read(before, "before", outcomes, attributes, patient, key)
    two = _read(after, "after", outcomes, attributes, patient, key)
    scale = np.maximum(1.0, np.maximum(one.scale, two.scale))
    alone = {
        (name, group): _shared(one, two, name, group)
        for name in one.groups
        for group in sorted({*one.groups[name].tolist(), *two.groups[name].tolist()})
    }
    if pairing != "all" and not alone[ALL, ALL][0]:
        raise InputError("no patient is in both tables", hint='compare them with pairing="all"')
    if pairing == "queries":
        if key is None and len(one.patients) != len(two.patients):
            raise InputError("tables that are not the same queries in the same order", hint=_NAME)
        one, two = _same_queries(one, two)
        owner = np.unique(one.patients, return_inverse=True)[1]
        return Runs(one.values, two.values, None, owner, one.groups, scale, alone)
    if pairing == "patients":
        one, two = (
            run.take(np.isin(run.patients, other.patients))
            for run, other in ((one, two), (two, one))
        )
    later = np.repeat([False, True], [len(one.patients), len(two.patients)])
    owner = np.unique(np.concatenate([one.patients, two.patients]), return_inverse=True)[1]
    groups = {name: np.concatenate([one.groups[name], two.groups[name]]) for name in one.groups}
    values = np.concatenate([one.values, two.values])
    return Runs(values[:0], values, later, owner, groups, scale, alone)


def _read(
    table: pd.DataFrame | Mapping[str, Any],
    where: str,
    outcomes: Sequence[str],
    attributes: Sequence[str],
    patient: str,
    query: str | None,
) -> _Run:
    crossed = [name.split("*") for name in attributes if name not in table and "*" in name]
    single = [name for name in attributes if name in table or "*" not in name]
    keys = [patient] if query is None else [patient, query]
    names = dict.fromkeys([*keys, *single, *(part for parts in crossed for part in parts)])
    try:
        read = read_queries(
            table, outcomes, list(names), patient=patient, intersections=crossed,
            minimum=_EVERY_SIZE,
        )  # fmt: skip
    except InputError as error:
        told = f"{where}, {error.where}" if error.where else where
        raise InputError(error.what, where=told, hint=error.hint) from None
    found = {g.attribute: np.array(g.names)[g.of_query] for g in read.groupings}
    if any((found[name] == UNKNOWN).any() for name in keys):
        raise InputError("a query without a patient or a name", where=where)
    groups = {ALL: np.full(len(read.owner), ALL)} | {name: found[name] for name in attributes}
    queries = np.arange(len(read.owner)) if query is None else found[query]
    return _Run(read.values * read.scale, read.scale, found[patient], queries, groups)


def _shared(one: _Run, two: _Run, attribute: str, group: str) -> tuple[int, int, int]:
    a, b = (set(run.patients[run.groups[attribute] == group].tolist()) for run in (one, two))
    return len(a & b), len(a - b), len(b - a)


def _same_queries(one: _Run, two: _Run) -> tuple[_Run, _Run]:
    for names in (one.queries, two.queries):
        if len(np.unique(names)) < len(names):
            raise InputError("a query that occurs twice in one table")
    _, left, right = np.intersect1d(one.queries, two.queries, return_indices=True)
    if not len(left):
        raise InputError("no query is in both tables", hint='pair them by "patients"')
    one, two = one.take(left), two.take(right)
    if (one.patients != two.patients).any():
        raise InputError("a query that belongs to another patient in the other table", hint=_NAME)
    for name, labels in two.groups.items():
        if (labels != one.groups[name]).any():
            raise InputError(
                f"attribute {name!r} differs between the tables for the same query",
                hint="give both tables the attributes that are to be compared by",
            )
    return one, two
