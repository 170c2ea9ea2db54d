r"""Did outcomes change between two runs over the same patients?

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
from numpy.typing import NDArray

from evaluation.audit.contrasts import compare
from evaluation.audit.table_input import read_queries
from evaluation.stats.bootstrap_t import bootstrap_t_means
from evaluation.stats.cluster_sums import add_up
from evaluation.stats.proportions import join_ends, korn_graubard
from evaluation.stats.score_test import two_sided
from evaluation.stats.verdict import Minimum

__all__ = [
    "Changes",
    "by_patient",
    "correlation",
    "gain_loss_ends",
    "paired_changes",
    "repeated_changes",
]

Array = NDArray[np.float64]
Owners = NDArray[np.int64]
_FLAT = 1e-24
_EVERY_SIZE, _ANY = Minimum(1, 1), Minimum(2, 2)
"""Intervals are made of any two patients: which of them may be shown is decided by the rows."""


@dataclass(frozen=True)
class Changes:
    """What became of each outcome; arrays of shape (n_outcomes,).

    Parameters
    ----------
    before, after, change : float64 arrays
        Means over queries, and ``after - before``; NaN where nothing is measured in both runs.
    p : float64 array
        Of the hypothesis of no change; NaN with fewer than two patients, or if none changed.
    ends : float64 array of shape (2, 2, n_outcomes)
        Of the change, at the levels ``1 - alpha`` and ``1 - 2 alpha``, low and high; all four NaN
        where there are none.
    n_queries, n_patients : int arrays
        Paired: those measured in both runs. Else queries of the later run, patients of either.
    """

    before: Array
    after: Array
    change: Array
    p: Array
    ends: Array
    n_queries: Owners
    n_patients: Owners


def paired_changes(
    before: Array,
    after: Array,
    owner: Owners,
    *,
    alpha: float = 0.05,
    repetitions: int = 2000,
    seed: int = 0,
) -> Changes:
    """Compare two runs query by query, with patients as units.

    Parameters
    ----------
    before, after : float64 arrays of shape (n_queries, n_outcomes)
        The same query in each row; NaN where not measured. A query that was not measured in both
        is left out.
    owner : int array of shape (n_queries,)
        Numbers of patients.
    alpha, repetitions, seed
        Of the bootstrap-t, which gives the intervals of outcomes other than 0 and 1.

    Notes
    -----
    Intervals of outcomes of 0 and 1 come from :func:`gain_loss_ends`, which says something even
    where no query changed; so do those of other outcomes between 0 and 1 where draws without
    variation leave the bootstrap-t without an end.

    Examples
    --------
    >>> before, after = np.array([[0.0], [0], [1], [0], [1], [0]]), np.array([[1.0]] * 6)
    >>> found = paired_changes(before, after, np.arange(6))
    >>> found.change.round(3), found.p.round(3), found.n_patients
    (array([0.667]), array([0.127]), array([6]))
    """
    both = ~(np.isnan(before) | np.isnan(after))
    before, after = (np.where(both, run, np.nan) for run in (before, after))
    difference = after - before
    s, n = by_patient(difference, owner)
    total, k = n.sum(axis=0), (n > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second = (np.nansum(run, axis=0) / total for run in (before, after))
        change = s.sum(axis=0) / total
        p = _p(change, s / total, k)
    values = np.concatenate([before, after])
    binary = (np.isnan(values) | (values == 0) | (values == 1)).all(axis=0)
    levels = (1 - alpha, 1 - 2 * alpha)
    ends = np.full((2, 2, len(total)), np.nan)
    scores = np.flatnonzero(~binary & (k >= 2))
    if len(scores):
        ends[..., scores] = bootstrap_t_means(
            difference[:, scores], owner, repetitions=repetitions, levels=levels, seed=seed
        )[2]
    open_ended = np.flatnonzero(np.isnan(ends).any(axis=(0, 1)) & _bounded(values) & (k >= 2))
    if len(open_ended):
        ends[..., open_ended] = [
            gain_loss_ends(difference[:, open_ended], owner, level=level) for level in levels
        ]
    ends = _holding(ends, change, values)
    return Changes(first, second, change, p, ends, total.astype(np.int64), k)


def gain_loss_ends(difference: Array, owner: Owners, *, level: float = 0.95) -> Array:
    """Give a change's interval as that of the share gained less that of the share lost.

    ``difference``, shape (n_queries, n_outcomes), is within -1 to 1, NaN where not measured; the
    ends have shape (2, n_outcomes).

    Notes
    -----
    Each share has its Korn–Graubard interval; MOVER joins them, with the correlation of patients'
    gains and losses. Where no query changed both ends come from the number of patients alone: at
    60 patients a change of up to 6 points is not excluded, and the interval says so.

    Examples
    --------
    >>> gain_loss_ends(np.zeros((60, 1)), np.arange(60)).round(3).ravel()
    array([-0.06,  0.06])
    """
    (gain, n), (loss, _) = (
        by_patient(np.maximum(sign * difference, 0.0), owner) for sign in (1.0, -1.0)
    )
    one, two = (korn_graubard(s, n, level=level)[:3] for s in (gain, loss))
    joined = join_ends(*one, *two, correlation(gain, n, loss, n))
    return np.clip(np.stack(joined), -1.0, 1.0)


def repeated_changes(
    outcomes: Array,
    later: NDArray[np.bool_],
    owner: Owners,
    *,
    alpha: float = 0.05,
    repetitions: int = 2000,
    seed: int = 0,
) -> Changes:
    """Compare two runs over other queries, of which patients may be the same.

    Parameters
    ----------
    outcomes : float64 array of shape (n_queries, n_outcomes)
        Of both runs; NaN where not measured.
    later : bool array of shape (n_queries,)
        Whether of the second run.
    owner, alpha, repetitions, seed
        As in :func:`paired_changes`. A patient in both runs makes the means correlated.

    Notes
    -----
    The runs are two groups, compared as any two by :func:`evaluation.audit.contrasts.compare`.
    Where every patient is in both, the patient's two contributions are one, with k - 1 degrees of
    freedom, as in :func:`paired_changes`.
    """
    columns = {str(number): column for number, column in enumerate(outcomes.T)}
    queries = read_queries(
        {"patient": owner, "run": later.astype(int), **columns}, list(columns), ["run"],
        patient="patient", minimum=_EVERY_SIZE,
    )  # fmt: skip
    (block,) = compare(
        queries, contrasts="rest", minimum=_ANY, alpha=alpha, repetitions=repetitions, seed=seed
    )
    # The last group is the later run; of one run alone, it is without a rest.
    compared = (block.measure.k[-1] > 0) & (block.other_k[-1] >= _ANY.reported)
    limits = np.where(_bounded(outcomes), [[0.0], [1.0]], [[-np.inf], [np.inf]])
    before, after = (
        np.where(compared, np.clip(mean[-1] * queries.scale, *limits), np.nan)
        for mean in (block.other_mean, block.measure.mean)
    )
    change = np.where(compared, block.gap[-1] * queries.scale, np.nan)
    (b, n_b), (a, n_a) = (
        by_patient(np.where((later == run)[:, None], outcomes, np.nan), owner)
        for run in (False, True)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (a + b).sum(axis=0) / (n_a + n_b).sum(axis=0)
        shares = (a - pooled * n_a) / n_a.sum(axis=0) - (b - pooled * n_b) / n_b.sum(axis=0)
    same = ((n_a > 0) == (n_b > 0)).all(axis=0)
    p = np.where(same, _p(change, shares, (n_a > 0).sum(axis=0)), block.p[-1])
    ends = _holding(block.ends[:, :, -1] * queries.scale, change, outcomes)
    n_queries, n_patients = n_a.sum(axis=0).astype(np.int64), ((n_a + n_b) > 0).sum(axis=0)
    return Changes(
        before, after, change, np.where(compared, p, np.nan), ends,
        np.where(compared, n_queries, 0), np.where(compared, n_patients, 0),
    )  # fmt: skip


def correlation(s: Array, n: Array, other_s: Array, other_n: Array) -> Array:
    """Correlation of two means over patients, from their sums (n_patients, n_outcomes)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        u, w = (x - x.sum(axis=0) / m.sum(axis=0) * m for x, m in ((s, n), (other_s, other_n)))
        spread = np.sqrt((u**2).sum(axis=0) * (w**2).sum(axis=0))
        found = np.where(spread > _FLAT, (u * w).sum(axis=0) / spread, 0.0)
    return np.clip(found, -1.0, 1.0)


def by_patient(values: Array, owner: Owners) -> tuple[Array, Array]:
    """Sums, and numbers of measured queries, of each patient (n_patients, n_outcomes)."""
    names, place = np.unique(owner, return_inverse=True)
    measured = ~np.isnan(values)
    sums = add_up(place, np.where(measured, values, 0.0), len(names))
    return sums, add_up(place, measured.astype(np.float64), len(names))


def _bounded(values: Array) -> NDArray[np.bool_]:
    """Outcomes of 0 to 1."""
    return np.asarray((np.isnan(values) | ((values >= 0) & (values <= 1))).all(axis=0))


def _p(change: Array, shares: Array, k: Owners) -> Array:
    """Two-sided p of k patients' shares of a change, their variance taken where there is none."""
    squares = (shares**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = change / np.sqrt(k / (k - 1) * squares)
    return np.where((k >= 2) & (squares > _FLAT), two_sided(t, (k - 1).astype(np.float64)), np.nan)


def _holding(ends: Array, change: Array, values: Array) -> Array:
    """Both intervals or none; each holds the change and leaves no range that outcomes have."""
    most = np.where(_bounded(values), 1.0, np.inf)
    low = np.maximum(np.minimum(ends[:, 0], change), -most)
    high = np.minimum(np.maximum(ends[:, 1], change), most)
    return np.where(np.isnan(ends).any(axis=(0, 1)), np.nan, np.stack([low, high], axis=1))
