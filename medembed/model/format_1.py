"""Read model folders of format 1, whose settings and weights had other names.

The vectors stay the same, so the folder keeps its fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["upgrade_settings", "upgrade_weights"]

_SETTINGS = {
    "peaks": "max_pool", "reduce": "bottleneck_channels", "standardise": "batch_norm",
}  # fmt: skip
_ENCODER = "image.encoder."
_BOTTLENECK = "image.reduce."


def upgrade_settings(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Return the architecture under today's names; the argument is not changed."""
    settings = {_SETTINGS.get(key, key): value for key, value in architecture["image"].items()}
    return {**architecture, "image": settings}


def upgrade_weights(
    architecture: Mapping[str, Any], weights: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return the weights under today's names; ``architecture`` has them already."""
    is_lite0 = architecture["image"]["encoder"] == "efficientnet-lite0"
    return {_name(name, is_lite0): tensor for name, tensor in weights.items()}


def _name(name: str, is_lite0: bool) -> str:
    if name.startswith(_BOTTLENECK):
        return f"image.bottleneck.{name.removeprefix(_BOTTLENECK)}"
    if is_lite0 and name.startswith(_ENCODER):
        from medembed.encoders.efficientnet_lite import layer_name

        return _ENCODER + layer_name(name.removeprefix(_ENCODER))
    return name
