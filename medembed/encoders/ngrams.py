"""Words and pairs of words of a text, summed: learned from scratch in a tenth of a BERT's time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from medembed.encoders.settings import Options, TextEncoder
from medembed.encoders.tokenizers import Tokens
from medembed.encoders.wordpiece import learn_wordpiece
from medembed.errors import ConfigError

__all__ = ["NGRAMS", "NgramText"]

_START = 0.3
"""Standard deviation of untrained vectors."""


class NgramOptions(Options):
    """Options of the n-gram encoder.

    Parameters
    ----------
    vocabulary, min_notes : int
        As for the small BERT.
    width : int
    buckets : int
        Vectors that all pairs of neighbors share by a hash, and as many for pairs with a word
        between.
    """

    vocabulary: int = Field(default=2000, ge=50)
    min_notes: int = Field(default=5, ge=1)
    width: int = Field(default=128, ge=8)
    buckets: int = Field(default=16384, ge=16)


class NgramText(nn.Module):
    """Token ids and mask ``(n, t)`` to ``(n, width)``: sums of learned vectors, then a small MLP.

    A text is the sum of the vectors of its tokens, of its pairs of neighbors ("right pleural",
    "no effusion") and of the pairs with one token between, divided by the root of its length. Order
    beyond three tokens is not seen.

    Parameters
    ----------
    tokens : int
        Size of the vocabulary.
    width, buckets : int

    References
    ----------
    Joulin et al. 2017, Bag of Tricks for Efficient Text Classification: hashed n-grams.
    """

    def __init__(self, tokens: int, width: int, buckets: int) -> None:
        super().__init__()
        self.width, self._buckets = width, buckets
        self.architecture = {"tokens": tokens, "width": width, "buckets": buckets}
        self.single = nn.Embedding(tokens, width)
        self.near = nn.Embedding(buckets, width)
        self.apart = nn.Embedding(buckets, width)
        for table in (self.single, self.near, self.apart):
            nn.init.normal_(table.weight, std=_START)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.scale = nn.LayerNorm(width)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the features of each text."""
        real = mask.to(self.single.weight.dtype)
        ahead, there = functional.pad(ids, (0, 2)), functional.pad(real, (0, 2))
        total = (self.single(ids) * real.unsqueeze(-1)).sum(dim=1)
        near = (ids * 31 + ahead[:, 1:-1]) % self._buckets
        total = total + (self.near(near) * there[:, 1:-1].unsqueeze(-1)).sum(dim=1)
        apart = (ids * 131 + ahead[:, 2:] * 7 + 3) % self._buckets
        total = total + (self.apart(apart) * there[:, 2:].unsqueeze(-1)).sum(dim=1)
        total = total / real.sum(dim=1, keepdim=True).clamp_min(1).sqrt()
        return cast(torch.Tensor, self.scale(total + self.mix(total)))


def _build(
    options: NgramOptions, max_length: int, notes: Sequence[str]
) -> tuple[nn.Module, Tokens]:
    if not notes:
        raise ConfigError("there are no notes from which to learn a vocabulary")
    tokens = learn_wordpiece(notes, options.vocabulary, options.min_notes, max_length)
    return NgramText(tokens.size, options.width, options.buckets), tokens


def _restore(architecture: dict[str, Any]) -> nn.Module:
    return NgramText(**architecture)


NGRAMS = TextEncoder(NgramOptions, _build, _restore)
