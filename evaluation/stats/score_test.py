r"""Is one group served otherwise than another? A score test with patients as units.

The variance is taken under the null hypothesis: residuals are centred on the pooled mean of both
groups, not on each group's own. An ordinary (Wald) test takes a group's own variance, which in a
small group with few misses is far too small; over the many tests of an audit that alone raised an
alarm in 24 to 30% of fair archives, this one in 5%.

For groups g and r with n queries of k patients each,

.. math:: t = \frac{m_g - m_r}{\sqrt{v_g + v_r - 2 c_{gr}}}, \qquad
   v_g = \frac{k_g}{k_g-1} \frac{\sum_p u_{pg}^2}{n_g^2}, \qquad
   c_{gr} = \frac{K}{K-1} \frac{\sum_p u_{pg} u_{pr}}{n_g n_r}

where :math:`u_{pg}` sums the residuals of patient p's queries in g, and K counts the patients of
both. The covariance c is 0 unless patients have queries in both groups (view, scanner, year).
t is held against Student's distribution with Satterthwaite's degrees of freedom,
:math:`(v_g + v_r)^2 / (v_g^2/(k_g-1) + v_r^2/(k_r-1))`.

References
----------
Boos, *On generalized score tests*, The American Statistician 46:327, 1992; Guo et al.,
*Small-sample performance of the robust score test*, Statistics in Medicine 24:3479, 2005;
Satterthwaite, Biometrics Bulletin 2:110, 1946.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from evaluation.stats.clusters import cluster_sums
from medembed.errors import InputError

__all__ = [
    "GroupTests",
    "ScoreTest",
    "group_tests",
    "score_statistic",
    "score_test",
    "two_sided",
]

_FLAT = 1e-18


@dataclass(frozen=True)
class ScoreTest:
    """A comparison of two groups.

    Parameters
    ----------
    gap : float
        Mean of the first less that of the second; NaN where one has no query.
    t, df, p : float
        NaN where not assessable: fewer than two patients in a group, or outcomes that do not vary.
    """

    gap: float
    t: float
    df: float
    p: float


@dataclass(frozen=True)
class GroupTests:
    """Each group against all others, for each outcome.

    Parameters
    ----------
    groups : array of shape (n_groups,)
        Names, sorted.
    mean, rest_mean, gap, t, df, p : float64 arrays of shape (n_groups, n_outcomes)
        NaN where not assessable.
    n_queries, n_patients : int arrays of shape (n_groups, n_outcomes)
    """

    groups: NDArray[np.str_] | NDArray[np.int64]
    mean: NDArray[np.float64]
    rest_mean: NDArray[np.float64]
    gap: NDArray[np.float64]
    t: NDArray[np.float64]
    df: NDArray[np.float64]
    p: NDArray[np.float64]
    n_queries: NDArray[np.int64]
    n_patients: NDArray[np.int64]


def score_test(
    outcomes: ArrayLike, patients: ArrayLike, first: ArrayLike, second: ArrayLike
) -> ScoreTest:
    """Compare two groups of queries.

    Parameters
    ----------
    outcomes : float array of shape (n_queries,)
        NaN where not measured.
    patients : array of shape (n_queries,)
    first, second : bool arrays of shape (n_queries,)
        The groups; no query in both.

    Raises
    ------
    InputError
        Where arrays do not fit each other or a query is in both groups.

    Examples
    --------
    >>> found = score_test([1, 1, 0, 1, 0, 0], list("abcdef"), [True] * 3 + [False] * 3,
    ...                    [False] * 3 + [True] * 3)
    >>> round(found.gap, 3), round(found.t, 3), round(found.df, 1), round(found.p, 2)
    (0.333, 0.667, 4.0, 0.54)
    """
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


def group_tests(outcomes: ArrayLike, patients: ArrayLike, groups: ArrayLike) -> GroupTests:
    """Compare each group with all other queries, for several outcomes at once.

    Parameters
    ----------
    outcomes : float array of shape (n_queries, n_outcomes) or (n_queries,)
        NaN where not measured.
    patients : array of shape (n_queries,)
    groups : array of shape (n_queries,)
        Text, "unknown" being a group like any other, or whole numbers.

    Returns
    -------
    GroupTests
        The same numbers as :func:`score_test` gives one by one; here from sums over the pairs of
        patient and group, in time linear in the queries.
    """
    values = np.asarray(outcomes, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    owner, group = codes(patients), codes(groups)
    if values.ndim != 2 or not len(values) == len(owner) == len(group) or not len(values):
        raise InputError("outcomes, patients and groups of different numbers of queries")
    if (owner < 0).any() or (group < 0).any():
        raise InputError("a query without a patient or a group", hint='"unknown" is a group')
    if np.isinf(values).any():
        raise InputError("an outcome that is infinite")
    n_groups = int(group.max()) + 1
    cell, of = np.unique(owner * n_groups + group, return_inverse=True)
    cell_owner, cell_group = cell // n_groups, cell % n_groups
    measured = ~np.isnan(values)
    size = _sums(of, measured.astype(np.float64), len(cell))  # (cells, outcomes)
    total = _sums(of, np.where(measured, values, 0.0), len(cell))
    n_all = size.sum(axis=0)
    with np.errstate(invalid="ignore"):
        pooled = total.sum(axis=0) / n_all
    residual = np.where(size > 0, total - pooled * size, 0.0)
    whole = _sums(cell_owner, residual, int(owner.max()) + 1)[cell_owner]  # its patient's residual
    patient_size = _sums(cell_owner, size, int(owner.max()) + 1)

    n = _sums(cell_group, size, n_groups)
    k = _sums(cell_group, (size > 0).astype(np.float64), n_groups)
    squares = _sums(cell_group, residual**2, n_groups)
    with_whole = _sums(cell_group, residual * whole, n_groups)
    alone = _sums(
        cell_group, ((size > 0) & (size == patient_size[cell_owner])).astype(np.float64), n_groups
    )
    everyone = (patient_size > 0).sum(axis=0).astype(np.float64)
    rest_n, rest_k = n_all - n, everyone - alone
    whole_squares = (_sums(cell_owner, residual, int(owner.max()) + 1) ** 2).sum(axis=0)
    rest_squares = np.maximum(whole_squares - 2 * with_whole + squares, 0.0)
    cross = with_whole - squares
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = _sums(cell_group, total, n_groups) / n
        rest_mean = (total.sum(axis=0) - _sums(cell_group, total, n_groups)) / rest_n
        gap = mean - rest_mean
        t, df = score_statistic(
            gap, squares / n**2, rest_squares / rest_n**2, cross / (n * rest_n),
            k, rest_k, np.broadcast_to(everyone, k.shape),
        )  # fmt: skip
    names = np.unique(np.asarray(groups))
    return GroupTests(
        groups=names,
        mean=mean,
        rest_mean=rest_mean,
        gap=gap,
        t=t,
        df=df,
        p=two_sided(t, df),
        n_queries=n.astype(np.int64),
        n_patients=k.astype(np.int64),
    )


def _sums(of: NDArray[np.int64], table: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.stack([np.bincount(of, column, n) for column in table.T], axis=1)


def score_statistic(
    gap: NDArray[np.float64],
    squares: NDArray[np.float64],
    rest_squares: NDArray[np.float64],
    cross: NDArray[np.float64],
    k: NDArray[np.float64],
    rest_k: NDArray[np.float64],
    everyone: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give t and its degrees of freedom; NaN with fewer than two patients or without variation."""
    with np.errstate(invalid="ignore", divide="ignore"):
        v = k / (k - 1) * squares
        rest_v = rest_k / (rest_k - 1) * rest_squares
        covariance = np.where(cross != 0, everyone / (everyone - 1) * cross, 0.0)
        variance = v + rest_v - 2 * covariance
        usable = (k >= 2) & (rest_k >= 2) & (variance > _FLAT)
        t = np.where(usable, gap / np.sqrt(np.where(usable, variance, 1.0)), np.nan)
        df = (v + rest_v) ** 2 / (v**2 / (k - 1) + rest_v**2 / (rest_k - 1))
    return t, np.where(usable, df, np.nan)


def two_sided(t: NDArray[np.float64], df: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the p-value of t on either side."""
    from scipy.special import stdtr  # not at import: the command line starts without scipy

    return np.asarray(2 * stdtr(df, -np.abs(t)))
