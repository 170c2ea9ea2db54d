"""Image encoders of transformers: their own pooled vector, and their tokens as a feature map."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn

from medembed.encoders.checkpoint import Checkpoint
from medembed.encoders.transformer_text import without_pooler
from medembed.encoders.transformers_net import load_net, quiet
from medembed.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["FAMILIES", "TransformersImage", "load_transformers_image", "restore_transformers_image"]


@dataclass(frozen=True)
class _Family:
    """How to use the models of one type.

    Parameters
    ----------
    network : str
        Class of transformers that is the image tower.
    whole : str
        Class to read a checkpoint with, if it differs.
    inner : str
        Settings of the image tower inside those of a pair.
    pooled : {"image_embeds", "pooler_output", "first"}
        The output that is the vector: a field, or the first token of the last hidden state.
    prefix : int
        Tokens before those of the patches; registers are counted besides.
    any_size : bool
        Whether other sizes than the checkpoint's are read.
    """

    network: str
    pooled: Literal["image_embeds", "pooler_output", "first"]
    prefix: int = 0
    any_size: bool = False
    whole: str = ""
    inner: str = ""


FAMILIES = {
    "clip": _Family("CLIPVisionModelWithProjection", "image_embeds", 1, inner="vision_config"),
    "clip_vision_model": _Family("CLIPVisionModel", "pooler_output", 1),
    "siglip": _Family("SiglipVisionModel", "pooler_output", inner="vision_config"),
    "siglip_vision_model": _Family("SiglipVisionModel", "pooler_output"),
    "align": _Family(
        "AlignVisionModel", "pooler_output", any_size=True, whole="AlignModel",
        inner="vision_config",
    ),
    "dinov2": _Family("Dinov2Model", "pooler_output", 1, any_size=True),
    "dinov2_with_registers": _Family("Dinov2WithRegistersModel", "pooler_output", 1, any_size=True),
    "vit": _Family("ViTModel", "first", 1),
    "deit": _Family("DeiTModel", "first", 2),
    "beit": _Family("BeitModel", "pooler_output", 1),
    "swin": _Family("SwinModel", "pooler_output", any_size=True),
    "swinv2": _Family("Swinv2Model", "pooler_output", any_size=True),
    "convnext": _Family("ConvNextModel", "pooler_output", any_size=True),
    "convnextv2": _Family("ConvNextV2Model", "pooler_output", any_size=True),
}  # fmt: skip
"""By ``model_type`` of ``config.json``."""

_WITHOUT_POOLER = ("vit", "deit")  # the pooler is often untrained, and their vector is not its
_POOLER = r"(^|\.)pooler\."
_OTHER_PARTS = (
    r"^((vit|deit|beit|dinov2|dinov2_with_registers|swin|swinv2|convnext|convnextv2)\.)?"
    r"((cls_|distillation_)?classifier|decoder|lm_head|text_model|text_projection"
    r"|logit_scale|logit_bias|temperature)(\.|$)"
    r"|^((vit|deit)\.)?pooler\."
)
"""Keys of a checkpoint that are no part of its image tower; all others must be."""


class TransformersImage(nn.Module):
    """Pixels ``(n, c, h, w)`` to a feature map ``(n, width, *grid)``.

    Parameters
    ----------
    net : PreTrainedModel
    kind : str
        Key of :data:`FAMILIES`.
    size : tuple of int
        Height and width of the input.
    projection : int
        Outputs of a linear projection of the vector, with weights in the checkpoint; 0 is none.

    Attributes
    ----------
    width, pooled_width : int
        Channels of the feature map, and of the vector that :meth:`pooled` returns; 0 if the network
        makes none.
    kept_options : dict
        What a model folder keeps of it: JSON values without the place it came from.
    left_out : tuple of str
        Keys of the checkpoint that are no part of the network: heads, and the text tower.
    """

    def __init__(
        self, net: nn.Module, kind: str, size: tuple[int, ...], projection: int = 0
    ) -> None:
        super().__init__()
        self.net = net
        self.kind = kind
        self.family = FAMILIES[kind]
        config = cast(Any, net.config)
        self.channels = int(getattr(config, "num_channels", 3))
        self.prefix = self.family.prefix + int(getattr(config, "num_register_tokens", 0) or 0)
        stride = getattr(config, "patch_size", 1)
        stride = stride if isinstance(stride, (list, tuple)) else (stride, stride)
        if kind in ("swin", "swinv2"):
            stride = tuple(s * 2 ** (len(config.depths) - 1) for s in stride)
        self.grid = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
        values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
        for name in ("_name_or_path", "auto_map", "architectures", "transformers_version"):
            values.pop(name, None)  # the folder should not tell where the weights came from
        self.kept_options: dict[str, Any] = {
            "source": "",
            "architecture": {
                "library": "transformers", "kind": kind, "config": values, "projection": projection,
            },
        }  # fmt: skip
        self.left_out: tuple[str, ...] = ()
        self.head: nn.Module = nn.Identity()
        if projection:
            self.head = nn.Linear(int(config.hidden_size), projection, bias=False)
        self.width, self.pooled_width = self._widths(size)

    def _widths(self, size: tuple[int, ...]) -> tuple[int, int]:
        """Measure both widths on one empty image, which also shows that this size can be read."""
        training = self.net.training
        self.net.eval()
        try:
            with torch.no_grad():
                empty = torch.zeros(1, self.channels, *size)
                vector = self._vector(empty)
                return int(self(empty).shape[1]), 0 if vector is None else int(vector.shape[1])
        except (ValueError, RuntimeError) as error:
            pixels = " × ".join(map(str, size))
            raise ConfigError(
                f"the {self.kind} network does not read images of {pixels} pixels",
                where="preprocess.size",
            ) from error
        finally:
            self.net.train(training)

    def _outputs(self, images: torch.Tensor) -> Any:
        if images.shape[1] == 1 < self.channels:
            images = images.expand(-1, self.channels, -1, -1)
        return self.net(pixel_values=images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the feature map: the tokens of the patches at their places."""
        outputs = self._outputs(images)
        hidden = cast(torch.Tensor, outputs.last_hidden_state)
        if hidden.ndim == 4:  # of a convolutional network
            return hidden
        return hidden[:, self.prefix :].transpose(1, 2).unflatten(2, self.grid)

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """Return the vector ``(n, pooled_width)`` that the network itself makes of an image."""
        return cast(torch.Tensor, self._vector(images))

    def _vector(self, images: torch.Tensor) -> torch.Tensor | None:
        outputs = self._outputs(images)
        if self.family.pooled == "first":
            return cast(torch.Tensor, self.head(outputs.last_hidden_state[:, 0]))
        vector = getattr(outputs, self.family.pooled)
        return None if vector is None else cast(torch.Tensor, vector.flatten(1))


def load_transformers_image(checkpoint: Checkpoint, size: tuple[int, ...]) -> TransformersImage:
    """Load the image tower of a checkpoint; every one of its keys is accounted for.

    Raises
    ------
    ModelError
        If the type is not known, or a weight is missing, left over, or does not fit.
    """
    import transformers

    values = checkpoint.config
    kind = str(values.get("model_type"))
    _check_kind(kind, values, checkpoint.name)
    family = FAMILIES[kind]
    stated = values.get(family.inner, {}).get("image_size") if family.inner else None
    _check_size(kind, stated or values.get("image_size"), size)
    tensors = checkpoint.tensors()
    net = load_net(
        getattr(transformers, family.whole or family.network),
        _config(kind, values, checkpoint.name, whole=bool(family.whole)),
        tensors,
        name=checkpoint.name,
        drop=(_OTHER_PARTS,),
        optional=(_POOLER,) if kind in _WITHOUT_POOLER else (),
    )
    if family.whole:
        net = cast(nn.Module, net.vision_model)
    if kind in _WITHOUT_POOLER:
        without_pooler(net)
    module = TransformersImage(net, kind, size)
    module.left_out = tuple(sorted(key for key in tensors if re.search(_OTHER_PARTS, key)))
    return module


def restore_transformers_image(
    architecture: Mapping[str, Any], size: tuple[int, ...]
) -> TransformersImage:
    """Build the network of a saved architecture; its weights are not loaded yet."""
    import transformers

    kind, values = architecture["kind"], architecture["config"]
    _check_kind(kind, {}, "the saved model")
    family = FAMILIES[kind]
    network = getattr(transformers, family.network)
    config = network.config_class.from_dict(dict(values))
    extra = {"add_pooling_layer": False} if kind in _WITHOUT_POOLER else {}
    net = network._from_config(config, **extra)
    return TransformersImage(net, kind, size, int(architecture["projection"]))


def _config(kind: str, values: Mapping[str, Any], name: str, *, whole: bool) -> PreTrainedConfig:
    from transformers import AutoConfig

    rest = {key: value for key, value in values.items() if key != "model_type"}
    try:
        with quiet():
            config = AutoConfig.for_model(kind, **rest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError("config.json is not valid", where=name) from error
    inner = FAMILIES[kind].inner
    if whole or not inner:
        return config
    tower = cast("PreTrainedConfig", getattr(config, inner))
    if kind == "clip":  # the pair's own number is the one that counts
        cast(Any, tower).projection_dim = cast(Any, config).projection_dim
    return tower


def _check_kind(kind: str, values: Mapping[str, Any], name: str) -> None:
    if kind in ("siglip2", "siglip2_vision_model"):
        raise ModelError(
            "SigLIP 2 with images of any size (NaFlex) is not supported",
            where=name,
            hint="take the checkpoint of the same model with a fixed resolution",
        )
    if kind not in FAMILIES:
        raise ModelError(
            f"the image network {kind!r} is not known here",
            where=name,
            hint=f"known: {', '.join(FAMILIES)}; the guide on own encoders shows how to add one",
        )
    if values.get("quantization_config"):
        raise ModelError(
            "its weights are quantized",
            where=name,
            hint="give the checkpoint before it was quantized",
        )


def _check_size(kind: str, stated: Any, size: tuple[int, ...]) -> None:
    if FAMILIES[kind].any_size or stated is None:
        return
    pixels = tuple(stated) if isinstance(stated, (list, tuple)) else (stated, stated)
    if pixels != tuple(size):
        raise ConfigError(
            f"the network reads images of {' × '.join(map(str, pixels))} pixels, "
            f"not of {' × '.join(map(str, size))}",
            where="preprocess.size",
            hint="leave preprocess.size out: the checkpoint states it",
        )
