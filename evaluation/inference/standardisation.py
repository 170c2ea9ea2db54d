r"""Gaps at the same mix of cases: post-stratified to the pooled mix, with patients as units.

A group that has more of the hard views is found worse by any search; a real gap can hide behind an
easy mix (Simpson). With strata h (finding, view, age) of pooled shares
:math:`w_h = N_h / \sum N_h`, taken over the strata that both sides have,

.. math:: \hat\Delta = \sum_h w_h (m_{gh} - m_{rh}), \qquad
   u_{pg} = \sum_h \frac{w_h}{n_{gh}} (s_{pgh} - c_h n_{pgh})

For the test residuals are centred on :math:`c_h = m_h`, the stratum's mean over both sides: the
score statistic of :mod:`evaluation.inference.score` within strata, and with one stratum it is that
statistic. For intervals they are centred on an additive model, :math:`c_h = m_h \pm` the part of
the gap that falls to the side, so that a stratum in which a side has a single patient still counts
its error. Few patients may carry most of the weight; degrees of freedom are therefore those of
:math:`k^* = k \sum_p (n_p/n)^2 / \sum_p c_p^2` patients, with :math:`c_p` the weight of patient p.

What is taken away by adjusting may itself be the harm (a mediator): the naive gap stands beside.

References
----------
Little, *Post-stratification: a modeler's perspective*, JASA 88:1001, 1993; Kitagawa, JASA 50:1168,
1955 (direct standardisation of two groups); Boos, The American Statistician 46:327, 1992 (score).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.inference.moments import add_up, centred_on
from evaluation.inference.proportions import binomial_ends, join_ends
from evaluation.inference.score import score_statistic, two_sided
from evaluation.inference.skewness import Pooled

__all__ = [
    "AdjustedContrast",
    "Layers",
    "adjusted_contrast",
    "layers_of",
    "proportion_ends",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layers:
    """Sums for each patient, group and stratum in which it has queries.

    Parameters
    ----------
    owner, group, stratum : int arrays of shape (n_cells,)
    s, n : float64 arrays of shape (n_cells, n_outcomes)
        Sum of outcomes centred on ``centre``, and queries.
    centre : float64 array of shape (n_outcomes,)
    n_patients, n_strata : int
    """

    owner: NDArray[np.int64]
    group: NDArray[np.int64]
    stratum: NDArray[np.int64]
    s: Array
    n: Array
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


def layers_of(
    values: Array, owner: NDArray[np.int64], group: NDArray[np.int64], stratum: NDArray[np.int64]
) -> Layers:
    """Add queries (n_queries, n_outcomes) up by patient, group and stratum."""
    n_groups, n_strata = int(group.max()) + 1, int(stratum.max()) + 1
    cell, of = np.unique((owner * n_groups + group) * n_strata + stratum, return_inverse=True)
    measured = ~np.isnan(values)
    known = np.where(measured, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = known.sum(axis=0) / measured.sum(axis=0)
    centred = centred_on(values, centre)
    pair = cell // n_strata
    return Layers(
        pair // n_groups,
        pair % n_groups,
        cell % n_strata,
        add_up(of.ravel(), centred, len(cell)),
        add_up(of.ravel(), measured.astype(np.float64), len(cell)),
        centre,
        int(owner.max()) + 1,
        n_strata,
    )


def adjusted_contrast(
    layers: Layers,
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    pooled: Pooled | None = None,
) -> AdjustedContrast:
    """Compare two sets of cells within strata, for all outcomes at once.

    Given the whole archive's likeness, groups with few informative queries are tested with it
    (:mod:`evaluation.inference.skewness`).
    """
    kept = first | second
    owner, stratum = layers.owner[kept], layers.stratum[kept]
    side = np.where(first[kept], 0, 1)
    s, n = layers.s[kept], layers.n[kept]
    m, h, k_all = s.shape[1], layers.n_strata, layers.n_patients
    place = side * h + stratum
    S = add_up(place, s, 2 * h).reshape(2, h, m)
    N = add_up(place, n, 2 * h).reshape(2, h, m)
    common: NDArray[np.bool_] = np.asarray((N[0] > 0) & (N[1] > 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(common, N.sum(axis=0), 0.0)
        weight = weight / weight.sum(axis=0)
        overlap = np.where(common, N[0], 0.0).sum(axis=0) / N[0].sum(axis=0)
        each = np.where(common, S / N, 0.0)  # (2, h, m)
        mean = np.where(common.any(axis=0), (weight * each).sum(axis=1), np.nan)
        gap = mean[0] - mean[1]
        share = np.where(common, N[0] / N.sum(axis=0), 0.0)
        level = np.where(common, S.sum(axis=0) / N.sum(axis=0), 0.0)
        a = np.where(common, weight / N, 0.0).reshape(2 * h, m)[place]
    shift = np.stack([gap * (1 - share), -gap * share]).reshape(2 * h, m)[place]
    residual = s - level[stratum] * n
    index = side * k_all + owner
    inside = np.where(common[stratum], n, 0.0)
    null = add_up(index, a * residual, 2 * k_all).reshape(2, k_all, m)
    additive = add_up(index, a * (residual - shift * n), 2 * k_all).reshape(2, k_all, m)
    carried = add_up(index, a * n, 2 * k_all).reshape(2, k_all, m)
    queries = add_up(index, inside, 2 * k_all).reshape(2, k_all, m)
    there: NDArray[np.bool_] = np.asarray(queries > 0)
    k = there.sum(axis=1).astype(np.float64)
    total = queries.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        plain = ((queries / total[:, None]) ** 2).sum(axis=1)
        k = np.clip(k * plain / (carried**2).sum(axis=1), 0.0, k)
        both = (there[0] & there[1]).sum(axis=0)
        everyone = k.sum(axis=0) - both
        squares = (null**2).sum(axis=1)
        if pooled is not None:
            own = add_up(side, a**2 * n, 2)
            least = pooled.least(total, own, (carried**2).sum(axis=1))
            squares = np.maximum(squares, least * (k - 1) / k)
        t, df = score_statistic(
            gap, squares[0], squares[1],
            (null[0] * null[1]).sum(axis=0), k[0], k[1], np.maximum(everyone, 2.0),
        )  # fmt: skip
        variance = np.where(k >= 2, k / (k - 1), np.nan) * (additive**2).sum(axis=1)
        covariance = (additive[0] * additive[1]).sum(axis=0)
        # What varies within strata alone: the least that independent queries would.
        rates = np.clip(each + layers.centre, 0.0, 1.0)
        within = (weight * rates * (1 - rates)).sum(axis=1)
        across = np.clip(mean + layers.centre, 0.0, 1.0)
        gain = np.maximum(1.0, across * (1 - across) / within)
        most = total * np.where(np.isfinite(gain), gain, 1.0)
    return AdjustedContrast(
        layers.centre + mean[0], layers.centre + mean[1], gap, t, df, two_sided(t, df), overlap,
        k, total, most, variance, covariance,
    )  # fmt: skip


def proportion_ends(
    found: AdjustedContrast, outcomes: NDArray[np.int64], level: float
) -> tuple[Array, Array]:
    """Korn–Graubard ends of both standardised proportions, joined by MOVER."""
    ends = []
    for number, mean in enumerate((found.mean, found.rest_mean)):
        p = np.clip(mean[outcomes], 0.0, 1.0)
        low, high, _ = binomial_ends(
            p, found.n[number, outcomes], found.k[number, outcomes],
            found.variance[number, outcomes], level=level, most=found.most[number, outcomes],
        )  # fmt: skip
        ends.append((p, low, high))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(found.variance[0] * found.variance[1])[outcomes]
        correlation = np.where(spread > 0, found.covariance[outcomes] / spread, 0.0)
    low, high = join_ends(*ends[0], *ends[1], np.clip(correlation, -1.0, 1.0))
    unsure = (found.k[:, outcomes] < 2).any(axis=0)
    return np.where(unsure, np.nan, np.maximum(low, -1)), np.where(
        unsure, np.nan, np.minimum(high, 1)
    )
