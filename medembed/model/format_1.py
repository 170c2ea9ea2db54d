"""Read model folders of format 1: the names that settings and weights had then.

The vectors, and so the fingerprint, are those of the folder as it was saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from medembed.encoders.efficientnet_lite import layer_name

__all__ = ["upgrade"]


def upgrade(
    architecture: Mapping[str, Any], weights: Mapping[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Give architecture and weights under today's names; neither argument is changed."""
    if architecture["image"]["encoder"] != "efficientnet-lite0":
        return dict(architecture), dict(weights)
    prefix = "image.encoder."
    renamed = {
        prefix + layer_name(name.removeprefix(prefix)) if name.startswith(prefix) else name: tensor
        for name, tensor in weights.items()
    }
    return dict(architecture), renamed
