"""Columns of a table: whose each query is, its outcomes, weights, and bands of a number."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.tables import column_numbers
from medembed.errors import InputError

__all__ = ["banded", "columns_of", "numbered", "outcome_of", "weights_of"]

Array = NDArray[np.float64]
_LARGE = 1e15  # beyond it a number is written with its exponent
_MOVED = 0.02  # share of the patients whose band may change by rounding an edge
_WEIGHTS = 1e6  # beyond it the rest of a group is lost in rounding
_LARGEST = 1e100  # beyond it squares overflow


def columns_of(table: Any, names: Sequence[str]) -> dict[str, Any]:
    """Take these columns, equally long and each there once."""
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


def numbered(column: Any, name: str, what: str = "patient") -> tuple[NDArray[np.int64], int]:
    """Number the patients, or other units, of the queries from 0; none may be missing."""
    import pandas as pd

    blank = _blank(column)
    if blank.any():
        raise InputError(
            f"{int(blank.sum())} queries without a {what}", where=name, hint="give each query one"
        )
    if column.dtype == object:  # 7 and "7" are one patient, as they are in a file
        column = column.astype(str)
    number, found = pd.factorize(column)
    return number.astype(np.int64), len(found)


def outcome_of(column: Any, name: str) -> NDArray[np.float64]:
    """Numbers of an outcome, NaN where not measured; text is refused, not read."""
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


def weights_of(column: Any, name: str) -> Array | None:
    """Weights of mean 1; None where all are equal."""
    weights = _numbers(
        column, name, "weights that are not positive numbers", "give each query one", positive=True
    )
    if weights.max() > _WEIGHTS * weights.min():
        raise InputError(
            f"weights of which one is more than {_WEIGHTS:,.0f} times another", where=name,
            hint="check their scale, or leave out queries that stand for nobody",
        )  # fmt: skip
    weights = weights / weights.max()  # so that equal ones are 1 to the bit
    return None if (weights == 1).all() else weights / weights.mean()


def banded(
    column: Any, name: str, cuts: Sequence[float] | int, owner: NDArray[np.int64]
) -> NDArray[np.object_]:
    """Name the band of each query's number.

    Parameters
    ----------
    column : pandas.Series
    name : str
    cuts : sequence of float, or int
        Where one band ends and the next begins; or into how many parts the patients are cut, by
        the mean of each.
    owner : int array of shape (n_queries,)

    Returns
    -------
    object array of shape (n_queries,)
        ``"under 40"``, ``"40 to under 60"``, ``"60 and over"``; None where missing.

    Raises
    ------
    InputError
        A text, edges that do not rise, fewer than two parts.

    Examples
    --------
    >>> import pandas as pd
    >>> banded(pd.Series([39, 40, 71, None]), "age", [40, 60], np.arange(4)).tolist()
    ['under 40', '40 to under 60', '60 and over', None]
    >>> banded(pd.Series([1.5, 2.5, 3.5, 9.0]), "dose", 2, np.arange(4)).tolist()
    ['under 3', 'under 3', '3 and over', '3 and over']
    """
    numbers = _numbers(
        column, name, "values that are not finite numbers", "leave it empty where it is not known"
    )
    there = ~np.isnan(numbers)
    edges = _edges(cuts, name)
    if isinstance(edges, int):
        if not there.any():
            raise InputError("no value to cut into bands", where=name, hint="take it out of bands")
        edges = _quantiles(numbers, there, edges, owner)
    text = [
        str(int(edge)) if edge.is_integer() and abs(edge) < _LARGE else repr(edge) for edge in edges
    ]
    between = [f"{low} to under {high}" for low, high in pairwise(text)]
    names = np.array([f"under {text[0]}", *between, f"{text[-1]} and over", None], dtype=object)
    place = np.searchsorted(edges, numbers, side="right")
    return np.asarray(names[np.where(there, place, len(names) - 1)])


def _edges(cuts: Any, name: str) -> list[float] | int:
    """Read edges that rise, or a number of parts."""
    if not isinstance(cuts, bool | np.bool_ | str):
        try:
            if np.ndim(cuts) == 0 and (parts := operator.index(cuts)) >= 2:
                return parts
            edges = [float(edge) for edge in cuts if not isinstance(edge, str)]
            rise = edges == sorted(set(edges)) and np.isfinite(edges).all()
            if len(edges) == len(cuts) > 0 and rise:
                return edges
        except (TypeError, ValueError):
            pass
    raise InputError(
        "bands that are neither edges that rise nor a number of parts", where=name,
        hint="such as [40, 60], or 3",
    )  # fmt: skip


def _quantiles(
    numbers: Array, there: NDArray[np.bool_], parts: int, owner: NDArray[np.int64]
) -> list[float]:
    """Edges that part the patients, of few digits, so that they are hardly one's own number."""
    n = np.bincount(owner[there])
    means = (np.bincount(owner[there], numbers[there]) / np.maximum(n, 1))[n > 0]
    found = np.quantile(means, np.arange(1, parts) / parts)
    if (numbers[there] == np.round(numbers[there])).all():
        return sorted(set(np.ceil(found).tolist()))
    means.sort()
    edges = found
    for digits in (3, 4, 5, 6):  # as few as leave the parts about equal
        edges = np.array([float(f"{x:.{digits}g}") for x in found])
        moved = np.searchsorted(means, edges) - np.searchsorted(means, found)
        if np.abs(moved).max() <= _MOVED * len(means):
            break
    return sorted(set(edges.tolist()))


def _numbers(column: Any, name: str, wrong: str, hint: str, *, positive: bool = False) -> Array:
    """Read a column of numbers, NaN where missing unless they have to be positive.

    Raises
    ------
    InputError
        Says in how many rows they are ``wrong``, and names the first.
    """
    numbers = column_numbers(column)
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers > 0)) if positive else np.isinf(numbers))
    if len(bad):
        raise InputError(
            f"{wrong}: {len(bad)}, the first in data row {bad[0] + 1} (the header not counted)",
            where=name,
            hint=hint,
        )
    return numbers


def _blank(column: Any) -> NDArray[np.bool_]:
    """Where there is no value: None, NaN, NA, empty text."""
    import pandas as pd

    numbered, found = pd.factorize(column)
    empty = [isinstance(value, str) and not value.strip() for value in found.tolist()]
    return np.asarray(np.array([*empty, True])[numbered])  # -1, for none, is the last
