"""Tiny random image models of every family, written to a folder by their own library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as t

_VIT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
_TEXT = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "vocab_size": 40,
}  # fmt: skip
_SWIN = {
    "image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 2], "num_heads": [2, 2],
    "window_size": 4,
}  # fmt: skip
_CONV = {"image_size": 32, "depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 24]}
_ALIGN = {
    "image_size": 40, "width_coefficient": 0.25, "depth_coefficient": 0.25, "hidden_dim": 64,
}  # fmt: skip
_NARROW_ALIGN = {
    "in_channels": [8, 8], "out_channels": [8, 64], "kernel_sizes": [3, 3], "strides": [1, 2],
    "num_block_repeats": [1, 1], "expand_ratios": [1, 2], "depthwise_padding": [],
}  # fmt: skip


def _clip() -> Any:
    config = t.CLIPConfig(text_config=dict(_TEXT), vision_config=dict(_VIT), projection_dim=24)
    return t.CLIPModel(config)


def _siglip() -> Any:
    return t.SiglipModel(t.SiglipConfig(text_config=dict(_TEXT), vision_config=dict(_VIT)))


def _align() -> Any:
    vision = {**_ALIGN, **_NARROW_ALIGN}
    config = t.AlignConfig(text_config=dict(_TEXT), vision_config=vision, projection_dim=64)
    return t.AlignModel(config)


_SHORTEST = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
_SQUARE = {"size": {"height": 32, "width": 32}}

FAMILIES: dict[str, tuple[Callable[[], Any], str, dict[str, Any]]] = {
    "clip": (_clip, "CLIPImageProcessorPil", _SHORTEST),
    "clip_vision_model": (
        lambda: t.CLIPVisionModel(t.CLIPVisionConfig(**_VIT)), "CLIPImageProcessorPil", _SHORTEST,
    ),
    "siglip": (_siglip, "SiglipImageProcessorPil", _SQUARE),
    "siglip_vision_model": (
        lambda: t.SiglipVisionModel(t.SiglipVisionConfig(**_VIT)), "SiglipImageProcessorPil",
        {**_SQUARE, "resample": 2},
    ),
    "align": (
        _align, "EfficientNetImageProcessorPil",
        {
            "size": {"height": 44, "width": 44}, "crop_size": {"height": 40, "width": 40},
            "do_center_crop": True, "rescale_factor": 1 / 127.5, "rescale_offset": True,
            "do_normalize": False, "include_top": False, "resample": 2,
        },
    ),
    "dinov2": (
        lambda: t.Dinov2Model(t.Dinov2Config(**_VIT)), "BitImageProcessorPil",
        {
            **_SHORTEST, "image_mean": [0.5307, 0.5307, 0.5307],
            "image_std": [0.2583, 0.2583, 0.2583],
        },
    ),
    "dinov2_with_registers": (
        lambda: t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(**_VIT)),
        "BitImageProcessorPil", _SHORTEST,
    ),
    "vit": (lambda: t.ViTModel(t.ViTConfig(**_VIT)), "ViTImageProcessorPil", _SQUARE),
    "deit": (
        lambda: t.DeiTModel(t.DeiTConfig(**_VIT)), "DeiTImageProcessorPil",
        {"size": {"height": 36, "width": 36}, "crop_size": {"height": 32, "width": 32}},
    ),
    "beit": (
        lambda: t.BeitModel(t.BeitConfig(**_VIT, use_mean_pooling=True)), "BeitImageProcessorPil",
        _SQUARE,
    ),
    "swin": (lambda: t.SwinModel(t.SwinConfig(**_SWIN)), "ViTImageProcessorPil",
             {**_SQUARE, "resample": 3}),
    "swinv2": (lambda: t.Swinv2Model(t.Swinv2Config(**_SWIN)), "ViTImageProcessorPil", _SQUARE),
    "convnext": (
        lambda: t.ConvNextModel(t.ConvNextConfig(**_CONV)), "ConvNextImageProcessorPil",
        {"size": {"shortest_edge": 32}},
    ),
    "convnextv2": (
        lambda: t.ConvNextV2Model(t.ConvNextV2Config(**_CONV)), "ConvNextImageProcessorPil",
        {"size": {"shortest_edge": 32}, "crop_pct": 0.9, "resample": 2},
    ),
}  # fmt: skip
"""Name, network, image processor, and what the processor is told besides its defaults."""

HEADED = {
    "vit": lambda: t.ViTForImageClassification(t.ViTConfig(**_VIT)),
    "swin": lambda: t.SwinForImageClassification(t.SwinConfig(**_SWIN)),
    "convnext": lambda: t.ConvNextForImageClassification(t.ConvNextConfig(**_CONV)),
}


def spread(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Draw all weights anew and wider, so that a vector depends on every layer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            scale = 0.3 if value.ndim < 2 else 0.2
            noise = scale * torch.randn(value.shape, generator=generator)
            value.copy_(noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
    return model.eval()


def write_model(folder: Path, family: str, model: Any = None) -> tuple[Any, Any]:
    """Save a tiny model and its image processor; returns both, as their library made them."""
    make, processor_name, told = FAMILIES[family]
    model = spread(model if model is not None else make())
    model.save_pretrained(folder)
    processor = getattr(t, processor_name)(**told)
    processor.save_pretrained(folder)
    return model, processor


def edit_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
