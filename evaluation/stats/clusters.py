r"""The patient as the sampling unit: sums over a patient's queries, and what follows from them.

For a set of queries :math:`i` of patients :math:`p` with outcomes :math:`y_i`, the mean is
:math:`m = \sum y_i / n`. What a patient contributes to its error is the sum of residuals
:math:`u_p = \sum_{i \in p} (y_i - c)`, and

.. math:: v = \frac{k}{k-1} \frac{\sum_p u_p^2}{n^2}

is the variance of the mean over k patients. With :math:`c = m` it is the usual linearised variance
of a ratio (Taylor series, with-replacement primary units); with c the pooled mean of both groups
of a comparison it is the variance under the null hypothesis (:mod:`evaluation.stats.score_test`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from medembed.errors import InputError

__all__ = ["ClusterMean", "ClusterSums", "cluster_mean", "cluster_sums"]


@dataclass(frozen=True)
class ClusterSums:
    """Sums over the measured queries of each patient.

    Parameters
    ----------
    sums, sizes : float64 arrays of shape (n_patients,)
        Sum of outcomes, and number of queries; each patient has at least one.
    patients : int array of shape (n_patients,)
        Number of the patient among all that were given.
    """

    sums: NDArray[np.float64]
    sizes: NDArray[np.float64]
    patients: NDArray[np.int64]


@dataclass(frozen=True)
class ClusterMean:
    """A mean over queries and its error over patients.

    Parameters
    ----------
    mean : float
    variance : float or None
        Of the mean, patients as units; None with fewer than two patients.
    n_queries, n_patients : int
    design_effect : float or None
        ``variance`` against that of as many independent queries; None where outcomes do not vary.
    icc : float or None
        Intraclass correlation by analysis of variance; None where it is not defined.
    """

    mean: float
    variance: float | None
    n_queries: int
    n_patients: int
    design_effect: float | None
    icc: float | None


def cluster_sums(
    outcomes: ArrayLike, patients: ArrayLike, among: ArrayLike | None = None
) -> ClusterSums:
    """Add up the outcomes of each patient.

    Parameters
    ----------
    outcomes : float array of shape (n_queries,)
        NaN where not measured: such a query is left out.
    patients : array of shape (n_queries,)
        Whole numbers or text.
    among : bool array of shape (n_queries,), optional
        Which queries to take.

    Raises
    ------
    InputError
        Where the lengths differ, an outcome is infinite or a query has no patient.
    """
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
    r"""Mean of the outcomes, its variance over patients, design effect and ICC.

    Parameters
    ----------
    outcomes, patients, among
        As in :func:`cluster_sums`.

    Raises
    ------
    InputError
        Where no query is measured.

    Notes
    -----
    The design effect is :math:`v \,/\, (s^2 / n)` with :math:`s^2` the sample variance of the
    outcomes; the ICC is :math:`(MSB - MSW) / (MSB + (n_0 - 1) MSW)` with
    :math:`n_0 = (n - \sum n_p^2 / n) / (k - 1)`.

    References
    ----------
    Kish, *Survey Sampling*, 1965, §5.4 and §8.2; Donner and Koval, Biometrics 36:19, 1980 (ICC).

    Examples
    --------
    >>> found = cluster_mean([1, 1, 0, 0, 1, 0], ["a", "a", "b", "b", "c", "d"])
    >>> found.mean, found.n_patients, round(found.design_effect, 3), found.icc
    (0.5, 4, 1.852, 1.0)
    """
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
