"""Gaps at the same mix of cases, for every comparison of an audit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.comparing import Block
from evaluation.audit.reading import Queries
from evaluation.inference import Minimum
from evaluation.inference.standardisation import (
    Layers,
    adjusted_contrast,
    layers_of,
    proportion_ends,
)
from evaluation.inference.standardised_gaps import score_ends

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
    repetitions: int,
    seed: int,
) -> list[Adjusted]:
    """Standardise the comparisons that have enough patients and enough strata in common.

    With 0 repetitions scores have no intervals.
    """
    found = []
    layers: Layers | None = None
    last = None
    for block in blocks:
        if block.grouping is not last:
            layers = layers_of(queries.values, queries.owner, block.grouping.of_query, strata)
            last = block.grouping
        assert layers is not None  # the first block has a grouping
        levels = (1 - alpha, 1 - 2 * alpha)
        found.append(_adjusted(queries, block, layers, levels, minimum, overlap, repetitions, seed))
    return found


def _adjusted(
    queries: Queries,
    block: Block,
    layers: Layers,
    levels: tuple[float, ...],
    minimum: Minimum,
    overlap: float,
    repetitions: int,
    seed: int,
) -> Adjusted:
    shape = block.gap.shape
    gap, p, shared, carried = (np.full(shape, np.nan) for _ in range(4))
    ends = np.full((len(levels), 2, *shape), np.nan)
    proportions = np.flatnonzero([kind == "proportion" for kind in queries.kinds])
    for row in np.flatnonzero(block.tested.any(axis=1)).tolist():
        first = layers.group == block.first[row]
        second = ~first if block.second[row] < 0 else layers.group == block.second[row]
        contrast = adjusted_contrast(layers, first, second, block.pooled)
        gap[row], p[row] = contrast.gap, contrast.p
        shared[row], carried[row] = contrast.overlap, contrast.k.min(axis=0)
        for number, level in enumerate(levels):
            if len(proportions):
                ends[number][:, row, proportions] = proportion_ends(contrast, proportions, level)
        for outcome in np.flatnonzero(block.tested[row]).tolist():
            if queries.kinds[outcome] == "score" and repetitions:
                drawn = score_ends(
                    layers, first, second, contrast, outcome, levels,
                    repetitions=repetitions, seed=seed,
                )  # fmt: skip
                ends[:, :, row, outcome] = drawn
    tested = block.tested & (shared >= overlap) & (carried >= minimum.reported)
    return Adjusted(gap, p, shared, ends, carried, tested)
