"""From a table of anyone's per-query results to patients, groups and outcomes as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.labels import UNKNOWN, group_label
from evaluation.stats.report_fields import OTHER_GROUPS
from evaluation.stats.small_groups import merge_groups
from evaluation.stats.verdict import Minimum
from medembed.errors import InputError

__all__ = ["UNKNOWN", "Grouping", "Kind", "Queries", "read_queries"]

Kind = Literal["proportion", "score"]
_LARGEST = 1e100  # beyond it squares overflow
_ABOVE = frozenset({"site", "hospital", "reader", "radiologist", "scanner", "center", "centre"})
"""Columns, by name, of units that patients belong to."""


@dataclass(frozen=True)
class Grouping:
    """One attribute, or the intersection of several.

    Parameters
    ----------
    attribute : str
        ``sex``, or ``race*sex`` for an intersection.
    names : tuple of str
        Groups, sorted.
    of_query : int array of shape (n_queries,)
        Each query's group.
    varies : bool
        Whether some patient has queries in more than one group (view, scanner, year).
    parts : tuple of str
        Attributes that were crossed; a single one otherwise.
    merged : tuple of str
        Small groups that are one of ``names`` together.
    small : tuple of str
        Of ``names``, those of too few patients to be shown.
    """

    attribute: str
    names: tuple[str, ...]
    of_query: NDArray[np.int64]
    varies: bool
    parts: tuple[str, ...]
    merged: tuple[str, ...] = ()
    small: tuple[str, ...] = ()

    @property
    def is_single(self) -> bool:
        """Whether nothing is crossed."""
        return len(self.parts) == 1

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Groups with a value in each part, shape (n_groups,): what "the rest" is made of."""

        def is_known(name: str) -> bool:
            if name == OTHER_GROUPS and self.merged:  # made of nobody but unknown ones
                return any(is_known(one) for one in self.merged)
            return UNKNOWN not in ([name] if self.is_single else name.split("*"))

        return np.array([is_known(name) for name in self.names], dtype=np.bool_)

    @cached_property
    def pair(self) -> tuple[int, int] | None:
        """The two known groups, each the rest of the other; None if there are not two."""
        known = np.flatnonzero(self.known).tolist()
        return (known[0], known[1]) if len(known) == 2 else None


@dataclass(frozen=True)
class Queries:
    """A table of per-query results, read.

    Parameters
    ----------
    owner : int array of shape (n_queries,)
        Patient of each query, numbered from 0.
    n_patients : int
    outcomes : tuple of str
    values : float64 array of shape (n_queries, n_outcomes)
        NaN where not measured.
    scale : float64 array of shape (n_outcomes,)
        A power of two, 1 for proportions; ``values`` are the outcomes divided by it, so that
        squares neither overflow nor vanish.
    kinds : tuple of {"proportion", "score"}
    groupings : tuple of Grouping
    strata : int array of shape (n_queries,) or None
        Cross-class of the declared strata.
    n_strata : int
    layers : tuple of int arrays of shape (n_queries,)
        Each declared stratum by itself.
    notes : tuple of str
        What a reader has to know of the table.
    """

    owner: NDArray[np.int64]
    n_patients: int
    outcomes: tuple[str, ...]
    values: NDArray[np.float64]
    scale: NDArray[np.float64]
    kinds: tuple[Kind, ...]
    groupings: tuple[Grouping, ...]
    strata: NDArray[np.int64] | None
    n_strata: int
    layers: tuple[NDArray[np.int64], ...] = ()
    notes: tuple[str, ...] = ()

    def strata_of(self, grouping: Grouping) -> NDArray[np.int64] | None:
        """Cross-class of the strata that are not the attribute itself, or a part of it.

        Within strata of its own values an attribute has nobody to be compared with.

        Returns
        -------
        int array of shape (n_queries,) or None
            All zero where no other stratum is left; None where none was declared.
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
    patient: str,
    strata: Sequence[str] = (),
    intersections: bool | Sequence[Sequence[str]] = True,
    kinds: Mapping[str, Kind] | None = None,
    minimum: Minimum | None = None,
) -> Queries:
    """Read a table with one row per query.

    Parameters
    ----------
    table : pandas.DataFrame or mapping of str to array of shape (n_queries,)
    outcomes, attributes, strata : sequence of str
        Columns.
    patient : str
        Column of patients' pseudonyms.
    intersections : bool or sequence of sequences of str
        True crosses all pairs of attributes; or the crossings to make.
    kinds : mapping of outcome to {"proportion", "score"}, optional
        Where not given, an outcome of only 0 and 1 is a proportion.
    minimum : Minimum, optional
        Patients that a group needs; smaller ones are merged, in the attributes first and then in
        what crosses them.

    Returns
    -------
    Queries

    Raises
    ------
    InputError
        A missing column, an outcome that is no number or infinite, a query without a patient,
        a name given twice. No value of the table stands in the message.
    """
    for what, names in (("outcome", outcomes), ("attribute", attributes), ("stratum", strata)):
        if isinstance(names, str):
            raise InputError(f"{what}s are a list of columns", hint="not one text")
        if len(set(names)) != len(names):
            raise InputError(f"an {what} named twice")
    if not outcomes or not attributes:
        raise InputError("nothing to audit", hint="name an outcome and an attribute at least")
    columns = _columns(table, [patient, *outcomes, *attributes, *strata])
    owner, n_patients = _owners(columns[patient], patient)
    values = np.stack([_numbers(columns[name], name) for name in outcomes], axis=1)
    given = dict(kinds or {})
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
    least = Minimum() if minimum is None else minimum
    single = {
        name: _merged(_grouping(columns[name], name, owner, n_patients), owner, least)
        for name in attributes
    }
    groupings = list(single.values())
    crossings = _crossings(attributes, intersections)
    for crossing in crossings:
        groupings.append(_merged(_cross([single[name] for name in crossing]), owner, least))
    if len({grouping.attribute for grouping in groupings}) != len(groupings):
        raise InputError("an attribute named like an intersection of others")
    stratum, n_strata = None, 1
    layers = [_grouping(columns[name], name, owner, n_patients).of_query for name in strata]
    if layers:
        stratum = _crossed(layers)
        n_strata = int(stratum.max()) + 1
    return Queries(
        owner,
        n_patients,
        tuple(outcomes),
        values / scale,
        scale,
        tuple(kept),
        tuple(groupings),
        stratum,
        n_strata,
        tuple(layers),
        _upper_clusters([*attributes, *getattr(table, "columns", table)], strata),
    )


def _crossed(layers: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.unique(np.stack(layers, axis=1), axis=0, return_inverse=True)[1].ravel()


def _same_classes(one: NDArray[np.int64], two: NDArray[np.int64]) -> bool:
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


def _columns(table: Any, names: Sequence[str]) -> dict[str, Any]:
    import pandas as pd  # slow to import

    found: dict[str, Any] = {}
    for name in names:
        if name not in table:
            raise InputError(f"the table has no column {name!r}", hint="see its header")
        column = table[name]
        if getattr(column, "ndim", 1) != 1:
            raise InputError("a column that the table has twice", where=name)
        found[name] = pd.Series(column).reset_index(drop=True)
    if len({len(column) for column in found.values()}) != 1:
        raise InputError("columns of different lengths")
    if not len(found[names[0]]):
        raise InputError("a table without a query")
    return found


def _owners(column: Any, name: str) -> tuple[NDArray[np.int64], int]:
    import pandas as pd

    blank = _blank(column)
    if blank.any():
        raise InputError(
            f"{int(blank.sum())} queries without a patient", where=name, hint="give each query one"
        )
    if column.dtype == object:  # 7 and "7" are one patient, as they are in a file
        column = column.astype(str)
    numbered, found = pd.factorize(column)
    return numbered.astype(np.int64), len(found)


def _blank(column: Any) -> NDArray[np.bool_]:
    """Where there is no value: None, NaN, NA, empty text."""
    import pandas as pd

    numbered, found = pd.factorize(column)
    empty = [isinstance(value, str) and not value.strip() for value in found.tolist()]
    return np.asarray(np.array([*empty, True])[numbered])  # -1, for none, is the last


def _numbers(column: Any, name: str) -> NDArray[np.float64]:
    try:
        if column.dtype.kind in "Mm":
            raise TypeError
        if column.dtype == object and any(isinstance(v, str | bytes) for v in column):
            raise TypeError
        numbers = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError):
        raise InputError(
            "an outcome that is not numeric", where=name, hint="give numbers, NaN if not measured"
        ) from None
    if np.isinf(numbers).any():
        raise InputError("an outcome that is infinite", where=name)
    if (np.abs(numbers) > _LARGEST).any():
        raise InputError("an outcome too large to be squared", where=name)
    return numbers


def _grouping(column: Any, name: str, owner: NDArray[np.int64], n_patients: int) -> Grouping:
    import pandas as pd

    numbered, found = pd.factorize(column)
    labels = [*(group_label(value) for value in found.tolist()), UNKNOWN]
    names = sorted({labels[number] for number in np.unique(numbered).tolist()})
    place = {label: number for number, label in enumerate(names)}
    # -1, for a missing value, is the last
    of_query = np.array([place.get(label, -1) for label in labels], dtype=np.int64)[numbered]
    return Grouping(name, tuple(names), of_query, _varies(of_query, owner, n_patients), (name,))


def _merged(grouping: Grouping, owner: NDArray[np.int64], minimum: Minimum) -> Grouping:
    found = merge_groups(grouping.names, grouping.of_query, owner, minimum)
    return replace(
        grouping, names=found.names, of_query=found.of_case, merged=found.merged, small=found.small
    )


def _varies(of_query: NDArray[np.int64], owner: NDArray[np.int64], n_patients: int) -> bool:
    of_patient = np.zeros(n_patients, dtype=np.int64)
    of_patient[owner] = of_query
    return bool((of_patient[owner] != of_query).any())


def _crossings(
    attributes: Sequence[str], intersections: bool | Sequence[Sequence[str]]
) -> list[tuple[str, ...]]:
    if intersections is True:
        return list(combinations(attributes, 2))
    if intersections is False:
        return []
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
    joint = np.zeros(len(parts[0].of_query), dtype=np.int64)
    for part in parts:
        joint = joint * len(part.names) + part.of_query
    present, of_query = np.unique(joint, return_inverse=True)
    groups = []
    for code in present.tolist():
        labels, left = [], code
        for part in reversed(parts):
            left, number = divmod(left, len(part.names))
            labels.append(part.names[number])
        groups.append(tuple(reversed(labels)))
    names = ["*".join(labels) for labels in groups]
    attribute = "*".join(part.attribute for part in parts)
    if len(set(names)) != len(names):
        raise InputError(
            "groups whose names hold a * cannot be told apart in an intersection", where=attribute
        )
    varies = any(part.varies for part in parts)
    return Grouping(
        attribute,
        tuple(names),
        of_query.ravel().astype(np.int64),
        varies,
        tuple(part.attribute for part in parts),
    )
