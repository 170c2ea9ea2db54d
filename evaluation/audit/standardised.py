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
    proportion_limits,
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
    means : float64 array of shape (2, n_rows, n_outcomes)
        Of the group and the other side, at the same mix.
    limits : float64 array of shape (2, 2, n_rows, n_outcomes)
        Their ends at ``1 - alpha``; NaN for scores.
    correlation : float64 array
        Of the two means.
    p_heterogeneity : float64 array
        Of one and the same gap in all strata, not adjusted.
    """

    gap: Array
    p: Array
    overlap: Array
    ends: Array
    carried: Array
    tested: NDArray[np.bool_]
    means: Array
    limits: Array
    correlation: Array
    p_heterogeneity: Array


def adjust(
    queries: Queries,
    blocks: list[Block],
    *,
    minimum: Minimum,
    alpha: float,
    overlap: float,
    full: bool = True,
) -> list[Adjusted]:
    """Standardise the comparisons that have enough patients and enough strata in common.

    An attribute is compared within the strata that are not made of itself. Unless ``full``, limits
    and heterogeneity are left out.
    """
    found = []
    layers: Layers | None = None
    last = None
    for block in blocks:
        if block.grouping is not last:
            strata = queries.strata_of(block.grouping)
            assert strata is not None  # adjust is called with declared strata
            layers = layers_of(queries.values, queries.owner, block.grouping.of_query, strata)
            last = block.grouping
        assert layers is not None  # the first block has a grouping
        levels = (1 - alpha, 1 - 2 * alpha)
        fewest = minimum.reported if full else 0
        found.append(_adjusted(queries, block, layers, levels, minimum, overlap, fewest))
    return found


def _adjusted(
    queries: Queries,
    block: Block,
    layers: Layers,
    levels: tuple[float, ...],
    minimum: Minimum,
    overlap: float,
    fewest: int,
) -> Adjusted:
    shape = block.gap.shape
    gap, p, shared, carried, correlation, alike = (np.full(shape, np.nan) for _ in range(6))
    ends = np.full((len(levels), 2, *shape), np.nan)
    means, limits = np.full((2, *shape), np.nan), np.full((2, 2, *shape), np.nan)
    known = block.grouping.known[layers.group]
    proportions = np.flatnonzero([kind == "proportion" for kind in queries.kinds])
    of_kind = [
        (np.flatnonzero([kind == name for kind in queries.kinds]), way)
        for name, way in (("proportion", proportion_ends), ("score", score_ends))
    ]
    for row in np.flatnonzero(block.tested.any(axis=1)).tolist():
        first = layers.group == block.first[row]
        rest = block.second[row] < 0
        second = known & ~first if rest else layers.group == block.second[row]
        contrast = adjusted_contrast(layers, first, second, block.pooled, fewest=fewest)
        alike[row], means[:, row] = contrast.p_heterogeneity, (contrast.mean, contrast.rest_mean)
        if fewest and len(proportions):
            limits[:, :, row, proportions], correlation[row, proportions] = proportion_limits(
                contrast, proportions, levels[0]
            )
        gap[row], p[row] = contrast.gap, contrast.p
        shared[row], carried[row] = contrast.overlap, contrast.k.min(axis=0)
        for number, level in enumerate(levels):
            for outcomes, way in of_kind:
                if len(outcomes):
                    ends[number][:, row, outcomes] = way(contrast, outcomes, level)
    tested = block.tested & (shared >= overlap) & (carried >= minimum.reported)
    return Adjusted(gap, p, shared, ends, carried, tested, means, limits, correlation, alike)
