"""Tell matched from mismatched pairs of image and note by reading both together.

Two towers compare an image and a text by one number each dimension; which word belongs to which
place of the image is lost. The reranker reads the tokens of both, so it is exact where they are
fast: it reorders the first hits of a search.
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from medembed.encoders.cross_attention import CrossAttention, feed_forward
from medembed.encoders.settings import Settings

__all__ = ["Reranker", "RerankerSettings", "matching_loss"]


class RerankerSettings(Settings):
    """Size of the reranker.

    Parameters
    ----------
    width, depth, heads : int
        Width, layers and attention heads.
    dropout : float
    """

    width: int = Field(default=192, ge=8)
    depth: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class _GatedLayer(nn.Module):
    """Note tokens read image tokens, then each other; gates of the first are closed at first."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.reading = CrossAttention(width, heads)
        self.thinking = feed_forward(width)
        self.mixing = CrossAttention(width, heads)
        self.mixed = feed_forward(width)
        self.read_gate = nn.Parameter(torch.zeros(()))
        self.think_gate = nn.Parameter(torch.zeros(()))
        self.drop = nn.Dropout(dropout)

    def forward(
        self, words: torch.Tensor, spoken: torch.Tensor, image: torch.Tensor, seen: torch.Tensor
    ) -> torch.Tensor:
        words = words + self.read_gate.tanh() * self.drop(self.reading(words, image, seen))
        words = words + self.think_gate.tanh() * self.drop(self.thinking(words))
        words = words + self.drop(self.mixing(words, words, spoken))
        return cast(torch.Tensor, words + self.drop(self.mixed(words)))


class Reranker(nn.Module):
    """Image tokens ``(n, p, image_width)`` and note tokens ``(n, t, text_width)`` to ``(n,)``.

    The result is added to the scaled similarity of the two towers. It is 0 before training, so that
    the order is at first that of the towers.

    Parameters
    ----------
    image_width, text_width : int
        Widths of the encoders' tokens: cells of the feature map, last hidden states.
    places : int
        Number of image tokens; each place has a learned code.
    settings : RerankerSettings

    Raises
    ------
    ValueError
        If the heads do not divide the width.

    References
    ----------
    Gated cross-attention: Alayrac et al. 2022, Flamingo, section 3.2. Matching loss over hard
    negatives: Li et al. 2021, Align before Fuse, section 3.2.
    """

    def __init__(
        self, image_width: int, text_width: int, places: int, settings: RerankerSettings
    ) -> None:
        super().__init__()
        if settings.width % settings.heads:
            raise ValueError("heads must divide the width")
        width = settings.width
        self.image = nn.Sequential(nn.LayerNorm(image_width), nn.Linear(image_width, width))
        self.text = nn.Sequential(nn.LayerNorm(text_width), nn.Linear(text_width, width))
        self.places = nn.Parameter(torch.randn(places, width) * 0.02)
        self.layers = nn.ModuleList(
            _GatedLayer(width, settings.heads, settings.dropout) for _ in range(settings.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(
        self, image_tokens: torch.Tensor, note_tokens: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Score each pair; ``mask`` ``(n, t)`` is 1 for a note's tokens."""
        spoken = mask.bool()
        image = self.image(image_tokens) + self.places
        seen = torch.ones(image.shape[:2], dtype=torch.bool, device=image.device)
        words = self.text(note_tokens)
        for layer in self.layers:
            words = layer(words, spoken, image, seen)
        weight = spoken.unsqueeze(-1).to(words.dtype)  # (n, t, 1)
        pooled = (self.norm(words) * weight).sum(dim=1) / weight.sum(dim=1)
        return cast(torch.Tensor, self.score(pooled)).squeeze(-1)


def matching_loss(scores: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the match among its candidates.

    Parameters
    ----------
    scores : Tensor ``(n, candidates)``
        The first candidate of each query is the match.
    allowed : bool Tensor ``(n, candidates)``
        False for candidates that are true as well; the first is always used.
    """
    kept = allowed.clone()
    kept[:, 0] = True
    scores = scores.masked_fill(~kept, float("-inf"))
    target = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    return functional.cross_entropy(scores, target)
