"""Learning rates over the course of a training."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from medembed.encoders.settings import Settings

__all__ = ["OptimSettings", "rate"]

LEAST = 0.01
"""Smallest factor during the warm-up, so that the first step learns."""


class OptimSettings(Settings):
    """Optimizer: AdamW with linear warm-up, then a schedule.

    Parameters
    ----------
    chunk : int or None
        Maximum number of cases that each process encodes at a time. The gradient is still that of
        the whole batch, for up to a third more time: most cases are encoded twice. Batch
        normalization uses the statistics of a chunk. None encodes the batch at once.
    schedule : {"cosine", "linear", "constant"}
        Learning rate after the warm-up: to 0 along half a cosine or a line, or unchanged.
    lr : float
        Learning rate of the image tower, the projections and everything else.
    text_lr : float or None
        Learning rate of the text encoder; None uses ``lr``.
    weight_decay : float
    warmup : float
        Fraction of all steps.
    clip : float
        Maximum norm of the gradient.
    ema_decay : float
        Decay per step of the exponential moving average of the weights, which is validated and
        kept; 0 keeps the weights themselves.
    """

    chunk: int | None = Field(default=None, ge=1)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    lr: float = Field(default=1e-3, gt=0)
    text_lr: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.0, ge=0, lt=1, serialization_alias="average")


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
