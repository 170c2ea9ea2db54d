"""Image towers of open_clip checkpoints, as networks of transformers with the same outputs.

open_clip itself is not needed. Two kinds are read: its own vision transformer, which is CLIP's, and
a ViT of timm with a linear projection, as in BiomedCLIP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medembed.encoders.checkpoint import Checkpoint, load_weights
from medembed.errors import ModelError

if TYPE_CHECKING:
    import torch

    from medembed.encoders.transformers_image import TransformersImage

__all__ = ["load_open_clip_image", "open_clip_preprocess"]

_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
_CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
_OWN_VIT = {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"}
_TIMM_VIT = {"timm_model_name", "timm_model_pretrained", "timm_pool", "timm_proj", "image_size"}
_TRAINING_ONLY = {"patch_dropout", "timm_drop", "timm_drop_path"}
_TIMM_HEADS = {"tiny": 3, "small": 6, "base": 12, "large": 16, "huge": 16}
_RESIZE = {"shortest": "shortest", "squash": "squash"}
_LAYERS_OF_OWN = {
    "ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}  # fmt: skip
_LAYERS_OF_TIMM = {
    "norm1": "layernorm_before", "norm2": "layernorm_after", "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2", "attn.proj": "attention.o_proj",
}  # fmt: skip


def open_clip_preprocess(checkpoint: Checkpoint) -> dict[str, Any]:
    """Read the image preprocessing of an open_clip folder, as settings of ours.

    Raises
    ------
    ModelError
        If it asks for something that the preprocessing does not do.
    """
    _, vision, stated = _settings(checkpoint)
    size = vision.get("image_size", 224)
    mode = stated.get("resize_mode") or "shortest"
    interpolation = stated.get("interpolation") or "bicubic"
    if mode not in _RESIZE or interpolation not in ("bicubic", "bilinear"):
        raise ModelError(
            f"its images are resized by {mode}, {interpolation}",
            where=checkpoint.name,
            hint="such a preprocessing is not available here",
        )
    return {
        "dimensions": 2,
        "size": list(size) if isinstance(size, list) else [size, size],
        "resize": _RESIZE[mode],
        "interpolation": interpolation,
        "window": "display",
        "mean": list(stated.get("mean") or _CLIP_MEAN),
        "std": list(stated.get("std") or _CLIP_STD),
    }


def load_open_clip_image(checkpoint: Checkpoint, size: tuple[int, ...]) -> TransformersImage:
    """Load the image tower of an open_clip folder; every one of its keys is accounted for.

    Raises
    ------
    ModelError
        If its network is of another kind, or a weight is missing, left over, or does not fit.
    """
    model, vision, _ = _settings(checkpoint)
    tensors = checkpoint.tensors()
    weights = {
        key.removeprefix("visual."): tensor
        for key, tensor in tensors.items()
        if key.startswith("visual.")
    }
    if not weights:
        raise ModelError(
            "it has no image tower (no key begins with visual.)", where=checkpoint.name
        )
    stated = vision.get("image_size", 224)
    if (tuple(stated) if isinstance(stated, list) else (stated, stated)) != tuple(size):
        raise ModelError(
            f"its network reads images of {stated} pixels",
            where=checkpoint.name,
            hint="leave preprocess.size out: the checkpoint states it",
        )
    try:
        if "timm_model_name" in vision:
            module = _timm_vit(checkpoint.name, vision, weights, size)
        else:
            module = _own_vit(checkpoint.name, model, vision, weights, size)
    except KeyError as error:
        raise ModelError(f"its image tower lacks {error}", where=checkpoint.name) from None
    module.left_out = tuple(sorted(key for key in tensors if not key.startswith("visual.")))
    return module


def _settings(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the settings of the model, of its image tower, and of its preprocessing."""
    stated = checkpoint.read_json("open_clip_config.json")
    try:
        model = dict(stated["model_cfg"])
        vision = dict(model["vision_cfg"])
        return model, vision, dict(stated.get("preprocess_cfg") or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError("open_clip_config.json is not valid", where=checkpoint.name) from error


def _check_known(name: str, vision: Mapping[str, Any], known: set[str]) -> None:
    others = sorted(k for k, v in vision.items() if v and k not in known | _TRAINING_ONLY)
    if others:
        raise ModelError(
            f"its image tower has {others[0]} = {vision[others[0]]!r}, which is not known here",
            where=name,
            hint="read are open_clip's own ViT and a ViT of timm with a linear projection",
        )


def _own_vit(
    name: str,
    model: Mapping[str, Any],
    vision: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    size: tuple[int, ...],
) -> TransformersImage:
    _check_known(name, vision, _OWN_VIT)
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from medembed.encoders.transformers_image import TransformersImage

    width, layers = int(vision["width"]), vision["layers"]
    if not isinstance(layers, int):
        raise ModelError("its image tower is a ResNet, which is not read", where=name)
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=int(width * vision.get("mlp_ratio", 4.0)),
        num_hidden_layers=layers,
        num_attention_heads=width // int(vision.get("head_width", 64)),
        image_size=size[0],
        patch_size=vision["patch_size"],
        hidden_act="quick_gelu" if model.get("quick_gelu") else "gelu",
        projection_dim=int(model["embed_dim"]),
    )
    renamed: dict[str, torch.Tensor] = {}
    for key, tensor in weights.items():
        renamed |= _own_keys(key, tensor)
    net = CLIPVisionModelWithProjection(config)
    load_weights(net, renamed, name=name)
    return TransformersImage(net, "clip", size)


def _own_keys(key: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return a weight of open_clip's ViT under its name in transformers' CLIP."""
    plain = {
        "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "class_embedding": "vision_model.embeddings.class_embedding",
        "positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "ln_pre.weight": "vision_model.pre_layrnorm.weight",
        "ln_pre.bias": "vision_model.pre_layrnorm.bias",
        "ln_post.weight": "vision_model.post_layernorm.weight",
        "ln_post.bias": "vision_model.post_layernorm.bias",
    }
    if key in plain:
        return {plain[key]: tensor}
    if key == "proj":
        return {"visual_projection.weight": tensor.T.contiguous()}
    block = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)", key)
    if block is None:
        return {key: tensor}  # load_weights names it
    number, layer, kind = block.groups()
    place = f"vision_model.encoder.layers.{number}"
    if layer == "attn.in_proj":
        parts = zip("qkv", tensor.chunk(3), strict=True)
        return {f"{place}.self_attn.{p}_proj.{kind}": part.clone() for p, part in parts}
    return {f"{place}.{_LAYERS_OF_OWN.get(layer, layer)}.{kind}": tensor}


def _timm_vit(
    name: str,
    vision: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    size: tuple[int, ...],
) -> TransformersImage:
    _check_known(name, vision, _TIMM_VIT)
    kind = re.match(r"vit_(tiny|small|base|large|huge)_patch\d+_\d+(\.\w+)?$",
                    str(vision["timm_model_name"]))  # fmt: skip
    if kind is None or vision.get("timm_proj") != "linear" or vision.get("timm_pool") not in (
        "", None, "token",
    ):  # fmt: skip
        raise ModelError(
            f"its image tower, {vision['timm_model_name']} of timm with its pooling and projection,"
            " is not known here",
            where=name,
            hint="read is a plain ViT with its class token and a linear projection",
        )
    from transformers import ViTConfig, ViTModel

    from medembed.encoders.transformers_image import TransformersImage

    projection = weights["head.proj.weight"]
    patches = weights["trunk.patch_embed.proj.weight"]
    depth = 1 + max(int(m[1]) for k in weights if (m := re.match(r"trunk\.blocks\.(\d+)\.", k)))
    config = ViTConfig(
        hidden_size=patches.shape[0],
        num_hidden_layers=depth,
        num_attention_heads=_TIMM_HEADS[kind[1]],
        intermediate_size=weights["trunk.blocks.0.mlp.fc1.weight"].shape[0],
        image_size=size[0],
        patch_size=patches.shape[-1],
        layer_norm_eps=1e-6,  # timm's
        hidden_act="gelu",
    )
    module = TransformersImage(
        ViTModel(config, add_pooling_layer=False), "vit", size, len(projection)
    )
    renamed: dict[str, torch.Tensor] = {"head.weight": projection}
    for key, tensor in weights.items():
        if key != "head.proj.weight":
            renamed |= _timm_keys(key, tensor)
    load_weights(module, renamed, name=name)
    return module


def _timm_keys(key: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return a weight of timm's ViT under its name in transformers' ViT."""
    plain = {
        "trunk.cls_token": "net.embeddings.cls_token",
        "trunk.pos_embed": "net.embeddings.position_embeddings",
        "trunk.patch_embed.proj.weight": "net.embeddings.patch_embeddings.projection.weight",
        "trunk.patch_embed.proj.bias": "net.embeddings.patch_embeddings.projection.bias",
        "trunk.norm.weight": "net.layernorm.weight",
        "trunk.norm.bias": "net.layernorm.bias",
    }
    if key in plain:
        return {plain[key]: tensor}
    block = re.fullmatch(r"trunk\.blocks\.(\d+)\.(.+)\.(weight|bias)", key)
    if block is None:
        return {key: tensor}
    number, layer, kind = block.groups()
    place = f"net.layers.{number}"
    if layer == "attn.qkv":
        parts = zip("qkv", tensor.chunk(3), strict=True)
        return {f"{place}.attention.{p}_proj.{kind}": part.clone() for p, part in parts}
    return {f"{place}.{_LAYERS_OF_TIMM.get(layer, layer)}.{kind}": tensor}
