"""Geometry of frozen features: keep it while aligning, and compare it between modalities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

__all__ = ["mutual_neighbors", "structure_loss"]

_TEMPERATURE = 0.05
_LEVELS = 2
_MOST = 2000


def structure_loss(features: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    r"""Return how far aligned vectors depart from the neighborhoods of their frozen features.

    With :math:`P` the row-wise softmax of cosines over a temperature,

    .. math:: R = \frac{1}{L} \sum_{l=1}^{L} \frac{1}{l} \mathrm{JS}(P_f^l \,\|\, P_v^l),

    where the power :math:`P^l` reaches neighbors of neighbors.

    Parameters
    ----------
    features : Tensor ``(n, width)``
    vectors : Tensor ``(n, dim)``

    References
    ----------
    Gröger et al. 2025, With limited data for multimodal alignment, let the STRUCTURE guide you
    (arXiv 2506.16895).
    """
    before = _transitions(features - features.mean(dim=0))
    after = _transitions(vectors)
    total = vectors.new_zeros(())
    near, now = before, after
    for level in range(1, _LEVELS + 1):
        total = total + _divergence(near, now) / level
        near, now = near @ before, now @ after
    return total / _LEVELS


def _transitions(rows: torch.Tensor) -> torch.Tensor:
    units = functional.normalize(rows, dim=-1)
    return (units @ units.T / _TEMPERATURE).softmax(dim=1)


def _divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence of rows, on average."""
    middle = ((p + q) / 2).clamp_min(1e-12).log()
    one, other = p.clamp_min(1e-12).log(), q.clamp_min(1e-12).log()
    return ((p * (one - middle)).sum(1) + (q * (other - middle)).sum(1)).mean() / 2


def mutual_neighbors(
    images: npt.NDArray[np.float32], texts: npt.NDArray[np.float32], k: int = 10
) -> float:
    """Return the share of nearest neighbors that two sets of features have in common.

    Parameters
    ----------
    images, texts : float arrays ``(n, width)``
        Row *i* of both belongs to one case; the first 2,000 are used.
    k : int
        Neighbors; at most ``n - 1``.

    References
    ----------
    Huh et al. 2024, The platonic representation hypothesis: mutual nearest-neighbor metric.
    """
    n = min(len(images), _MOST)
    k = min(k, n - 1)
    if k < 1:
        return 0.0
    found = []
    for rows in (images[:n], texts[:n]):
        centered = rows - rows.mean(axis=0)
        units = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)
        cosines = units @ units.T
        np.fill_diagonal(cosines, -np.inf)
        near = np.zeros((n, n), dtype=bool)
        np.put_along_axis(near, np.argpartition(-cosines, k - 1, axis=1)[:, :k], True, axis=1)
        found.append(near)
    return float((found[0] & found[1]).sum() / (n * k))
