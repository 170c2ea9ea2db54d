"""How a configuration describes an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

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
    "with_stated_preprocess",
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
    pooling : {"own", "average", "grid"}
        ``"own"`` is the vector that a published encoder makes itself (class token, projection), and
        the default of those that have one; ``"average"`` discards position; ``"grid"`` keeps a
        coarse grid of positions, which telling left from right requires.
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
    cell_channels : int
        Channels of a small trained network between a frozen encoder's grid and the projection:
        two convolutions that all cells share, then mean and maximum of each of 4 regions along an
        axis. It finds small things anywhere after few examples, and its features are scaled as by
        ``batch_norm``. 0 leaves it out.
    frozen : bool
        Train the projection only and leave the encoder as it is; its features are cached, so that
        an epoch takes almost no time.
    """

    encoder: str = "resnet10"
    options: dict[str, Any] = Field(default_factory=dict)
    pooling: Literal["own", "average", "grid"] = "grid"
    grid: int = Field(default=4, ge=1, le=32)
    max_pool: bool = False
    bottleneck_channels: int = Field(default=0, ge=0)
    batch_norm: bool = False
    cell_channels: int = Field(default=0, ge=0)
    frozen: bool = False

    @model_validator(mode="before")
    @classmethod
    def _own_pooling(cls, values: Any) -> Any:
        """Without a word on pooling, take the encoder's own."""
        if not isinstance(values, dict) or "pooling" in values or "encoder" not in values:
            return values
        from medembed.encoders import IMAGE_ENCODERS

        name = values["encoder"]
        if isinstance(name, str) and name in IMAGE_ENCODERS:
            return {**values, "pooling": IMAGE_ENCODERS[name].pooling}
        return values

    @model_validator(mode="after")
    def _bottleneck_is_trained(self) -> Self:
        if self.bottleneck_channels and self.frozen:
            raise ValueError("bottleneck_channels adds a trained layer; it needs frozen=false")
        return self

    @model_validator(mode="after")
    def _cells_are_frozen_ones(self) -> Self:
        if self.cell_channels and not (self.frozen and self.pooling == "grid"):
            raise ValueError("cell_channels needs frozen=true and pooling=grid")
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
        ``build(options, dimensions, size)`` returns a module that maps ``(n, channels, *size)`` to
        a feature map ``(n, width, *grid)`` and has the attribute ``width``. May load pretrained
        weights. The module may also have ``pooled(images)``, its own vector ``(n, pooled_width)``,
        with the attribute ``pooled_width``; and ``kept_options``, the options that a model folder
        keeps in place of the configuration's (JSON values; no path); and
        ``channels``: gray images are repeated, and any other number is refused.
    restore : callable
        The same without pretrained weights: those of a model folder are loaded next.
    preprocess : callable, optional
        ``preprocess(options)`` returns the settings of
        :class:`~medembed.preprocess.Preprocess` that the pretrained weights need. Those that a
        configuration names itself win.
    pooling : {"grid", "average", "own"}
        The default of :class:`ImageSettings` for this encoder.
    """

    options: type[Options]
    build: Callable[[Any, int, tuple[int, ...]], nn.Module]
    restore: Callable[[Any, int, tuple[int, ...]], nn.Module]
    preprocess: Callable[[Any], dict[str, Any]] | None = None
    pooling: Literal["own", "average", "grid"] = "grid"


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


def with_stated_preprocess(values: Any) -> Any:
    """Put the preprocessing that a published image encoder states below a configuration's own.

    Parameters
    ----------
    values : dict
        A training configuration before it is checked, with ``image`` and ``preprocess``.

    Returns
    -------
    dict
        The same, or a copy with more keys in ``preprocess``.
    """
    from medembed.encoders import IMAGE_ENCODERS

    given = values.get("preprocess", {}) if isinstance(values, dict) else None
    if not isinstance(given, dict):
        return values
    image = values.get("image")
    name, options = (
        (image.encoder, image.options)
        if isinstance(image, ImageSettings)
        else (image.get("encoder"), image.get("options") or {})
        if isinstance(image, dict)
        else (None, {})
    )
    if not isinstance(name, str) or name not in IMAGE_ENCODERS:
        return values
    entry = IMAGE_ENCODERS[name]
    if entry.preprocess is None:
        return values
    try:
        checked = entry.options(**options)
    except (ValidationError, TypeError):  # named when the encoder is built
        return values
    return {**values, "preprocess": {**entry.preprocess(checked), **given}}
