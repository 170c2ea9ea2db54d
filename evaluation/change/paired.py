r"""Did an outcome change between two runs over the same patients?

Two runs over the same queries are far more alike than two groups of patients: what counts is the
difference of each query, summed over its patient. With :math:`D_p = \sum_{i \in p} (y'_i - y_i)`
over n queries of k patients,

.. math:: t = \frac{\bar d}{\sqrt{v}}, \qquad v = \frac{k}{k-1} \frac{\sum_p D_p^2}{n^2}

against Student's distribution with k - 1 degrees of freedom. The sums are not centred on the change
that was found: v is the variance where nothing changed (a score test), which keeps its level where
few queries change at all.

References
----------
Boos, *On generalized score tests*, The American Statistician 46:327, 1992; Newcombe, *Improved
confidence intervals for the difference between binomial proportions based on paired data*,
Statistics in Medicine 17:2635, 1998; Tang, Li and Tang, Statistics in Medicine 29:89, 2010
(MOVER of the discordant proportions).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.stats.clusters import cluster_sums
from evaluation.stats.proportions import gap_interval, korn_graubard, mover
from evaluation.stats.score_test import score_test
from evaluation.stats.studentised import bootstrap_t_gap, bootstrap_t_mean
from medembed.errors import InputError

__all__ = ["Change", "gain_loss_interval", "paired_change", "repeated_change"]

_FLAT = 1e-24


@dataclass(frozen=True)
class Change:
    """What became of an outcome.

    Parameters
    ----------
    before, after, change : float
        Means over queries, and ``after - before``; NaN where nothing is measured in both.
    p : float
        Of the hypothesis of no change; NaN where not assessable: fewer than two patients, or no
        patient that changed.
    interval, inner : (low, high) or None
        Of the change, at the levels ``1 - alpha`` and ``1 - 2 alpha``; None where not assessable,
        and the second where it was not wanted.
    n_queries, n_patients : int
        Of the later run; all of them measured in both where queries are paired.
    """

    before: float
    after: float
    change: float
    p: float
    interval: tuple[float, float] | None
    inner: tuple[float, float] | None
    n_queries: int
    n_patients: int


_NOTHING = Change(np.nan, np.nan, np.nan, np.nan, None, None, 0, 0)


def paired_change(
    before: ArrayLike,
    after: ArrayLike,
    patients: ArrayLike,
    *,
    alpha: float = 0.05,
    repetitions: int = 2000,
    seed: int = 0,
    inner: bool = True,
) -> Change:
    """Compare two runs query by query, with patients as units.

    Parameters
    ----------
    before, after : float arrays of shape (n_queries,)
        The same query in each row; NaN where not measured. A query that was not measured in both
        is left out.
    patients : array of shape (n_queries,)
    alpha : float
    repetitions, seed : int
        Of the bootstrap-t, which gives the intervals of outcomes other than 0 and 1.
    inner : bool
        Whether the interval at the level ``1 - 2 alpha`` is wanted.

    Returns
    -------
    Change

    Raises
    ------
    InputError
        Where arrays do not fit each other or an outcome is infinite.

    Notes
    -----
    Intervals of outcomes of 0 and 1 come from :func:`gain_loss_interval`, which says something
    even where no query changed; so do those of other outcomes between 0 and 1 where draws without
    variation leave the bootstrap-t without an end.

    Examples
    --------
    >>> found = paired_change([0, 0, 1, 0, 1, 0], [1, 0, 1, 1, 1, 1], list("abcdef"))
    >>> found.change, round(found.p, 3), found.n_patients
    (0.5, 0.175, 6)
    """
    one, two, owner, both = _fit(before, after, patients)
    if not both.any():
        return _NOTHING
    one, two, owner = one[both], two[both], owner[both]
    difference = two - one
    sums = cluster_sums(difference, owner)
    change = float(difference.mean())
    p = _p(change, sums.sums / len(difference))
    binary = bool(np.isin(one, (0, 1)).all() and np.isin(two, (0, 1)).all())
    bounded = bool(min(one.min(), two.min()) >= 0 and max(one.max(), two.max()) <= 1)
    levels = (1 - alpha, 1 - 2 * alpha) if inner else (1 - alpha,)
    ends: list[tuple[float, float] | None] = [None]
    if not binary:
        ends = [
            _both(drawn.low, drawn.high)
            for level in levels
            for drawn in [
                bootstrap_t_mean(difference, owner, repetitions=repetitions, level=level, seed=seed)
            ]
        ]
    if None in ends and bounded and len(sums.sums) >= 2:
        ends = [gain_loss_interval(difference, owner, level=level) for level in levels]
    held, within = _holding(ends, change, bounded, inner)
    return Change(
        float(one.mean()), float(two.mean()), change, p, held, within,
        len(difference), len(sums.sums),
    )  # fmt: skip


def gain_loss_interval(
    difference: ArrayLike, patients: ArrayLike, *, level: float = 0.95
) -> tuple[float, float]:
    r"""Interval of a change as that of the share gained less that of the share lost.

    Parameters
    ----------
    difference : float array of shape (n_queries,)
        After less before, within -1 to 1; NaN where not measured.
    patients : array of shape (n_queries,)
    level : float

    Returns
    -------
    (low, high)

    Notes
    -----
    Each share has its Korn–Graubard interval; MOVER joins them, with the correlation of patients'
    gains and losses. Where no query changed both ends come from the number of patients alone: at
    60 patients a change of up to 6 points is not excluded, and the interval says so.

    Examples
    --------
    >>> low, high = gain_loss_interval([0.0] * 60, [str(i) for i in range(60)])
    >>> round(low, 3), round(high, 3)
    (-0.06, 0.06)
    """
    values = np.asarray(difference, dtype=np.float64)
    gain, loss = np.maximum(values, 0.0), np.maximum(-values, 0.0)
    one = korn_graubard(gain, patients, level=level)
    two = korn_graubard(loss, patients, level=level)
    a, b = cluster_sums(gain, patients), cluster_sums(loss, patients)
    ua = a.sums - a.sums.sum() / a.sizes.sum() * a.sizes
    ub = b.sums - b.sums.sum() / b.sizes.sum() * b.sizes
    spread = float(np.sqrt(np.sum(ua**2) * np.sum(ub**2)))
    related = float(np.clip(np.sum(ua * ub) / spread, -1, 1)) if spread > _FLAT else 0.0
    low, high = mover(one.estimate, (one.low, one.high), two.estimate, (two.low, two.high), related)
    return max(low, -1.0), min(high, 1.0)


def repeated_change(
    outcomes: ArrayLike,
    later: ArrayLike,
    patients: ArrayLike,
    *,
    alpha: float = 0.05,
    repetitions: int = 2000,
    seed: int = 0,
    inner: bool = True,
) -> Change:
    """Compare two runs over other queries, of which patients may be the same.

    Parameters
    ----------
    outcomes : float array of shape (n_queries,)
        Of both runs, one after the other; NaN where not measured.
    later : bool array of shape (n_queries,)
        Whether of the second run.
    patients : array of shape (n_queries,)
        A patient in both runs makes the means correlated: that is counted.
    alpha, repetitions, seed, inner

    Returns
    -------
    Change
        ``n_patients`` counts the patients of both runs together.

    Notes
    -----
    Where every patient is in both runs the patient's two contributions are one, with k - 1 degrees
    of freedom, as in :func:`paired_change`; else it is :func:`~evaluation.stats.score_test`.
    """
    values, owner = np.asarray(outcomes, dtype=np.float64), np.asarray(patients)
    mask = np.asarray(later)
    if mask.dtype != np.bool_ or mask.shape != values.shape:
        raise InputError("which outcomes are of the second run is not one bool for each")
    b, a = cluster_sums(values, owner, ~mask), cluster_sums(values, owner, mask)
    if not len(a.sizes) or not len(b.sizes):
        return _NOTHING
    n_before, n_after = b.sizes.sum(), a.sizes.sum()
    first, second = b.sums.sum() / n_before, a.sums.sum() / n_after
    change = float(second - first)
    if np.array_equal(a.patients, b.patients):
        pooled = (a.sums.sum() + b.sums.sum()) / (n_after + n_before)
        share = (a.sums - pooled * a.sizes) / n_after - (b.sums - pooled * b.sizes) / n_before
        p = _p(change, share)
    else:
        p = score_test(values, owner, mask, ~mask).p
    known = values[~np.isnan(values)]
    ends: list[tuple[float, float] | None] = []
    for level in (1 - alpha, 1 - 2 * alpha) if inner else (1 - alpha,):
        if np.isin(known, (0, 1)).all():
            _, *pair = gap_interval(values, owner, mask, ~mask, level=level)
            ends.append(_both(*pair) if min(len(a.sizes), len(b.sizes)) >= 2 else None)
        else:
            drawn = bootstrap_t_gap(
                values, owner, mask, ~mask, repetitions=repetitions, level=level, seed=seed
            )
            ends.append(_both(drawn.low, drawn.high))
    bounded = bool(known.min() >= 0 and known.max() <= 1)
    held, within = _holding(ends, change, bounded, inner)
    return Change(
        float(first), float(second), change, p, held, within,
        int(n_after), len(np.union1d(a.patients, b.patients)),
    )  # fmt: skip


def _fit(
    before: ArrayLike, after: ArrayLike, patients: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.generic], NDArray[np.bool_]]:
    one = np.asarray(before, dtype=np.float64)
    two = np.asarray(after, dtype=np.float64)
    owner = np.asarray(patients)
    if one.ndim != 1 or not one.shape == two.shape == owner.shape:
        raise InputError("two runs and patients of different numbers of queries")
    if np.isinf(one).any() or np.isinf(two).any():
        raise InputError("an outcome that is infinite")
    return one, two, owner, ~(np.isnan(one) | np.isnan(two))


def _p(change: float, shares: NDArray[np.float64]) -> float:
    """Two-sided p of patients' shares of a change, their variance taken where there is none."""
    from scipy.special import stdtr  # not at import: the command line starts without scipy

    k, squares = len(shares), float(np.sum(shares**2))
    if k < 2 or squares <= _FLAT:
        return float("nan")
    t = change / np.sqrt(k / (k - 1) * squares)
    return float(2 * stdtr(k - 1, -abs(t)))


def _both(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _holding(
    ends: list[tuple[float, float] | None], change: float, bounded: bool, inner: bool
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Both intervals or none; each holds the change and leaves no range that outcomes have."""
    found = []
    for pair in ends:
        if pair is None:
            return None, None
        low, high = min(pair[0], change), max(pair[1], change)
        found.append((max(low, -1.0), min(high, 1.0)) if bounded else (low, high))
    return found[0], found[-1] if inner else None
