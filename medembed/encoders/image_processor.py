"""Read how a published image encoder prepares its images, as settings of our preprocessing.

Each rule is that of a named image processor of transformers; the tests compare both on the same
pictures. A rule that our preprocessing does not have is refused, since an encoder that is fed
differently than it was trained answers without an error and worse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medembed.errors import ModelError

if TYPE_CHECKING:
    from medembed.encoders.checkpoint import Checkpoint

__all__ = ["stated_preprocess"]

_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
_CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
_HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
_SQUARE_224 = {"height": 224, "width": 224}
_CLIP = {
    "size": {"shortest_edge": 224}, "crop_size": _SQUARE_224, "do_center_crop": True,
    "resample": 3, "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD,
}  # fmt: skip
_DEFAULTS: dict[str, dict[str, Any]] = {
    "CLIP": _CLIP,
    "Bit": _CLIP,
    "ViT": {"size": _SQUARE_224, "resample": 2, **_HALF},
    "DeiT": {
        "size": {"height": 256, "width": 256}, "crop_size": _SQUARE_224, "do_center_crop": True,
        "resample": 3, **_HALF,
    },
    "Beit": {"size": _SQUARE_224, "crop_size": _SQUARE_224, "resample": 3, **_HALF},
    "Siglip": {"size": _SQUARE_224, "resample": 3, **_HALF},
    "ConvNext": {"size": {"shortest_edge": 384}, "crop_pct": 224 / 256, "resample": 3, **_HALF},
    "EfficientNet": {
        "size": {"height": 346, "width": 346}, "crop_size": {"height": 289, "width": 289},
        "include_top": True, "resample": 3, **_HALF,
    },
}  # fmt: skip
"""What an image processor does where its file says nothing (transformers 5)."""

_OF_MODEL = {
    "clip": "CLIP", "clip_vision_model": "CLIP", "siglip": "Siglip",
    "siglip_vision_model": "Siglip",
    "align": "EfficientNet", "dinov2": "Bit", "dinov2_with_registers": "Bit", "vit": "ViT",
    "deit": "DeiT", "beit": "Beit", "swin": "ViT", "swinv2": "ViT", "convnext": "ConvNext",
    "convnextv2": "ConvNext",
}  # fmt: skip
"""The processor of a model type, for files that do not name one."""

_SHORTEST_IF_NUMBER = ("CLIP", "Bit", "ConvNext")
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_KNOWN_STEPS = (
    "do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb",
    "do_reduce_labels",
)  # fmt: skip
_FILES = ("preprocessor_config.json", "processor_config.json")


def stated_preprocess(checkpoint: Checkpoint) -> dict[str, Any]:
    """Read the image preprocessing of a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
        With ``preprocessor_config.json`` or ``processor_config.json``.

    Returns
    -------
    dict
        Settings of :class:`medembed.preprocess.Preprocess`.

    Raises
    ------
    ModelError
        If there is no such file, or it asks for something that the preprocessing does not do.
    """
    for file in _FILES:
        read = checkpoint.read_json(file)
        if isinstance(read, dict) and isinstance(read.get("image_processor", read), dict):
            break
    else:
        raise ModelError(
            "it does not say how its images are prepared",
            where=checkpoint.name,
            hint="add the preprocessor_config.json that was published with it",
        )
    stated: dict[str, Any] = read.get("image_processor", read)
    try:
        return _settings(_kind(stated, checkpoint.config), stated)
    except _UnsupportedError as error:
        raise ModelError(
            f"{file}: {error}",
            where=checkpoint.name,
            hint="such a preprocessing is not available here",
        ) from None
    except (
        TypeError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        ZeroDivisionError,
    ) as error:
        raise ModelError(f"{file} is not valid", where=checkpoint.name) from error


class _UnsupportedError(Exception):
    """A rule that our preprocessing does not have."""


def _kind(stated: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    named = stated.get("image_processor_type") or stated.get("feature_extractor_type")
    if not isinstance(named, str):
        named = _OF_MODEL.get(str(config.get("model_type")), "")
    kind = re.sub(r"(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", named)
    if kind not in _DEFAULTS:
        raise _UnsupportedError(
            f"unknown image processor {named!r}" if named else "no processor named"
        )
    return kind


def _settings(kind: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    steps = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
    given = {key: value for key, value in stated.items() if value is not None}
    values = {**steps, **_DEFAULTS[kind], **given}
    others = [k for k, v in values.items() if k.startswith("do_") and v and k not in _KNOWN_STEPS]
    if others:
        raise _UnsupportedError(f"{others[0]} is set")
    if not values["do_resize"]:
        raise _UnsupportedError("images keep their own size (do_resize is off)")
    if int(values["resample"]) not in _RESAMPLE:
        raise _UnsupportedError(f"resample is {values['resample']}")
    mean, std = _scale(values)
    return {
        "dimensions": 2,
        **_geometry(kind, values),
        "interpolation": _RESAMPLE[int(values["resample"])],
        "window": "display",
        "mean": mean,
        "std": std,
    }


def _geometry(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    size = values["size"]
    if isinstance(size, int):
        square = {"height": size, "width": size}
        size = {"shortest_edge": size} if kind in _SHORTEST_IF_NUMBER else square
    elif isinstance(size, list):
        size = {"height": size[0], "width": size[1]}
    edges = {name for name, value in size.items() if value is not None}
    if edges not in ({"shortest_edge"}, {"height", "width"}):
        raise _UnsupportedError(f"size is given by {', '.join(sorted(edges))}")
    if kind == "ConvNext":
        edge = int(size["shortest_edge"])
        if edge >= 384:
            return {"size": [edge, edge], "resize": "squash"}
        wider = int(edge / float(values["crop_pct"]))
        return {"size": [edge, edge], "resize": "shortest", "crop_from": wider}
    crop = _crop(values) if values.get("do_center_crop") else None
    if "shortest_edge" in edges:
        if crop is None:
            raise _UnsupportedError("images keep their proportions and are not cropped")
        edge = int(size["shortest_edge"])
        if edge < max(crop):
            raise _UnsupportedError("the crop is larger than the resized image")
        return {"size": crop, "resize": "shortest", "crop_from": edge}
    pixels = [int(size["height"]), int(size["width"])]
    if crop is None or crop == pixels:
        return {"size": pixels, "resize": "squash"}
    if crop[0] > pixels[0] or crop[1] > pixels[1]:
        raise _UnsupportedError("the crop is larger than the resized image")
    return {"size": crop, "resize": "squash", "crop_from": pixels}


def _crop(values: Mapping[str, Any]) -> list[int]:
    size = values["crop_size"]
    if isinstance(size, int):
        return [size, size]
    if isinstance(size, list):
        return [int(size[0]), int(size[1])]
    return [int(size["height"]), int(size["width"])]


def _scale(values: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Mean and std for pixels in [0, 1]: the steps are linear, and so is all of them together."""
    factor = float(values["rescale_factor"]) * 255 if values["do_rescale"] else 255.0
    if abs(factor - 1) < 1e-6:
        factor = 1.0  # 0.00392156862745098 is 1/255
    offset = 1.0 if values["do_rescale"] and values.get("rescale_offset") else 0.0
    mean, std = _per_channel(values["image_mean"]), _per_channel(values["image_std"])
    if not values["do_normalize"]:
        mean, std = [0.0] * len(mean), [1.0] * len(std)
    if values.get("include_top"):  # EfficientNet's processor divides once more
        std = [s * float(t) for s, t in zip(std, _per_channel(values["image_std"]), strict=True)]
        mean = list(mean)
    return [(m + offset) / factor for m in mean], [s / factor for s in std]


def _per_channel(value: Any) -> list[float]:
    return [float(v) for v in value] if isinstance(value, list) else [float(value)] * 3
