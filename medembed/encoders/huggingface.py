"""Load a pretrained text encoder, from a local folder or by its name on a hub.

Read are folders of transformers, sentence-transformers and open_clip. Weights are read from
safetensors only, and no code from a repository is ever run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from torch import nn

from medembed.encoders.checkpoint import Checkpoint, load_weights, open_checkpoint
from medembed.encoders.hub_tokens import HubTokenizer, read_tokenizer
from medembed.encoders.open_clip_text import is_open_clip, load_open_clip_text
from medembed.encoders.sentence_folder import SentenceFolder, read_sentence_folder
from medembed.encoders.settings import Options, TextEncoder
from medembed.encoders.tokenizers import Tokens
from medembed.encoders.transformer_text import TransformerText, restore_text, without_pooler
from medembed.encoders.transformers_net import load_net, read_config
from medembed.errors import ModelError

__all__ = ["HUB", "load_text"]

HubPooling = Literal["auto", "mean", "cls", "last", "max"]

_PAIRS = {
    "align": "AlignTextModel",
    "clip": "CLIPTextModelWithProjection",
    "siglip": "SiglipTextModel",
    "siglip2": "Siglip2TextModel",
}
"""The text tower of image-text pairs."""

_TOWERS = {"siglip_text_model": "SiglipTextModel", "siglip2_text_model": "Siglip2TextModel"}
_T5 = {"mt5": "MT5EncoderModel", "t5": "T5EncoderModel", "umt5": "UMT5EncoderModel"}

_IMAGE_PARTS = (
    r"^vision_model\.", r"^visual_projection\.", r"^logit_(scale|bias)$", r"^temperature$",
)  # fmt: skip
_HEADS = (  # of language models, classifiers and pretraining
    r"^(classifier|cls|decoder|discriminator_predictions|final_logits_bias|generator_lm_head"
    r"|generator_predictions|head|lm_head|lm_predictions|mask_predictions|mlm_head|predictions"
    r"|pre_classifier|qa_outputs|score|sop_classifier|vocab_layer_norm|vocab_projector"
    r"|vocab_transform)(\.|$)",
    r"(^|\.)pooler\.",
)
_NO_POOLER = (r"(^|\.)pooler\.",)


class HubOptions(Options):
    """Options of a text encoder trained elsewhere.

    Parameters
    ----------
    source : str
        A folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json`` as
        transformers, sentence-transformers or open_clip save them, or a name on the hub.
    revision : str
        Commit of the hub's repository. Pin it so that every training starts from the same weights.
    pooling : {"auto", "mean", "cls", "last", "max"}
        ``"auto"`` does what the checkpoint states: the pooling, layers and projection of a
        sentence-transformers folder or an image-text pair; otherwise the last token of a decoder
        and the mean of another encoder. The others pool the last hidden states and leave out what
        would follow.
    prompt : str, optional
        Put before every text: the name of one of the checkpoint's prompts, or a text. None is the
        checkpoint's default, which most do not have.
    """

    source: str = ""
    revision: str = "main"
    pooling: HubPooling = "auto"
    prompt: str | None = None


def load_text(
    source: str,
    max_length: int,
    pooling: HubPooling = "auto",
    revision: str = "main",
    prompt: str | None = None,
) -> tuple[TransformerText, Tokens]:
    """Load an encoder and its tokenizer.

    Raises
    ------
    ModelError
        If it does not exist, has no safetensors or no tokenizer, requires its own code, or a
        weight or setting would have to be guessed or ignored.
    """
    checkpoint = open_checkpoint(source, revision)
    if is_open_clip(checkpoint):
        if pooling != "auto":
            raise _own_pooling(checkpoint)
        return load_open_clip_text(checkpoint, max_length, prompt or "")
    folder = read_sentence_folder(checkpoint) or SentenceFolder(checkpoint)
    tokenizer = read_tokenizer(folder.encoder, lower=folder.lower)
    said = _prompt(folder, prompt)
    module = _module(folder, pooling)
    limits = [max_length, tokenizer.limit, folder.max_length, _places(module)]
    _check_vocabulary(module, tokenizer, checkpoint.name)
    config = cast(Any, module.net.config)
    reads_padding = str(config.model_type).startswith("siglip")  # pools the last place
    places = int(config.max_position_embeddings) if reads_padding else 0
    length = min(limit for limit in limits if limit)
    return module, tokenizer.tokens(length, pad_to=places, prompt=said)


def _module(folder: SentenceFolder, pooling: HubPooling) -> TransformerText:
    checkpoint = folder.encoder
    config, name = read_config(checkpoint), checkpoint.name
    kind = str(config.model_type)
    if kind in _PAIRS or kind in _TOWERS or kind == "clip_text_model":
        if pooling != "auto" or folder.pooling:
            raise _own_pooling(checkpoint)
        return _own_tower(checkpoint, config)
    net, how = _plain_net(checkpoint, config)
    if getattr(net, "main_input_name", "input_ids") != "input_ids":
        raise ModelError(f"its network (type {kind!r}) does not read text", where=name)
    without_pooler(net)
    if pooling != "auto":
        return TransformerText(net, pooling, (), how, config)
    module = TransformerText(
        net, folder.pooling or ("last" if _is_causal(net) else "mean"), folder.head, how, config
    )
    if module.head is not None:
        load_weights(module.head, folder.weights, name=name)
    return module


def _own_tower(checkpoint: Checkpoint, config: Any) -> TransformerText:
    """Load the text tower of an image-text pair with its own pooling and projection."""
    import transformers

    name, kind = checkpoint.name, str(config.model_type)
    tensors = checkpoint.tensors()
    how = _PAIRS.get(kind) or _TOWERS.get(kind) or ""
    if kind == "clip_text_model":
        projects = any(key.startswith("text_projection.") for key in tensors)
        how = "CLIPTextModelWithProjection" if projects else ""
    text = config.text_config if kind in _PAIRS else config
    if kind == "clip":
        text.projection_dim = config.projection_dim
    if kind != "align":
        net = load_net(
            getattr(transformers, how or "CLIPTextModel"), text, tensors,
            name=name, drop=_IMAGE_PARTS,
        )  # fmt: skip
        return TransformerText(net, "own", (), how, text)
    projection = {
        f"0.linear.{key.removeprefix('text_projection.')}": tensor
        for key, tensor in tensors.items()
        if key.startswith("text_projection.")
    }
    rest = {
        key.removeprefix("text_model."): tensor
        for key, tensor in tensors.items()
        if not key.startswith("text_projection.")
    }
    net = load_net(
        transformers.AlignTextModel, text, rest,
        name=name, drop=(*_IMAGE_PARTS, *_NO_POOLER), optional=_NO_POOLER,
    )  # fmt: skip
    dense = {
        "kind": "dense", "in": int(text.hidden_size), "out": int(config.projection_dim),
        "bias": True, "activation": "Identity",
    }  # fmt: skip
    module = TransformerText(without_pooler(net), "cls", [dense], how, text)
    load_weights(cast(nn.Module, module.head), projection, name=name)
    return module


def _plain_net(checkpoint: Checkpoint, config: Any) -> tuple[nn.Module, str]:
    """Load a text encoder, the encoder of an encoder and decoder, or a decoder."""
    import transformers

    name, kind = checkpoint.name, str(config.model_type)
    if hasattr(config, "text_config") or hasattr(config, "vision_config"):
        raise ModelError(
            f"the text tower of type {kind!r} is not supported",
            where=name,
            hint=f"image-text pairs that are: {', '.join(sorted(_PAIRS))}",
        )
    tensors = checkpoint.tensors()
    if kind in _T5:
        wanted = getattr(transformers, _T5[kind])
        return load_net(wanted, config, tensors, name=name, drop=_HEADS), _T5[kind]
    if getattr(config, "is_encoder_decoder", False):
        net = load_net(
            None, config, tensors,
            name=name, drop=_HEADS, optional=(r"^decoder\.",),
        )  # fmt: skip
        return cast(nn.Module, cast(Any, net).get_encoder()), "encoder"
    net = load_net(None, config, tensors, name=name, drop=_HEADS, optional=_NO_POOLER)
    return net, ""


def _own_pooling(checkpoint: Checkpoint) -> ModelError:
    return ModelError(
        "the text tower of an image-text pair has its own pooling",
        where=checkpoint.name,
        hint="leave out text.options.pooling",
    )


def _is_causal(net: nn.Module) -> bool:
    """Return whether a token sees only those before it, so that only the last saw them all."""
    return any(getattr(module, "is_causal", False) for module in net.modules())


def _places(module: TransformerText) -> int | None:
    """Return how many tokens the network has positions for; None if there is no limit."""
    config = cast(Any, module.net.config)
    if str(config.model_type) in _T5:
        return None  # relative positions
    places = getattr(config, "max_position_embeddings", None)
    if not places or places < 0:
        return None
    for name, layer in module.net.named_modules():
        is_position = isinstance(layer, nn.Embedding) and name.endswith("position_embeddings")
        if is_position and cast(nn.Embedding, layer).padding_idx is not None:
            # RoBERTa and MPNet count from the padding's id plus 1
            table = cast(nn.Embedding, layer)
            return table.num_embeddings - cast(int, table.padding_idx) - 1
    return int(places)


def _check_vocabulary(module: TransformerText, tokenizer: HubTokenizer, name: str) -> None:
    table = cast(Any, module.net).get_input_embeddings()
    rows = int(table.weight.shape[0])
    if tokenizer.size > rows:
        raise ModelError(
            f"its tokenizer has {tokenizer.size} tokens and its network knows {rows}",
            where=name,
            hint="they belong to two models; give the tokenizer that it was trained with",
        )


def _prompt(folder: SentenceFolder, prompt: str | None) -> str:
    said = folder.default_prompt if prompt is None else folder.prompts.get(prompt, prompt)
    if said and not folder.includes_prompt:
        raise ModelError(
            "it leaves its prompt out of the pooling, which is not supported here",
            where=folder.encoder.name,
            hint="set text.options.prompt to an empty text",
        )
    return said


def _build(options: HubOptions, max_length: int, notes: Sequence[str]) -> tuple[nn.Module, Tokens]:
    del notes
    if not options.source:
        raise ModelError(
            "the text encoder is not named",
            where="text.options.source",
            hint="give it with text.options.source=FOLDER_OR_NAME",
        )
    return load_text(options.source, max_length, options.pooling, options.revision, options.prompt)


HUB = TextEncoder(HubOptions, _build, restore_text)
