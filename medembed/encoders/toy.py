"""A pair of encoders whose output can be computed by hand, for tests.

The image side returns the means of the four quadrants (upper left, upper right, lower left, lower
right); the text side counts a text's words by their number of letters modulo 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from medembed.encoders.settings import ImageEncoder, Options, TextEncoder
from medembed.encoders.tokenizers import LetterTokens, Tokens
from medembed.errors import ConfigError

__all__ = ["TOY_IMAGE", "TOY_TEXT"]


class ToyOptions(Options):
    """The toy image side has no options."""


class ToyTextOptions(Options):
    """Options of the toy text side.

    Parameters
    ----------
    width : int
        Number of word lengths to tell apart.
    """

    width: int = 4


class ToyImage(nn.Module):
    """Returns the image as its feature map; pooling to a 2×2 grid does the rest."""

    width = 1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return a copy of ``(n, 1, h, w)``."""
        return images * 1.0


class ToyText(nn.Module):
    """Counts tokens by id."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.architecture: dict[str, Any] = {"width": width}
        self.unit: torch.Tensor
        self.register_buffer("unit", torch.eye(width))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map token ids and mask ``(n, t)`` to counts ``(n, width)``."""
        counts = nn.functional.embedding(ids, self.unit) * mask.unsqueeze(-1)
        return counts.sum(dim=1)


def _image(options: ToyOptions, dimensions: int, size: tuple[int, ...]) -> nn.Module:
    del options, size
    if dimensions != 2:
        raise ConfigError("the toy image encoder reads 2D images only")
    return ToyImage()


def _text(options: ToyTextOptions, length: int, notes: Sequence[str]) -> tuple[nn.Module, Tokens]:
    del notes
    return ToyText(options.width), LetterTokens(options.width, length)


def _restore_text(architecture: dict[str, Any]) -> nn.Module:
    return ToyText(int(architecture["width"]))


TOY_IMAGE = ImageEncoder(ToyOptions, _image, _image)
TOY_TEXT = TextEncoder(ToyTextOptions, _text, _restore_text)
