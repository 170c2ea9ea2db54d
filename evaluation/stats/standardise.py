r"""Gaps at the same mix of cases: post-stratified to the pooled mix, with patients as units.

A group that has more of the hard views is found worse by any search; a real gap can hide behind an
easy mix (Simpson). With strata h (finding, view, age) of pooled shares
:math:`w_h = N_h / \sum N_h`, taken over the strata that both sides have,

.. math:: \hat\Delta = \sum_h w_h (m_{gh} - m_{rh}), \qquad
   u_{pg} = \sum_h \frac{w_h}{n_{gh}} (s_{pgh} - c_h n_{pgh})

For the test, residuals are centred on the stratum's mean over both sides
(:mod:`evaluation.stats.score_test` within strata) and multiplied by
:math:`\sqrt{(1 - n_p/N) / (1 - n_{ph}/N_h)}`, since a patient with many of a stratum's queries
pulls its mean (Bell and McCaffrey; without it 26 strata of a hundred patients had errors 3 to 7%
too small). For intervals of proportions they are centred on an additive model, the stratum's mean
plus or minus the side's part of the gap, so that a single patient of a side still counts its error.
Few patients may carry most of the weight: degrees of freedom are those of
:math:`k^* = k \sum_p (n_p/n)^2 / \sum_p c_p^2` patients, with :math:`c_p` the weight of patient p.

Intervals of scores are the gaps :math:`\delta` that the test does not refuse,
:math:`(\hat\Delta - \delta)^2 \le t^2 V(\delta)` with V quadratic in δ: they hold 0 exactly if p is
above the level (docs/decisions/0007). What adjusting takes away may itself be the harm (a
mediator): the naive gap is shown beside it.

References
----------
Little, *Post-stratification: a modeler's perspective*, JASA 88:1001, 1993; Kitagawa, JASA 50:1168,
1955 (direct standardisation of two groups); Boos, The American Statistician 46:327, 1992 (score);
Bell and McCaffrey, Survey Methodology 28:169, 2002 (small samples of clusters); Cochran, Biometrics
10:101, 1954, and Welch, Biometrika 38:330, 1951 (heterogeneity).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.stats.cluster_sums import add_up, patient_sums
from evaluation.stats.proportions import binomial_ends, join_ends
from evaluation.stats.score_test import score_statistic, two_sided
from evaluation.stats.variance_floor import Pooled

__all__ = [
    "AdjustedContrast", "Layers", "adjusted_contrast", "layers_of", "proportion_ends",
    "proportion_limits", "score_ends",
]  # fmt: skip

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_FLAT = 1e-18


@dataclass(frozen=True)
class Layers:
    """Sums for each patient, group and stratum in which it has queries: the cells.

    Of shape (n_cells,) ``owner, group, stratum`` and ``place``, which patient's which stratum;
    of shape (n_cells, n_outcomes) outcomes less ``centre`` (n_outcomes,), ``s``, sums of weights
    ``n``, queries ``count`` and squared weights ``squares``, the three of which are one where
    nothing is weighted.
    """

    owner: Ints
    group: Ints
    stratum: Ints
    place: Ints
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
    mean, rest_mean, gap
        Standardised; NaN if no stratum is common.
    t, df, p
    overlap
        Share of the group's queries in strata where the other side has some.
    k, n, most : arrays of shape (2, n_outcomes)
        Patients that carry as much weight (k* above) and queries in common strata, of each side;
        cap of the effective n of a proportion.
    variance : array of shape (2, n_outcomes)
    covariance
        Of the two means, residuals around the additive model.
    quadratic : array of shape (3, n_outcomes)
        Variance of the gap with residuals around a gap of δ: :math:`v_0 - 2 v_1 δ + v_2 δ^2`.
    p_heterogeneity
        Of the hypothesis that the gap is the same in all strata.
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
    values: Array, owner: Ints, group: Ints, stratum: Ints, weight: Array | None = None
) -> Layers:
    """Add queries (n_queries, n_outcomes) up by patient, group and stratum.

    With weights (n_queries,) of mean 1 a query counts as often as it weighs.
    """
    n_groups, n_strata = int(group.max()) + 1, int(stratum.max()) + 1
    cell, of = np.unique((owner * n_groups + group) * n_strata + stratum, return_inverse=True)
    of = of.ravel()
    centre, s, n, _ = patient_sums(values, of, len(cell), weight)
    count = squares = n
    if weight is not None:
        measured = (~np.isnan(values)).astype(np.float64)
        count, squares = (
            add_up(of, x, len(cell)) for x in (measured, measured * weight[:, None] ** 2)
        )
    pair, at = cell // n_strata, cell % n_strata
    _, place = np.unique(pair // n_groups * n_strata + at, return_inverse=True)
    return Layers(
        pair // n_groups, pair % n_groups, at, place.ravel(), s, n, count, squares, centre,
        int(owner.max()) + 1, n_strata,
    )  # fmt: skip


def adjusted_contrast(
    layers: Layers,
    first: Bools,
    second: Bools,
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
    owner, stratum, place = (x[kept] for x in (layers.owner, layers.stratum, layers.place))
    s, n, count, heft = (x[kept] for x in (layers.s, layers.n, layers.count, layers.squares))
    side = np.where(first[kept], 0, 1)
    m, h, n_patients = s.shape[1], layers.n_strata, layers.n_patients
    cell = side * h + stratum

    def by_patient(columns: Array) -> Array:
        index = side * n_patients + owner
        return add_up(index, columns, 2 * n_patients).reshape(2, n_patients, m)

    # Sides by strata by outcomes; weights and standardised means of the strata in common.
    S, N = (add_up(cell, x, 2 * h).reshape(2, h, m) for x in (s, n))
    common: Bools = np.asarray((N > 0).all(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(common, N.sum(axis=0), 0.0)
        weight = weight / weight.sum(axis=0)
        each = np.where(common, S / N, 0.0)
        mean = np.where(common.any(axis=0), (weight * each).sum(axis=1), np.nan)
        share = np.where(common, N[0] / N.sum(axis=0), 0.0)
        level = np.where(common, S.sum(axis=0) / N.sum(axis=0), 0.0)
        overlap = np.where(common, N[0], 0.0).sum(axis=0) / N[0].sum(axis=0)
        a = np.where(common, weight / N, 0.0).reshape(2 * h, m)[cell]
    gap = mean[0] - mean[1]
    # Residuals of the cells around the stratum's mean and around the additive model, by patient.
    inside = np.where(common[stratum], n, 0.0)
    a_test = a * _correction(inside, layers, owner, stratum, place)
    lean = np.stack([1 - share, -share]).reshape(2 * h, m)[cell]
    residual = s - level[stratum] * n
    additive = residual - gap * lean * n
    null, slope, around = (
        by_patient(x) for x in (a_test * residual, a_test * lean * n, a * additive)
    )
    carried, queries = by_patient(a * n), by_patient(np.where(common[stratum], count, 0.0))
    there: Bools = np.asarray(queries > 0)
    # Patients that carry as much weight, and with them variances and the test.
    k = there.sum(axis=1).astype(np.float64)
    total = queries.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        plain = ((queries / total[:, None]) ** 2).sum(axis=1)
        together = (carried**2).sum(axis=1)
        k = np.clip(k * plain / together, 0.0, k)
        everyone = np.maximum(k.sum(axis=0) - there.all(axis=0).sum(axis=0), 2.0)
        squares = (null**2).sum(axis=1)
        if pooled is not None:
            least = pooled.least(total, add_up(side, a**2 * heft, 2), together)
            squares = np.maximum(squares, least * (k - 1) / k)
        cross = (null[0] * null[1]).sum(axis=0)
        t, df = score_statistic(gap, squares[0], squares[1], cross, k[0], k[1], everyone)
        quadratic = _quadratic(null, slope, squares, k, everyone)
        variance = np.where(k >= 2, k / (k - 1), np.nan) * (around**2).sum(axis=1)
    alike = np.full(m, np.nan)
    if fewest:
        patient = side * (int(layers.place.max()) + 1) + place
        alike = _heterogeneity(each[0] - each[1], additive, n, heft, patient, cell, fewest, pooled)
    total = total if layers.n is layers.count else _effective(side, common[stratum], n, heft)
    most = total * _gain(each + layers.centre, mean + layers.centre, weight)
    return AdjustedContrast(
        layers.centre + mean[0], layers.centre + mean[1], gap, t, df, two_sided(t, df), overlap,
        k, total, most, variance, (around[0] * around[1]).sum(axis=0), quadratic, alike,
    )  # fmt: skip


def _correction(inside: Array, layers: Layers, owner: Ints, stratum: Ints, place: Ints) -> Array:
    """Factor on each cell's residuals (n_cells, n_outcomes), 1 with a single stratum."""
    there = add_up(place, inside, int(layers.place.max()) + 1)[place]
    whole = add_up(owner, inside, layers.n_patients)[owner]
    with np.errstate(invalid="ignore", divide="ignore"):
        own = 1 - there / add_up(stratum, inside, layers.n_strata)[stratum]
        every = 1 - whole / inside.sum(axis=0)
        # A stratum that is all one patient's has nothing to be corrected by.
        return np.where((own > 0) & (every > 0), np.sqrt(every / own), 1.0)


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


def _effective(side: Ints, inside: Bools, n: Array, squares: Array) -> Array:
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


def _heterogeneity(
    gaps: Array,
    residual: Array,
    n: Array,
    heft: Array,
    patient: Ints,
    cell: Ints,
    fewest: int,
    pooled: Pooled | None,
) -> Array:
    r"""Test that the gaps (n_strata, n_outcomes) are one: p, NaN if fewer than two strata count.

    A harm in one stratum and its opposite in another average to nothing. With variances
    :math:`v_h` over patients, :math:`w_h = 1/v_h` and Satterthwaite's :math:`\nu_h`, Welch's F
    allows Cochran's :math:`Q = \sum w_h (d_h - \bar d)^2` for uncertain variances of few patients,

    .. math:: F = \frac{Q/(H-1)}{1 + \frac{2(H-2)}{H^2-1} \Lambda}, \qquad
       \Lambda = \sum_h \frac{(1 - w_h/\sum w)^2}{\nu_h}, \qquad
       \text{with } H-1 \text{ and } \frac{H^2-1}{3\Lambda} \text{ degrees of freedom.}

    Residuals are those around the additive model; ``patient`` is which patient's which side and
    stratum. Patients with queries in several strata make Q smaller, which is left out.
    """
    from scipy.special import fdtrc  # the command line starts without scipy

    n_strata, m = gaps.shape
    first, of = np.unique(patient, return_index=True, return_inverse=True)[1:]
    sums, sizes, own = (add_up(of, x, len(first)) for x in (residual, n, heft))
    square, total, together, k, own = (
        add_up(cell[first], x, 2 * n_strata).reshape(2, n_strata, m)
        for x in (sums**2, sizes, sizes**2, (sizes > 0).astype(np.float64), own)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        v = k / (k - 1) * square / total**2
        if pooled is not None:
            v = np.maximum(v, pooled.least(total, own / total**2, together / total**2))
        both = v.sum(axis=0)
        nu = both**2 / (v**2 / (k - 1)).sum(axis=0)
        counted = (k >= max(2, fewest)).all(axis=0) & (both > _FLAT)
        w = np.where(counted, 1 / both, 0.0)
        share = w / w.sum(axis=0)
        mean = np.where(counted, share * gaps, 0.0).sum(axis=0)
        q = np.where(counted, w * (gaps - mean) ** 2, 0.0).sum(axis=0)
        h = counted.sum(axis=0).astype(np.float64)
        few = np.where(counted, (1 - share) ** 2 / nu, 0.0).sum(axis=0)
        f = q / (h - 1) / (1 + 2 * (h - 2) / (h**2 - 1) * few)
        p = fdtrc(h - 1, (h**2 - 1) / (3 * few), f)
    return np.where(h >= 2, p, np.nan)


def score_ends(found: AdjustedContrast, outcomes: Ints, level: float) -> Array:
    """Ends (2, n) of the gaps that the test does not refuse; NaN where it refuses none."""
    from scipy.special import stdtrit  # the command line starts without scipy

    gap, (v0, v1, v2) = found.gap[outcomes], found.quadratic[:, outcomes]
    with np.errstate(invalid="ignore", divide="ignore"):
        square = stdtrit(found.df[outcomes], (1 + level) / 2) ** 2
        a, b, c = 1 - square * v2, gap - square * v1, gap**2 - square * v0
        root = np.sqrt(np.maximum(b**2 - a * c, 0.0))
        known = (a > 0) & ~np.isnan(found.t[outcomes])
        return np.where(known, np.stack([(b - root) / a, (b + root) / a]), np.nan)


def proportion_ends(found: AdjustedContrast, outcomes: Ints, level: float) -> Array:
    """Ends (2, n) of the gap: Korn–Graubard's of both proportions, joined by MOVER."""
    (one, two), correlation = proportion_limits(found, outcomes, level)
    p, q = np.clip([found.mean[outcomes], found.rest_mean[outcomes]], 0.0, 1.0)
    ends = np.clip(join_ends(p, one[0], one[1], q, two[0], two[1], correlation), -1.0, 1.0)
    return np.where((found.k[:, outcomes] < 2).any(axis=0), np.nan, ends)


def proportion_limits(found: AdjustedContrast, outcomes: Ints, level: float) -> tuple[Array, Array]:
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
