"""Layers that a checkpoint applies to its pooled vector: dense, layer norm, scaling to norm 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn

from medembed.errors import ModelError

__all__ = ["ACTIVATIONS", "build_head"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    each.__name__: each
    for each in (
        nn.ELU, nn.GELU, nn.Hardswish, nn.Identity, nn.LeakyReLU, nn.Mish, nn.ReLU, nn.SELU,
        nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Tanh,
    )
}  # fmt: skip
"""Activations that a dense layer may have; others are refused rather than guessed."""


class Dense(nn.Module):
    """A linear layer, an activation and perhaps a residual."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__()
        inner, outer = int(spec["in"]), int(spec["out"])
        self.linear = nn.Linear(inner, outer, bias=bool(spec["bias"]))
        self.activation = ACTIVATIONS[spec["activation"]]()
        self.is_residual = bool(spec.get("residual", False))
        self.residual: nn.Module = nn.Identity()
        if self.is_residual and inner != outer:
            self.residual = nn.Linear(inner, outer, bias=False)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Map ``(n, in)`` to ``(n, out)``."""
        out: torch.Tensor = self.activation(self.linear(rows))
        return out + self.residual(rows) if self.is_residual else out


class LayerNorm(nn.Module):
    """Layer normalization under the name that sentence-transformers gives it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Normalize ``(n, width)``."""
        return cast(torch.Tensor, self.norm(rows))


class Unit(nn.Module):
    """Scale rows to norm 1."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Scale ``(n, width)``."""
        return nn.functional.normalize(rows, dim=1)


class Head(nn.Sequential):
    """The layers in turn; ``width`` is that of the last."""

    def __init__(self, width: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.width = width


def build_head(layers: Sequence[Mapping[str, Any]], width: int) -> Head:
    """Build the layers after the pooling.

    Parameters
    ----------
    layers : sequence of dict
        JSON values with ``kind`` ``"dense"`` (``in``, ``out``, ``bias``, ``activation``,
        ``residual``), ``"layer_norm"`` or ``"unit"``.
    width : int
        Of the pooled vector.

    Raises
    ------
    ModelError
        If a layer is unknown or does not fit the one before.
    """
    made: list[nn.Module] = []
    for spec in layers:
        if spec["kind"] == "dense":
            if int(spec["in"]) != width:
                raise ModelError(f"a dense layer reads {spec['in']} values and is given {width}")
            made.append(Dense(spec))
            width = int(spec["out"])
        elif spec["kind"] == "layer_norm":
            made.append(LayerNorm(width))
        elif spec["kind"] == "unit":
            made.append(Unit())
        else:
            raise ModelError(f"the layer {spec['kind']!r} is not known")
    return Head(width, *made)
