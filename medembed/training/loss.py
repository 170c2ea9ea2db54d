"""Loss functions."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["clip_loss", "findings_loss"]


def clip_loss(
    images: torch.Tensor,
    texts: torch.Tensor,
    scale: torch.Tensor,
    same: torch.Tensor,
    positive: bool = False,
) -> torch.Tensor:
    r"""Symmetric contrastive loss that excludes false negatives.

    With :math:`l_{ij} = s\, x_i \cdot y_j` and :math:`S` the pairs in which text *j* is true of
    image *i* without being its own,

    .. math::
        L = -\frac{1}{2n} \sum_i \left[
            \log \frac{e^{l_{ii}}}{\sum_{j: (i,j) \notin S} e^{l_{ij}}} +
            \log \frac{e^{l_{ii}}}{\sum_{j: (j,i) \notin S} e^{l_{ji}}} \right].

    Parameters
    ----------
    images, texts : Tensor ``(n, dim)``
        Unit rows; row *i* of both belongs to one case.
    scale : Tensor, scalar
        Inverse temperature.
    same : bool Tensor ``(n, n)``
        ``same[i, j]``: text *j* is true of image *i*. The diagonal is not read.
    positive : bool
        Whether those pairs are as right as the diagonal: the target is spread evenly over them.
        Else they are left out of the sums.

    References
    ----------
    Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision,
    figure 3. Several positives: Khosla et al. 2020, Supervised Contrastive Learning, equation 2.
    """
    logits = scale * images @ texts.T  # (n, n), rows are images
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    other = same & ~own
    if positive:
        right = (own | other).float()
        by_image = functional.cross_entropy(logits, right / right.sum(1, keepdim=True))
        by_text = functional.cross_entropy(logits.T, (right / right.sum(0, keepdim=True)).T)
    else:
        logits = logits.masked_fill(other, float("-inf"))
        target = torch.arange(len(logits), device=logits.device)
        by_image = functional.cross_entropy(logits, target)
        by_text = functional.cross_entropy(logits.T, target)
    return (by_image + by_text) / 2


def findings_loss(
    logits: torch.Tensor, stated: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Binary cross-entropy over findings, ignoring uncertain ones.

    Parameters
    ----------
    logits : Tensor ``(n, labels)``
    stated : Tensor ``(n, labels)``
        1 asserted, 0 not, NaN uncertain ("possible").
    weights : Tensor ``(n, labels)``, optional
        Weight of each entry; default 1.
    """
    known = ~stated.isnan()
    target = torch.where(known, stated, torch.zeros_like(stated))
    losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if weights is not None:
        losses = losses * weights
    return (losses * known).sum() / known.sum().clamp_min(1)
