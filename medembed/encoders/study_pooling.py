"""Pool the images of a study, any number of them, into one vector.

A case may have several views, slices of a volume, frames of a loop and images of earlier studies.
Each is an *element*: the vector of one image in the shared space, with its view, its place within
its scan and the days since it was made. Attention weighs each element by itself, a Perceiver
resampler after reading all of them. Both begin as the mean and return a weighted mean: what adds
more than weights learned a thousand cases by heart (docs/results/alignment.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional

from medembed.encoders.cross_attention import CrossAttention, feed_forward
from medembed.encoders.header_codes import HEADER_CODES
from medembed.encoders.settings import Settings
from medembed.encoders.study_images import VIEWS, StudyBatch
from medembed.errors import ConfigError

__all__ = ["Elements", "HeaderWords", "PerceiverResampler", "StudySettings", "study_pooling"]

_FREQUENCIES = 6
_DAYS = 10 * 365.25
"""Time gaps are on a logarithmic scale; longer ones than this count as this long."""

_PRIOR = -4.0
"""What an image of an earlier study weighs before training, beside one of the case: e^-4."""


class StudySettings(Settings):
    """How the images of a case become one vector.

    Parameters
    ----------
    kind : {"mean", "attention", "resampler"}
        ``"mean"`` weighs all images the same, whatever their view, place and time.
        ``"attention"``: each head, a part of the dimensions, takes its own weighted mean of the
        images. ``"resampler"``: learned latents read all images and each other in several layers
        before they weigh the images.
    depth : int
        Layers of the resampler.
    heads : int
        Attention heads; must divide the width and the dimensions of the shared space.
    width : int
        Width inside the attention and the resampler.
    dropout : float
        Share of the images left out in training, so that a missing view changes little. One is
        always kept. With ``header``, the same share of the cases is read without it.
    priors : int
        Maximum number of the patient's earlier studies whose images are read beside the case's
        own, the latest first. 0 reads none.
    header : bool
        Add to the vector of each image what its header says: view, modality and body part. An
        image without a header, such as a PNG that a search is given, is read as it is.
    """

    kind: Literal["mean", "attention", "resampler"] = "mean"
    depth: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    width: int = Field(default=128, ge=8)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    priors: int = Field(default=0, ge=0, le=16)
    header: bool = False

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
    vectors : float Tensor ``(n, m, dim)``
        Not normalized. Padding may hold anything finite.
    present : bool Tensor ``(n, m)``
        False for padding; each case has at least one element.
    view : int64 Tensor ``(n, m)``
        Positions in :data:`~medembed.encoders.study_images.VIEWS`.
    place : float Tensor ``(n, m)``
        Place within the scan from 0 (first slice or frame) to 1 (last); 0.5 for a single image.
    gap_days : float Tensor ``(n, m)``
        Days from the image to the case's own study: 0 for its own images, more for priors.
    header : int64 Tensor ``(n, m, 3)``, optional
        What the header says (:func:`~medembed.encoders.header_codes.header_codes`).
    """

    vectors: torch.Tensor
    present: torch.Tensor
    view: torch.Tensor
    place: torch.Tensor
    gap_days: torch.Tensor
    header: torch.Tensor | None = None

    @classmethod
    def of(cls, batch: StudyBatch, vectors: torch.Tensor) -> Elements:
        """Give the images of a batch their vectors.

        Parameters
        ----------
        batch : StudyBatch
        vectors : float Tensor ``(images, dim)``
            One row for each present image, case by case.
        """
        device = vectors.device
        present = torch.from_numpy(batch.present).to(device)
        spread = vectors.new_zeros(*present.shape, vectors.shape[-1])
        spread[present] = vectors
        known = (batch.view, batch.place, batch.gap_days, batch.header)
        return cls(spread, present, *(torch.from_numpy(part).to(device) for part in known))

    def own(self) -> torch.Tensor:
        """Return which are the case's own images ``(n, m)``; all if only priors are left."""
        own = self.present & (self.gap_days <= 0.0)
        return own | (self.present & ~own.any(dim=1, keepdim=True))

    def mean(self) -> torch.Tensor:
        """Mean vector ``(n, dim)`` of each case's own images, without its priors."""
        weight = self.own().unsqueeze(-1).to(self.vectors.dtype)  # (n, m, 1)
        return (self.vectors * weight).sum(dim=1) / weight.sum(dim=1)

    def thinned(self, share: float) -> Elements:
        """Leave out this share of the elements at random, but not the last one of a case."""
        drawn = torch.rand(self.present.shape, device=self.vectors.device)
        kept = self.present & (drawn >= share)
        best = torch.where(self.present, drawn, -1.0).argmax(dim=1, keepdim=True)
        kept = kept.scatter(1, best, True)
        return replace(self, present=kept)


class HeaderWords(nn.Module):
    """Adds to the vector of each image one vector for each word of its header.

    They are in units of the image's own length, so that they weigh the same beside any encoder,
    and zero before training. What is unknown adds nothing.

    Parameters
    ----------
    dim : int
    dropout : float
        Share of the cases read without headers in training.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.words = nn.ModuleList(
            nn.Embedding(HEADER_CODES, dim, padding_idx=0) for _ in ("view", "modality", "part")
        )
        for words in self.words:
            nn.init.zeros_(cast(nn.Embedding, words).weight)

    def forward(self, elements: Elements) -> Elements:
        """Return the elements with the header in their vectors."""
        codes, vectors = elements.header, elements.vectors
        if codes is None:
            return elements
        if self.training and self.dropout:
            drawn = torch.rand(codes.shape[0], 1, 1, device=codes.device)
            codes = codes * (drawn >= self.dropout)
        length = vectors.norm(dim=-1, keepdim=True)
        for at, words in enumerate(self.words):
            vectors = vectors + length * words(codes[..., at])
        return replace(elements, vectors=vectors)


def _waves(values: torch.Tensor) -> torch.Tensor:
    """Fourier features of values in [0, 1]: ``(…)`` to ``(…, 2 * _FREQUENCIES)``."""
    steps = 2.0 ** torch.arange(_FREQUENCIES, dtype=values.dtype, device=values.device)
    angles = math.pi * values.unsqueeze(-1) * steps
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class _Encoding(nn.Module):
    """Narrows vectors to ``width`` and adds what is known of each element."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(dim, width)
        self.view = nn.Embedding(len(VIEWS), width)
        self.place = nn.Linear(2 * _FREQUENCIES, width, bias=False)
        self.gap = nn.Linear(2 * _FREQUENCIES, width, bias=False)

    def forward(self, elements: Elements) -> torch.Tensor:
        gap = torch.log1p(elements.gap_days.clamp(0.0, _DAYS)) / math.log1p(_DAYS)
        known = self.view(elements.view) + self.place(_waves(elements.place))
        unit = functional.normalize(elements.vectors, dim=-1)
        return cast(torch.Tensor, self.narrow(unit) + known + self.gap(_waves(gap)))


def _weighted(elements: Elements, logits: torch.Tensor) -> torch.Tensor:
    """Mean of the elements with weights for each head, from logits ``(n, m, heads)``."""
    earlier = (~elements.own()).unsqueeze(-1).to(logits.dtype)
    absent = ~elements.present.unsqueeze(-1)
    shares = (logits + _PRIOR * earlier).masked_fill(absent, float("-inf")).softmax(dim=1)
    parts = elements.vectors.unflatten(-1, (logits.shape[-1], -1))  # (n, m, heads, _)
    return (shares.unsqueeze(-1) * parts).sum(dim=1).flatten(1)


class AttentionPooling(nn.Module):
    """A weighted mean of the elements for each head, a part of the dimensions: ``(n, dim)``.

    All own images weigh the same before training, and earlier studies hardly anything.

    Parameters
    ----------
    dim : int
    settings : StudySettings
    """

    def __init__(self, dim: int, settings: StudySettings) -> None:
        super().__init__()
        self.encoding = _Encoding(dim, settings.width)
        self.norm = nn.LayerNorm(settings.width)
        self.weight = nn.Linear(settings.width, settings.heads, bias=False)
        nn.init.zeros_(self.weight.weight)

    def forward(self, elements: Elements) -> torch.Tensor:
        """Pool the elements of each case."""
        return _weighted(elements, self.weight(self.norm(self.encoding(elements))))


class _Layer(nn.Module):
    """Cross-attention of the latents to elements and latents, then a feed-forward layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = CrossAttention(width, heads)
        self.feed_forward = feed_forward(width)

    def forward(
        self, latents: torch.Tensor, elements: torch.Tensor, seen: torch.Tensor
    ) -> torch.Tensor:
        keys = torch.cat([elements, latents], dim=1)
        latents = latents + self.attention(latents, keys, seen)
        return cast(torch.Tensor, latents + self.feed_forward(latents))


class PerceiverResampler(nn.Module):
    """Weights as in :class:`AttentionPooling`, chosen by latents that have read all elements.

    Each head has a latent. The latents read the elements and each other, layer by layer, so that
    what an image counts depends on the other images of the case.

    Parameters
    ----------
    dim : int
    settings : StudySettings

    References
    ----------
    Alayrac et al. 2022, Flamingo: a Visual Language Model for Few-Shot Learning, section 3.1 and
    appendix A.1.1. Here elements also carry view, place and time, and the latents return weights
    of the elements in place of tokens.
    """

    def __init__(self, dim: int, settings: StudySettings) -> None:
        super().__init__()
        width = settings.width
        self.encoding = _Encoding(dim, width)
        self.latents = nn.Parameter(torch.randn(settings.heads, width) * 0.02)
        self.layers = nn.ModuleList(_Layer(width, settings.heads) for _ in range(settings.depth))
        self.norm_latents = nn.LayerNorm(width)
        self.norm_elements = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.query.weight)

    def forward(self, elements: Elements) -> torch.Tensor:
        """Pool the elements of each case: ``(n, dim)``."""
        keys = self.encoding(elements)
        latents = self.latents.expand(keys.shape[0], -1, -1)  # len() would fix the batch
        always = torch.ones(latents.shape[:2], dtype=torch.bool, device=keys.device)
        seen = torch.cat([elements.present, always], dim=1)
        for layer in self.layers:
            latents = layer(latents, keys, seen)
        query = self.query(self.norm_latents(latents)) / math.sqrt(keys.shape[-1])
        return _weighted(elements, self.norm_elements(keys) @ query.transpose(1, 2))


class MeanPooling(nn.Module):
    """The mean of the case's own images."""

    def forward(self, elements: Elements) -> torch.Tensor:
        """Pool the elements of each case: ``(n, dim)``."""
        return elements.mean()


def study_pooling(dim: int, settings: StudySettings) -> nn.Module:
    """Build the pooling of the settings, from elements to ``(n, dim)``.

    Raises
    ------
    ConfigError
        If the heads do not divide the dimensions.
    """
    if settings.kind == "mean":
        return MeanPooling()
    if dim % settings.heads:
        raise ConfigError(
            f"{settings.heads} heads do not divide {dim} dimensions", where="study.heads"
        )
    kinds = {"attention": AttentionPooling, "resampler": PerceiverResampler}
    return kinds[settings.kind](dim, settings)
