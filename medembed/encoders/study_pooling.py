"""Pool the images of a study, any number of them, into one vector.

A case may have several views, slices of a volume, frames of a loop and images of earlier studies.
Each is an *element*: the features of one image, with its view, its place within its scan and the
days since it was made. The mean of the elements is what one image would be. Attention with a few
learned queries, or a Perceiver resampler, reads the cells of all elements and adds what the mean
loses: which view shows what, where, and what has changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import nn

from medembed.encoders.cross_attention import CrossAttention, feed_forward
from medembed.encoders.settings import Settings
from medembed.encoders.study_images import VIEWS, StudyBatch

__all__ = ["Elements", "PerceiverResampler", "StudyPooling", "StudySettings"]

_FREQUENCIES = 6
_DAYS = 10 * 365.25
"""Time gaps are on a logarithmic scale; longer ones than this count as this long."""


class StudySettings(Settings):
    """How the images of a case become one vector.

    Parameters
    ----------
    kind : {"mean", "attention", "resampler"}
        ``"mean"`` has no weights and ignores view, place and time. ``"attention"``: learned queries
        read the cells of all images once. ``"resampler"``: they do so in several layers, and read
        each other.
    latents : int
        Learned queries.
    depth : int
        Layers of the resampler.
    heads : int
        Attention heads; must divide the width.
    width : int
        Width inside the attention and the resampler.
    dropout : float
        Share of the images left out in training, so that a missing view changes little. One is
        always kept.
    priors : int
        Maximum number of the patient's earlier studies whose images are read beside the case's
        own, the latest first. 0 reads none.
    """

    kind: Literal["mean", "attention", "resampler"] = "resampler"
    latents: int = Field(default=8, ge=1)
    depth: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    width: int = Field(default=128, ge=8)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    priors: int = Field(default=0, ge=0, le=16)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError("heads must divide the width")
        return self


@dataclass(frozen=True)
class Elements:
    """The images of a batch of cases, padded to the largest number.

    Parameters
    ----------
    features : float Tensor ``(n, m, width)``
        Padding may hold anything finite.
    present : bool Tensor ``(n, m)``
        False for padding; each case has at least one element.
    view : int64 Tensor ``(n, m)``
        Positions in :data:`~medembed.encoders.study_images.VIEWS`.
    place : float Tensor ``(n, m)``
        Place within the scan from 0 (first slice or frame) to 1 (last); 0.5 for a single image.
    gap_days : float Tensor ``(n, m)``
        Days from the image to the case's own study: 0 for its own images, more for priors.
    """

    features: torch.Tensor
    present: torch.Tensor
    view: torch.Tensor
    place: torch.Tensor
    gap_days: torch.Tensor

    @classmethod
    def of(cls, batch: StudyBatch, features: torch.Tensor) -> Elements:
        """Give the images of a batch their features.

        Parameters
        ----------
        batch : StudyBatch
        features : float Tensor ``(images, width)``
            One row for each present image, case by case.
        """
        device = features.device
        present = torch.from_numpy(batch.present).to(device)
        spread = features.new_zeros(*present.shape, features.shape[-1])
        spread[present] = features
        known = (batch.view, batch.place, batch.gap_days)
        return cls(spread, present, *(torch.from_numpy(part).to(device) for part in known))

    def mean(self) -> torch.Tensor:
        """Mean features ``(n, width)`` of each case's own images, without its priors."""
        own = self.present & (self.gap_days <= 0.0)
        own = own | (self.present & ~own.any(dim=1, keepdim=True))  # if only priors are left
        weight = own.unsqueeze(-1).to(self.features.dtype)  # (n, m, 1)
        return (self.features * weight).sum(dim=1) / weight.sum(dim=1)

    def thinned(self, share: float) -> Elements:
        """Leave out this share of the elements at random, but not the last one of a case."""
        drawn = torch.rand(self.present.shape, device=self.features.device)
        kept = self.present & (drawn >= share)
        best = torch.where(self.present, drawn, -1.0).argmax(dim=1, keepdim=True)
        kept = kept.scatter(1, best, True)
        return Elements(self.features, kept, self.view, self.place, self.gap_days)


def _waves(values: torch.Tensor) -> torch.Tensor:
    """Fourier features of values in [0, 1]: ``(…)`` to ``(…, 2 * _FREQUENCIES)``."""
    steps = 2.0 ** torch.arange(_FREQUENCIES, dtype=values.dtype, device=values.device)
    angles = math.pi * values.unsqueeze(-1) * steps
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class _TokenEncoding(nn.Module):
    """Elements ``(n, m, channels * cells)`` to tokens ``(n, m * cells, width)``.

    A token is one cell of one element; what is known of the element and the cell's place in the
    image are added.
    """

    def __init__(self, channels: int, cells: int, width: int) -> None:
        super().__init__()
        self.channels, self.cells = channels, cells
        self.scale = nn.BatchNorm1d(channels, affine=False)
        self.narrow = nn.Linear(channels, width)
        self.view = nn.Embedding(len(VIEWS) * cells, width)
        self.place = nn.Linear(2 * _FREQUENCIES, width, bias=False)
        self.gap = nn.Linear(2 * _FREQUENCIES, width, bias=False)
        for layer in (self.view, self.place, self.gap):  # at first only the features count
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, elements: Elements) -> torch.Tensor:
        shape = (self.channels, self.cells)
        tokens = elements.features.unflatten(-1, shape).transpose(-1, -2)  # (n, m, cells, channels)
        tokens = self.narrow(self._scaled(tokens, elements.present))
        cell = torch.arange(self.cells, device=tokens.device)
        gap = torch.log1p(elements.gap_days.clamp(0.0, _DAYS)) / math.log1p(_DAYS)
        of_element = self.place(_waves(elements.place)) + self.gap(_waves(gap))
        of_cell = self.view(elements.view.unsqueeze(-1) * self.cells + cell)
        return cast(torch.Tensor, (tokens + of_element.unsqueeze(-2) + of_cell).flatten(1, 2))

    def _scaled(self, tokens: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Center and scale each channel; padding takes no part in the statistics."""
        if not self.training:
            return cast(torch.Tensor, self.scale(tokens.flatten(0, 2))).view(tokens.shape)
        scaled = torch.zeros_like(tokens)
        real = tokens[present]  # (images, cells, channels)
        scaled[present] = self.scale(real.flatten(0, 1)).view(real.shape)
        return scaled


class _Layer(nn.Module):
    """Cross-attention of the latents to tokens and latents, then a feed-forward layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = CrossAttention(width, heads)
        self.feed_forward = feed_forward(width)

    def forward(
        self, latents: torch.Tensor, tokens: torch.Tensor, seen: torch.Tensor
    ) -> torch.Tensor:
        keys = torch.cat([tokens, latents], dim=1)
        latents = latents + self.attention(latents, keys, seen)
        return cast(torch.Tensor, latents + self.feed_forward(latents))


class PerceiverResampler(nn.Module):
    """Learned latents read the cells of any number of elements: to ``(n, latents, width)``.

    Parameters
    ----------
    channels, cells : int
        An element has ``channels * cells`` features, the cells of a channel beside each other.
    settings : StudySettings

    References
    ----------
    Alayrac et al. 2022, Flamingo: a Visual Language Model for Few-Shot Learning, section 3.1 and
    appendix A.1.1. Here tokens also carry view, cell, place and time.
    """

    def __init__(self, channels: int, cells: int, settings: StudySettings) -> None:
        super().__init__()
        self.encoding = _TokenEncoding(channels, cells, settings.width)
        self.latents = nn.Parameter(torch.randn(settings.latents, settings.width) * 0.02)
        depth = settings.depth if settings.kind == "resampler" else 0
        self.layers = nn.ModuleList(_Layer(settings.width, settings.heads) for _ in range(depth))
        self.attention = CrossAttention(settings.width, settings.heads) if not depth else None
        self.norm = nn.LayerNorm(settings.width)

    def forward(self, elements: Elements) -> torch.Tensor:
        """Return the latents after reading the elements."""
        tokens = self.encoding(elements)
        seen = elements.present.repeat_interleave(self.encoding.cells, dim=1)
        latents = self.latents.expand(tokens.shape[0], -1, -1)  # len() would fix the batch
        if self.attention is not None:
            return cast(torch.Tensor, self.norm(self.attention(latents, tokens, seen)))
        always = torch.ones(latents.shape[:2], dtype=torch.bool, device=tokens.device)
        seen = torch.cat([seen, always], dim=1)
        for layer in self.layers:
            latents = layer(latents, tokens, seen)
        return cast(torch.Tensor, self.norm(latents))


class StudyPooling(nn.Module):
    """What attention or resampler adds to the vector of the mean, ``(n, dim)``.

    It is 0 before training, so that training begins with the mean.

    Parameters
    ----------
    channels, cells, dim : int
    settings : StudySettings
        Of another kind than ``"mean"``.
    """

    def __init__(self, channels: int, cells: int, dim: int, settings: StudySettings) -> None:
        super().__init__()
        self.reader = PerceiverResampler(channels, cells, settings)
        self.out = nn.Linear(settings.latents * settings.width, dim, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, elements: Elements) -> torch.Tensor:
        """Read the elements of each case."""
        return cast(torch.Tensor, self.out(self.reader(elements).flatten(1)))
