r"""Cohen's kappa of two readers, with an interval by patients.

With the shares of cases that both, one or neither reader calls positive, :math:`p_o` the observed
agreement and :math:`p_e` the one expected of readers with these shares who decide by chance,

.. math:: \kappa = \frac{p_o - p_e}{1 - p_e}

References
----------
Cohen, *A coefficient of agreement for nominal scales*, Educational and Psychological Measurement
20:37, 1960. The interval draws patients, as others here do (:mod:`evaluation.stats.bootstrap`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from evaluation.stats.bootstrap import PatientResampler

__all__ = ["Kappa", "KappaReason", "cohen_kappa"]

Array = NDArray[np.float64]


class KappaReason(StrEnum):
    """Why kappa or its interval is missing."""

    NONE = "none"
    NO_CASE = "no-case"
    CONSTANT = "constant"  # each reader gave one answer throughout: chance explains everything
    RARE = "rare"  # too few positive patients, or a single patient: no interval


@dataclass(frozen=True)
class Kappa:
    """Agreement of two readers.

    Parameters
    ----------
    value, low, high : float or None
        Kappa and the ends of its interval.
    agreement : float or None
        Observed share of equal decisions.
    both, first_only, second_only, neither : int
        Decisions by who was positive.
    n_patients : int
    reason : KappaReason
        Why ``value``, or else the interval, is None.
    """

    value: float | None
    low: float | None
    high: float | None
    agreement: float | None
    both: int
    first_only: int
    second_only: int
    neither: int
    n_patients: int
    reason: KappaReason = KappaReason.NONE

    @property
    def n(self) -> int:
        """Number of decisions that both readers made."""
        return self.both + self.first_only + self.second_only + self.neither

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "kappa": self.value,
            "ci_low": self.low,
            "ci_high": self.high,
            "agreement": self.agreement,
            "both": self.both,
            "first_only": self.first_only,
            "second_only": self.second_only,
            "neither": self.neither,
            "n": self.n,
            "n_patients": self.n_patients,
            "reason": self.reason.value,
        }


def cohen_kappa(
    first: ArrayLike,
    second: ArrayLike,
    patients: ArrayLike,
    *,
    repetitions: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Kappa:
    """Compute Cohen's kappa of two readers' yes-or-no decisions.

    Parameters
    ----------
    first, second : bool arrays of shape (n,)
        Decisions of the two readers on the same n cases (or on n pairs of case and finding).
    patients : array of shape (n,)
        Whose case it is; whole numbers or text.
    repetitions, seed, level
        Of the bootstrap by patients.

    Examples
    --------
    >>> yes = [True] * 20 + [True] * 5 + [False] * 10 + [False] * 15
    >>> also = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    >>> cohen_kappa(yes, also, range(50)).value  # agreement .7, expected .5
    0.4
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    cells = np.stack([a & b, a & ~b, ~a & b, ~a & ~b], axis=1).astype(np.float64)
    counts = cells.sum(axis=0)
    both, only_first, only_second, neither = (int(count) for count in counts)
    if not len(cells):
        return Kappa(None, None, None, None, 0, 0, 0, 0, 0, KappaReason.NO_CASE)
    owners = codes(np.asarray(patients))
    n_patients = int(owners.max()) + 1
    agreement = float((counts[0] + counts[3]) / counts.sum())
    value = _kappa(counts[None])[0]
    if not np.isfinite(value):
        return Kappa(
            None, None, None, agreement, both, only_first, only_second, neither, n_patients,
            KappaReason.CONSTANT,
        )  # fmt: skip
    sums = np.stack([np.bincount(owners, column, n_patients) for column in cells.T], axis=1)
    resampler = PatientResampler(owners, repetitions, seed, level)
    draws = np.concatenate([_kappa(weights @ sums) for weights in resampler.weights()])
    ends = resampler.interval(draws, bounds=(-1.0, 1.0)) if n_patients > 1 else None
    low, high = ends or (None, None)
    return Kappa(
        round(float(value), 12), low, high, agreement, both, only_first, only_second, neither,
        n_patients, KappaReason.NONE if ends else KappaReason.RARE,
    )  # fmt: skip


def _kappa(counts: Array) -> Array:
    """Kappa of tables of shape (n, 4): both, first only, second only, neither; NaN if undefined."""
    both, first, second, neither = counts.T
    n = counts.sum(axis=1)
    expected = ((both + first) * (both + second) + (second + neither) * (first + neither)) / n**2
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa: Array = ((both + neither) / n - expected) / (1 - expected)
    return np.where(1 - expected > 1e-12, kappa, np.nan)
