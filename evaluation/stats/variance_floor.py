r"""Where a group's own queries cannot tell the error of its mean: few informative ones.

If 93% of queries hit, many small groups have no miss at all, and the residuals of those that have
none agree: their variance is far too small, and 16% of fair archives raised an alarm. A mean of n
independent draws is near normal once n is large against its skewness squared; for
:math:`n^* < 40\,\gamma^2`, with :math:`n^*` the group's queries over their design effect, the
variance is taken to be at least

.. math:: \sigma^2 \frac{(1-\rho) \sum_p n_p + \rho \sum_p n_p^2}{n^2}

with variance σ², intraclass correlation ρ and skewness γ of the whole archive: under the null
hypothesis the group is like all others. With a factor of 20 in place of 40, 4 to 11% of fair
archives still raised an alarm.

References
----------
Boos and Hughes-Oliver, *How large does n have to be for Z and t intervals?*, The American
Statistician 54:121, 2000 (n against squared skewness); Donner and Koval, Biometrics 36:19, 1980.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pooled", "intraclass", "pooled_likeness"]

Array = NDArray[np.float64]
_ENOUGH = 40.0


@dataclass(frozen=True)
class Pooled:
    """An archive's single queries, all groups together; float64 arrays of shape (n_outcomes,)."""

    variance: Array
    icc: Array
    skewness: Array

    def least(self, n: Array, own: Array, together: Array) -> Array:
        r"""Least variance of means under the null hypothesis; 0 where the group tells its own.

        Given queries, and sums over queries (``own``) and patients (``together``) of squared
        weights, 1 / n and :math:`\sum_p n_p^2 / n^2` for a mean; arrays (..., n_outcomes).
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            factor = (1 - self.icc) * own + self.icc * together
            effective = np.minimum(n, 1 / factor)
            few = effective < _ENOUGH * self.skewness**2
        return np.where(few, self.variance * factor, 0.0)


def pooled_likeness(centred: Array, s: Array, n: Array) -> Pooled:
    """Describe centred outcomes (n_queries, n_outcomes), 0 where not measured.

    ``s`` and ``n`` (n_patients, n_outcomes) are their sums, and measured queries, by patient.
    """
    total = n.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = (centred**2).sum(axis=0)
        variance = squares / total
        skewness = (centred**3).sum(axis=0) / total / variance**1.5
        icc = intraclass(squares, s, n)
    return Pooled(
        np.nan_to_num(variance),
        np.clip(np.nan_to_num(icc, posinf=0.0, neginf=0.0), 0.0, 1.0),
        np.nan_to_num(skewness, posinf=0.0, neginf=0.0),
    )


def intraclass(squares: Array, s: Array, n: Array) -> Array:
    r"""Intraclass correlation of patients' queries by analysis of variance.

    :math:`(MSB - MSW) / (MSB + (n_0 - 1) MSW)` with :math:`n_0 = (n - \sum n_p^2 / n) / (k - 1)`;
    NaN with one query each, or without variation. ``squares`` (n_outcomes,) sums those of the
    centred outcomes; ``s`` and ``n`` are as in :func:`pooled_likeness`.
    """
    total, k = n.sum(axis=0), (n > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = np.where(n > 0, s**2 / n, 0.0).sum(axis=0)
        msb, msw = between / (k - 1), np.maximum(squares - between, 0.0) / (total - k)
        usual = (total - (n**2).sum(axis=0) / total) / (k - 1)
        return np.asarray((msb - msw) / (msb + (usual - 1) * msw))
