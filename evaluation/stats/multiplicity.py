"""Many tests at once: Holm within each declared family, and permutation max-T as a check."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from evaluation.stats.score_test import score_statistic
from medembed.errors import InputError

__all__ = ["holm", "holm_by_family", "max_t"]

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def holm(p_values: ArrayLike) -> Array:
    """Adjust p-values so that a family's chance of any false alarm keeps its level.

    A test that could not be made is NaN, stays NaN and is not counted (Holm, Scand. J. Statist.
    6:65, 1979).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, float("nan")])
    array([0.03, 0.06, 0.06,  nan])
    """
    p = np.asarray(p_values, dtype=np.float64)
    made = ~np.isnan(p)
    if p.ndim != 1 or ((p[made] < 0) | (p[made] > 1)).any():
        raise InputError("p-values outside 0 to 1")
    out = np.full(p.shape, np.nan)
    order = np.flatnonzero(made)[np.argsort(p[made], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return out


def holm_by_family(p_values: ArrayLike, families: Sequence[str]) -> Array:
    """Apply :func:`holm` within each family of tests, declared before the data was looked at.

    Examples
    --------
    >>> holm_by_family([0.02, 0.02, 0.02], ["primary", "explored", "explored"])
    array([0.02, 0.04, 0.04])
    """
    p = np.asarray(p_values, dtype=np.float64)
    family = codes(list(families))
    if p.shape != family.shape or (family < 0).any():
        raise InputError("a test without a family", hint="name one for each")
    out = np.full(p.shape, np.nan)
    for number in range(int(family.max(initial=-1)) + 1):
        out[family == number] = holm(p[family == number])
    return out


def max_t(
    u: Array,
    size: Array,
    groups: Sequence[Ints],
    *,
    families: Ints | None = None,
    against: Ints | None = None,
    permutations: int = 999,
    seed: int = 0,
) -> tuple[Array, Array]:
    r"""Permute groups among patients and see how large the largest |t| becomes (step-down max-T).

    A patient keeps its queries and their outcomes; its groups in all attributes move together to
    another patient, so that tests keep their correlation.

    Parameters
    ----------
    u, size : float64 arrays of shape (n_patients, n_outcomes)
        Sum of residuals, and queries, of each patient.
    groups : sequence of int arrays of shape (n_patients,)
        Each attribute's groups, from 0; tests are all groups of the first, then of the next.
    families : int array of shape (n_tests, n_outcomes), optional
        Maxima are taken within each; below 0 for what is no test. One family by default.
    against : int array of shape (n_tests,), optional
        Test of the group that each is compared with; below 0, and by default, everybody else.

    Returns
    -------
    t, p_adjusted : float64 arrays of shape (n_tests, n_outcomes)
        The score statistic, NaN where not assessable, and p.

    Notes
    -----
    Patients' residual sums :math:`u_p` do not change under permutation: each is one product of the
    groups' membership with :math:`(u, u^2, n, [n > 0])`. p is
    :math:`(1 + \#\{\max |t^*| \ge |t|\}) / (1 + B)` (Westfall and Young, *Resampling-Based
    Multiple Testing*, 1993, algorithm 4.1).
    """
    from scipy.sparse import csr_array  # the command line starts without scipy

    # Patients of the same groups in all attributes are interchangeable: fewer sums to take.
    kinds, kind = np.unique(np.stack(groups, axis=1), axis=0, return_inverse=True)
    kind = kind.ravel()
    wide = [int(g.max(initial=-1)) + 1 for g in groups]
    at = np.concatenate([kinds[:, i] + sum(wide[:i]) for i in range(len(groups))])
    to = np.tile(np.arange(len(kinds)), len(groups))
    member = csr_array((np.ones(len(at)), (at, to)), shape=(sum(wide), len(kinds)))
    # Outcomes that were measured on the same queries share their columns of sizes.
    sizes, column = np.unique(size, axis=1, return_inverse=True)
    column = column.ravel()
    table = np.concatenate([u, u**2, sizes, (sizes > 0).astype(np.float64)], axis=1)
    everything, m, w = table.sum(axis=0), u.shape[1], sizes.shape[1]
    where = np.concatenate([np.arange(2 * m), 2 * m + column, 2 * m + w + column])
    order = np.argsort(kind, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(kind, minlength=len(kinds)))])

    chosen = None if against is None or (against < 0).all() else against[:, None]

    def statistics(order: Ints) -> Array:
        pick = csr_array((np.ones(len(order)), order, start), shape=(len(kinds), len(order)))
        inside = (member @ (pick @ table))[:, where]
        u, squares, n, k = np.split(inside, 4, axis=1)
        others = everything[where] - inside
        if chosen is not None:
            others = np.where(chosen < 0, others, inside[chosen[:, 0]])
        rest_u, rest_squares, rest_n, rest_k = np.split(others, 4, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            gap, rest = u / n - rest_u / rest_n, np.maximum(rest_squares, 0) / rest_n**2
            return score_statistic(
                gap, squares / n**2, rest, np.zeros_like(gap), k, rest_k, k + rest_k
            )[0]

    t = statistics(order)
    family = np.zeros(t.shape, dtype=np.int64) if families is None else families
    usable = ~np.isnan(t) & (family >= 0)
    size_of_t, family = np.abs(t[usable]), family[usable]
    ranks = [np.flatnonzero(family == f) for f in np.unique(family)]
    ranks = [r[np.argsort(-size_of_t[r], kind="stable")] for r in ranks]
    rng = np.random.default_rng(seed)
    beyond, given = np.zeros(len(size_of_t)), np.empty(len(u), dtype=np.int64)
    for _ in range(permutations):
        given[rng.permutation(len(u))] = np.arange(len(u))  # who takes each one's groups
        drawn = np.nan_to_num(np.abs(statistics(given[order])[usable]))
        for r in ranks:
            largest = np.maximum.accumulate(drawn[r][::-1])[::-1]  # over this and lesser tests
            beyond[r] += largest >= size_of_t[r] - 1e-9
    flat = np.empty(len(size_of_t))
    for r in ranks:
        flat[r] = np.maximum.accumulate((1 + beyond[r]) / (1 + permutations))
    adjusted = np.full(t.shape, np.nan)
    adjusted[usable] = flat
    return t, adjusted
