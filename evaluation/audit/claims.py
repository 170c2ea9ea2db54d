r"""What may be claimed of gaps and ratios: chances of a false "inside" and of a false "beyond".

With h the length of an interval of level :math:`1-\alpha` on one side of the estimate,
:math:`e = h / t_{1-\alpha/2}` is its error there. So a claim "the gap is below the margin M" has
p = P(T ≥ (M − gap) / e), with the patients of the smaller side, less one, as degrees of
freedom, and is made only where also the shown interval is inside. p of many claims are adjusted
by Holm within their declared family, as those of gaps are.

A ratio r of rates p and q is judged by the contrast :math:`p - r q` and its MOVER interval, which
holds for rates at 0 where a ratio has no value, and of the complements :math:`1-p`, :math:`1-q`
likewise: whether hits or misses are the rare events. Half a point is granted beside the ratio;
without it no archive could show that two rates of zero are alike.

References
----------
Donner and Zou, *Closed-form confidence intervals for functions of the normal mean and standard
deviation*, Stat. Methods Med. Res. 21:347, 2012 (MOVER of a ratio); Holm 1979; Schuirmann 1987.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Claims", "claims_of", "ratio_ends"]

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
_GRANTED = 0.005


@dataclass(frozen=True)
class Claims:
    """Claims on a block's comparisons; arrays of shape (n_rows, n_outcomes).

    ``p_within`` and ``p_exceeds`` are not adjusted, NaN where there is no interval. The ratio is of
    the group's rate to the other side's, of hits or of misses (``of_misses``), whichever are rarer;
    NaN for scores. ``alike``: both ratios were shown to be inside the margin; ``unlike``: one is
    beyond it.
    """

    p_within: Array
    p_exceeds: Array
    ratio: Array
    ratio_ci_low: Array
    ratio_ci_high: Array
    of_misses: Bools
    alike: Bools
    unlike: Bools


def claims_of(
    gap: Array,
    ends: Array,
    patients: Array,
    means: Array,
    limits: Array,
    correlation: Array,
    *,
    margin: Array,
    ratio_margin: float | None,
    alpha: float,
) -> Claims:
    """Give the chances of false claims from a block's arrays.

    ``ends`` (2, n_rows, n_outcomes) are the gap's interval at ``1 - alpha``, ``patients`` those of
    the smaller side; the others are as in :class:`evaluation.audit.contrasts.Block`.
    """
    from scipy.special import stdtrit  # the command line starts without scipy

    df = np.maximum(np.nan_to_num(patients, nan=2.0) - 1, 1.0)
    quantile = np.asarray(stdtrit(df, 1 - alpha / 2), dtype=np.float64)
    below, above = gap - ends[0], ends[1] - gap
    # How far each condition holds, and the length of the interval on that side.
    inside = [(margin - gap, above), (margin + gap, below)]
    beyond = [(gap - margin, below), (-margin - gap, above)]
    p = np.clip(means, 0.0, 1.0)
    alike, unlike = np.ones(gap.shape, dtype=np.bool_), np.zeros(gap.shape, dtype=np.bool_)
    scores = np.isnan(limits).any(axis=(0, 1))
    if ratio_margin is not None:
        for excess, up, down in _ratio_contrasts(p, limits, correlation, ratio_margin):
            apart = excess - _GRANTED
            alike &= scores | (apart + up < 0)
            unlike |= ~scores & (apart - down > 0)
            inside.append((np.where(scores, np.inf, -apart), np.where(scores, 1.0, up)))
            beyond.append((np.where(scores, -np.inf, apart), np.where(scores, 1.0, down)))
    p_within = np.max([_p(far, length, quantile, df) for far, length in inside], axis=0)
    p_exceeds = np.min([_p(far, length, quantile, df) for far, length in beyond], axis=0)
    lost = np.isnan(ends).any(axis=0) | np.isnan(gap)
    of_misses: Bools = np.asarray(p.mean(axis=0) > 0.5)
    shown, shown_limits = _rarer(p, limits, of_misses)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(scores | lost, np.nan, shown[0] / shown[1])
    low, high = ratio_ends(shown, shown_limits, correlation)
    no_ratio = ~np.isfinite(ratio)
    return Claims(
        np.where(lost, np.nan, p_within),
        np.where(lost, np.nan, np.minimum(2 * p_exceeds, 1.0)),
        np.where(no_ratio, np.nan, ratio),
        np.where(no_ratio, np.nan, np.minimum(low, ratio)),
        np.where(no_ratio, np.nan, np.maximum(high, ratio)),
        of_misses,
        alike,
        unlike,
    )


def ratio_ends(p: Array, limits: Array, correlation: Array) -> tuple[Array, Array]:
    r"""Ends of p[0] / p[1] by MOVER: the ratios at which the contrast's interval ends at 0.

    Parameters
    ----------
    p : float64 array of shape (2, ...)
    limits : float64 array of shape (2, 2, ...)
        Low and high of each.
    correlation : float64 array

    Returns
    -------
    low, high : float64 arrays
        Infinite where the lower limit of the second is 0.

    Examples
    --------
    >>> low, high = ratio_ends(
    ...     np.array([0.2, 0.1]), np.array([[0.15, 0.26], [0.07, 0.14]]), np.array(0.0)
    ... )
    >>> round(float(low), 2), round(float(high), 2)
    (1.28, 3.11)
    """
    (low, high), (other_low, other_high) = limits
    product = p[0] * p[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        b = product - correlation * (p[0] - low) * (other_high - p[1])
        a, c = other_high * (2 * p[1] - other_high), low * (2 * p[0] - low)
        lower = np.where(c > 0, c / (b + np.sqrt(np.maximum(b**2 - a * c, 0.0))), 0.0)
        b = product - correlation * (high - p[0]) * (p[1] - other_low)
        a, c = other_low * (2 * p[1] - other_low), high * (2 * p[0] - high)
        upper = np.where(a > 0, (b + np.sqrt(np.maximum(b**2 - a * c, 0.0))) / a, np.inf)
    return np.asarray(lower), np.asarray(upper)


def _ratio_contrasts(
    p: Array, limits: Array, correlation: Array, r: float
) -> Iterator[tuple[Array, Array, Array]]:
    """For hits and misses, each way: x - r y, and its interval's lengths up and down."""
    for flip in (False, True):
        x, ends = _rarer(p, limits, np.full(p.shape[1:], flip))
        for one, two in ((0, 1), (1, 0)):
            (low, high), (other_low, other_high) = ends[one], ends[two]
            up, down = high - x[one], x[one] - low
            other_up, other_down = r * (other_high - x[two]), r * (x[two] - other_low)
            above = up**2 + other_down**2 - 2 * correlation * up * other_down
            below = down**2 + other_up**2 - 2 * correlation * down * other_up
            yield (
                x[one] - r * x[two],
                np.sqrt(np.maximum(above, 0.0)),
                np.sqrt(np.maximum(below, 0.0)),
            )


def _rarer(p: Array, limits: Array, of_misses: Bools) -> tuple[Array, Array]:
    """Rates and limits, those of misses where asked for."""
    return np.where(of_misses, 1 - p, p), np.where(of_misses, 1 - limits[:, ::-1], limits)


def _p(far: Array, length: Array, quantile: Array, df: Array) -> Array:
    """One-sided p of a condition that holds by ``far`` with an interval of this length."""
    from scipy.special import stdtr

    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(length > 0, far / length * quantile, np.copysign(np.inf, far))
    return np.asarray(stdtr(df, -t))
