"""Learning rates over the course of a training."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["rate"]

LEAST = 0.01
"""Smallest factor during the warm-up, so that the first step learns."""


def rate(schedule: Literal["cosine", "linear", "constant"], done: float, warmup: float) -> float:
    """Return the factor of the peak learning rate.

    Parameters
    ----------
    schedule : {"cosine", "linear", "constant"}
        What follows the linear warm-up.
    done : float
        Fraction of the training done, in [0, 1].
    warmup : float
        Fraction of the training that warms up.

    Examples
    --------
    >>> [rate("linear", done, 0.5) for done in (0.0, 0.25, 0.5, 0.75)]
    [0.01, 0.5, 1.0, 0.5]
    """
    if done < warmup:
        return max(done / warmup, LEAST)
    after = (done - warmup) / (1 - warmup)
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1 - after
    return 0.5 * (1 + math.cos(math.pi * after))
