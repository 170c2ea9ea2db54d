"""Loss functions."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["clip_loss", "findings_loss", "overlap", "siglip_loss"]


def clip_loss(
    images: torch.Tensor,
    texts: torch.Tensor,
    scale: torch.Tensor,
    same: torch.Tensor,
    positive: bool = False,
    *,
    smoothing: float = 0.0,
    soft: torch.Tensor | None = None,
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
    smoothing : float
        Share of each row's target that is spread evenly over all pairs in its sum.
    soft : Tensor ``(n, n)``, optional
        Weight of each other pair in the target, relative to 1 of a case's own pair. The diagonal
        and pairs that are left out are not read.

    References
    ----------
    Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision,
    figure 3. Several positives: Khosla et al. 2020, Supervised Contrastive Learning, equation 2.
    Smoothing: Szegedy et al. 2016, Rethinking the Inception Architecture, section 7.
    """
    logits = scale * images @ texts.T  # (n, n), rows are images
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    other = same & ~own
    if smoothing or soft is not None:
        counted = torch.ones_like(own) if positive else ~other
        right = (own | other) if positive else own
        by_image = _soft_cross_entropy(logits, right, counted, smoothing, soft)
        turned = None if soft is None else soft.T
        by_text = _soft_cross_entropy(logits.T, right.T, counted.T, smoothing, turned)
    elif positive:
        share = (own | other).float()
        by_image = functional.cross_entropy(logits, share / share.sum(1, keepdim=True))
        by_text = functional.cross_entropy(logits.T, (share / share.sum(0, keepdim=True)).T)
    else:
        logits = logits.masked_fill(other, float("-inf"))
        target = torch.arange(len(logits), device=logits.device)
        by_image = functional.cross_entropy(logits, target)
        by_text = functional.cross_entropy(logits.T, target)
    return (by_image + by_text) / 2


def _soft_cross_entropy(
    logits: torch.Tensor,
    right: torch.Tensor,
    counted: torch.Tensor,
    smoothing: float,
    soft: torch.Tensor | None,
) -> torch.Tensor:
    """Mean cross-entropy of rows over the counted pairs, with a target of several."""
    logs = functional.log_softmax(logits.masked_fill(~counted, float("-inf")), dim=1)
    target = right.to(logs.dtype)
    if soft is not None:
        target = target + soft.to(logs.dtype).masked_fill(right | ~counted, 0)
    target = target / target.sum(1, keepdim=True)
    target = (1 - smoothing) * target + smoothing * counted / counted.sum(1, keepdim=True)
    return -(target * logs.masked_fill(~counted, 0)).sum(1).mean()


def siglip_loss(
    images: torch.Tensor,
    texts: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    same: torch.Tensor,
    positive: bool = False,
    *,
    smoothing: float = 0.0,
    soft: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""Sigmoid loss: each pair is judged by itself.

    With :math:`z_{ij} = 1` for a case's own pair and -1 for all others,

    .. math:: L = -\frac{1}{n} \sum_{i,j} \log \sigma\big(z_{ij} (s\, x_i \cdot y_j + b)\big).

    Parameters
    ----------
    images, texts, scale, same, positive
        As in :func:`clip_loss`; pairs that are left out do not count.
    bias : Tensor, scalar
        Learned shift; a start near -10 lets the many negatives begin right.
    smoothing : float
        A pair's target is that share closer to one half.
    soft : Tensor ``(n, n)``, optional
        Target in [0, 1] for pairs of different cases instead of 0.

    References
    ----------
    Zhai et al. 2023, Sigmoid Loss for Language Image Pre-Training, equation 1 and algorithm 1.
    """
    logits = scale * images @ texts.T + bias
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    other = same & ~own
    target = (own | other if positive else own).to(logits.dtype)
    if soft is not None:
        target = torch.maximum(target, soft.to(logits.dtype).masked_fill(own, 1))
    target = (1 - smoothing) * target + smoothing / 2
    losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    counted = torch.ones_like(own) if positive else ~other
    return (losses * counted).sum() / len(logits)


def overlap(stated: torch.Tensor) -> torch.Tensor:
    """How much the findings of each two cases agree: common ones divided by those of either.

    Parameters
    ----------
    stated : Tensor ``(n, labels)``
        1 asserted, anything else not.

    Returns
    -------
    Tensor ``(n, n)``
        In [0, 1]; 0 for two cases without findings.

    Examples
    --------
    >>> overlap(torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))[0]
    tensor([1.0000, 0.5000, 0.0000])
    """
    present = (stated == 1).float()
    common = present @ present.T
    count = present.sum(1)
    return common / (count[:, None] + count[None, :] - common).clamp_min(1)


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
