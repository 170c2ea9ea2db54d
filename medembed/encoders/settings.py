"""What an encoder is described by in a configuration."""

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
    """A part of a configuration: unknown keys are refused, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Options(Settings):
    """Options of one encoder; each encoder has its own class."""


class ImageSettings(Settings):
    """The image side.

    Parameters
    ----------
    encoder : str
        Name in :data:`medembed.encoders.IMAGE_ENCODERS`.
    options : dict
        The encoder's own.
    pooling : {"average", "grid"}
        ``"average"`` forgets where in the image something lies; ``"grid"`` keeps a coarse grid of
        places, which left and right need.
    grid : int
        Cells along each axis where pooling is ``"grid"``.
    peaks : bool
        Whether the largest value of each cell stands beside its mean: what is small, a nodule or a
        fracture, is lost in a mean.
    reduce : int
        Channels that the feature map is narrowed to (1×1 convolution) before it is pooled to a
        grid; 0 keeps the encoder's own.
    standardise : bool
        Whether each feature is centred and scaled over the training images (batch normalisation
        without parameters) before the projection. Features of a frozen encoder differ in scale by
        orders of magnitude, and the small ones would be learnt last.
    frozen : bool
        The encoder stays as it is and only the projection learns; its features are kept, so that
        an epoch costs next to nothing.
    """

    encoder: str = "resnet10"
    options: dict[str, Any] = Field(default_factory=dict)
    pooling: Literal["average", "grid"] = "grid"
    grid: int = Field(default=4, ge=1, le=32)
    peaks: bool = False
    reduce: int = Field(default=0, ge=0)
    standardise: bool = False
    frozen: bool = False

    @model_validator(mode="after")
    def _reduce_learns(self) -> Self:
        if self.reduce and self.frozen:
            raise ValueError("reduce is learnt and does not go with a frozen encoder")
        return self


class TextSettings(Settings):
    """The text side.

    Parameters
    ----------
    encoder : str
        Name in :data:`medembed.encoders.TEXT_ENCODERS`.
    options : dict
        The encoder's own.
    max_length : int
        Tokens; longer notes are cut after so many.
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
        ``build(options, dimensions, size)`` gives a module that maps ``(n, 1, *size)`` to a feature
        map ``(n, width, *cells)`` and has the attribute ``width``. May load pretrained weights.
    restore : callable
        The same with weights left as they come: they are loaded from a model folder next.
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
        ``build(options, max_length, notes)`` gives ``(module, tokens)``; the module maps token ids
        and mask ``(n, t)`` to ``(n, width)`` and has the attributes ``width`` and ``architecture``
        (JSON values). ``notes`` are texts that a vocabulary may be learnt from.
    restore : callable
        ``restore(architecture)`` gives the module without its weights.
    """

    options: type[Options]
    build: Callable[[Any, int, Sequence[str]], tuple[nn.Module, Tokens]]
    restore: Callable[[dict[str, Any]], nn.Module]
