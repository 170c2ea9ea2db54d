"""Gaps at the same mix of cases, for every comparison of an audit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.contrasts import Block
from evaluation.audit.table_input import LEAST_CLUSTERS, Queries
from evaluation.stats import Minimum
from evaluation.stats.standardise import (
    Layers,
    adjusted_contrast,
    layers_of,
    proportion_ends,
    proportion_limits,
    score_ends,
)

__all__ = ["adjust"]


def adjust(
    queries: Queries,
    blocks: list[Block],
    *,
    minimum: Minimum,
    alpha: float,
    overlap: float,
    full: bool = True,
) -> list[Block]:
    """Standardise the comparisons that have enough patients and enough strata in common.

    An attribute is compared within the strata that are not made of itself. Unless ``full``, limits
    and heterogeneity are left out.
    """
    fewest = min(minimum.reported, _least(queries, minimum)) if full else 0
    kinds = np.array(queries.kinds)
    layers: dict[str, Layers] = {}
    found = []
    for block in blocks:
        grouping = block.grouping
        if grouping.attribute not in layers:  # blocks of one attribute follow each other
            strata = queries.strata_of(grouping)
            assert strata is not None  # adjust is called with declared strata
            made = layers_of(
                queries.values, queries.unit, grouping.of_query, strata, queries.weight
            )
            layers = {grouping.attribute: made}
        part = layers[grouping.attribute]
        found.append(
            _adjusted(block, part, kinds, alpha, overlap, fewest, _least(queries, minimum))
        )
    return found


def _least(queries: Queries, minimum: Minimum) -> int:
    """Sampling units that a gap has to rest on."""
    return minimum.reported if queries.unit is queries.owner else LEAST_CLUSTERS


def _adjusted(
    block: Block,
    layers: Layers,
    kinds: NDArray[np.str_],
    alpha: float,
    overlap: float,
    fewest: int,
    least: int,
) -> Block:
    gap, p, shared, carried, correlation, alike = (
        np.full(block.gap.shape, np.nan) for _ in range(6)
    )
    ends, means, limits = (
        np.full(like.shape, np.nan) for like in (block.ends, block.means, block.limits)
    )
    proportions, scores = (np.flatnonzero(kinds == name) for name in ("proportion", "score"))
    rest = block.grouping.rest[layers.group]
    for row in np.flatnonzero(block.tested.any(axis=1)).tolist():
        first = layers.group == block.first[row]
        second = rest & ~first if block.second[row] < 0 else layers.group == block.second[row]
        contrast = adjusted_contrast(layers, first, second, block.pooled, fewest=fewest)
        alike[row], means[:, row] = contrast.p_heterogeneity, (contrast.mean, contrast.rest_mean)
        if fewest and len(proportions):
            limits[:, :, row, proportions], correlation[row, proportions] = proportion_limits(
                contrast, proportions, 1 - alpha
            )
        gap[row], p[row] = contrast.gap, contrast.p
        shared[row], carried[row] = contrast.overlap, contrast.k.min(axis=0)
        for number, level in enumerate((1 - alpha, 1 - 2 * alpha)):
            for outcomes, way in ((proportions, proportion_ends), (scores, score_ends)):
                if len(outcomes):
                    ends[number][:, row, outcomes] = way(contrast, outcomes, level)
    return replace(
        block, gap=gap, p=p, overlap=shared, ends=ends, carried=carried, means=means,
        limits=limits, correlation=correlation, p_heterogeneity=alike,
        tested=block.tested & (shared >= overlap) & (carried >= least),
    )  # fmt: skip
