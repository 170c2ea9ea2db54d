r"""Intervals for proportions that hold for small groups and for rates near 0 and 1.

Percentile and BCa bootstrap intervals cover 86 to 92% at 30 patients.

References
----------
Korn and Graubard, *Confidence intervals for proportions with small expected number of positive
counts estimated from survey data*, Survey Methodology 24:193, 1998; Clopper and Pearson, Biometrika
26:404, 1934; Zou and Donner, *Construction of confidence limits about effect measures*, Statistics
in Medicine 27:1693, 2008; Zou, Statistics in Medicine 26:3379 (2007), eq. 10, for correlated ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["binomial_ends", "join_ends", "korn_graubard"]

Array = NDArray[np.float64]
_FLAT = 1e-15


def korn_graubard(s: Array, n: Array, *, level: float = 0.95) -> tuple[Array, Array, Array, Array]:
    r"""Give the exact binomial interval at the effective number of queries.

    Parameters
    ----------
    s, n : float64 arrays of shape (n_patients, n_outcomes)
        Sum of outcomes from 0 to 1, and number of measured queries, of each patient.

    Returns
    -------
    p, low, high, effective : float64 arrays of shape (n_outcomes,)
        Last, how many independent queries would know as much.

    Notes
    -----
    With p the estimate and v its variance over k patients,

    .. math:: n^* = \frac{p (1 - p)}{v}
       \left( \frac{t_{n-1, 1-\alpha/2}}{t_{k-1, 1-\alpha/2}} \right)^2

    at most n; the ends are quantiles of Beta(:math:`n^* p, n^* (1-p) + 1`) and
    Beta(:math:`n^* p + 1, n^* (1-p)`). If all patients agree, v says nothing of how alike a
    patient's queries are: then :math:`n^* = k`, as if they were copies of each other. A single
    patient gives the interval 0 to 1, and so does :math:`n^*` below 1.

    Examples
    --------
    >>> p, low, high, effective = korn_graubard(np.zeros((3, 1)), np.full((3, 1), 2.0))
    >>> p, high.round(3), effective  # 1 - .025 ** (1 / 3)
    (array([0.]), array([0.708]), array([3.]))
    """
    total, k = n.sum(axis=0), (n > 0).sum(axis=0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = s.sum(axis=0) / total
        variance = k / (k - 1) * ((s - p * n) ** 2).sum(axis=0) / total**2
    return np.clip(p, 0.0, 1.0), *binomial_ends(p, total, k, variance, level=level)


def binomial_ends(
    p: Array, n: Array, k: Array, variance: Array, *, level: float = 0.95, most: Array | None = None
) -> tuple[Array, Array, Array]:
    """Ends of :func:`korn_graubard` for many proportions at once, and the effective n.

    Given proportions, queries, patients, and the variance of p over patients, arrays of one shape;
    ``most`` caps the effective n if not n does (stratified samples). NaN if p is.
    """
    from scipy.special import betaincinv, stdtrit  # the command line starts without scipy

    half = (1 - level) / 2
    inside = np.clip(p, 0.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ratio = stdtrit(np.maximum(n - 1, 1), 1 - half) / stdtrit(np.maximum(k - 1, 1), 1 - half)
        effective = inside * (1 - inside) / variance * ratio**2
        effective = np.minimum(n if most is None else most, effective)
        effective = np.where(variance <= _FLAT, k, effective)
        effective = np.where(k < 2, 1.0, effective)
        hits = effective * inside
        low = betaincinv(hits, effective - hits + 1, half)
        high = betaincinv(hits + 1, effective - hits, 1 - half)
    blind = (k < 2) | (effective < 1)
    low = np.where(blind | (inside <= 0), 0.0, np.minimum(low, inside))
    high = np.where(blind | (inside >= 1), 1.0, np.maximum(high, inside))
    undefined = np.isnan(p)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high), effective


def join_ends(
    first: Array,
    low: Array,
    high: Array,
    second: Array,
    other_low: Array,
    other_high: Array,
    correlation: Array,
) -> tuple[Array, Array]:
    r"""Join the intervals of two estimates to one of their difference (MOVER), elementwise.

    Estimates, the ends of their intervals, and their correlation, which is 0 if no patient is in
    both groups:

    .. math:: L = \hat\theta_1 - \hat\theta_2 - \sqrt{(\hat\theta_1-l_1)^2 + (u_2-\hat\theta_2)^2
       - 2 r (\hat\theta_1-l_1)(u_2-\hat\theta_2)}

    and U with the other ends.

    Examples
    --------
    >>> ends = join_ends(*np.array([0.5, 0.4, 0.6, 0.3, 0.2, 0.45, 0.0]))
    >>> np.round(ends, 4)
    array([0.0197, 0.3414])
    """
    down, up = first - low, high - first
    other_down, other_up = second - other_low, other_high - second
    below = down**2 + other_up**2 - 2 * correlation * down * other_up
    above = up**2 + other_down**2 - 2 * correlation * up * other_down
    gap = first - second
    return gap - np.sqrt(np.maximum(0.0, below)), gap + np.sqrt(np.maximum(0.0, above))
