"""Logistic curves: the mode under a normal prior, by Newton's method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["expit", "logistic_mode"]

Array = NDArray[np.float64]


def expit(logit: Array) -> Array:
    """Probability of a logit, without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -500, 500))))


def logistic_mode(design: Array, target: Array, precision: Array) -> Array:
    """Coefficients of the likeliest logistic curve, shape (n_coefficients,).

    Parameters
    ----------
    design : float64 array of shape (n, n_coefficients)
        Columns of about unit size.
    target : float64 array of shape (n,)
        0 to 1; soft targets are taken as shares.
    precision : float64 array of shape (n_coefficients,)
        Of each coefficient's normal prior around 0; above 0.

    Examples
    --------
    >>> design = np.array([[-1.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    >>> logistic_mode(design, np.array([0.0, 0.5, 0.5, 1.0]), np.full(2, 1e-9))[:1].round(3)  # ln 3
    array([1.099])
    """
    beta = np.zeros(design.shape[1])
    for _ in range(100):
        p = expit(design @ beta)
        slope = design.T @ (target - p) - precision * beta
        bend = (design * (p * (1 - p))[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(bend, slope)
        largest = float(np.abs(step).max())
        beta = beta + step * min(1.0, 4 / max(largest, 1e-300))
        if largest < 1e-10:
            break
    return beta
