"""A group's name out of any value of a table; one rule for every part of an audit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medembed.cases import UNKNOWN, is_unknown

__all__ = ["UNKNOWN", "group_label", "group_labels"]


def group_label(value: Any) -> str:
    """Give the name of the group that a value stands for.

    Parameters
    ----------
    value : object
        Text, a number, or a missing value of Python, numpy or pandas.

    Returns
    -------
    str
        Stripped text; ``"unknown"`` for a missing value and for words that say so. A whole number
        has no decimal point, since a gap in a column turns whole numbers into decimals.

    Examples
    --------
    >>> [group_label(value) for value in (" F ", 1.0, None, float("nan"), "N/A", "")]
    ['F', '1', 'unknown', 'unknown', 'unknown', 'unknown']
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = str(value).strip()
    return UNKNOWN if is_unknown(text) else text


def group_labels(values: ArrayLike) -> NDArray[np.str_]:
    """Give the names of the groups of an array of any shape, as text."""
    given = np.asarray(values, dtype=object)
    known: dict[Any, str] = {}
    labels = [_label(value, known) for value in given.ravel().tolist()]
    return np.array(labels, dtype=str).reshape(given.shape)


def _label(value: Any, known: dict[Any, str]) -> str:
    if not isinstance(value, str):
        return group_label(value)
    if value not in known:
        known[value] = group_label(value)
    return known[value]
