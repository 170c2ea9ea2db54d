"""Tiny random pairs of image and text encoder, written to a folder by transformers itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from support.tiny_encoders import SMALL, byte_bpe, unigram, wordpiece
from support.tiny_image_models import spread

PAIRS = ("align", "clip", "siglip")

_VISION = {**SMALL, "image_size": 32, "patch_size": 8}
_SPECIAL = ["<unk>", "<|startoftext|>", "<|endoftext|>"]


def write_pair(folder: Path, kind: str, seed: int = 0) -> Any:
    """Save a pair with its tokenizer and image processor; returns the model."""
    return {"clip": _clip, "siglip": _siglip, "align": _align}[kind](folder, seed)


def _clip(folder: Path, seed: int) -> Any:
    byte_bpe(
        folder, _SPECIAL, "<|startoftext|> $A <|endoftext|>", lower=True,
        bos_token="<|startoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>",
        unk_token="<unk>",
    )  # fmt: skip
    config = transformers.CLIPConfig(
        text_config={
            **SMALL, "vocab_size": 310, "max_position_embeddings": 77, "bos_token_id": 1,
            "eos_token_id": 2, "pad_token_id": 2,
        },
        vision_config=_VISION,
        projection_dim=24,
    )  # fmt: skip
    processor = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
    )
    return _saved(transformers.CLIPModel(config), processor, folder, seed)


def _siglip(folder: Path, seed: int) -> Any:
    unigram(folder, model_input_names=["input_ids"])
    config = transformers.SiglipConfig(
        text_config={**SMALL, "vocab_size": 95}, vision_config=_VISION
    )
    processor = transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32})
    return _saved(transformers.SiglipModel(config), processor, folder, seed)


def _align(folder: Path, seed: int) -> Any:
    wordpiece(folder)
    config = transformers.AlignConfig(
        text_config={**SMALL, "vocab_size": 90, "max_position_embeddings": 40},
        vision_config={
            "image_size": 40, "width_coefficient": 0.25, "depth_coefficient": 0.25,
            "hidden_dim": 64, "in_channels": [8, 8], "out_channels": [8, 64],
            "kernel_sizes": [3, 3], "strides": [1, 2], "num_block_repeats": [1, 1],
            "expand_ratios": [1, 2], "depthwise_padding": [],
        },
        projection_dim=16,  # that of the pooled image: 64 channels, narrowed to a quarter
    )  # fmt: skip
    processor = transformers.EfficientNetImageProcessorPil(
        size={"height": 44, "width": 44}, crop_size={"height": 40, "width": 40},
        do_center_crop=True, rescale_factor=1 / 127.5, rescale_offset=True, do_normalize=False,
        include_top=False, resample=2,
    )  # fmt: skip
    return _saved(transformers.AlignModel(config), processor, folder, seed)


def _saved(model: Any, processor: Any, folder: Path, seed: int) -> Any:
    spread(model, seed)
    with torch.no_grad():
        for weight in model.vision_model.parameters():
            if hasattr(model, "temperature") and weight.ndim == 4:
                weight.mul_(8)  # its batch norms do not scale yet, and pictures would look alike
        scale = model.temperature if hasattr(model, "temperature") else model.logit_scale
        scale.fill_(0.05 if hasattr(model, "temperature") else 3.0)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return model


def theirs(
    folder: Path, kind: str, pictures: Sequence[np.ndarray], texts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of images and texts as transformers makes them: its model, tokenizer, processor.

    The processor is that which was saved; AutoImageProcessor needs torchvision for some.
    """
    name = {"clip": "CLIP", "siglip": "Siglip", "align": "EfficientNet"}[kind]
    processor = getattr(transformers, f"{name}ImageProcessorPil").from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    shown = [Image.fromarray(picture).convert("RGB") for picture in pictures]
    pixels = processor(images=shown, return_tensors="pt")["pixel_values"]
    length = {"clip": 77, "siglip": 64, "align": 40}[kind]
    padding = "max_length" if kind == "siglip" else True
    batch = tokenizer(
        list(texts), truncation=True, max_length=length, padding=padding, return_tensors="pt"
    )
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        images = model.get_image_features(pixel_values=pixels).pooler_output
        notes = model.get_text_features(**batch).pooler_output
    return tuple(  # type: ignore[return-value]
        (rows / rows.norm(dim=1, keepdim=True)).numpy() for rows in (images, notes)
    )
