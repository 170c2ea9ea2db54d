"""The text tower of an open_clip checkpoint, mapped into modules of transformers.

open_clip's own CLIP text transformer becomes ``CLIPTextModelWithProjection``; a tower made of a
transformers encoder, as BiomedCLIP has, becomes that encoder with its projection.

References
----------
Cherti et al. 2023, Reproducible scaling laws for contrastive language-image learning (open_clip);
Zhang et al. 2023, BiomedCLIP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from medembed.encoders.checkpoint import Checkpoint, load_weights, open_checkpoint
from medembed.encoders.hub_tokens import read_tokenizer
from medembed.encoders.tokenizers import WordPieceTokens
from medembed.encoders.transformer_text import TransformerText, without_pooler
from medembed.encoders.transformers_net import load_net, read_config
from medembed.errors import ModelError

if TYPE_CHECKING:
    import torch

__all__ = ["is_open_clip", "load_open_clip_text"]

_BIOMED = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
_HEADS: dict[str, tuple[str, int]] = {
    _BIOMED: ("bert", 12),
    f"{_BIOMED}-fulltext": ("bert", 12),
    "microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract": ("bert", 12),
    "microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract-fulltext": ("bert", 12),
    "bert-base-uncased": ("bert", 12),
    "roberta-base": ("roberta", 12),
    "roberta-large": ("roberta", 16),
    "xlm-roberta-base": ("xlm-roberta", 12),
    "xlm-roberta-large": ("xlm-roberta", 16),
}
"""Type and attention heads of published encoders: all else is in the shapes of the weights."""

_POOLING = {
    "cls_last_hidden_state_pooler": "cls",
    "cls_pooler": "own",
    "mean_pooler": "mean",
}
_KNOWN_TYPES = ("bert", "roberta", "xlm-roberta")
_CUSTOM = (
    "embed_cls", "no_causal_mask", "qk_norm", "scaled_cosine_attn", "scale_heads",
    "scale_attn_inner", "scale_attn", "scale_fc", "ls_init_value", "final_ln_after_pool",
    "block_type", "act_kwargs", "tokenizer_mode",
)  # fmt: skip
_IMAGE_PARTS = (r"^visual\.", r"^logit_(scale|bias)$", r"(^|\.)attn_mask$")


def is_open_clip(checkpoint: Checkpoint) -> bool:
    """Return whether a folder is to be read as open_clip's; some are transformers' as well."""
    return checkpoint.has("open_clip_config.json") and not (
        "model_type" in checkpoint.config and checkpoint.has("model.safetensors")
    )


def load_open_clip_text(
    checkpoint: Checkpoint, max_length: int, prompt: str = ""
) -> tuple[TransformerText, WordPieceTokens]:
    """Load the text tower and its tokenizer.

    Raises
    ------
    ModelError
        If something is missing, or the tower has a setting that is not supported.
    """
    about = checkpoint.read_json("open_clip_config.json")
    name = checkpoint.name
    try:
        model = about["model_cfg"]
        text, width = dict(model["text_cfg"]), int(model["embed_dim"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError("its open_clip_config.json is not valid", where=name) from error
    odd = sorted(key for key in _CUSTOM if text.get(key))
    if odd or text.get("tokenizer_kwargs"):
        raise ModelError(
            f"the setting {odd[0] if odd else 'tokenizer_kwargs'} of its text tower is not "
            "supported",
            where=name,
            hint="give the same model in the format of transformers if there is one",
        )
    tokenizer = read_tokenizer(checkpoint)
    tensors = {
        key.removeprefix("text."): tensor
        for key, tensor in checkpoint.tensors().items()
        if not key.startswith("visual.")
    }
    make = _huggingface_tower if text.get("hf_model_name") else _own_tower
    module = make(checkpoint, model, text, width, tensors)
    rows = int(cast(Any, module.net).get_input_embeddings().weight.shape[0])
    if tokenizer.size > rows:
        raise ModelError(
            f"its tokenizer has {tokenizer.size} tokens and its network knows {rows}", where=name
        )
    tokens = WordPieceTokens(
        tokenizer.text,
        min(max_length, int(text.get("context_length") or 77)),
        tokenizer.pad,
        prompt=prompt,  # open_clip makes every run of spaces and line breaks one space, as here
    )
    return module, tokens


def _huggingface_tower(
    checkpoint: Checkpoint,
    model: Mapping[str, Any],
    text: Mapping[str, Any],
    width: int,
    tensors: dict[str, torch.Tensor],
) -> TransformerText:
    del model
    name = checkpoint.name
    pooling = _POOLING.get(str(text.get("hf_pooler_type", "mean_pooler")))
    if pooling is None:
        raise ModelError(f"the pooling {text['hf_pooler_type']} is not supported", where=name)
    net_tensors = {
        key.removeprefix("transformer."): tensor
        for key, tensor in tensors.items()
        if key.startswith("transformer.")
    }
    rest = {key: tensor for key, tensor in tensors.items() if not key.startswith("transformer.")}
    config = _config_of(checkpoint, str(text["hf_model_name"]), net_tensors)
    pooler = () if pooling == "own" else (r"^pooler\.",)
    net = load_net(None, config, net_tensors, name=name, optional=pooler, drop=pooler)
    if pooling != "own":
        without_pooler(net)
    inner = int(config.hidden_size)
    kind = text.get("hf_proj_type", "mlp")
    plain = {"kind": "dense", "bias": False, "activation": "Identity"}
    if kind == "linear":
        head = [{**plain, "in": inner, "out": width}]
        moved = {"proj.weight": "0.linear.weight"}
    elif kind == "mlp":
        middle = (inner + width) // 2
        head = [
            {**plain, "in": inner, "out": middle, "activation": "GELU"},
            {**plain, "in": middle, "out": width},
        ]
        moved = {"proj.0.weight": "0.linear.weight", "proj.2.weight": "1.linear.weight"}
    elif kind is None and inner == width:
        head, moved = [], {}
    else:
        raise ModelError(f"the projection {kind!r} is not supported", where=name)
    module = TransformerText(net, pooling, head, "", config)
    if module.head is None:
        module.head = None
        load_weights(nn.Module(), rest, name=name, drop=_IMAGE_PARTS)
    else:
        given = {moved.get(key, key): tensor for key, tensor in rest.items()}
        load_weights(module.head, given, name=name, drop=_IMAGE_PARTS)
    return module


def _config_of(checkpoint: Checkpoint, encoder: str, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Find the settings of the encoder: beside the weights, by its name, or on the hub."""
    from transformers import AutoConfig

    if "model_type" in checkpoint.config:
        return read_config(checkpoint)
    if encoder not in _HEADS:
        try:
            return read_config(open_checkpoint(encoder))
        except ModelError as error:
            raise ModelError(
                f"the settings of its text encoder {encoder!r} are not there",
                where=checkpoint.name,
                hint="put that encoder's config.json beside open_clip_config.json",
            ) from error
    kind, heads = _HEADS[encoder]
    try:
        layers = {key.split(".")[2] for key in tensors if key.startswith("encoder.layer.")}
        words = tensors["embeddings.word_embeddings.weight"]
        roberta = {} if kind == "bert" else {"pad_token_id": 1, "layer_norm_eps": 1e-5}
        return AutoConfig.for_model(
            kind,
            vocab_size=words.shape[0],
            hidden_size=words.shape[1],
            num_hidden_layers=len(layers),
            num_attention_heads=heads,
            intermediate_size=tensors["encoder.layer.0.intermediate.dense.weight"].shape[0],
            max_position_embeddings=tensors["embeddings.position_embeddings.weight"].shape[0],
            type_vocab_size=tensors["embeddings.token_type_embeddings.weight"].shape[0],
            **roberta,
        )
    except KeyError as error:
        raise ModelError(
            f"its weights are not those of {encoder!r}: {error.args[0]} is missing",
            where=checkpoint.name,
        ) from error


def _own_tower(
    checkpoint: Checkpoint,
    model: Mapping[str, Any],
    text: Mapping[str, Any],
    width: int,
    tensors: dict[str, torch.Tensor],
) -> TransformerText:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    name = checkpoint.name
    pooling = str(text.get("pool_type", "argmax"))
    if pooling not in ("argmax", "eos") or text.get("proj_type", "linear") != "linear":
        raise ModelError("the pooling or projection of its text tower is not supported", where=name)
    if text.get("proj_bias") or text.get("norm_kwargs"):
        raise ModelError("proj_bias and norm_kwargs are not supported", where=name)
    inner = int(text.get("width", 512))
    config = CLIPTextConfig(
        vocab_size=int(text.get("vocab_size", 49408)),
        hidden_size=inner,
        intermediate_size=int(inner * float(text.get("mlp_ratio", 4.0))),
        projection_dim=width,
        num_hidden_layers=int(text.get("layers", 12)),
        num_attention_heads=int(text.get("heads", 8)),
        max_position_embeddings=int(text.get("context_length") or 77),
        hidden_act="quick_gelu" if model.get("quick_gelu") else "gelu",
        # transformers pools at the highest id if it is told 2, as open_clip's argmax does
        eos_token_id=2 if pooling == "argmax" else int(text.get("eos_id", 2)),
        bos_token_id=0,
        pad_token_id=int(text.get("pad_id", 0)),
    )
    if pooling == "eos" and config.eos_token_id == 2:
        raise ModelError("pooling at the token 2 is not supported", where=name)
    drop = (*_IMAGE_PARTS,)
    renamed = _renamed({k: v for k, v in tensors.items() if not k.startswith("logit_")})
    net = load_net(CLIPTextModelWithProjection, config, renamed, name=name, drop=drop)
    return TransformerText(net, "own", (), "CLIPTextModelWithProjection", config)


_PARTS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_NAMES = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}


def _renamed(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give open_clip's weights the names of ``CLIPTextModelWithProjection``."""
    out: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        if key == "text_projection":
            out["text_projection.weight"] = tensor.T.contiguous()  # (width, dim) to (dim, width)
        elif key in _NAMES:
            out[f"text_model.{_NAMES[key]}"] = tensor
        elif key.startswith("transformer.resblocks."):
            layer, _, part = key.removeprefix("transformer.resblocks.").partition(".")
            start = f"text_model.encoder.layers.{layer}."
            if part.startswith("attn.in_proj_"):  # query, key and value in one
                ending = part.removeprefix("attn.in_proj_")
                for at, piece in zip("qkv", tensor.chunk(3), strict=True):
                    out[f"{start}self_attn.{at}_proj.{ending}"] = piece.contiguous()
            else:
                stem, _, ending = part.rpartition(".")
                out[f"{start}{_PARTS.get(stem, stem)}.{ending}"] = tensor
        else:
            out[key] = tensor
    return out
