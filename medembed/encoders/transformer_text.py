"""A transformers encoder as a text tower: its last hidden states, pooled under the mask."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import torch
from torch import nn

from medembed.encoders.pooled_head import build_head
from medembed.errors import ModelError

__all__ = ["TextPooling", "TransformerText", "empty_net", "restore_text"]

TextPooling = Literal["mean", "cls"]

NETS = (
    "AlignTextModel", "CLIPTextModelWithProjection", "MT5EncoderModel", "Siglip2TextModel",
    "SiglipTextModel", "T5EncoderModel", "UMT5EncoderModel",
)  # fmt: skip
"""Classes of transformers that a saved architecture may name beside the one of its type."""

Weighting = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weight = mask.unsqueeze(-1).to(hidden.dtype)  # (n, t, 1)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1)


def _mean_sqrt_len(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1).sqrt()


def _weighted_mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    place = mask.cumsum(dim=1) * mask  # 1, 2, 3, … from the first token, 0 for padding
    return _mean(hidden, place)


def _max(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)


def _cls(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return _at(hidden, mask.argmax(dim=1))  # the first token, not the first padding


def _last(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    place = torch.arange(mask.shape[1], device=mask.device)
    return _at(hidden, (place * mask).argmax(dim=1))


def _at(hidden: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    index = place.view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])
    return hidden.gather(1, index).squeeze(1)


POOLING: dict[str, Weighting] = {
    "cls": _cls,
    "last": _last,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len": _mean_sqrt_len,
    "weighted_mean": _weighted_mean,
}
"""Ways to make one vector of hidden states ``(n, t, width)`` and mask ``(n, t)``."""


class TransformerText(nn.Module):
    """Token ids and mask ``(n, t)`` to ``(n, width)``.

    Parameters
    ----------
    net : PreTrainedModel
        Its output has ``last_hidden_state``.
    pooling : str
        A key of :data:`POOLING`; several are joined by ``+`` and concatenated; ``"own"`` is the
        network's own pooling and projection.
    head : sequence of dict
        Layers after the pooling, see :func:`medembed.encoders.pooled_head.build_head`.
    kind : str
        How :func:`empty_net` makes the network: ``""`` for the class of its configuration,
        ``"encoder"`` for that one's encoder, or a name of :data:`NETS`.
    config : dict, optional
        Settings from which the network is made again, if they are not the network's own.
    """

    def __init__(
        self,
        net: nn.Module,
        pooling: str,
        head: Sequence[Mapping[str, Any]] = (),
        kind: str = "",
        config: Any = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.pooling = pooling
        config = config or cast(Any, net.config)
        values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
        for name in ("_name_or_path", "auto_map", "architectures", "transformers_version"):
            values.pop(name, None)  # the folder should not tell where the weights came from
        self.architecture: dict[str, Any] = {"pooling": pooling, "config": values}
        if kind:  # absent otherwise, so that models from before keep their fingerprint
            self.architecture["net"] = kind
        if head:
            self.architecture["head"] = [dict(layer) for layer in head]
        inner = _width(net) if pooling == "own" else int(cast(Any, net.config).hidden_size)
        self.head = build_head(head, inner * len(pooling.split("+"))) if head else None
        self.width = self.head.width if self.head else inner * len(pooling.split("+"))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool the last hidden states."""
        return self.pooled_and_tokens(ids, mask)[0]

    def pooled_and_tokens(
        self, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what :meth:`forward` returns, and the last hidden states ``(n, t, hidden)``."""
        out = self.net(input_ids=ids, attention_mask=mask)
        hidden = cast(torch.Tensor, out.last_hidden_state)
        if self.pooling == "own":
            own = getattr(out, "text_embeds", None)
            pooled = cast(torch.Tensor, out.pooler_output if own is None else own)
        else:
            parts = [POOLING[name](hidden, mask) for name in self.pooling.split("+")]
            pooled = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        return (self.head(pooled) if self.head else pooled), hidden

    @property
    def token_width(self) -> int:
        """Width of the last hidden states."""
        return int(cast(Any, self.net.config).hidden_size)


def _width(net: nn.Module) -> int:
    """Return the width of a network's own pooled output."""
    layer = getattr(net, "text_projection", None)
    if isinstance(layer, nn.Linear):  # CLIP
        return layer.out_features
    config = cast(Any, net.config)
    return int(getattr(config, "projection_size", None) or config.hidden_size)  # SigLIP, BERT


def empty_net(config: Any, kind: str, *, pooler: bool = False) -> nn.Module:
    """Build a text network whose weights are loaded next.

    Parameters
    ----------
    config : PretrainedConfig
    kind : str
        As in :class:`TransformerText`.
    pooler : bool
        Keep BERT's pooler, which is used if the pooling is ``"own"``.
    """
    import transformers
    from transformers import AutoModel

    if kind in NETS:
        net = cast(nn.Module, getattr(transformers, kind)._from_config(config))
    else:
        net = AutoModel.from_config(config, trust_remote_code=False)
        if kind == "encoder":
            net = cast(nn.Module, cast(Any, net).get_encoder())
    return net if pooler or (kind in NETS and kind != "AlignTextModel") else without_pooler(net)


def restore_text(architecture: dict[str, Any]) -> nn.Module:
    """Build the module of a saved architecture; its weights are not loaded yet.

    Raises
    ------
    ModelError
        If transformers does not know the architecture; code from elsewhere is never run.
    """
    import transformers

    values = dict(architecture["config"])
    kind, pooling = architecture.get("net", ""), architecture["pooling"]
    name = values.pop("model_type", "")
    try:
        if kind in NETS:  # not every version of transformers finds it by its type
            config = getattr(transformers, kind).config_class(**values)
        else:
            config = transformers.AutoConfig.for_model(name, **values)
        net = empty_net(config, kind, pooler=pooling == "own")
    except (ValueError, KeyError) as error:
        raise ModelError(f"transformers does not know the text encoder type {name!r}") from error
    return TransformerText(net, pooling, architecture.get("head", ()), kind, config)


def without_pooler(net: nn.Module) -> nn.Module:
    """Remove BERT's pooler, which is not used here."""
    if getattr(net, "pooler", None) is not None:
        net.register_module("pooler", None)
    return net
