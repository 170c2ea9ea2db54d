"""Two tables of outcomes, lined up by query or by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.labels import group_labels
from evaluation.stats.suppression import round_count
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
        None where the number is too small to be shown.
    queries_both : int or None
        None where queries are not paired.
    """

    patients_both: int | None
    patients_only_before: int | None
    patients_only_after: int | None
    queries_both: int | None

    def shown(self, minimum: Minimum, *, rounded: bool) -> Overlap:
        """Without the small numbers, and the others rounded where the comparison is."""
        if not rounded:
            return self
        counts = {
            name: None if count and count < minimum.reported else round_count(count)
            for name, count in asdict(self).items()
        }
        return Overlap(**counts)

    def sentences(self, pairing: Pairing) -> tuple[str, ...]:
        """Say that there are patients in one run only; how many stands in the fields."""
        part = "are part of" if pairing == "all" else "are left out of"
        return tuple(
            f"Patients in the {name} run only {part} the comparison."
            for name, count in (
                ("earlier", self.patients_only_before),
                ("later", self.patients_only_after),
            )
            if count
        )

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

    def tells_small(self, rows: Sequence[Mapping[str, Any]], minimum: Minimum) -> bool:
        """Whether a count of these rows, or one less another, is of 1 to ``reported - 1`` patients.

        Parameters
        ----------
        rows : sequence of mappings
            With ``attribute, group, n_patients, n_unpaired``.
        minimum : Minimum
        """
        counts = [count for cell in self.alone.values() for count in cell]
        for row in rows:
            everyone = sum(self.alone[row["attribute"], row["group"]])
            counts += [row["n_patients"], everyone - row["n_patients"], row["n_unpaired"]]
        return any(0 < count < minimum.reported for count in counts)


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
