"""Group names from table values, and numbers for labels: one rule for every part of an audit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medembed.cases import UNKNOWN, is_unknown
from medembed.errors import InputError

__all__ = ["UNKNOWN", "codes", "group_label", "group_labels"]


def group_label(value: Any) -> str:
    """Name the group of a value: stripped text, ``"unknown"`` if missing or if it says so.

    A whole number has no decimal point, since a gap in a column turns whole numbers into decimals.

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
    values = given.ravel().tolist()
    known = {value: group_label(value) for value in {v for v in values if isinstance(v, str)}}
    labels = [known[v] if isinstance(v, str) else group_label(v) for v in values]
    return np.array(labels, dtype=str).reshape(given.shape)


def codes(labels: ArrayLike) -> NDArray[np.int64]:
    """Number labels from 0; missing ones (below 0, empty text, None) become -1.

    Parameters
    ----------
    labels : array of shape (n,)
        Whole numbers or text; an InputError if decimal numbers or not one value per row.

    Examples
    --------
    >>> codes(["b", "a", "", "b"])
    array([ 1,  0, -1,  1])
    """
    values = np.asarray(labels)
    if values.dtype == object:
        values = np.array(["" if v is None else str(v) for v in values.tolist()], dtype=str)
    if values.ndim != 1:
        raise InputError("labels are one array, one value per row")
    if np.issubdtype(values.dtype, np.floating):
        raise InputError("labels given as decimal numbers", hint="give whole numbers or text")
    kept = values != "" if values.dtype.kind in "US" else values.astype(np.int64) >= 0
    out = np.full(len(values), -1, dtype=np.int64)
    if kept.any():
        out[kept] = np.unique(values[kept], return_inverse=True)[1]
    return out
