"""One comparison at a time, plainly: what the vectorised statistics are held against.

Sums patient by patient and for one pair of groups; only the last step, from sums to ends, is the
product's own where its golden values are tested by themselves (:func:`binomial_ends`,
:func:`join_ends`, :func:`score_statistic`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from evaluation.stats.proportions import binomial_ends, join_ends
from evaluation.stats.score_test import score_statistic, two_sided
from evaluation.stats.standardise import adjusted_contrast, layers_of, proportion_ends, score_ends
from medembed.errors import InputError


@dataclass(frozen=True)
class ClusterSums:
    """Sums over the measured queries of each patient."""

    sums: NDArray[np.float64]
    sizes: NDArray[np.float64]
    patients: NDArray[np.int64]


@dataclass(frozen=True)
class ClusterMean:
    """A mean over queries and its error over patients."""

    mean: float
    variance: float | None
    n_queries: int
    n_patients: int
    design_effect: float | None
    icc: float | None


def cluster_sums(
    outcomes: ArrayLike, patients: ArrayLike, among: ArrayLike | None = None
) -> ClusterSums:
    """Add up the outcomes of each patient."""
    values = np.asarray(outcomes, dtype=np.float64)
    owner = codes(patients)
    if values.ndim != 1 or values.shape != owner.shape:
        raise InputError(f"{values.size} outcomes for {owner.size} patients")
    if (owner < 0).any():
        raise InputError("a query without a patient", hint="give each query one")
    if np.isinf(values).any():
        raise InputError("an outcome that is infinite")
    kept = ~np.isnan(values)
    if among is not None:
        mask = np.asarray(among)
        if mask.dtype != np.bool_ or mask.shape != values.shape:
            raise InputError("a choice of queries that is not one bool for each")
        kept &= mask
    sizes = np.bincount(owner[kept], minlength=1).astype(np.float64)
    sums = np.bincount(owner[kept], weights=values[kept], minlength=1).astype(np.float64)
    present = np.flatnonzero(sizes > 0)
    return ClusterSums(sums[present], sizes[present], present)


def cluster_mean(
    outcomes: ArrayLike, patients: ArrayLike, among: ArrayLike | None = None
) -> ClusterMean:
    """Mean of the outcomes, its variance over patients, design effect and ICC."""
    held = cluster_sums(outcomes, patients, among)
    n, k = float(held.sizes.sum()), len(held.sizes)
    if not n:
        raise InputError("no outcome was measured")
    mean = float(held.sums.sum() / n)
    values = np.asarray(outcomes, dtype=np.float64)
    kept = ~np.isnan(values)
    if among is not None:
        kept &= np.asarray(among)
    # Around the mean: squares of large values would drown the differences.
    total = float(np.sum((values[kept] - mean) ** 2))
    variance = design = icc = None
    if k >= 2:
        residual = held.sums - mean * held.sizes
        variance = float(k / (k - 1) * np.sum(residual**2) / n**2)
        flat = total <= 1e-24 * max(1.0, mean**2) * n
        if flat:
            variance = 0.0
        else:
            design = variance / (total / (n - 1) / n)
            icc = _icc(residual, held.sizes, total, n, k)
    return ClusterMean(mean, variance, int(n), k, design, icc)


def _icc(
    residual: NDArray[np.float64], sizes: NDArray[np.float64], total: float, n: float, k: int
) -> float | None:
    if n <= k:
        return None  # one query each: nothing tells patients from queries
    between = float(np.sum(residual**2 / sizes))
    msb, msw = between / (k - 1), max(0.0, total - between) / (n - k)
    usual = (n - float(np.sum(sizes**2)) / n) / (k - 1)
    return float((msb - msw) / (msb + (usual - 1) * msw)) if msb + msw > 0 else None


@dataclass(frozen=True)
class Proportion:
    """A proportion with its interval."""

    estimate: float
    low: float
    high: float
    effective_n: float
    n_queries: int
    n_patients: int


def korn_graubard(
    outcomes: ArrayLike,
    patients: ArrayLike,
    among: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> Proportion:
    """Give the exact binomial interval at the effective number of queries."""
    values = np.asarray(outcomes, dtype=np.float64)
    known = values[~np.isnan(values)]
    if ((known < 0) | (known > 1)).any():
        raise InputError("an outcome outside 0 to 1 is no proportion")
    if not 0 < level < 1:
        raise InputError("a level outside 0 to 1")
    found = cluster_mean(values, patients, among)
    n, k, p = found.n_queries, found.n_patients, min(1.0, max(0.0, found.mean))
    if k < 2:
        return Proportion(p, 0.0, 1.0, 1.0, n, k)
    low, high, effective = binomial_ends(
        *(np.array(float(x)) for x in (p, n, k, found.variance or 0.0)), level=level
    )
    return Proportion(p, float(low), float(high), float(effective), n, k)


def mover(
    first: float,
    first_ends: tuple[float, float],
    second: float,
    second_ends: tuple[float, float],
    correlation: float = 0.0,
) -> tuple[float, float]:
    """Join the intervals of two estimates to one of their difference."""
    if not (first_ends[0] <= first <= first_ends[1] and second_ends[0] <= second <= second_ends[1]):
        raise InputError("an interval that does not hold its estimate")
    if not -1 <= correlation <= 1:
        raise InputError("a correlation outside -1 to 1")
    low, high = join_ends(
        *(np.array(x) for x in (first, *first_ends, second, *second_ends, correlation))
    )
    return float(low), float(high)


def gap_interval(
    outcomes: ArrayLike,
    patients: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """Gap of two groups' proportions with its Korn–Graubard MOVER interval."""
    one = korn_graubard(outcomes, patients, first, level=level)
    two = korn_graubard(outcomes, patients, second, level=level)
    low, high = mover(
        one.estimate,
        (one.low, one.high),
        two.estimate,
        (two.low, two.high),
        _correlation(outcomes, patients, first, second),
    )
    return one.estimate - two.estimate, max(low, -1.0), min(high, 1.0)


def _correlation(
    outcomes: ArrayLike, patients: ArrayLike, first: ArrayLike, second: ArrayLike
) -> float:
    a, b = cluster_sums(outcomes, patients, first), cluster_sums(outcomes, patients, second)
    ua = a.sums - a.sums.sum() / a.sizes.sum() * a.sizes
    ub = b.sums - b.sums.sum() / b.sizes.sum() * b.sizes
    _, in_a, in_b = np.intersect1d(a.patients, b.patients, return_indices=True)
    spread = float(np.sqrt(np.sum(ua**2) * np.sum(ub**2)))
    if not len(in_a) or spread <= 0:
        return 0.0
    return float(np.clip(np.sum(ua[in_a] * ub[in_b]) / spread, -1.0, 1.0))


@dataclass(frozen=True)
class ScoreTest:
    """A comparison of two groups."""

    gap: float
    t: float
    df: float
    p: float


def score_test(
    outcomes: ArrayLike, patients: ArrayLike, first: ArrayLike, second: ArrayLike
) -> ScoreTest:
    """Compare two groups of queries."""
    one, two = np.asarray(first), np.asarray(second)
    if one.shape != two.shape or (one & two).any():
        raise InputError("a query in both groups of a comparison")
    a = cluster_sums(outcomes, patients, one)
    b = cluster_sums(outcomes, patients, two)
    if not len(a.sizes) or not len(b.sizes):
        return ScoreTest(np.nan, np.nan, np.nan, np.nan)
    na, nb = a.sizes.sum(), b.sizes.sum()
    pooled = (a.sums.sum() + b.sums.sum()) / (na + nb)
    ua, ub = (a.sums - pooled * a.sizes) / na, (b.sums - pooled * b.sizes) / nb
    gap = a.sums.sum() / na - b.sums.sum() / nb
    both, in_a, in_b = np.intersect1d(a.patients, b.patients, return_indices=True)
    cross = float(np.sum(ua[in_a] * ub[in_b]))
    t, df = score_statistic(
        *(np.array(x) for x in (gap, np.sum(ua**2), np.sum(ub**2), cross)),
        *(np.array(float(x)) for x in (len(ua), len(ub), len(ua) + len(ub) - len(both))),
    )
    return ScoreTest(float(gap), float(t), float(df), float(two_sided(t, df)))


@dataclass(frozen=True)
class StandardisedGap:
    """A standardised gap with test and interval; NaN where not assessable."""

    gap: float
    low: float
    high: float
    t: float
    df: float
    p: float
    overlap: float


def standardised_gap(
    outcomes: ArrayLike,
    patients: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    strata: ArrayLike,
    *,
    level: float = 0.95,
) -> StandardisedGap:
    """Compare two groups of queries at the same mix of strata."""
    values = np.asarray(outcomes, dtype=np.float64)
    one, two = np.asarray(first), np.asarray(second)
    owner, stratum = codes(patients), codes(strata)
    if not values.shape == one.shape == two.shape == owner.shape == stratum.shape:
        raise InputError("outcomes, patients, groups and strata of different numbers of queries")
    if (one & two).any() or (owner < 0).any() or (stratum < 0).any() or np.isinf(values).any():
        raise InputError("a query in both groups, without patient or stratum, or infinite")
    side = np.where(one, 0, np.where(two, 1, 2)).astype(np.int64)
    layers = layers_of(values[:, None], owner, side, stratum)
    found = adjusted_contrast(layers, layers.group == 0, layers.group == 1)
    known = values[~np.isnan(values)]
    only = np.zeros(1, dtype=np.int64)
    way = proportion_ends if np.isin(known, (0, 1)).all() else score_ends
    ends = [float(end[0]) for end in way(found, only, level)]
    return StandardisedGap(
        float(found.gap[0]),
        *ends,
        *(float(x[0]) for x in (found.t, found.df, found.p, found.overlap)),
    )
