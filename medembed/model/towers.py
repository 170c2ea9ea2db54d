"""The trainable pair: two towers with projections, and the scale of their similarity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from pydantic import ValidationError
from torch import nn

from medembed.counted import counted
from medembed.encoders import IMAGE_ENCODERS, TEXT_ENCODERS
from medembed.encoders.settings import ImageSettings, Options, Settings, TextSettings
from medembed.encoders.study_pooling import (
    Elements,
    HeaderWords,
    StudySettings,
    study_pooling,
)
from medembed.errors import ConfigError, ModelError
from medembed.model.cell_network import CellNetwork

if TYPE_CHECKING:
    from medembed.encoders.tokenizers import Tokens

__all__ = [
    "ImageSide",
    "ProjectionSettings",
    "StudySide",
    "TextSide",
    "Towers",
    "build_towers",
    "checked_options",
    "new_projection",
    "restore_image_side",
    "restore_text_side",
]


class ProjectionSettings(Settings):
    """Projection from an encoder's features to the shared space.

    Parameters
    ----------
    dim : int
        Dimensions of the shared space.
    kind : {"linear", "mlp", "none"}
        ``"none"`` uses the features unchanged; both sides must then have ``dim`` of them.
    dropout : float
        Dropout rate on the features in training.
    """

    dim: int = 128
    kind: Literal["linear", "mlp", "none"] = "linear"
    dropout: float = 0.0


class ImageSide(nn.Module):
    """Encoder, pooling and projection: ``(n, channels, *size)`` to ``(n, dim)``, not normalized.

    Parameters
    ----------
    encoder : Module
    settings : ImageSettings
    dimensions : int
    projection : ProjectionSettings
    study : StudySettings, optional
        How the images of a case are pooled by :meth:`pool`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        settings: ImageSettings,
        dimensions: int,
        projection: ProjectionSettings,
        study: StudySettings | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.grid = settings.grid if settings.pooling == "grid" else 1
        self.dimensions = dimensions
        self.own = settings.pooling == "own"
        if self.own and not getattr(encoder, "pooled_width", 0):
            raise ConfigError(
                f"the image encoder {settings.encoder!r} has no pooling of its own",
                where="image.pooling",
                hint="set it to grid or average",
            )
        width = cast(int, encoder.pooled_width if self.own else encoder.width)
        self.bottleneck: nn.Module = nn.Identity()
        if settings.bottleneck_channels and settings.pooling == "grid":
            conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
            self.bottleneck = conv(width, settings.bottleneck_channels, 1)
            width = settings.bottleneck_channels
        self.max_pool = settings.max_pool and not self.own
        self.width = width * self.grid**dimensions * (2 if self.max_pool else 1)
        before: nn.Module | None = None
        if settings.cell_channels:
            cell = self.width // self.grid**dimensions
            before = CellNetwork(cell, self.grid, settings.cell_channels, dimensions)
        elif settings.batch_norm:
            before = nn.BatchNorm1d(self.width, affine=False)
        inputs = before.width if isinstance(before, CellNetwork) else self.width
        self.projection = new_projection(inputs, projection)
        if before is not None:
            self.projection = nn.Sequential(before, self.projection)
        self.study = study_pooling(projection.dim, study) if study is not None else None
        self.thinning = study.dropout if study is not None else 0.0
        self.header: nn.Module = nn.Identity()
        if study is not None and study.header:
            self.header = HeaderWords(projection.dim, study.dropout)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Pooled features ``(n, width)`` before the projection."""
        images = self._in_channels(images)
        if self.own:
            return cast(torch.Tensor, cast(Any, self.encoder).pooled(images))
        feature_map = self.bottleneck(self.encoder(images))
        f = nn.functional
        if self.dimensions == 2:
            square = (self.grid,) * 2
            parts = [f.adaptive_avg_pool2d(feature_map, square)]
            parts += [f.adaptive_max_pool2d(feature_map, square)] if self.max_pool else []
        else:
            cube = (self.grid,) * 3
            parts = [f.adaptive_avg_pool3d(feature_map, cube)]
            parts += [f.adaptive_max_pool3d(feature_map, cube)] if self.max_pool else []
        return torch.cat(parts, dim=1).flatten(1)  # (n, parts * width * grid ** dimensions)

    def _in_channels(self, images: torch.Tensor) -> torch.Tensor:
        """Repeat gray images for an encoder that says how many ``channels`` it reads."""
        wanted, found = int(getattr(self.encoder, "channels", 0)), images.shape[1]
        if wanted in (0, found):
            return images
        if found == 1:
            return images.expand(-1, wanted, *images.shape[2:])
        raise ConfigError(
            f"the image encoder reads {counted(wanted, 'channel')}, "
            f"and the preprocessing makes {found}",
            where="preprocess.mean",
            hint="leave out mean and std, or give one value for each channel",
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images to the shared space."""
        return cast(torch.Tensor, self.projection(self.features(images)))

    def pool(self, elements: Elements) -> torch.Tensor:
        """Pool the vectors of each case's images into one, ``(n, dim)``.

        Raises
        ------
        ModelError
            If the model does not pool studies.
        """
        if self.study is None:
            raise ModelError("the model does not pool the images of a study")
        elements = self.header(elements)
        if self.training and self.thinning:
            elements = elements.thinned(self.thinning)
        return cast(torch.Tensor, self.study(elements))


class StudySide(nn.Module):
    """:meth:`ImageSide.pool` as a module of its own, for export.

    Parameters
    ----------
    image : ImageSide
    """

    def __init__(self, image: ImageSide) -> None:
        super().__init__()
        self.image = image

    def forward(self, *elements: torch.Tensor) -> torch.Tensor:
        """Pool elements, given as the fields of :class:`Elements`."""
        return self.image.pool(Elements(*elements))


class TextSide(nn.Module):
    """Encoder and projection: ids and mask ``(n, t)`` to ``(n, dim)``, not normalized."""

    def __init__(self, encoder: nn.Module, projection: ProjectionSettings) -> None:
        super().__init__()
        self.encoder = encoder
        self.width = cast(int, encoder.width)
        self.projection = new_projection(self.width, projection)

    def features(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pooled features ``(n, width)`` before the projection."""
        return cast(torch.Tensor, self.encoder(ids, mask))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map tokens to the shared space."""
        return cast(torch.Tensor, self.projection(self.features(ids, mask)))

    @property
    def token_width(self) -> int:
        """Width of the encoder's tokens; 0 if it does not show them."""
        return int(getattr(self.encoder, "token_width", 0))

    def vectors_and_tokens(
        self, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return vectors ``(n, dim)`` and last hidden states ``(n, t, token_width)``."""
        pooled, tokens = cast(Any, self.encoder).pooled_and_tokens(ids, mask)
        return cast(torch.Tensor, self.projection(pooled)), tokens


class Towers(nn.Module):
    """Both sides and ``logit_scale``, the logarithm of the inverse temperature."""

    def __init__(self, image: ImageSide, text: TextSide, logit_scale: float = math.log(1 / 0.07)):
        super().__init__()
        self.image = image
        self.text = text
        self.logit_scale = nn.Parameter(torch.tensor(float(logit_scale)))


def new_projection(width: int, settings: ProjectionSettings) -> nn.Module:
    """Build an untrained projection from ``width`` features."""
    if settings.kind == "none":
        if width != settings.dim:
            raise ConfigError(
                f"projection kind none needs {width} dimensions, those of the encoder's features; "
                f"dim is {settings.dim}"
            )
        return nn.Identity()
    drop = [nn.Dropout(settings.dropout)] if settings.dropout else []
    if settings.kind == "linear":
        return nn.Sequential(*drop, nn.Linear(width, settings.dim, bias=False))
    return nn.Sequential(
        nn.LayerNorm(width),
        *drop,
        nn.Linear(width, 2 * settings.dim),
        nn.GELU(),
        nn.Linear(2 * settings.dim, settings.dim, bias=False),
    )


def checked_options(kind: type[Options], options: dict[str, Any], where: str) -> Options:
    """Check the options of an encoder; an error names the key."""
    try:
        return kind(**options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        known = ", ".join(kind.model_fields) or "none"
        raise ConfigError(
            first["msg"].lower(), where=f"{where}.options.{key}", hint=f"known options: {known}"
        ) from error


def build_towers(
    image: ImageSettings,
    text: TextSettings,
    projection: ProjectionSettings,
    *,
    dimensions: int,
    size: tuple[int, ...],
    notes: Sequence[str] = (),
    temperature: float = 0.07,
    study: StudySettings | None = None,
) -> tuple[Towers, Tokens, dict[str, Any]]:
    """Build a new pair.

    Returns
    -------
    towers : Towers
    tokens : Tokens
    architecture : dict
        JSON values from which :func:`restore_image_side` and :func:`restore_text_side` rebuild
        the modules.
    """
    image_entry, text_entry = IMAGE_ENCODERS[image.encoder], TEXT_ENCODERS[text.encoder]
    image_options = checked_options(image_entry.options, image.options, "image")
    text_options = checked_options(text_entry.options, text.options, "text")
    text_module, tokens = text_entry.build(text_options, text.max_length, notes)
    image_module = image_entry.build(image_options, dimensions, size)
    towers = Towers(
        ImageSide(image_module, image, dimensions, projection, study),
        TextSide(text_module, projection),
        math.log(1 / temperature),
    )
    architecture = {
        "dimensions": dimensions,
        "size": list(size),
        "image": _kept(image, image_module),
        "text": {"encoder": text.encoder, "architecture": text_module.architecture},
        "projection": projection.model_dump(mode="json"),
    }
    if study is not None:
        architecture["study"] = study.model_dump(mode="json")
    return towers, tokens, architecture


def _kept(image: ImageSettings, module: nn.Module) -> dict[str, Any]:
    """Return the settings as a model folder keeps them: without the place of the weights."""
    values = image.model_dump(mode="json")
    options = getattr(module, "kept_options", None)
    return {**values, "options": options} if isinstance(options, dict) else values


def restore_image_side(architecture: dict[str, Any]) -> ImageSide:
    """Build the image side of a saved model; its weights are not loaded yet."""
    if "heads" in architecture:
        from medembed.model.heads import restore_fused_image_side

        return restore_fused_image_side(architecture)
    settings = ImageSettings(**architecture["image"])
    dimensions = int(architecture["dimensions"])
    entry = IMAGE_ENCODERS[settings.encoder]
    options = checked_options(entry.options, settings.options, "image")
    encoder = entry.restore(options, dimensions, tuple(architecture["size"]))
    projection = ProjectionSettings(**architecture["projection"])
    study = StudySettings(**architecture["study"]) if "study" in architecture else None
    return ImageSide(encoder, settings, dimensions, projection, study)


def restore_text_side(architecture: dict[str, Any]) -> TextSide:
    """Build the text side of a saved model; its weights are not loaded yet."""
    if "heads" in architecture:
        from medembed.model.heads import restore_fused_text_side

        return restore_fused_text_side(architecture)
    text = architecture["text"]
    encoder = TEXT_ENCODERS[text["encoder"]].restore(text["architecture"])
    return TextSide(encoder, ProjectionSettings(**architecture["projection"]))
