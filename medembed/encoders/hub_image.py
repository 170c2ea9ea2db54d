"""Load a published image encoder by one name: a local folder, or a repository of a hub.

The folder says by itself what it is. Weights are data (safetensors), code from a repository is
never run, and a saved model is restored without the folder.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from medembed.encoders.checkpoint import Checkpoint, open_checkpoint
from medembed.encoders.settings import ImageEncoder, Options
from medembed.errors import ConfigError, ModelError

__all__ = ["HUB_IMAGE", "HubImageOptions", "library_of"]


class HubImageOptions(Options):
    """Options of an image encoder trained elsewhere.

    Parameters
    ----------
    source : str
        A folder with ``config.json``, ``preprocessor_config.json`` and ``model.safetensors``, an
        open_clip folder, a MONAI bundle, or a name on the hub. Empty in a saved model.
    revision : str
        Commit of the hub's repository. Pin it so that every training starts from the same weights.
    architecture : dict or None
        Written by MedEmbed: the network's settings in a saved model, which is restored from them.
    """

    source: str = ""
    revision: str = "main"
    architecture: dict[str, Any] | None = None


def library_of(checkpoint: Checkpoint) -> str:
    """Say which library wrote a checkpoint: ``transformers``, ``open_clip`` or ``monai``.

    Raises
    ------
    ModelError
        If it cannot be told.
    """
    if checkpoint.has("open_clip_config.json"):
        return "open_clip"
    if checkpoint.config.get("model_type"):
        return "transformers"
    if checkpoint.has("configs/metadata.json"):
        return "monai"
    raise ModelError(
        "it is no folder of transformers or open_clip, and no MONAI bundle",
        where=checkpoint.name,
        hint="it has none of config.json with a model_type, open_clip_config.json and "
        "configs/metadata.json",
    )


def _preprocess(options: HubImageOptions) -> dict[str, Any]:
    if not options.source:
        return {}
    checkpoint = open_checkpoint(options.source, options.revision)
    library = library_of(checkpoint)
    if library == "open_clip":
        from medembed.encoders.open_clip_image import open_clip_preprocess

        return open_clip_preprocess(checkpoint)
    if library == "monai":
        from medembed.encoders.monai_bundle import bundle_preprocess

        return bundle_preprocess(checkpoint)
    from medembed.encoders.image_processor import stated_preprocess

    return stated_preprocess(checkpoint)


def _build(options: HubImageOptions, dimensions: int, size: tuple[int, ...]) -> nn.Module:
    if not options.source:
        raise ConfigError(
            "the image encoder is not named", where="image.options.source",
            hint="give it with image.options.source=FOLDER_OR_NAME",
        )  # fmt: skip
    checkpoint = open_checkpoint(options.source, options.revision)
    library = library_of(checkpoint)
    if library == "monai":
        from medembed.encoders.monai_bundle import load_bundle

        return load_bundle(checkpoint, dimensions, size)
    _check_dimensions(dimensions)
    if library == "open_clip":
        from medembed.encoders.open_clip_image import load_open_clip_image

        return load_open_clip_image(checkpoint, size)
    from medembed.encoders.transformers_image import load_transformers_image

    return load_transformers_image(checkpoint, size)


def _restore(options: HubImageOptions, dimensions: int, size: tuple[int, ...]) -> nn.Module:
    architecture = options.architecture
    if architecture is None:
        raise ModelError("the saved model lacks the settings of its image network")
    try:
        if architecture["library"] == "monai":
            from medembed.encoders.monai_bundle import restore_bundle

            return restore_bundle(architecture, dimensions)
        _check_dimensions(dimensions)
        from medembed.encoders.transformers_image import restore_transformers_image

        return restore_transformers_image(architecture, size)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError("the settings of the saved image network are not valid") from error


def _check_dimensions(dimensions: int) -> None:
    if dimensions != 2:
        raise ConfigError("this image encoder reads 2D images only", where="preprocess.dimensions")


HUB_IMAGE = ImageEncoder(HubImageOptions, _build, _restore, _preprocess, pooling="own")
