"""MONAI's image encoders as feature maps, in 2D and 3D, trained from scratch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from pydantic import Field
from torch import nn

from medembed.encoders.settings import ImageEncoder, Options
from medembed.errors import ConfigError

__all__ = ["DENSENET121", "RESNET10", "RESNET18", "RESNET34", "RESNET50", "VIT"]


class ResNetOptions(Options):
    """Options of the ResNets.

    Parameters
    ----------
    widths : tuple of int
        Channels of each of the four stages.
    stem_kernel, stem_stride : int
        Kernel size and stride of the first convolution.
    max_pool : bool
        Apply 3×3 max pooling of stride 2 after it.
    """

    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem_kernel: int = Field(default=7, ge=1)
    stem_stride: int = Field(default=2, ge=1)
    max_pool: bool = True


class DenseNetOptions(Options):
    """Options of DenseNet121.

    Parameters
    ----------
    init_features, growth_rate : int
        As in the paper: 64 and 32.
    dropout : float
    """

    init_features: int = Field(default=64, ge=4)
    growth_rate: int = Field(default=32, ge=4)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class ViTOptions(Options):
    """Options of the vision transformer.

    Parameters
    ----------
    patch : int
        Edge of a patch in pixels; must divide every axis of the input.
    width, depth, heads : int
    dropout : float
    """

    patch: int = Field(default=16, ge=1)
    width: int = Field(default=384, ge=8)
    depth: int = Field(default=8, ge=1)
    heads: int = Field(default=6, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class ResNetMap(nn.Module):
    """A MONAI ResNet up to its last stage."""

    def __init__(self, net: nn.Module, width: int) -> None:
        super().__init__()
        self.net = net
        self.width = width

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        net = cast(Any, self.net)
        x = net.act(net.bn1(net.conv1(images)))
        if not net.no_max_pool:
            x = net.maxpool(x)
        return cast(torch.Tensor, net.layer4(net.layer3(net.layer2(net.layer1(x)))))


class DenseNetMap(nn.Module):
    """A MONAI DenseNet up to its last normalization."""

    def __init__(self, features: nn.Module, width: int) -> None:
        super().__init__()
        self.features = features
        self.width = width

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.features(images))


class ViTMap(nn.Module):
    """A MONAI ViT whose tokens are arranged as a feature map again."""

    def __init__(self, net: nn.Module, width: int, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.net = net
        self.width = width
        self.grid = grid

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.net(images)[0]  # (n, patches, width)
        return cast(torch.Tensor, tokens.transpose(1, 2).unflatten(2, self.grid))


def _resnet(
    block: str, layers: tuple[int, int, int, int], expansion: int
) -> Callable[[ResNetOptions, int, tuple[int, ...]], nn.Module]:
    def build(options: ResNetOptions, dimensions: int, size: tuple[int, ...]) -> nn.Module:
        del size
        from monai.networks.nets.resnet import ResNet

        net = ResNet(
            block,
            list(layers),
            list(options.widths),
            spatial_dims=dimensions,
            n_input_channels=1,
            conv1_t_size=options.stem_kernel,
            conv1_t_stride=options.stem_stride,
            no_max_pool=not options.max_pool,
            feed_forward=False,
            bias_downsample=False,
        )
        return ResNetMap(net, options.widths[-1] * expansion)

    return build


def _densenet121(options: DenseNetOptions, dimensions: int, size: tuple[int, ...]) -> nn.Module:
    if min(size) < 32:
        raise ConfigError("DenseNet121 needs at least 32 pixels along each axis")
    from monai.networks.nets.densenet import DenseNet

    net = DenseNet(
        spatial_dims=dimensions,
        in_channels=1,
        out_channels=1,
        init_features=options.init_features,
        growth_rate=options.growth_rate,
        block_config=(6, 12, 24, 16),
        dropout_prob=options.dropout,
    )
    return DenseNetMap(net.features, int(net.class_layers.out.in_features))


def _vit(options: ViTOptions, dimensions: int, size: tuple[int, ...]) -> nn.Module:
    if any(n % options.patch for n in size):
        raise ConfigError(f"the patch size {options.patch} does not divide the image size {size}")
    if options.width % options.heads:
        raise ConfigError("the number of heads must divide the width of the ViT")
    try:
        from monai.networks.nets.vit import ViT
        from monai.utils import OptionalImportError

        net = ViT(
            in_channels=1,
            img_size=size,
            patch_size=options.patch,
            hidden_size=options.width,
            mlp_dim=4 * options.width,
            num_layers=options.depth,
            num_heads=options.heads,
            dropout_rate=options.dropout,
            spatial_dims=dimensions,
        )
    except OptionalImportError as error:
        raise ConfigError("MONAI's ViT needs einops", hint="pip install einops") from error
    return ViTMap(net, options.width, tuple(n // options.patch for n in size))


def _entry(options: type[Options], build: Any) -> ImageEncoder:
    return ImageEncoder(options, build, build)


RESNET10 = _entry(ResNetOptions, _resnet("basic", (1, 1, 1, 1), 1))
RESNET18 = _entry(ResNetOptions, _resnet("basic", (2, 2, 2, 2), 1))
RESNET34 = _entry(ResNetOptions, _resnet("basic", (3, 4, 6, 3), 1))
RESNET50 = _entry(ResNetOptions, _resnet("bottleneck", (3, 4, 6, 3), 4))
DENSENET121 = _entry(DenseNetOptions, _densenet121)
VIT = _entry(ViTOptions, _vit)
