"""Which note and image belong together: one rule, for training's validation and for evaluation.

A case's own partner is relevant, and so is every partner whose note reads the same. Other cases of
the same patient or group, and of the same scan file, are neither right nor wrong: they are left out
of the pool, unless their note reads the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["joined", "note_key", "owner_keys", "relevant_and_left_out"]

Labels = NDArray[np.int64]


def note_key(text: str) -> str:
    """Return a text that is equal for notes that read the same but for case and blanks."""
    return " ".join(text.casefold().split())


def owner_keys(patient_id: str, group_id: str) -> list[str]:
    """Return the keys of a case's patient and, if the source names one, its group."""
    return [f"p:{patient_id}", *([f"g:{group_id}"] if group_id else [])]


def joined(keys: Sequence[Iterable[str]]) -> Labels:
    """Number rows so that those that share a key, directly or through others, are one.

    Examples
    --------
    >>> joined([["a"], ["b"], ["a", "c"], ["c"]]).tolist()
    [0, 1, 0, 0]
    """
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[str, int] = {}
    for row, names in enumerate(keys):
        for key in names:
            parent[root(row)] = root(first.setdefault(key, row))
    number: dict[int, int] = {}
    return np.array([number.setdefault(root(row), len(number)) for row in range(len(keys))], int)


def relevant_and_left_out(
    notes: Labels, owners: Labels, scans: Labels
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which cases answer each case, and which are left out of its pool.

    Parameters
    ----------
    notes, owners, scans : int arrays ``(n,)``
        Equal for notes that read the same, for cases of one patient or group, for shared scans.

    Returns
    -------
    relevant, left_out : bool arrays ``(n, n)``
        Rows are queries.
    """
    relevant = notes[:, None] == notes[None, :]
    kin = (owners[:, None] == owners[None, :]) | (scans[:, None] == scans[None, :])
    return relevant, kin & ~relevant
