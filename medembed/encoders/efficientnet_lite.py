"""EfficientNet-lite0 as a feature map, in 2D.

The network of Tan & Le 2019 (EfficientNet, table 1: the baseline B0) with the changes that its
authors published for the lite variants: no squeeze-and-excitation, ReLU6 for swish, and a stem and
a head of fixed width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import nn
from torch.nn import functional

__all__ = ["EfficientNetLite0", "layer_name"]

_STAGES = (  # kernel, stride of the first block, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM, _HEAD = 32, 1280
_FINER = 40
"""Channels of stride 8."""
_DROP = 0.2
"""Probability in training that the last block is skipped; it rises linearly from 0 at the first."""


class _SameConv(nn.Conv2d):
    """A convolution whose output has ``ceil(n / stride)`` pixels: an odd margin is at the end.

    The margin is that of a square input of edge ``edge``.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, edge: int):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        margin = max((-(-edge // stride) - 1) * stride + kernel - edge, 0)
        self._margins = (margin // 2, margin - margin // 2) * 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(x, self._margins) if any(self._margins) else x)


def _layer(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, edge: int
) -> list[nn.Module]:
    """Convolution and batch normalization with TensorFlow's defaults, as the weights expect."""
    conv = _SameConv(inputs, outputs, kernel, stride, groups, edge)
    return [conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)]


class _Block(nn.Module):
    """Mobile inverted bottleneck: widen, filter each channel, narrow, and add the input back."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int,
        drop: float, edge: int,
    ) -> None:  # fmt: skip
        super().__init__()
        inner = inputs * expansion
        widen = [*_layer(inputs, inner, 1, edge=edge), nn.ReLU6()] if expansion > 1 else []
        self.expand = nn.Sequential(*widen)
        self.depthwise = nn.Sequential(
            *_layer(inner, inner, kernel, stride, inner, edge=edge), nn.ReLU6()
        )
        self.project = nn.Sequential(*_layer(inner, outputs, 1, edge=edge))
        self.adds_input = stride == 1 and inputs == outputs
        self.drop = drop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = cast(torch.Tensor, self.project(self.depthwise(self.expand(x))))
        if not self.adds_input:
            return out
        if self.training and self.drop:  # stochastic depth, for each image by itself
            keep = torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device) >= self.drop
            out = out * keep / (1 - self.drop)
        return out + x


def _blocks(edge: int) -> Iterator[tuple[_Block, int, int]]:
    """Blocks with their output channels and stride."""
    channels, total = _STEM, sum(stage[-1] for stage in _STAGES)
    count = 0
    for kernel, first_stride, expansion, outputs, repeats in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            drop = _DROP * count / total
            yield _Block(channels, outputs, kernel, stride, expansion, drop, edge), outputs, stride
            edge = -(-edge // stride)
            channels = outputs
            count += 1


class EfficientNetLite0(nn.Module):
    """EfficientNet-lite0 without its classifier, or the part of it up to a stride.

    Parameters
    ----------
    edge : int
        Height and width of the input in pixels; the larger of the two if they differ.
    stride : {8, 16, 32}
        Pixels between neighbors of the feature map. 32 is the whole network.
    finer : bool
        Beside the channels of stride 16, the maximum of those of stride 8 in each of its pixels.

    Attributes
    ----------
    width : int
        Channels of the feature map: 40, 112 or 1280; 152 if ``finer``.

    References
    ----------
    Tan & Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks.
    """

    def __init__(self, edge: int, stride: int = 32, finer: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_layer(3, _STEM, 3, 2, edge=edge), nn.ReLU6())
        self.blocks = nn.ModuleList()
        self.width, reached = _STEM, 2
        for block, channels, step in _blocks(-(-edge // 2)):
            if reached * step > stride:
                break
            reached *= step
            self.blocks.append(block)
            self.width = channels
        self._finer = finer
        if finer:
            self.width += _FINER
        self.head = nn.Sequential()
        if stride == 32:
            self.head = nn.Sequential(*_layer(self.width, _HEAD, 1, edge=1), nn.ReLU6())
            self.width = _HEAD

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images ``(n, 1, h, w)`` to features; the single channel is used for all three."""
        x = self.stem(images.expand(-1, 3, -1, -1))
        fine = x
        for block in self.blocks:
            x = block(x)
            if x.shape[1] == _FINER:
                fine = x
        if self._finer:
            x = torch.cat([x, functional.max_pool2d(fine, 2, ceil_mode=True)], dim=1)
        return cast(torch.Tensor, self.head(x))

    def extra_repr(self) -> str:
        """Say what the weights do not tell; the key of cached features is made of both."""
        return "finer" if self._finer else ""

    def load_published(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Load a published checkpoint, leaving out layers that this part does not have."""
        named = {layer_name(name): tensor for name, tensor in weights.items()}
        self.load_state_dict({name: named[name] for name in self.state_dict()})


_LAYERS = {
    "_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "head.0", "_bn1": "head.1",
}  # fmt: skip
_LAYERS_OF_BLOCK = {
    "_expand_conv": "expand.0", "_bn0": "expand.1", "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1", "_project_conv": "project.0", "_bn2": "project.1",
}  # fmt: skip


def layer_name(published: str) -> str:
    """Name in :class:`EfficientNetLite0` of a weight of the published checkpoint.

    Examples
    --------
    >>> layer_name("_blocks.3._bn0.weight")
    'blocks.3.expand.1.weight'
    >>> layer_name("_conv_stem.weight")
    'stem.0.weight'
    """
    block = re.match(r"_?blocks\.(\d+)\.(\w+)\.(.*)", published)
    if block:
        number, layer, rest = block.groups()
        return f"blocks.{number}.{_LAYERS_OF_BLOCK.get(layer, layer)}.{rest}"
    layer, _, rest = published.partition(".")
    return f"{_LAYERS.get(layer, layer)}.{rest}"
