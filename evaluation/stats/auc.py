r"""Area under the ROC curve with patients as units: interval, and a test of two groups.

With :math:`\psi(s, t) = [s > t] + [s = t]/2`, positives i and negatives j of the same stratum f
(a fold of cross-validation, or everything), and P the number of such pairs,

.. math:: A = \frac1P \sum_f \sum_{i,j \in f} \psi(s_i, s_j), \qquad
   \varphi_i = \frac1P \Big( \sum_{j} \psi(s_i, s_j) - A\, n_{0f} \Big), \qquad
   \varphi_j = \frac1P \Big( \sum_{i} \psi(s_i, s_j) - A\, n_{1f} \Big).

Sums of :math:`\varphi` over a patient's positives, :math:`a_p`, and negatives, :math:`b_p`, give

.. math:: v = \frac{k_1}{k_1-1} \sum_p a_p^2 + \frac{k_0}{k_0-1} \sum_p b_p^2
   + \frac{2k}{k-1} \sum_p a_p b_p

over :math:`k_1` patients with positives, :math:`k_0` with negatives, k with either. For the test of
two groups each :math:`\varphi_i` in the squares gains :math:`(A - c)\, n_{0f} / P` and each
:math:`\varphi_j` :math:`(A - c)\, n_{1f} / P`, c being the pooled area of both groups: the variance
is then that under the null hypothesis, as in :mod:`evaluation.stats.score_test`.

References
----------
DeLong, DeLong and Clarke-Pearson, Biometrics 44:837, 1988; Obuchowski, *Nonparametric analysis of
clustered ROC curve data*, Biometrics 53:567, 1997.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from evaluation.stats.score_test import two_sided
from medembed.errors import InputError

__all__ = ["AreaTest", "PatientArea", "area_test", "patient_area"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
_FLAT = 1e-18


@dataclass(frozen=True)
class PatientArea:
    """An area under the ROC curve; no ends if a kind has fewer than two patients."""

    auc: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class AreaTest:
    """Two groups' areas compared: first less second; NaN if not assessable."""

    gap: float
    p: float = np.nan


def patient_area(
    scores: ArrayLike,
    positive: ArrayLike,
    patients: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    level: float = 0.95,
) -> PatientArea:
    r"""Area under the ROC curve with an interval over patients.

    Parameters
    ----------
    scores : float array of shape (n,)
        Higher should mean positive. An InputError if not finite, or no positive meets a negative.
    positive : bool array of shape (n,)
    patients : array of shape (n,)
    strata : int array of shape (n,), optional
        Only cases of one stratum are compared (folds of cross-validation).
    level : float

    Notes
    -----
    Student's interval with the error above on :math:`\log A/(1-A)`, :math:`\min(k_1, k_0) - 1`
    degrees of freedom. In simulation it covers 94.5 to 95.6% at 30 to 80 patients (a bootstrap-t
    92.9 to 95.4%). If every pair is ranked right, the interval is the exact binomial one for as
    many pairs of patients as there are without using one twice.

    Examples
    --------
    >>> patient_area([0.1, 0.4, 0.35, 0.8], [False, False, True, True], list("abcd")).auc
    0.75
    """
    values, kind = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=np.bool_)
    owner = codes(patients)
    if values.ndim != 1 or not values.shape == kind.shape == owner.shape:
        raise InputError("scores, kinds and patients of different length")
    if not np.isfinite(values).all() or (owner < 0).any():
        raise InputError("scores that are not finite, or a case without a patient")
    fold = np.zeros(len(values), dtype=np.int64) if strata is None else codes(strata)
    auc, phi, _ = _placements(values, kind, fold)
    (k1, k0), pieces, cross, _ = _over_patients(phi, kind, owner, int(owner.max()) + 1)
    least = min(k1, k0)
    if least < 2:
        return PatientArea(auc, None, None)
    variance = sum(pieces) + cross
    half = (1 - level) / 2
    if auc <= 1e-12 or auc >= 1 - 1e-12 or variance <= _FLAT:
        reach = 1 - half ** (1 / least)
        return PatientArea(auc, max(0.0, auc - reach), min(1.0, auc + reach))
    from scipy.special import stdtrit  # the command line starts without scipy

    place = np.log(auc / (1 - auc))
    reach = float(stdtrit(least - 1, 1 - half)) * variance**0.5 / (auc * (1 - auc))
    low, high = (float(1 / (1 + np.exp(-x))) for x in (place - reach, place + reach))
    return PatientArea(auc, min(low, auc), max(high, auc))


def area_test(
    scores: ArrayLike,
    positive: ArrayLike,
    patients: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
) -> AreaTest:
    """Test whether two groups have the same area; the variance is taken under that hypothesis.

    ``first`` and ``second`` are bool arrays of shape (n,), no case in both; each group's area is
    over its own pairs. The others are as in :func:`patient_area`.

    Examples
    --------
    >>> s, kind = [0.1, 0.4, 0.35, 0.8] * 2, [False, False, True, True] * 2
    >>> area_test(s, kind, range(8), [True] * 4 + [False] * 4, [False] * 4 + [True] * 4).gap
    0.0
    """
    groups = [np.asarray(group) for group in (first, second)]
    if groups[0].shape != groups[1].shape or (groups[0] & groups[1]).any():
        raise InputError("a case in both groups of a comparison")
    values, kind = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=np.bool_)
    owner = codes(patients)
    if any(not kind[inside].any() or kind[inside].all() for inside in groups):
        return AreaTest(np.nan)
    parts = [
        _placements(values[inside], kind[inside], np.zeros(int(inside.sum()), dtype=np.int64))
        for inside in groups
    ]
    pairs = [float(kind[inside].sum()) * float((~kind[inside]).sum()) for inside in groups]
    pooled = (parts[0][0] * pairs[0] + parts[1][0] * pairs[1]) / sum(pairs)
    gap, n_patients = parts[0][0] - parts[1][0], int(owner.max()) + 1
    variance, independent, spread, whole = 0.0, 0.0, 0.0, []
    for inside, (area, phi, weight) in zip(groups, parts, strict=True):
        of = kind[inside], owner[inside], n_patients
        (k1, k0), _, cross, sums = _over_patients(phi, *of)
        if min(k1, k0) < 2:
            return AreaTest(gap)
        pieces = _over_patients(phi + (area - pooled) * weight, *of)[1]
        variance += sum(pieces) + cross
        independent += sum(pieces)
        spread += pieces[0] ** 2 / (k1 - 1) + pieces[1] ** 2 / (k0 - 1)
        whole.append(sums)
    variance -= 2 * float(np.sum(whole[0] * whole[1]))  # patients in both
    if variance <= _FLAT:
        return AreaTest(gap)
    t, df = np.array(gap / variance**0.5), np.array(independent**2 / spread)
    return AreaTest(gap, float(two_sided(t, df)))


def _placements(scores: Floats, kind: Bools, fold: Ints) -> tuple[float, Floats, Floats]:
    """Area, each case's part in it, and the share of pairs that the case is in."""
    won, against = np.zeros(len(scores)), np.zeros(len(scores))
    for number in np.unique(fold):
        here = fold == number
        values, run = np.unique(scores[here], return_inverse=True)
        up = np.bincount(run[kind[here]], minlength=len(values)).astype(np.float64)
        down = np.bincount(run[~kind[here]], minlength=len(values)).astype(np.float64)
        below = np.cumsum(down) - down / 2
        above = up.sum() - np.cumsum(up) + up / 2
        won[here] = np.where(kind[here], below[run], above[run])
        against[here] = np.where(kind[here], down.sum(), up.sum())
    pairs = float(against[kind].sum())
    if not pairs:
        raise InputError("an area under the curve needs cases of both kinds")
    area = float(won[kind].sum() / pairs)
    return area, (won - area * against) / pairs, against / pairs


def _over_patients(
    phi: Floats, kind: Bools, owner: Ints, n_patients: int
) -> tuple[tuple[int, int], tuple[float, float], float, Floats]:
    """Patients of each kind, the two squares of the variance, its cross term, patients' sums."""
    a = np.bincount(owner[kind], phi[kind], n_patients).astype(np.float64)
    b = np.bincount(owner[~kind], phi[~kind], n_patients).astype(np.float64)
    k1, k0, k = (len(np.unique(x)) for x in (owner[kind], owner[~kind], owner))
    if min(k1, k0) < 2:
        return (k1, k0), (0.0, 0.0), 0.0, a + b
    squares = k1 / (k1 - 1) * float(np.sum(a**2)), k0 / (k0 - 1) * float(np.sum(b**2))
    return (k1, k0), squares, 2 * k / (k - 1) * float(np.sum(a * b)), a + b
