"""A transformers encoder as a text tower: its last hidden states, pooled under the mask."""

from __future__ import annotations

import json
from typing import Any, Literal, cast

import torch
from torch import nn

from medembed.errors import ModelError

__all__ = ["TextPooling", "TransformerText", "restore_text"]

TextPooling = Literal["mean", "cls"]


class TransformerText(nn.Module):
    """Token ids and mask ``(n, t)`` to ``(n, width)``.

    Parameters
    ----------
    net : PreTrainedModel
        Its output has ``last_hidden_state``.
    pooling : {"mean", "cls"}
        Mean over the tokens of the mask, or the first token.
    """

    def __init__(self, net: nn.Module, pooling: TextPooling) -> None:
        super().__init__()
        self.net = net
        self.pooling = pooling
        config = cast(Any, net.config)
        self.width = int(config.hidden_size)
        values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
        for name in ("_name_or_path", "auto_map", "architectures", "transformers_version"):
            values.pop(name, None)  # the folder should not tell where the weights came from
        self.architecture: dict[str, Any] = {"pooling": pooling, "config": values}

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool the last hidden states."""
        hidden = cast(torch.Tensor, self.net(input_ids=ids, attention_mask=mask).last_hidden_state)
        if self.pooling == "cls":
            return hidden[:, 0]
        weight = mask.unsqueeze(-1).to(hidden.dtype)  # (n, t, 1)
        return (hidden * weight).sum(dim=1) / weight.sum(dim=1)


def restore_text(architecture: dict[str, Any]) -> nn.Module:
    """Build the module of a saved architecture; its weights are not loaded yet.

    Raises
    ------
    ModelError
        If transformers does not know the architecture; code from elsewhere is never run.
    """
    from transformers import AutoConfig, AutoModel

    values = dict(architecture["config"])
    kind = values.pop("model_type", "")
    try:
        config = AutoConfig.for_model(kind, **values)
        net = AutoModel.from_config(config, trust_remote_code=False)
    except (ValueError, KeyError) as error:
        raise ModelError(f"transformers does not know the text encoder type {kind!r}") from error
    return TransformerText(without_pooler(net), architecture["pooling"])


def without_pooler(net: nn.Module) -> nn.Module:
    """Remove BERT's pooler, which is not used here."""
    if getattr(net, "pooler", None) is not None:
        net.register_module("pooler", None)
    return net
