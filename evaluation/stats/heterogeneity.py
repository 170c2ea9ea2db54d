r"""Is a gap the same in all strata? A harm in one and its opposite in another average to nothing.

With the gaps :math:`d_h` of H strata, their variances :math:`v_h` over patients and
:math:`w_h = 1/v_h`, :math:`Q = \sum w_h (d_h - \bar d)^2` is Cochran's. Variances of few patients
are uncertain, and Q is then far too large; Welch's F allows for that,

.. math:: F = \frac{Q/(H-1)}{1 + \frac{2(H-2)}{H^2-1} \Lambda}, \qquad
   \Lambda = \sum_h \frac{(1 - w_h/\sum w)^2}{\nu_h}, \qquad
   \text{with } H-1 \text{ and } \frac{H^2-1}{3\Lambda} \text{ degrees of freedom,}

with :math:`\nu_h` Satterthwaite's. Patients with queries in several strata make their gaps a little
alike, which is left out: it makes Q smaller.

References
----------
Cochran, *The combination of estimates from different experiments*, Biometrics 10:101, 1954; Welch,
*On the comparison of several mean values*, Biometrika 38:330, 1951.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.stats.cluster_sums import add_up
from evaluation.stats.variance_floor import Pooled

__all__ = ["heterogeneity"]

Array = NDArray[np.float64]
_FLAT = 1e-18


def heterogeneity(
    gaps: Array,
    residual: Array,
    n: Array,
    patient: NDArray[np.int64],
    place: NDArray[np.int64],
    fewest: int,
    pooled: Pooled | None = None,
    squares: Array | None = None,
) -> Array:
    """Test that the gap is one and the same in all strata.

    Parameters
    ----------
    gaps : float64 array of shape (n_strata, n_outcomes)
    residual, n : float64 arrays of shape (n_cells, n_outcomes)
        Sums of residuals around an additive model, and queries, of cells.
    patient : int array of shape (n_cells,)
        Which patient's which side and stratum.
    place : int array of shape (n_cells,)
        The stratum, plus ``n_strata`` on the second side.
    fewest : int
        Patients that a stratum needs on each side to be counted, 2 at least.
    pooled : Pooled, optional
        Likeness of the whole archive, for strata with few informative queries.
    squares : float64 array of shape (n_cells, n_outcomes), optional
        Sums of squared weights of queries, where they are weighted.

    Returns
    -------
    float64 array of shape (n_outcomes,)
        p; NaN where fewer than two strata count.
    """
    from scipy.special import fdtrc  # the command line starts without scipy

    n_strata, m = gaps.shape
    first, of = np.unique(patient, return_index=True, return_inverse=True)[1:]
    sums, sizes = add_up(of, residual, len(first)), add_up(of, n, len(first))
    where = place[first]
    heft = sizes if squares is None else add_up(of, squares, len(first))
    square, total, together, k, own = (
        add_up(where, x, 2 * n_strata).reshape(2, n_strata, m)
        for x in (sums**2, sizes, sizes**2, (sizes > 0).astype(np.float64), heft)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        v = k / (k - 1) * square / total**2
        if pooled is not None:
            v = np.maximum(v, pooled.least(total, own / total**2, together / total**2))
        both = v.sum(axis=0)
        nu = both**2 / (v**2 / (k - 1)).sum(axis=0)
        counted = (k >= max(2, fewest)).all(axis=0) & (both > _FLAT)
        w = np.where(counted, 1 / both, 0.0)
        share = w / w.sum(axis=0)
        mean = np.where(counted, share * gaps, 0.0).sum(axis=0)
        q = np.where(counted, w * (gaps - mean) ** 2, 0.0).sum(axis=0)
        h = counted.sum(axis=0).astype(np.float64)
        few = np.where(counted, (1 - share) ** 2 / nu, 0.0).sum(axis=0)
        f = q / (h - 1) / (1 + 2 * (h - 2) / (h**2 - 1) * few)
        p = fdtrc(h - 1, (h**2 - 1) / (3 * few), f)
    return np.where(h >= 2, p, np.nan)
