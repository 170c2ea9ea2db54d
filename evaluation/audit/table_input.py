"""From a table of anyone's per-query results to patients, groups and outcomes as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.columns import banded, columns_of, numbered, outcome_of, weights_of
from evaluation.labels import UNKNOWN, group_label
from evaluation.stats.report_fields import OTHER_GROUPS
from evaluation.stats.small_groups import merge_groups
from evaluation.stats.verdict import Minimum
from medembed.errors import InputError

__all__ = ["LEAST_CLUSTERS", "UNKNOWN", "Grouping", "Kind", "Queries", "read_queries"]

Kind = Literal["proportion", "score"]
Ints = NDArray[np.int64]
LEAST_CLUSTERS = 10
"""Fewer clusters (sites) tell nothing of how much clusters vary."""
_ABOVE = frozenset({"site", "hospital", "reader", "radiologist", "scanner", "center", "centre"})
"""Columns, by name, of units that patients belong to."""


@dataclass(frozen=True)
class Grouping:
    """One attribute, or the intersection of several.

    Parameters
    ----------
    attribute
        ``sex``, or ``race*sex`` for an intersection of its ``parts``.
    names, of_query
        Groups, sorted; each query's place among them, shape (n_queries,).
    varies
        Whether some sampling unit has queries in more than one group (view, scanner, year).
    merged, small
        Small groups that are one of ``names`` together; of ``names``, those of too few patients to
        be shown.
    reference
        The group that the others are compared with, instead of the rest.
    """

    attribute: str
    names: tuple[str, ...]
    of_query: Ints
    varies: bool
    parts: tuple[str, ...]
    merged: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    reference: str | None = None

    @property
    def is_single(self) -> bool:
        """Whether nothing is crossed."""
        return len(self.parts) == 1

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Groups with a value in each part, shape (n_groups,)."""

        def is_known(name: str) -> bool:
            if name == OTHER_GROUPS and self.merged:  # made of nobody but unknown ones
                return any(is_known(one) for one in self.merged)
            return UNKNOWN not in ([name] if self.is_single else name.split("*"))

        return np.array([is_known(name) for name in self.names], dtype=np.bool_)

    @cached_property
    def rest(self) -> NDArray[np.bool_]:
        """What a group is compared with, itself aside: known groups, or the reference alone."""
        if self.reference is None:
            return self.known
        return np.array([name == self.reference for name in self.names], dtype=np.bool_)

    @cached_property
    def pair(self) -> tuple[int, int] | None:
        """The two known groups, each the rest of the other; None if there are not two."""
        known = np.flatnonzero(self.known).tolist()
        return (known[0], known[1]) if len(known) == 2 else None

    def compared_with(self, group: str) -> Grouping:
        """Choose the group that the others are compared with.

        Raises
        ------
        InputError
            Where it is unknown, not there, or too small to be shown.
        """
        if group in (*self.merged, *self.small):
            why = "has too few patients to be shown"
        elif group not in self.names:
            small = ", or too small to be shown" if OTHER_GROUPS in self.names else ""
            why = f"is not in the table{small}"
        elif not self.known[self.names.index(group)]:
            why = "is of patients whose group is not known"
        else:
            return replace(self, reference=group)
        raise InputError(
            f"the reference group {group!r} {why}", where=self.attribute, hint="choose another"
        )


@dataclass(frozen=True)
class Queries:
    """A table of per-query results, read.

    Parameters
    ----------
    owner, unit : int arrays of shape (n_queries,)
        Patient and sampling unit of each query, from 0; units are patients, or their clusters.
    values : float64 array of shape (n_queries, n_outcomes)
        Outcomes, NaN where not measured, divided by ``scale`` (n_outcomes,), a power of two (1 for
        proportions), so that squares neither overflow nor vanish.
    strata : int array of shape (n_queries,) or None
        Cross-class of the declared strata, each of which is one of ``layers``.
    weight : float64 array of shape (n_queries,) or None
        Sampling weights of mean 1; None where all are equal.
    notes
        What a reader has to know of the table.
    """

    owner: Ints
    unit: Ints
    n_patients: int
    n_units: int
    outcomes: tuple[str, ...]
    values: NDArray[np.float64]
    scale: NDArray[np.float64]
    kinds: tuple[Kind, ...]
    groupings: tuple[Grouping, ...]
    strata: Ints | None
    n_strata: int
    layers: tuple[Ints, ...] = ()
    weight: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()

    def patients_of(self, grouping: Grouping) -> Ints:
        """Patients of each group, shape (n_groups,), whatever the sampling units are."""
        pairs = np.sort(grouping.of_query * self.n_patients + self.owner)
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # np.unique takes ten times as long here
        return np.bincount(pairs // self.n_patients, minlength=len(grouping.names))

    def strata_of(self, grouping: Grouping) -> Ints | None:
        """Cross-class of the strata that are not the attribute itself, or a part of it.

        Within strata of its own values an attribute has nobody to be compared with. All zero where
        no other stratum is left; None where none was declared.
        """
        if self.strata is None:
            return None
        own = [g.of_query for g in self.groupings if g.parts[0] in grouping.parts and g.is_single]
        left = [layer for layer in self.layers if not any(_same_classes(layer, o) for o in own)]
        if len(left) == len(self.layers):
            return self.strata
        return _crossed(left) if left else np.zeros_like(self.strata)


def read_queries(
    table: Any,
    outcomes: Sequence[str],
    attributes: Sequence[str],
    *,
    patient: str = "patient_id",
    strata: Sequence[str] = (),
    intersections: bool | Sequence[Sequence[str]] = True,
    kinds: Mapping[str, Kind] | None = None,
    minimum: Minimum | None = None,
    reference: Mapping[str, str] | None = None,
    bands: Mapping[str, Sequence[float] | int] | None = None,
    weight: str | None = None,
    cluster: str | None = None,
) -> Queries:
    """Read a table with one row per query; parameters as of ``audit_outcomes``.

    Raises
    ------
    InputError
        A missing column, an outcome that is no number or infinite, a query without a patient,
        a name given twice, an option that does not fit. No value of the table is in the message.
    """
    for what, names in (("outcome", outcomes), ("attribute", attributes), ("stratum", strata)):
        if isinstance(names, str):
            raise InputError(f"{what}s are a list of columns", hint="not one text")
        if len(set(names)) != len(names):
            raise InputError(f"an {what} named twice")
    if not outcomes or not attributes:
        raise InputError("nothing to audit", hint="name an outcome and an attribute at least")
    asked = [patient, *outcomes, *attributes, *strata]
    columns = columns_of(table, asked + [name for name in (weight, cluster) if name])
    owner, n_patients = numbered(columns[patient], patient)
    unit, n_units = (owner, n_patients) if cluster is None else _clusters(columns, cluster, owner)
    values, scale, kept = _outcomes(columns, outcomes, dict(kinds or {}))
    for name, cuts in (bands or {}).items():
        if name not in {*attributes, *strata}:
            raise InputError(
                "bands of what is neither an attribute nor a stratum", where=name,
                hint="name it among the attributes or the strata",
            )  # fmt: skip
        columns[name] = banded(columns[name], name, cuts, owner)
    least = Minimum() if minimum is None else minimum
    single = {
        name: _merged(_grouping(columns[name], name, unit, n_units), owner, least)
        for name in attributes
    }
    crossed = [
        _merged(_cross([single[name] for name in crossing]), owner, least)
        for crossing in _crossings(attributes, intersections)
    ]
    groupings = {grouping.attribute: grouping for grouping in (*single.values(), *crossed)}
    if len(groupings) != len(single) + len(crossed):
        raise InputError("an attribute named like an intersection of others")
    for name, group in (reference or {}).items():
        if name not in groupings:
            raise InputError(
                "a reference group of an attribute that is not audited", where=name,
                hint="name an attribute, or an intersection in the order of its attributes",
            )  # fmt: skip
        groupings[name] = groupings[name].compared_with(str(group))
    layers = [_grouping(columns[name], name, unit, n_units).of_query for name in strata]
    stratum = _crossed(layers) if layers else None
    above = [name for name in (*attributes, *getattr(table, "columns", table)) if name != cluster]
    return Queries(
        owner, unit, n_patients, n_units, tuple(outcomes), values, scale, kept,
        tuple(groupings.values()), stratum, 1 if stratum is None else int(stratum.max()) + 1,
        tuple(layers), None if weight is None else weights_of(columns[weight], weight),
        _upper_clusters(above, strata),
    )  # fmt: skip


def _outcomes(
    columns: Mapping[str, Any], outcomes: Sequence[str], given: dict[str, Kind]
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[Kind, ...]]:
    """Values divided by their scale, the scale, and each outcome's kind."""
    values = np.stack([outcome_of(columns[name], name) for name in outcomes], axis=1)
    if any(kind not in {"proportion", "score"} for kind in given.values()):
        raise InputError('an outcome is a "proportion" or a "score"', where="kinds")
    if unknown := set(given) - set(outcomes):
        raise InputError(f"kinds of {len(unknown)} outcomes that are not audited", where="kinds")
    kept: list[Kind] = []
    scale = np.ones(len(outcomes))
    for number, (name, column) in enumerate(zip(outcomes, values.T, strict=True)):
        known = column[~np.isnan(column)]
        kept.append(given.get(name) or ("proportion" if np.isin(known, (0, 1)).all() else "score"))
        if kept[-1] == "proportion" and ((known < 0) | (known > 1)).any():
            raise InputError("a proportion outside 0 to 1", where=name)
        largest = float(np.abs(known).max(initial=0.0))
        if kept[-1] == "score" and largest > 0:
            scale[number] = 2.0 ** np.clip(np.ceil(np.log2(largest)), -900, 900)
    return values / scale, scale, tuple(kept)


def _clusters(columns: Mapping[str, Any], name: str, owner: Ints) -> tuple[Ints, int]:
    """Number the clusters; each holds all queries of its patients."""
    unit, n_units = numbered(columns[name], name, "cluster")
    if _varies(unit, owner, int(owner.max()) + 1):
        raise InputError(
            "patients with queries in several clusters", where=name,
            hint="give a column that is the same in all rows of a patient",
        )  # fmt: skip
    if n_units < LEAST_CLUSTERS:
        raise InputError(
            f"{n_units} clusters: too few to tell how much clusters vary", where=name,
            hint=f"give {LEAST_CLUSTERS} or more, or name it among the strata",
        )  # fmt: skip
    return unit, n_units


def _crossed(layers: Sequence[Ints]) -> Ints:
    return np.unique(np.stack(layers, axis=1), axis=0, return_inverse=True)[1].ravel()


def _same_classes(one: Ints, two: Ints) -> bool:
    """Whether two labelings part the queries alike, whatever the numbers are."""
    pairs = np.unique(np.stack([one, two], axis=1), axis=0)
    return bool(len(pairs) == len(np.unique(pairs[:, 0])) == len(np.unique(pairs[:, 1])))


def _upper_clusters(columns: Sequence[str], strata: Sequence[str]) -> tuple[str, ...]:
    """Name columns of units above the patients that nothing adjusts for."""
    adjusted = {str(name).removeprefix("stratum: ").casefold() for name in strata}
    found = dict.fromkeys(str(c) for c in columns if str(c).casefold() in _ABOVE - adjusted)
    return tuple(
        f"Patients of one {name} may be alike, which these intervals and tests do not count: they "
        f"take patients to be independent. Declare {name!r} among the strata to compare within it."
        for name in found
    )


def _grouping(column: Any, name: str, unit: Ints, n_units: int) -> Grouping:
    import pandas as pd

    numbered, found = pd.factorize(column)
    labels = [*(group_label(value) for value in found.tolist()), UNKNOWN]
    names = sorted({labels[number] for number in np.unique(numbered).tolist()})
    place = {label: number for number, label in enumerate(names)}
    # -1, for a missing value, is the last
    of_query = np.array([place.get(label, -1) for label in labels], dtype=np.int64)[numbered]
    return Grouping(name, tuple(names), of_query, _varies(of_query, unit, n_units), (name,))


def _merged(grouping: Grouping, owner: Ints, minimum: Minimum) -> Grouping:
    found = merge_groups(grouping.names, grouping.of_query, owner, minimum)
    return replace(
        grouping, names=found.names, of_query=found.of_case, merged=found.merged, small=found.small
    )


def _varies(of_query: Ints, unit: Ints, n_units: int) -> bool:
    of_unit = np.zeros(n_units, dtype=np.int64)
    of_unit[unit] = of_query
    return bool((of_unit[unit] != of_query).any())


def _crossings(
    attributes: Sequence[str], intersections: bool | Sequence[Sequence[str]]
) -> list[tuple[str, ...]]:
    if isinstance(intersections, bool):
        return list(combinations(attributes, 2)) if intersections else []
    asked = [tuple(crossing) for crossing in intersections]
    for crossing in asked:
        if len(crossing) < 2 or len(set(crossing)) != len(crossing):
            raise InputError("an intersection of fewer than two attributes")
        if not set(crossing) <= set(attributes):
            raise InputError("an intersection of an attribute that is not audited")
    if len({frozenset(crossing) for crossing in asked}) != len(asked):
        raise InputError("an intersection named twice")
    return asked


def _cross(parts: Sequence[Grouping]) -> Grouping:
    shape = tuple(len(part.names) for part in parts)
    joint = np.ravel_multi_index(tuple(part.of_query for part in parts), shape)
    present, of_query = np.unique(joint, return_inverse=True)
    names = [
        "*".join(part.names[number] for part, number in zip(parts, row, strict=True))
        for row in zip(*np.unravel_index(present, shape), strict=True)
    ]
    attribute = "*".join(part.attribute for part in parts)
    if len(set(names)) != len(names):
        raise InputError(
            "groups whose names hold a * cannot be told apart in an intersection", where=attribute
        )
    return Grouping(
        attribute, tuple(names), of_query.ravel().astype(np.int64),
        any(part.varies for part in parts), tuple(part.attribute for part in parts),
    )  # fmt: skip
