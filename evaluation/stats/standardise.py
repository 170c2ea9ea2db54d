r"""Gaps at the same mix of cases: post-stratified to the pooled mix, with patients as units.

A group that has more of the hard views is found worse by any search; a real gap can hide behind an
easy mix (Simpson). With strata h (finding, view, age) of pooled shares
:math:`w_h = N_h / \sum N_h`, taken over the strata that both sides have,

.. math:: \hat\Delta = \sum_h w_h (m_{gh} - m_{rh}), \qquad
   u_{pg} = \sum_h \frac{w_h}{n_{gh}} (s_{pgh} - c_h n_{pgh})

For the test residuals are centred on :math:`c_h = m_h`, the stratum's mean over both sides: the
score statistic of :mod:`evaluation.stats.score_test` within strata, and with one stratum it is that
statistic. A patient with many of a stratum's queries pulls its mean towards itself; residuals are
therefore multiplied by :math:`\sqrt{(1 - n_p/N) / (1 - n_{ph}/N_h)}` (Bell and McCaffrey's
correction, beyond what a single stratum needs): without it archives of a hundred patients in
26 strata had errors too small by 3 to 7%. For intervals of proportions residuals are centred on an
additive model, :math:`c_h = m_h \pm` the part of the gap that falls to the side, so that a stratum
in which a side has a single patient still counts its error. Few patients may carry most of the
weight; degrees of freedom are therefore those of
:math:`k^* = k \sum_p (n_p/n)^2 / \sum_p c_p^2` patients, with :math:`c_p` the weight of patient p.

Intervals of scores are those gaps :math:`\delta` that the test does not refuse:
:math:`(\hat\Delta - \delta)^2 \le t^2 V(\delta)`, where V, with residuals around the stratum's
means and a gap of δ, is a quadratic of δ. They hold 0 exactly where p is above the level.
(Bootstrap-t intervals, for which patients were drawn and strata estimated anew, covered 89 to 90%
in those 26 strata: a stratum with one patient of a side does not vary from draw to draw.)

What is taken away by adjusting may itself be the harm (a mediator): the naive gap stands beside.

References
----------
Little, *Post-stratification: a modeler's perspective*, JASA 88:1001, 1993; Kitagawa, JASA 50:1168,
1955 (direct standardisation of two groups); Boos, The American Statistician 46:327, 1992 (score);
Bell and McCaffrey, Survey Methodology 28:169, 2002 (small samples of clusters).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.stats.cluster_sums import add_up, centred_on
from evaluation.stats.heterogeneity import heterogeneity
from evaluation.stats.proportions import binomial_ends, join_ends
from evaluation.stats.score_test import score_statistic, two_sided
from evaluation.stats.variance_floor import Pooled

__all__ = [
    "AdjustedContrast",
    "Layers",
    "adjusted_contrast",
    "layers_of",
    "proportion_ends",
    "proportion_limits",
    "score_ends",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layers:
    """Sums for each patient, group and stratum in which it has queries.

    Parameters
    ----------
    owner, group, stratum : int arrays of shape (n_cells,)
    place : int array of shape (n_cells,)
        Which patient's which stratum, whatever the group.
    s, n, count, squares : float64 arrays of shape (n_cells, n_outcomes)
        Sum of outcomes centred on ``centre``, and of weights; queries, and sum of their squared
        weights (all three are one where nothing is weighted).
    centre : float64 array of shape (n_outcomes,)
    n_patients, n_strata : int
    """

    owner: NDArray[np.int64]
    group: NDArray[np.int64]
    stratum: NDArray[np.int64]
    place: NDArray[np.int64]
    s: Array
    n: Array
    count: Array
    squares: Array
    centre: Array
    n_patients: int
    n_strata: int


@dataclass(frozen=True)
class AdjustedContrast:
    """One comparison within strata, for all outcomes; arrays of shape (n_outcomes,).

    Parameters
    ----------
    mean, rest_mean, gap : float64 arrays
        Standardised; NaN where no stratum is common.
    t, df, p : float64 arrays
    overlap : float64 array
        Share of the group's queries in strata where the other side has some.
    k : float64 array of shape (2, n_outcomes)
        Patients that carry as much weight (k* above), of each side.
    n, most : float64 arrays of shape (2, n_outcomes)
        Queries in common strata; cap of the effective n of a proportion.
    variance : float64 array of shape (2, n_outcomes)
        Of the two means, residuals around the additive model.
    covariance : float64 array of shape (n_outcomes,)
    quadratic : float64 array of shape (3, n_outcomes)
        Variance of the gap with residuals around a gap of δ: :math:`v_0 - 2 v_1 δ + v_2 δ^2`.
    p_heterogeneity : float64 array
        Of the hypothesis that the gap is the same in all strata (:mod:`.heterogeneity`).
    """

    mean: Array
    rest_mean: Array
    gap: Array
    t: Array
    df: Array
    p: Array
    overlap: Array
    k: Array
    n: Array
    most: Array
    variance: Array
    covariance: Array
    quadratic: Array
    p_heterogeneity: Array


def layers_of(
    values: Array,
    owner: NDArray[np.int64],
    group: NDArray[np.int64],
    stratum: NDArray[np.int64],
    weight: Array | None = None,
) -> Layers:
    """Add queries (n_queries, n_outcomes) up by patient, group and stratum.

    With weights (n_queries,) of mean 1 a query counts as often as it weighs.
    """
    n_groups, n_strata = int(group.max()) + 1, int(stratum.max()) + 1
    cell, of = np.unique((owner * n_groups + group) * n_strata + stratum, return_inverse=True)
    w = np.ones((1, 1)) if weight is None else weight[:, None]
    measured = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (np.nan_to_num(values) * w).sum(axis=0) / (measured * w).sum(axis=0)
    centred = centred_on(values, centre)
    count = add_up(of.ravel(), measured.astype(np.float64), len(cell))
    n, squares = count, count
    if weight is not None:
        n, squares = (add_up(of.ravel(), measured * x, len(cell)) for x in (w, w**2))
    pair, at = cell // n_strata, cell % n_strata
    _, place = np.unique(pair // n_groups * n_strata + at, return_inverse=True)
    return Layers(
        pair // n_groups,
        pair % n_groups,
        at,
        place.ravel(),
        add_up(of.ravel(), centred * w, len(cell)),
        n,
        count,
        squares,
        centre,
        int(owner.max()) + 1,
        n_strata,
    )


def adjusted_contrast(
    layers: Layers,
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    pooled: Pooled | None = None,
    *,
    fewest: int = 0,
) -> AdjustedContrast:
    """Compare two sets of cells within strata, for all outcomes at once.

    Given the whole archive's likeness, groups with few informative queries are tested with it
    (:mod:`evaluation.stats.variance_floor`). Strata with at least ``fewest`` patients of each side
    are tested for one gap in all of them; with 0 nothing is.
    """
    kept = first | second
    owner, stratum = layers.owner[kept], layers.stratum[kept]
    side = np.where(first[kept], 0, 1)
    s, n, squared = layers.s[kept], layers.n[kept], layers.squares[kept]
    m, h, k_all = s.shape[1], layers.n_strata, layers.n_patients
    place = side * h + stratum
    S = add_up(place, s, 2 * h).reshape(2, h, m)
    N = add_up(place, n, 2 * h).reshape(2, h, m)
    common, weight, each, mean, share, level = _post_stratified(S, N)
    gap = mean[0] - mean[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        overlap = np.where(common, N[0], 0.0).sum(axis=0) / N[0].sum(axis=0)
        a = np.where(common, weight / N, 0.0).reshape(2 * h, m)[place]
    a_test = a * _corrected(layers, kept, n, common, owner, stratum)
    lean = np.stack([1 - share, -share]).reshape(2 * h, m)[place]
    residual = s - level[stratum] * n
    index = side * k_all + owner
    null = add_up(index, a_test * residual, 2 * k_all).reshape(2, k_all, m)
    slope = add_up(index, a_test * lean * n, 2 * k_all).reshape(2, k_all, m)
    additive = add_up(index, a * (residual - gap * lean * n), 2 * k_all).reshape(2, k_all, m)
    carried = add_up(index, a * n, 2 * k_all).reshape(2, k_all, m)
    queries = add_up(index, np.where(common[stratum], layers.count[kept], 0.0), 2 * k_all).reshape(
        2, k_all, m
    )
    there: NDArray[np.bool_] = np.asarray(queries > 0)
    k = there.sum(axis=1).astype(np.float64)
    total = queries.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        plain = ((queries / total[:, None]) ** 2).sum(axis=1)
        k = np.clip(k * plain / (carried**2).sum(axis=1), 0.0, k)
        both = (there[0] & there[1]).sum(axis=0)
        everyone = k.sum(axis=0) - both
        everyone = np.maximum(everyone, 2.0)
        squares = (null**2).sum(axis=1)
        if pooled is not None:
            own = add_up(side, a**2 * squared, 2)
            least = pooled.least(total, own, (carried**2).sum(axis=1))
            squares = np.maximum(squares, least * (k - 1) / k)
        cross = (null[0] * null[1]).sum(axis=0)
        t, df = score_statistic(gap, squares[0], squares[1], cross, k[0], k[1], everyone)
        quadratic = _quadratic(null, slope, squares, k, everyone)
        variance = np.where(k >= 2, k / (k - 1), np.nan) * (additive**2).sum(axis=1)
        covariance = (additive[0] * additive[1]).sum(axis=0)
    alike = np.full(m, np.nan)
    if fewest:
        own_patients = side * (int(layers.place.max()) + 1) + layers.place[kept]
        alike = heterogeneity(
            each[0] - each[1], residual - gap * lean * n, n, own_patients, place, fewest, pooled,
            squared,
        )  # fmt: skip
    if layers.n is not layers.count:
        total = _effective(side, common[stratum], n, squared)
    most = total * _gain(each + layers.centre, mean + layers.centre, weight)
    return AdjustedContrast(
        layers.centre + mean[0], layers.centre + mean[1], gap, t, df, two_sided(t, df), overlap,
        k, total, most, variance, covariance, quadratic, alike,
    )  # fmt: skip


def _post_stratified(
    S: Array, N: Array
) -> tuple[NDArray[np.bool_], Array, Array, Array, Array, Array]:
    """Common strata (h, m), their weights, each side's means (2, h, m) and standardised means.

    Last the first side's share of each stratum, and the stratum's mean over both sides.
    """
    common: NDArray[np.bool_] = np.asarray((N[0] > 0) & (N[1] > 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(common, N.sum(axis=0), 0.0)
        weight = weight / weight.sum(axis=0)
        each = np.where(common, S / N, 0.0)
        mean = np.where(common.any(axis=0), (weight * each).sum(axis=1), np.nan)
        share = np.where(common, N[0] / N.sum(axis=0), 0.0)
        level = np.where(common, S.sum(axis=0) / N.sum(axis=0), 0.0)
    return common, weight, each, mean, share, level


def _effective(
    side: NDArray[np.int64], inside: NDArray[np.bool_], n: Array, squares: Array
) -> Array:
    """Queries (2, n_outcomes) of one weight that would tell as much."""
    sums, heft = (add_up(side, np.where(inside, x, 0.0), 2) for x in (n, squares))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums**2 / heft)


def _gain(each: Array, mean: Array, weight: Array) -> Array:
    """How much less a rate varies within strata alone; the least that independent queries would."""
    rates, across = np.clip(each, 0.0, 1.0), np.clip(mean, 0.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        within = (weight * rates * (1 - rates)).sum(axis=1)
        gain = np.maximum(1.0, across * (1 - across) / within)
    return np.where(np.isfinite(gain), gain, 1.0)


def _quadratic(null: Array, slope: Array, squares: Array, k: Array, everyone: Array) -> Array:
    """Coefficients (3, n_outcomes) of the gap's variance as it depends on the gap supposed."""
    few, shared = k / (k - 1), 2 * everyone / (everyone - 1)
    either = (null[0] * slope[1] + null[1] * slope[0]) / 2
    crosses = (null[0] * null[1], either, slope[0] * slope[1])
    own = (squares, (null * slope).sum(axis=1), (slope**2).sum(axis=1))
    return np.stack(
        [
            (few * one).sum(axis=0) - shared * cross.sum(axis=0)
            for one, cross in zip(own, crosses, strict=True)
        ]
    )


def _corrected(
    layers: Layers,
    kept: NDArray[np.bool_],
    n: Array,
    common: NDArray[np.bool_],
    owner: NDArray[np.int64],
    stratum: NDArray[np.int64],
) -> Array:
    """Factor on each cell's residuals (n_cells, n_outcomes), 1 with a single stratum."""
    place = layers.place[kept]
    inside = np.where(common[stratum], n, 0.0)
    there = add_up(place, inside, int(layers.place.max()) + 1)[place]
    whole = add_up(owner, inside, layers.n_patients)[owner]
    with np.errstate(invalid="ignore", divide="ignore"):
        own = 1 - there / add_up(stratum, inside, layers.n_strata)[stratum]
        every = 1 - whole / inside.sum(axis=0)
        # A stratum that is all one patient's has nothing to be corrected by.
        return np.where((own > 0) & (every > 0), np.sqrt(every / own), 1.0)


def score_ends(found: AdjustedContrast, outcomes: NDArray[np.int64], level: float) -> Array:
    """Ends (2, n) of the gaps that the test does not refuse; NaN where it refuses none."""
    from scipy.special import stdtrit  # the command line starts without scipy

    gap, (v0, v1, v2) = found.gap[outcomes], found.quadratic[:, outcomes]
    with np.errstate(invalid="ignore", divide="ignore"):
        square = stdtrit(found.df[outcomes], (1 + level) / 2) ** 2
        a, b, c = 1 - square * v2, gap - square * v1, gap**2 - square * v0
        root = np.sqrt(np.maximum(b**2 - a * c, 0.0))
        known = (a > 0) & ~np.isnan(found.t[outcomes])
        return np.where(known, np.stack([(b - root) / a, (b + root) / a]), np.nan)


def proportion_ends(
    found: AdjustedContrast, outcomes: NDArray[np.int64], level: float
) -> tuple[Array, Array]:
    """Korn–Graubard ends of both standardised proportions, joined by MOVER."""
    limits, correlation = proportion_limits(found, outcomes, level)
    p, q = np.clip(found.mean[outcomes], 0.0, 1.0), np.clip(found.rest_mean[outcomes], 0.0, 1.0)
    (first, last), (other_first, other_last) = limits
    low, high = join_ends(p, first, last, q, other_first, other_last, correlation)
    unsure = (found.k[:, outcomes] < 2).any(axis=0)
    return np.where(unsure, np.nan, np.maximum(low, -1)), np.where(
        unsure, np.nan, np.minimum(high, 1)
    )


def proportion_limits(
    found: AdjustedContrast, outcomes: NDArray[np.int64], level: float
) -> tuple[Array, Array]:
    """Korn–Graubard ends (2 sides, 2, n) of the standardised proportions; their correlation."""
    limits = np.empty((2, 2, len(outcomes)))
    for number, mean in enumerate((found.mean, found.rest_mean)):
        low, high, _ = binomial_ends(
            np.clip(mean[outcomes], 0.0, 1.0), found.n[number, outcomes], found.k[number, outcomes],
            found.variance[number, outcomes], level=level, most=found.most[number, outcomes],
        )  # fmt: skip
        limits[number] = low, high
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(found.variance[0] * found.variance[1])[outcomes]
        correlation = np.where(spread > 0, found.covariance[outcomes] / spread, 0.0)
    return limits, np.clip(correlation, -1.0, 1.0)
