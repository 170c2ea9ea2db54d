"""Load any transformers text encoder, from a local folder or by its name on a hub.

Weights are read from safetensors only, and no code from a repository is ever run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from medembed.encoders.settings import Options, TextEncoder
from medembed.encoders.tokenizers import Tokens, WordPieceTokens
from medembed.encoders.transformer_text import (
    TextPooling,
    TransformerText,
    restore_text,
    without_pooler,
)
from medembed.errors import ModelError

__all__ = ["HUB", "load_text"]


class HubOptions(Options):
    """Options of a text encoder trained elsewhere.

    Parameters
    ----------
    source : str
        A folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json``, or a name on
        the hub.
    revision : str
        Commit of the hub's repository. Pin it so that every training starts from the same weights.
    pooling : {"mean", "cls"}
    """

    source: str
    revision: str = "main"
    pooling: TextPooling = "mean"


def load_text(
    source: str, max_length: int, pooling: TextPooling, revision: str = "main"
) -> tuple[nn.Module, Tokens]:
    """Load an encoder and its tokenizer.

    Raises
    ------
    ModelError
        If it does not exist, has no safetensors, requires its own code, or has no fast tokenizer.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as talk

    where = Path(source).name or source
    local = Path(source).expanduser()
    name = str(local) if local.is_dir() else source
    bar = talk.is_progress_bar_enabled()
    talk.disable_progress_bar()
    try:
        net = AutoModel.from_pretrained(
            name, revision=revision, trust_remote_code=False, use_safetensors=True
        )
        tokenizer = AutoTokenizer.from_pretrained(
            name, revision=revision, trust_remote_code=False, use_fast=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the text encoder cannot be loaded ({type(error).__name__})",
            where=where,
            hint="give a folder with config.json, model.safetensors and tokenizer.json, or the "
            "name of a repository on a hub you can reach",
        ) from error
    finally:
        if bar:
            talk.enable_progress_bar()
    if getattr(net.config, "is_encoder_decoder", False):
        net = net.get_encoder()
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError("its tokenizer cannot be written as tokenizer.json", where=where)
    longest = int(getattr(net.config, "max_position_embeddings", max_length) or max_length)
    pad = tokenizer.pad_token or tokenizer.eos_token
    tokens = WordPieceTokens(backend.to_str(), min(max_length, longest), str(pad))
    return TransformerText(without_pooler(net), pooling), tokens


def _build(options: HubOptions, max_length: int, notes: Sequence[str]) -> tuple[nn.Module, Tokens]:
    del notes
    return load_text(options.source, max_length, options.pooling, options.revision)


HUB = TextEncoder(HubOptions, _build, restore_text)
