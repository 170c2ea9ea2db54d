"""Scale vectors to length 1, or say why they cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError

__all__ = ["is_unit", "unit_rows"]

_AS_GOOD_AS_ONE = 1e-6
_BLOCK_ROWS = 1 << 14


def unit_rows(vectors: npt.ArrayLike, *, tolerance: float | None = None) -> npt.NDArray[np.float32]:
    """Normalize each row to length 1; a row of length 1 keeps its bits.

    Parameters
    ----------
    vectors : array, shape ``(n, d)``, any real dtype
    tolerance : float, optional
        Refuse rows whose length differs from 1 by more. None accepts any nonzero length.

    Returns
    -------
    float32 array, shape ``(n, d)``, C-contiguous, always a copy

    Raises
    ------
    InputError
        If a value is not finite, or a row is all zeros or has a wrong length.
    """
    array = np.asarray(vectors)
    if array.ndim != 2:
        raise InputError(f"vectors must have shape (n, d), not {array.shape}")
    if array.dtype.kind not in "fiu":
        raise InputError(f"vectors must be real numbers, not {array.dtype}")
    if not array.size:
        if array.shape[0]:
            raise InputError("vectors have dimension 0")
        return np.empty(array.shape, dtype=np.float32)
    unit = np.empty(array.shape, dtype=np.float32)
    for at in range(0, len(array), _BLOCK_ROWS):
        here = slice(at, at + _BLOCK_ROWS)
        unit[here] = _unit_block(array[here], tolerance)
    return unit


def is_unit(array: npt.NDArray[Any]) -> bool:
    """Return whether :func:`unit_rows` would copy rows that are fit to be used as they are.

    That is: float32 in C order, of length 1, and not writable by anyone who has this array.
    """
    if array.ndim != 2 or array.dtype != np.float32 or not array.size or array.flags.writeable:
        return False
    base = array.base
    if isinstance(base, np.ndarray) and base.flags.writeable:
        return False
    return array.flags.c_contiguous and all(
        bool((np.abs(_lengths(array[at : at + _BLOCK_ROWS]) - 1) <= _AS_GOOD_AS_ONE).all())
        for at in range(0, len(array), _BLOCK_ROWS)
    )


def _lengths(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore"):
        squares: npt.NDArray[np.float64] = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
    return np.sqrt(squares)


def _unit_block(array: npt.NDArray[Any], tolerance: float | None) -> npt.NDArray[np.float32]:
    if not np.isfinite(array).all():
        raise InputError("a vector has a value that is not finite")
    wide = array if array.dtype == np.float32 else array.astype(np.float64)
    norms = _lengths(wide)
    good = np.abs(norms - 1) <= _AS_GOOD_AS_ONE
    unit = np.empty(array.shape, dtype=np.float32)
    unit[good] = wide[good]
    if not good.all():
        # Scale the largest component to 1 first, so that no square overflows or underflows.
        rows = wide[~good].astype(np.float64)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        if not largest.all():
            raise InputError("a vector is all zeros")
        scaled = rows / largest
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        if tolerance is not None and (np.abs(norms[~good] - 1) > tolerance).any():
            raise InputError(f"a vector's length differs from 1 by more than {tolerance:g}")
        unit[~good] = scaled / lengths
    return unit
