"""Read model folders of format 1, whose settings and weights had other names.

The vectors stay the same, so the folder keeps its fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from medembed.encoders.efficientnet_lite import layer_name

__all__ = ["upgrade"]

_SETTINGS = {
    "peaks": "max_pool", "reduce": "bottleneck_channels", "standardise": "batch_norm",
}  # fmt: skip
_ENCODER = "image.encoder."
_BOTTLENECK = "image.reduce."


def upgrade(
    architecture: Mapping[str, Any], weights: Mapping[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return architecture and weights under today's names; the arguments are not changed."""
    settings = {_SETTINGS.get(key, key): value for key, value in architecture["image"].items()}
    is_lite0 = settings["encoder"] == "efficientnet-lite0"
    renamed = {_name(name, is_lite0): tensor for name, tensor in weights.items()}
    return {**architecture, "image": settings}, renamed


def _name(name: str, is_lite0: bool) -> str:
    if name.startswith(_BOTTLENECK):
        return f"image.bottleneck.{name.removeprefix(_BOTTLENECK)}"
    if is_lite0 and name.startswith(_ENCODER):
        return _ENCODER + layer_name(name.removeprefix(_ENCODER))
    return name
