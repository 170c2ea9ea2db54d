"""A published pair of image and text encoder, such as CLIP, as a model: nothing is trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from medembed.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from medembed.encoders.checkpoint import Checkpoint
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["PAIRS", "is_pair", "published_pair"]

PAIRS = ("align", "clip", "siglip")
"""``model_type`` of the pairs of transformers; SigLIP 2 of a fixed resolution is a ``siglip``."""

_MOST_TOKENS = 4096  # the encoder's own limit is lower


def is_pair(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint has an image and a text encoder with a shared space."""
    return checkpoint.config.get("model_type") in PAIRS or checkpoint.has("open_clip_config.json")


def published_pair(source: str, revision: str = "main") -> DualEncoder:
    """Build a model from a checkpoint of transformers (CLIP, SigLIP, ALIGN) or open_clip.

    Its vectors are those of the checkpoint's own library: its preprocessing, pooling, projections,
    tokenizer and temperature. A bias of the similarity (SigLIP) changes no ranking and is left out.

    Parameters
    ----------
    source : str
        A folder, or a name on the hub.
    revision : str
        Branch, tag or commit of the hub's repository.

    Raises
    ------
    ModelError
        If there is no such checkpoint, it is no pair, or a part of it cannot be used.
    """
    from medembed.encoders import IMAGE_ENCODERS
    from medembed.encoders.checkpoint import open_checkpoint
    from medembed.encoders.settings import ImageSettings, TextSettings
    from medembed.model.dual_encoder import DualEncoder
    from medembed.model.towers import ProjectionSettings, build_towers, checked_options
    from medembed.preprocess import Preprocess

    checkpoint = open_checkpoint(source, revision)
    if not is_pair(checkpoint):
        kind = checkpoint.config.get("model_type")
        raise ModelError(
            f"it is of type {kind!a}, which has no image and text encoder with a shared space"
            if kind
            else "it is no model of MedEmbed and has no config.json of a published one",
            where=checkpoint.name,
            hint="give a CLIP, SigLIP, ALIGN or open_clip checkpoint; train aligns other encoders",
        )
    options = {"source": source, "revision": revision}
    entry = IMAGE_ENCODERS["hub"]
    stated = entry.preprocess(checked_options(entry.options, options, "image")) if (
        entry.preprocess
    ) else {}  # fmt: skip
    preprocess = Preprocess.from_config(stated)
    try:
        towers, tokens, architecture = build_towers(
            ImageSettings(encoder="hub", options=options, pooling="own"),
            TextSettings(encoder="hub", options=options, max_length=_MOST_TOKENS),
            ProjectionSettings(dim=_shared_dimensions(checkpoint), kind="none"),
            dimensions=2,
            size=preprocess.shape[1:],
            temperature=math.exp(-_logit_scale(checkpoint)),
        )
    except ConfigError as error:  # it names a key of a configuration, and here is none
        raise ModelError(error.what, where=checkpoint.name) from error
    return DualEncoder(architecture, preprocess, tokens, towers)


def _shared_dimensions(checkpoint: Checkpoint) -> int:
    """Dimensions of the shared space, by the checkpoint's settings."""
    try:
        if checkpoint.has("open_clip_config.json"):
            return int(checkpoint.read_json("open_clip_config.json")["model_cfg"]["embed_dim"])
        from transformers import AutoConfig

        values = dict(checkpoint.config)
        config: Any = AutoConfig.for_model(values.pop("model_type"), **values)
        if config.model_type == "siglip":
            return int(config.vision_config.hidden_size)
        return int(config.projection_dim)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError("its settings are not valid", where=checkpoint.name) from error


def _logit_scale(checkpoint: Checkpoint) -> float:
    """Logarithm of the inverse temperature, as the checkpoint was trained."""
    from safetensors import safe_open

    for file in checkpoint.weight_files():
        with safe_open(file, "pt") as weights:
            names = set(weights.keys())
            if "logit_scale" in names:
                value = float(weights.get_tensor("logit_scale"))
            elif "temperature" in names:  # ALIGN divides by it
                value = -math.log(max(float(weights.get_tensor("temperature")), 1e-6))
            else:
                continue
        if math.isfinite(value):
            return value
    raise ModelError("it has no temperature (logit_scale)", where=checkpoint.name)
