r"""Probabilities for scores, and how far they are from the truth, without the error of few cases.

A perfectly calibrated score has a plain expected calibration error of .096 at 100 cases. In bins b
of equal numbers of cases, with :math:`\delta_b` the mean of truth less probability, w its weights
(W their diagonal matrix) and C the covariance of the :math:`\delta` over patients,

.. math:: E^2 = \sum_b w_b (\delta_b^2 - C_{bb})

is free of that; its root, or 0, is the error. Beside a true error x, :math:`\delta^T W \delta` is
about :math:`\mathrm{tr}(WC) / f` times a chi-square of :math:`f = \mathrm{tr}(WC)^2 /
\mathrm{tr}(WCWC)` degrees of freedom (Satterthwaite) and non-centrality :math:`f x^2 /
\mathrm{tr}(WC)`; the interval holds the x that agree with it.

References
----------
Bröcker, Climate Dynamics 39:655, 2012; Kumar, Liang and Ma, *Verified uncertainty calibration*,
NeurIPS 2019, §4 (debiased estimator); Platt, *Probabilistic outputs for support vector machines*,
1999 (:func:`fit_platt`); Zou and Donner, Statistics in Medicine 27:1693, 2008 (MOVER).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from evaluation.stats.logistic import expit, logistic_mode
from medembed.errors import InputError

__all__ = [
    "CalibrationError", "Platt", "calibration_error", "calibration_gap", "fit_platt", "known_kinds",
]  # fmt: skip

_BINS = 10


@dataclass(frozen=True)
class Platt:
    """A logistic curve from a score to a probability."""

    slope: float
    intercept: float

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Probabilities, of the shape of the scores."""
        return expit(self.slope * np.asarray(scores, dtype=np.float64) + self.intercept)


def fit_platt(scores: ArrayLike, truth: ArrayLike) -> Platt:
    """Fit the curve on another split than the one that is assessed.

    Parameters
    ----------
    scores, truth : float arrays of shape (n,)
        Truth is 1, 0, or NaN where not known; both kinds have to be there.

    Notes
    -----
    Targets are Platt's :math:`(n_1 + 1)/(n_1 + 2)` and :math:`1/(n_0 + 2)`, so that the curve stays
    finite where the scores tell the kinds apart.
    """
    values, kind = known_kinds(scores, truth)
    n1, n0 = float(kind.sum()), float((~kind).sum())
    target = np.where(kind, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    centre, spread = float(values.mean()), float(values.std()) or 1.0
    design = np.stack([(values - centre) / spread, np.ones_like(values)], axis=1)
    slope, level = logistic_mode(design, target, np.full(2, 1e-9)).tolist()
    return Platt(slope / spread, level - slope * centre / spread)


def known_kinds(
    scores: ArrayLike, truth: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of known truth, and which are positive."""
    values, y = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if values.ndim != 1 or values.shape != y.shape:
        raise InputError("scores and truth of different length")
    known = ~np.isnan(y)
    if not np.isin(y[known], (0.0, 1.0)).all() or not np.isfinite(values[known]).all():
        raise InputError("a truth that is neither 0 nor 1, or a score that is not finite")
    kind = y[known] == 1
    if kind.all() or not kind.any():
        raise InputError("cases of one kind only")
    return values[known], kind


@dataclass(frozen=True)
class CalibrationError:
    """A debiased calibration error.

    Parameters
    ----------
    n_cases, n_patients : int
    squared : float
        E².
    error, low, high : float
        Root of E² and the ends of its interval; 0 where those would be below.
    reach : float
        How far 0 stands from the error, 1 being the interval's lower end had it none to stop at; 1
        where the interval does not hold 0.
    slope, noise : float
        Of the variance: by E², and without an error.
    """

    n_cases: int
    n_patients: int
    squared: float
    error: float
    low: float
    high: float
    reach: float
    slope: float
    noise: float

    def variance(self, squared: float) -> float:
        """Of the estimate of E² where the true one is ``squared``."""
        return 4 * self.slope * max(0.0, squared) + self.noise


def calibration_error(
    probabilities: ArrayLike,
    truth: ArrayLike,
    patients: ArrayLike,
    *,
    level: float = 0.95,
) -> CalibrationError:
    """Give the debiased calibration error, in at most 10 bins of 20 cases or more.

    Parameters
    ----------
    probabilities, truth : float arrays of shape (n,)
        Truth is 1, 0, or NaN where not known.
    patients : array of shape (n,)
    level : float
        Of the interval over patients.

    Raises
    ------
    InputError
        Where a probability lies outside 0 to 1, or the truth of fewer than two patients is known.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    owner = codes(patients)
    if not p.shape == y.shape == owner.shape:
        raise InputError("probabilities, truth and patients of different length")
    kept = ~np.isnan(y)
    p, y, owner = p[kept], y[kept], np.unique(owner[kept], return_inverse=True)[1]
    n, k = len(p), int(owner.max(initial=-1)) + 1
    if k < 2:
        raise InputError("fewer than two patients whose truth is known")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("probabilities outside 0 to 1")
    n_bins = max(1, min(_BINS, n // 20))
    place = np.empty(n, dtype=np.int64)
    place[np.argsort(p, kind="stable")] = np.arange(n) * n_bins // n
    size = np.bincount(place, minlength=n_bins).astype(np.float64)
    delta = np.bincount(place, y - p, n_bins) / size
    parts = np.zeros((k, n_bins))
    np.add.at(parts, (owner, place), (y - p - delta[place]) / size[place])
    # Each bin's patients are its own: the correction for the centring is theirs.
    cells = np.zeros((k, n_bins), dtype=np.bool_)
    cells[owner, place] = True
    units = np.maximum(cells.sum(axis=0), 2).astype(np.float64)
    parts *= np.sqrt(units / (units - 1))
    covariance = parts.T @ parts
    w = size / n
    squared = float(np.sum(w * (delta**2 - np.diag(covariance))))
    weighted = (w[:, None] * covariance) * w[None, :]
    noise = 2 * float(np.sum(weighted * covariance))
    trace = float(np.sum(w * np.diag(covariance)))
    error = max(0.0, squared) ** 0.5
    if trace <= 1e-12:  # no case differs from its bin's mean
        return CalibrationError(n, k, squared, error, error, error, 1.0, 0.0, 0.0)
    freedom = 2 * trace**2 / noise
    value = (squared + trace) * freedom / trace
    low, high = (
        (_centre(value, freedom, p) * trace / freedom) ** 0.5
        for p in ((1 + level) / 2, (1 - level) / 2)
    )
    reach = 1.0 if low > 0 else _reach(value, freedom, level)
    return CalibrationError(
        n, k, squared, error, min(low, error), max(high, error), reach, trace / freedom, noise
    )


def calibration_gap(one: CalibrationError, two: CalibrationError) -> tuple[float, float]:
    r"""Interval (low, high) of the difference of two calibration errors at the same level.

    Notes
    -----
    MOVER takes the farthest difference within an ellipse around both errors. No error lies below 0:
    of a side whose interval begins there the ellipse is cut, with A the half of the other side, b
    the error and r its ``reach``

    .. math:: \max_{s^2 + r^2 t^2 \le 1,\ t \le 1} A s + b t .

    With 0 taken for the end of a whole half, the ends held a difference in 91.8% (0.9).
    """
    gap = one.error - two.error
    low = gap - _farthest(two.high - two.error, one.error - one.low, one.reach)
    return low, gap + _farthest(one.high - one.error, two.error - two.low, two.reach)


def _farthest(whole: float, cut: float, reach: float) -> float:
    if reach <= 0:
        return whole + cut
    free = (whole**2 + (cut / reach) ** 2) ** 0.5
    if cut <= reach**2 * free:  # the ellipse is met before it is cut
        return float(free)
    return float(whole * max(0.0, 1 - reach**2) ** 0.5 + cut)


def _reach(value: float, freedom: float, level: float) -> float:
    """Normal score of a chi-square without non-centrality, in half-lengths of an interval."""
    from scipy.special import chdtr, ndtri  # the command line starts without scipy

    score = float(ndtri(chdtr(freedom, value)) / ndtri((1 + level) / 2))
    return min(1.0, max(0.0, score))


def _centre(value: float, freedom: float, p: float) -> float:
    """Non-centrality where a chi-square lies below ``value`` with probability p; 0 if nowhere."""
    from scipy.optimize import brentq  # the command line starts without scipy
    from scipy.special import chdtr, chndtr, ndtri

    if chdtr(freedom, value) <= p:
        return 0.0
    if value > 1e4:  # as good as normal, and out of reach of the series
        beyond, z2 = value - freedom, float(ndtri(p)) ** 2
        reach = ((beyond + 2 * z2) ** 2 - beyond**2 + 2 * z2 * freedom) ** 0.5
        return max(0.0, float(beyond + 2 * z2 + (reach if p < 0.5 else -reach)))
    far = value + 1.0
    while chndtr(value, freedom, far) > p:
        far *= 2
    return float(brentq(lambda x: float(chndtr(value, freedom, x)) - p, 0.0, far, xtol=1e-9))
