"""Groups of a numeric attribute: cut at declared edges, or into equal parts of the patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.tables import column_numbers
from medembed.errors import InputError

__all__ = ["banded", "numbers_of"]

Array = NDArray[np.float64]


def numbers_of(column: Any, name: str, wrong: str, *, positive: bool = False) -> Array:
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
        )
    return numbers


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
        ``"under 40"``, ``"40-59"``, ``"60 and over"``; ``"40 to under 60"`` unless all are whole
        numbers; None where missing.

    Raises
    ------
    InputError
        A text, edges that do not rise, fewer than two parts.

    Examples
    --------
    >>> import pandas as pd
    >>> banded(pd.Series([39, 40, 71, None]), "age", [40, 60], np.arange(4)).tolist()
    ['under 40', '40-59', '60 and over', None]
    >>> banded(pd.Series([1.5, 2.5, 3.5, 9.0]), "dose", 2, np.arange(4)).tolist()
    ['under 3', 'under 3', '3 and over', '3 and over']
    """
    numbers = numbers_of(column, name, "values that are not finite numbers")
    there = ~np.isnan(numbers)
    whole = bool((numbers[there] == np.round(numbers[there])).all())
    edges = _quantiles(numbers, there, cuts, owner, whole) if isinstance(cuts, int) else [*cuts]
    if not edges or sorted(set(edges)) != edges or not np.isfinite(edges).all():
        raise InputError("edges of bands have to rise, or be parts of 2 or more", where=name)
    whole = whole and all(float(edge).is_integer() for edge in edges)
    text = [str(int(edge)) if float(edge).is_integer() else f"{edge:g}" for edge in edges]
    between = [
        f"{low}-{int(edges[at + 1]) - 1}" if whole else f"{low} to under {text[at + 1]}"
        for at, low in enumerate(text[:-1])
    ]
    names = np.array([f"under {text[0]}", *between, f"{text[-1]} and over", None], dtype=object)
    place = np.searchsorted(edges, numbers, side="right")
    return np.asarray(names[np.where(there, place, len(names) - 1)])


def _quantiles(
    numbers: Array, there: NDArray[np.bool_], parts: int, owner: NDArray[np.int64], whole: bool
) -> list[float]:
    """Edges that part the patients, rounded so that they are nobody's own number."""
    if isinstance(parts, bool) or parts < 2 or not there.any():
        return []
    n = np.bincount(owner[there])
    means = (np.bincount(owner[there], numbers[there]) / np.maximum(n, 1))[n > 0]
    found = np.quantile(means, np.arange(1, parts) / parts)
    edges = np.ceil(found) if whole else np.array([float(f"{x:.3g}") for x in found])
    return sorted(set(edges.tolist()))
