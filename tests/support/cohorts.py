"""Simulated outcomes of queries, alike within patients; truths known by construction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def hits(
    rng: np.random.Generator,
    n_patients: int,
    rate: float | NDArray[np.float64] = 0.5,
    icc: float = 0.3,
    size: float = 3.5,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Owner and hit (0 or 1) of each query: Beta-Binomial, 1 + NegBin queries a patient."""
    more = size - 1
    sizes = 1 + (rng.negative_binomial(1.25, 1.25 / (1.25 + more), n_patients) if more else 0)
    sizes = np.broadcast_to(sizes, n_patients)
    spread = (1 - icc) / icc
    mean = np.broadcast_to(rate, n_patients)
    own = rng.beta(mean * spread, (1 - mean) * spread)
    owner = np.repeat(np.arange(n_patients), sizes)
    return owner, (rng.random(len(owner)) < own[owner]).astype(float)
