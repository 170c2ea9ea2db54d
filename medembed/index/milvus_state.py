"""An immutable state of an index on a Milvus server, read by searches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import QueryError
from medembed.index.milvus_content import Content
from medembed.index.snapshot import bool_filter
from medembed.index.validation import checked_names

__all__ = ["State"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class State:
    """What a search reads; each change replaces it as a whole."""

    ids: tuple[str, ...]
    names: npt.NDArray[np.object_]
    vectors: Floats
    rank: Rows
    row_of: dict[str, int]
    content: Content

    def rows_of(self, names: Sequence[str]) -> Rows:
        """Return the row of each case, -1 for one that is not here."""
        return np.array([self.row_of.get(name, -1) for name in names], dtype=np.intp)

    def mask(self, allowed: Mask | Collection[str]) -> Mask:
        """Return which rows are eligible for a filter given as mask or as case ids."""
        array = bool_filter(allowed)
        if array is not None:
            if array.shape != (len(self.ids),):
                n_cases = counted(len(self.ids), "case")
                raise QueryError(f"the mask has shape {array.shape}, the index {n_cases}")
            return array
        rows = self.rows_of(checked_names(cast("Collection[str]", allowed), QueryError))
        mask = np.zeros(len(self.ids), dtype=bool)
        mask[rows[rows >= 0]] = True
        return mask
