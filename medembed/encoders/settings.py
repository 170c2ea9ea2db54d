"""How a configuration describes an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from torch import nn

    from medembed.encoders.tokenizers import Tokens

__all__ = [
    "ImageEncoder",
    "ImageSettings",
    "Options",
    "Settings",
    "TextEncoder",
    "TextSettings",
]


class Settings(BaseModel):
    """A section of a configuration; immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Options(Settings):
    """Options of one encoder; each encoder has its own subclass."""


class ImageSettings(Settings):
    """The image side.

    Parameters
    ----------
    encoder : str
        Name in :data:`medembed.encoders.IMAGE_ENCODERS`.
    options : dict
        Options of that encoder.
    pooling : {"average", "grid"}
        ``"average"`` discards position; ``"grid"`` keeps a coarse grid of positions, which telling
        left from right requires.
    grid : int
        Cells along each axis if pooling is ``"grid"``.
    max_pool : bool
        Add the maximum of each cell to its mean: a mean loses what is small, such as a nodule or a
        fracture.
    bottleneck_channels : int
        Channels to which a 1×1 convolution narrows the feature map before it is pooled to a grid;
        0 keeps the encoder's own.
    batch_norm : bool
        Center and scale each feature over the training images (batch normalization without
        parameters) before the projection. The features of a frozen encoder differ in scale by
        orders of magnitude, and the small ones would be learned last.
    frozen : bool
        Train the projection only and leave the encoder as it is; its features are cached, so that
        an epoch takes almost no time.
    """

    encoder: str = "resnet10"
    options: dict[str, Any] = Field(default_factory=dict)
    pooling: Literal["average", "grid"] = "grid"
    grid: int = Field(default=4, ge=1, le=32)
    max_pool: bool = False
    bottleneck_channels: int = Field(default=0, ge=0)
    batch_norm: bool = False
    frozen: bool = False

    @model_validator(mode="after")
    def _bottleneck_is_trained(self) -> Self:
        if self.bottleneck_channels and self.frozen:
            raise ValueError("bottleneck_channels adds a trained layer; it needs frozen=false")
        return self


class TextSettings(Settings):
    """The text side.

    Parameters
    ----------
    encoder : str
        Name in :data:`medembed.encoders.TEXT_ENCODERS`.
    options : dict
        Options of that encoder.
    max_length : int
        Tokens; longer notes are truncated.
    frozen : bool
        As for the image side.
    """

    encoder: str = "bert"
    options: dict[str, Any] = Field(default_factory=dict)
    max_length: int = Field(default=128, ge=4, le=4096)
    frozen: bool = False


@dataclass(frozen=True)
class ImageEncoder:
    """An entry of :data:`medembed.encoders.IMAGE_ENCODERS`.

    Parameters
    ----------
    options : type of Options
        Checked against the configuration.
    build : callable
        ``build(options, dimensions, size)`` returns a module that maps ``(n, 1, *size)`` to a
        feature map ``(n, width, *grid)`` and has the attribute ``width``. May load pretrained
        weights.
    restore : callable
        The same without pretrained weights: those of a model folder are loaded next.
    """

    options: type[Options]
    build: Callable[[Any, int, tuple[int, ...]], nn.Module]
    restore: Callable[[Any, int, tuple[int, ...]], nn.Module]


@dataclass(frozen=True)
class TextEncoder:
    """An entry of :data:`medembed.encoders.TEXT_ENCODERS`.

    Parameters
    ----------
    options : type of Options
        Checked against the configuration.
    build : callable
        ``build(options, max_length, notes)`` returns ``(module, tokens)``. The module maps token
        ids and mask ``(n, t)`` to ``(n, width)`` and has the attributes ``width`` and
        ``architecture`` (JSON values). ``notes`` are texts from which a vocabulary may be learned.
    restore : callable
        ``restore(architecture)`` returns the module without its weights.
    """

    options: type[Options]
    build: Callable[[Any, int, Sequence[str]], tuple[nn.Module, Tokens]]
    restore: Callable[[dict[str, Any]], nn.Module]
