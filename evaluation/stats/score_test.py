r"""Is one group served otherwise than another? A score test with patients as units.

The variance is taken under the null hypothesis: residuals are centred on the pooled mean of both
groups. A Wald test takes each group's own variance, which in a small group with few misses is far
too small: over the many tests of an audit it raised an alarm in 24 to 30% of fair archives, this
one in 5%.

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

import numpy as np
from numpy.typing import NDArray

__all__ = ["score_statistic", "two_sided"]

Array = NDArray[np.float64]
_FLAT = 1e-18


def score_statistic(
    gap: Array,
    squares: Array,
    rest_squares: Array,
    cross: Array,
    k: Array,
    rest_k: Array,
    everyone: Array,
) -> tuple[Array, Array]:
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


def two_sided(t: Array, df: Array) -> Array:
    """Give the p-value of t on either side."""
    from scipy.special import stdtr  # not at import: the command line starts without scipy

    return np.asarray(2 * stdtr(df, -np.abs(t)))
