"""Gaps at the same mix of cases, for every comparison of an audit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.contrasts import Block
from evaluation.audit.table_input import Queries
from evaluation.stats import Minimum
from evaluation.stats.standardise import (
    Layers,
    adjusted_contrast,
    layers_of,
    proportion_ends,
    score_ends,
)

__all__ = ["Adjusted", "adjust"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Adjusted:
    """Standardised figures of a block; arrays of shape (n_rows, n_outcomes).

    Parameters
    ----------
    gap, p, overlap : float64 arrays
        NaN where not tested.
    ends : float64 array of shape (2, 2, n_rows, n_outcomes)
    carried : float64 array
        Patients that carry as much weight, of the side that has fewer.
    tested : bool array
    """

    gap: Array
    p: Array
    overlap: Array
    ends: Array
    carried: Array
    tested: NDArray[np.bool_]


def adjust(
    queries: Queries,
    blocks: list[Block],
    strata: NDArray[np.int64],
    *,
    minimum: Minimum,
    alpha: float,
    overlap: float,
) -> list[Adjusted]:
    """Standardise the comparisons that have enough patients and enough strata in common."""
    found = []
    layers: Layers | None = None
    last = None
    for block in blocks:
        if block.grouping is not last:
            layers = layers_of(queries.values, queries.owner, block.grouping.of_query, strata)
            last = block.grouping
        assert layers is not None  # the first block has a grouping
        levels = (1 - alpha, 1 - 2 * alpha)
        found.append(_adjusted(queries, block, layers, levels, minimum, overlap))
    return found


def _adjusted(
    queries: Queries,
    block: Block,
    layers: Layers,
    levels: tuple[float, ...],
    minimum: Minimum,
    overlap: float,
) -> Adjusted:
    shape = block.gap.shape
    gap, p, shared, carried = (np.full(shape, np.nan) for _ in range(4))
    ends = np.full((len(levels), 2, *shape), np.nan)
    of_kind = [
        (np.flatnonzero([kind == name for kind in queries.kinds]), way)
        for name, way in (("proportion", proportion_ends), ("score", score_ends))
    ]
    for row in np.flatnonzero(block.tested.any(axis=1)).tolist():
        first = layers.group == block.first[row]
        second = ~first if block.second[row] < 0 else layers.group == block.second[row]
        contrast = adjusted_contrast(layers, first, second, block.pooled)
        gap[row], p[row] = contrast.gap, contrast.p
        shared[row], carried[row] = contrast.overlap, contrast.k.min(axis=0)
        for number, level in enumerate(levels):
            for outcomes, way in of_kind:
                if len(outcomes):
                    ends[number][:, row, outcomes] = way(contrast, outcomes, level)
    tested = block.tested & (shared >= overlap) & (carried >= minimum.reported)
    return Adjusted(gap, p, shared, ends, carried, tested)
