"""Conformal p-values: how rare a score is among those of exchangeable calibration cases.

If the calibration cases and the query are exchangeable, a p-value of at most alpha has probability
at most alpha, whatever the distribution of the scores. One case a patient makes them exchangeable.

References
----------
Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World, 2005, chapter 2 (p-values).
Angelopoulos, Bates: Conformal Prediction: A Gentle Introduction, 2023, section 4.4 (outliers).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["ALPHA", "FEWEST", "combined", "p_value"]

ALPHA = 0.05
"""Rate of false alarms: of queries like the library's own cases, this share is called unlike."""

FEWEST = 100
"""Fewest calibration patients: the rate then varies by 2 points between libraries."""


def p_value(calibration: npt.NDArray[np.float64], score: float) -> float:
    """Return the share of scores at least as strange, the query's own counted among them.

    Parameters
    ----------
    calibration : float64 array, shape ``(n,)``
        Scores of the calibration cases; higher is stranger. Ties count as strange.
    score : float

    Examples
    --------
    >>> p_value(np.array([1.0, 2.0, 3.0]), 2.0)
    0.75
    """
    return float((1 + np.count_nonzero(calibration >= score)) / (1 + len(calibration)))


def combined(p_values: Sequence[float]) -> float:
    """Return the p-value of the strangest of several parts, corrected for their number.

    Bonferroni's correction keeps the rate of false alarms at most alpha, and for independent parts
    close to it: two give 4.9% at 5%.
    """
    return min(1.0, len(p_values) * min(p_values))
