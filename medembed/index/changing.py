"""How the cases of a snapshot become others: all or nothing, at the cost of what changes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medembed.embeddings import Embeddings
from medembed.errors import InputError
from medembed.index.snapshot import Snapshot, changed

__all__ = ["difference", "with_change"]

_BLOCK_ROWS = 1 << 14

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]


def with_change(old: Snapshot, names: list[str], unit: Floats, gone: list[str]) -> Snapshot:
    """Return a snapshot without the cases ``gone``, and then with those of ``names``.

    Raises
    ------
    InputError
        If one to remove is missing, one to add exists, or the vectors have another dimension.
    """
    rows, dim = old.rows_of(gone), old.rows.shape[1]
    if (rows < 0).any():
        raise InputError("the index does not hold one of these case ids")
    present = old.rows_of(names)
    if np.setdiff1d(present[present >= 0], rows).size:
        raise InputError("the index already holds one of these case ids; remove it first")
    if names and (old.n_rows or dim) and unit.shape[1] != dim:
        raise InputError(f"vectors have dimension {unit.shape[1]}, the index {dim}")
    return changed(old, rows.tolist(), names, unit)


def difference(old: Snapshot, target: Embeddings) -> tuple[Rows, list[str]]:
    """Compare a snapshot with the vectors it should hold, bit by bit.

    Returns
    -------
    new : int array
        Rows of ``target`` that the snapshot lacks.
    gone : list of str
        Cases of the snapshot that ``target`` lacks, or has another vector of.
    """
    rows = old.rows_of(list(target.case_ids))
    same = rows >= 0
    for at in range(0, len(rows) if old.rows.shape[1] == target.dim else 0, _BLOCK_ROWS):
        here = slice(at, at + _BLOCK_ROWS)
        same[here] &= (old.rows[rows[here]] == target.vectors[here]).all(axis=1)
    left = np.ones(old.n_rows, dtype=bool) if old.alive is None else old.alive.copy()
    left[rows[same]] = False
    return np.flatnonzero(~same), old.ids.names(np.flatnonzero(left)).tolist()
