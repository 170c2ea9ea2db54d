"""Low-rank adapters (LoRA) beside the linear layers of a pretrained encoder.

Only the adapters of an encoder are trained; at the end they are added to the weights, so that a
model folder, its fingerprint and its ONNX files know nothing of them.

References
----------
Hu et al. 2022, LoRA: low-rank adaptation of large language models.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from pydantic import Field, field_validator
from torch import nn

from medembed.encoders.settings import Settings
from medembed.errors import ConfigError

if TYPE_CHECKING:
    from medembed.model.towers import Towers
    from medembed.training.settings import TrainingConfig

__all__ = ["LoraSettings", "LoraSides", "add_adapters", "merge_adapters", "set_trainable"]

_SIDES = ("image", "text")
_NAMED = 8


class LoraSettings(Settings):
    """Low-rank adapters of one encoder (:mod:`medembed.training.lora`).

    Parameters
    ----------
    rank : int
    alpha : int
        The adapters' output is scaled by ``alpha / rank``.
    targets : str
        Regular expression that is searched in the names of linear layers. The default is what
        transformers call the projections of attention.
    """

    rank: int = Field(default=8, ge=1, le=1024)
    alpha: int = Field(default=16, ge=1)
    targets: str = (
        r"(^|\.)(query|key|value|[qkv]|[qkv]_proj|[qkv]_lin|(query|key|value)_proj|W?qkv|qkv_proj)$"
    )

    @field_validator("targets")
    @classmethod
    def _is_an_expression(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class LoraSides(Settings):
    """Encoders of which only low-rank adapters are trained.

    Parameters
    ----------
    image, text : LoraSettings or None
        None trains the whole encoder, unless it is frozen. ``lora.text.rank=8`` is enough.
    """

    image: LoraSettings | None = None
    text: LoraSettings | None = None


def add_adapters(config: TrainingConfig, towers: Towers) -> None:
    """Put adapters beside the layers that ``config.lora`` names; does nothing without it.

    Parameters
    ----------
    config : TrainingConfig
    towers : Towers
        Changed in place. A new adapter changes no output.

    Raises
    ------
    ConfigError
        If peft is not installed, or an encoder has no such layer.
    """
    for name in _SIDES:
        settings: LoraSettings | None = getattr(config.lora, name)
        if settings is not None:
            _adapt(getattr(towers, name).encoder, settings, name)


def _adapt(encoder: nn.Module, settings: LoraSettings, name: str) -> None:
    layers = _linear_layers(encoder)
    if not layers:
        raise ConfigError(
            f"the {name} encoder has no linear layers to adapt",
            where=f"lora.{name}",
            hint=f"leave out lora.{name}: the whole encoder is trained then",
        )
    chosen = [layer for layer in layers if re.search(settings.targets, layer)]
    if not chosen:
        last = dict.fromkeys(layer.rpartition(".")[2] for layer in layers)
        raise ConfigError(
            f"no linear layer of the {name} encoder matches",
            where=f"lora.{name}.targets",
            hint=f"its linear layers are called: {', '.join(list(last)[:_NAMED])}",
        )
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError(
            "low-rank adapters need peft",
            where=f"lora.{name}",
            hint="pip install 'medembed[lora]'",
        ) from error
    inject_adapter_in_model(
        LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=chosen), encoder
    )


def _linear_layers(encoder: nn.Module) -> list[str]:
    """Return the names of linear layers that are called.

    Torch's own attention reads the weights of its last layer without calling it.
    """
    unseen = tuple(
        f"{name}." if name else ""
        for name, module in encoder.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    )
    return [
        name
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith(unseen)
    ]


def set_trainable(config: TrainingConfig, towers: Towers) -> None:
    """Let an encoder's weights be trained: all, its adapters only, or none if it is frozen."""
    for name in _SIDES:
        encoder = getattr(towers, name).encoder
        frozen, adapted = getattr(config, name).frozen, getattr(config.lora, name) is not None
        for weight, parameter in encoder.named_parameters():
            parameter.requires_grad_(not frozen and (not adapted or "lora_" in weight))


def merge_adapters(towers: Towers) -> None:
    """Add the adapters to the weights beside which they stand, and remove them."""
    for name in _SIDES:
        encoder = getattr(towers, name).encoder
        for path, layer in list(encoder.named_modules()):
            if not (hasattr(layer, "merge") and hasattr(layer, "get_base_layer")):
                continue
            layer.merge()
            parent, _, attribute = path.rpartition(".")
            plain = cast(nn.Module, layer.get_base_layer())
            setattr(encoder.get_submodule(parent), attribute, plain)
