"""Tell matched from mismatched pairs of image and note by reading both together.

Two towers compare an image and a text by one vector each; which word belongs to which place is
lost. The reranker reads the tokens of both, so it is exact where they are fast: it reorders
the first hits of a search.
"""

from __future__ import annotations

from typing import Self, cast

import torch
from pydantic import Field, model_validator
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

    width: int = Field(default=64, ge=8)
    depth: int = Field(default=1, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError("heads must divide width")
        return self


class _GatedLayer(nn.Module):
    """Note tokens read image tokens through gates, which are half open at first.

    Flamingo's are closed, to leave a pretrained language model as it is; here the score begins at
    0, and closed gates would only delay what it learns. The note's tokens need not read each
    other: its encoder has mixed them.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.reading = CrossAttention(width, heads)
        self.thinking = feed_forward(width)
        self.read_gate = nn.Parameter(torch.tensor(0.5))
        self.think_gate = nn.Parameter(torch.tensor(0.5))
        self.drop = nn.Dropout(dropout)

    def forward(self, words: torch.Tensor, image: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        words = words + self.read_gate.tanh() * self.drop(self.reading(words, image, seen))
        return words + self.think_gate.tanh() * self.drop(self.thinking(words))


class Reranker(nn.Module):
    """Scores every image against every note: image tokens and note tokens to ``(b, c)``.

    The result is added to the scaled similarity of the two towers. It is 0 before training, so that
    the order is at first that of the towers.

    Parameters
    ----------
    image_width, text_width : int
        Widths of the encoders' tokens: cells of the feature map, last hidden states.
    places : int
        Number of image tokens; each place has a learned code.
    settings : RerankerSettings

    References
    ----------
    Gated cross-attention: Alayrac et al. 2022, Flamingo, section 3.2. Matching loss over hard
    negatives: Li et al. 2021, Align before Fuse, section 3.2.
    """

    def __init__(
        self, image_width: int, text_width: int, places: int, settings: RerankerSettings
    ) -> None:
        super().__init__()
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
        self, images: torch.Tensor, words: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Score all pairs.

        Parameters
        ----------
        images : Tensor ``(b, places, image_width)``
        words : Tensor ``(c, t, text_width)``
        mask : Tensor ``(c, t)``
            1 for a note's tokens, 0 for padding.

        Returns
        -------
        Tensor ``(b, c)``
        """
        image = self.image(images) + self.places  # (b, places, width)
        seen = torch.ones_like(image[..., 0], dtype=torch.bool)
        read = self.text(words).flatten(0, 1)  # (c * t, width)
        read = read.unsqueeze(0).expand(image.shape[0], -1, -1)
        for layer in self.layers:
            read = layer(read, image, seen)
        of_words = self.score(self.norm(read)).reshape(-1, *mask.shape)  # (b, c, t)
        weight = mask.to(of_words.dtype)
        return cast(torch.Tensor, (of_words * weight).sum(dim=-1) / weight.sum(dim=-1))


def matching_loss(scores: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the match among the candidates, from images to notes and back.

    Parameters
    ----------
    scores : Tensor ``(n, n)``
        The matches are on the diagonal.
    same : bool Tensor ``(n, n)``
        True where another pair is true as well, or must not be judged: it takes no part.
    """
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    scores = scores.masked_fill(same & ~own, float("-inf"))
    target = torch.arange(len(scores), device=scores.device)
    there = functional.cross_entropy(scores, target)
    return (there + functional.cross_entropy(scores.T, target)) / 2
