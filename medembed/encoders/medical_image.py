"""Published medical networks whose files say only their weights.

The size of each network is read from the shapes of its weights. Radiographs: the DenseNets of
TorchXRayVision. Volumes: the ResNets of MedicalNet, and the Swin encoder of SwinUNETR and of its
self-supervised pretraining.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from medembed.encoders.checkpoint import load_weights
from medembed.encoders.medical_weights import read_state
from medembed.encoders.monai import DenseNetMap, ResNetMap
from medembed.encoders.settings import ImageEncoder, Options
from medembed.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MEDICALNET", "SWIN_UNETR", "TORCHXRAYVISION", "InWorldAxes", "SwinMap"]


class MedicalOptions(Options):
    """Options of a medical network.

    Parameters
    ----------
    source : str
        Its file of weights (``.safetensors``, or ``.pt`` and ``.pth`` if they hold tensors alone),
        a folder with it, or a name on the hub.
    revision : str
        Commit of the hub's repository.
    architecture : dict or None
        Written by MedEmbed: the network's size in a saved model, which is restored from it.
    """

    source: str
    revision: str = "main"
    architecture: dict[str, Any] | None = None


class SwinMap(nn.Module):
    """The deepest feature map of MONAI's Swin transformer."""

    def __init__(self, net: nn.Module, width: int) -> None:
        super().__init__()
        self.net = net
        self.width = width

    def forward(self, images: Tensor) -> Tensor:
        """Return the last of its maps, normalized, as SwinUNETR uses it."""
        return cast(torch.Tensor, self.net(images)[-1])


class InWorldAxes(nn.Module):
    """Feed volumes in the axes of MONAI's ``Orientation("RAS")`` and turn the map back.

    Ours are (depth, height, width): upward, toward the back, toward the patient's left. Theirs are
    (x, y, z): toward the right, the front, and up.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.width = cast(int, net.width)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(n, c, d, h, w)`` to ``(n, width, d', h', w')``."""
        theirs = images.permute(0, 1, 4, 3, 2).flip(2, 3)
        return cast(torch.Tensor, self.net(theirs)).flip(2, 3).permute(0, 1, 4, 3, 2)


def _densenet_shape(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    blocks: dict[int, int] = {}
    for key in weights:
        if found := re.match(r"features\.denseblock(\d+)\.denselayer(\d+)\.", key):
            block, layer = int(found[1]), int(found[2])
            blocks[block] = max(blocks.get(block, 0), layer)
    return {
        "init_features": weights["features.conv0.weight"].shape[0],
        "growth_rate": weights["features.denseblock1.denselayer1.conv2.weight"].shape[0],
        "blocks": [blocks[n] for n in sorted(blocks)],
        "channels": weights["features.conv0.weight"].shape[1],
    }


def _densenet(shape: Mapping[str, Any]) -> nn.Module:
    from monai.networks.nets.densenet import DenseNet

    net = DenseNet(
        spatial_dims=2,
        in_channels=shape["channels"],
        out_channels=1,
        init_features=shape["init_features"],
        growth_rate=shape["growth_rate"],
        block_config=tuple(shape["blocks"]),
    )
    return DenseNetMap(net.features, int(net.class_layers.out.in_features))


def _densenet_key(key: str) -> str:
    """MONAI puts the layers of a dense layer one level deeper."""
    return re.sub(r"(denselayer\d+)\.(norm|conv)", r"\1.layers.\2", key)


_RESNETS = {
    ("basic", (1, 1, 1, 1)): 10, ("basic", (2, 2, 2, 2)): 18, ("basic", (3, 4, 6, 3)): 34,
    ("bottleneck", (3, 4, 6, 3)): 50, ("bottleneck", (3, 4, 23, 3)): 101,
    ("bottleneck", (3, 8, 36, 3)): 152, ("bottleneck", (3, 24, 36, 3)): 200,
}  # fmt: skip


def _resnet_shape(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    layers = [0, 0, 0, 0]
    for key in weights:
        if found := re.match(r"layer([1-4])\.(\d+)\.", key):
            layers[int(found[1]) - 1] = max(layers[int(found[1]) - 1], int(found[2]) + 1)
    block = "bottleneck" if "layer1.0.conv3.weight" in weights else "basic"
    if (block, tuple(layers)) not in _RESNETS:
        raise KeyError(f"a known number of layers (found {layers})")
    return {
        "block": block,
        "layers": layers,
        "widths": [weights[f"layer{n}.0.conv1.weight"].shape[0] for n in (1, 2, 3, 4)],
        "shortcut": "B" if any("downsample" in key for key in weights) else "A",
        "shortcut_bias": any(key.endswith("downsample.0.bias") for key in weights),
        "channels": weights["conv1.weight"].shape[1],
    }


def _resnet(shape: Mapping[str, Any]) -> nn.Module:
    from monai.networks.nets.resnet import ResNet

    net = ResNet(
        shape["block"],
        list(shape["layers"]),
        list(shape["widths"]),
        spatial_dims=3,
        n_input_channels=shape["channels"],
        conv1_t_stride=2,
        shortcut_type=shape["shortcut"],
        feed_forward=False,
        bias_downsample=shape["shortcut_bias"],
    )
    return ResNetMap(net, shape["widths"][-1] * (4 if shape["block"] == "bottleneck" else 1))


def _swin_shape(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    depths, heads, table = [], [], 0
    for stage in (1, 2, 3, 4):
        start = f"layers{stage}.0.blocks."
        blocks = {key.split(".")[3] for key in weights if key.startswith(start)}
        bias = weights[f"{start}0.attn.relative_position_bias_table"]
        depths.append(len(blocks))
        heads.append(bias.shape[1])
        table = bias.shape[0]
    patch = weights["patch_embed.proj.weight"]
    return {
        "channels": patch.shape[1],
        "width": patch.shape[0],
        "patch": patch.shape[2],
        "window": (round(table ** (1 / 3)) + 1) // 2,
        "depths": depths,
        "heads": heads,
        "merging_v2": any("layers1c." in key for key in weights),
    }


def _swin(shape: Mapping[str, Any]) -> nn.Module:
    try:
        from monai.networks.nets.swin_unetr import PatchMerging, SwinTransformer
        from monai.utils import OptionalImportError
    except ImportError as error:
        raise ConfigError("this version of MONAI has no Swin transformer") from error
    try:
        net = SwinTransformer(
            in_chans=shape["channels"],
            embed_dim=shape["width"],
            window_size=(shape["window"],) * 3,
            patch_size=(shape["patch"],) * 3,
            depths=shape["depths"],
            num_heads=shape["heads"],
            spatial_dims=3,
            downsample=PatchMerging,
            use_v2=shape["merging_v2"],
        )
    except OptionalImportError as error:
        raise ConfigError("MONAI's Swin needs einops", hint="pip install einops") from error
    return InWorldAxes(SwinMap(net, 16 * shape["width"]))


def _swin_key(key: str) -> str:
    """The pretraining's code named the layers of its perceptrons fc1 and fc2."""
    return key.replace(".mlp.fc", ".mlp.linear")


def _entry(
    noun: str,
    dimensions: int,
    shape_of: Callable[[Mapping[str, Tensor]], dict[str, Any]],
    make: Callable[[Mapping[str, Any]], nn.Module],
    preprocess: dict[str, Any],
    *,
    key_of: Callable[[str], str] = str,
    drop: tuple[str, ...] = (),
    inside: str = "",
) -> ImageEncoder:
    """Make an encoder whose size is read from its weights."""

    def check(found: int) -> None:
        if found != dimensions:
            raise ConfigError(
                f"{noun} reads {dimensions}D images only", where="preprocess.dimensions"
            )

    def build(options: MedicalOptions, found: int, size: tuple[int, ...]) -> nn.Module:
        del size
        check(found)
        name, weights = read_state(options.source, options.revision)
        if any(key.startswith("swinViT.") for key in weights):  # beside a decoder
            weights = {
                key.removeprefix("swinViT."): value
                for key, value in weights.items()
                if key.startswith("swinViT.")
            }
        try:
            shape = shape_of(weights)
        except (KeyError, IndexError) as error:
            raise ModelError(
                f"these are no weights of {noun}: they lack {error}", where=name
            ) from None
        module = make(shape)
        load_weights(
            module,
            {inside + key_of(key): value for key, value in weights.items()},
            name=name,
            drop=drop,
        )
        dropped = sorted(key for key in weights if any(re.search(each, key) for each in drop))
        cast(Any, module).left_out = tuple(dropped)
        cast(Any, module).channels = shape["channels"]
        cast(Any, module).kept_options = {"source": "", "architecture": shape}
        return module

    def restore(options: MedicalOptions, found: int, size: tuple[int, ...]) -> nn.Module:
        del size
        check(found)
        if options.architecture is None:
            raise ModelError(f"the saved model lacks the size of its {noun}")
        try:
            module = make(options.architecture)
            cast(Any, module).channels = int(options.architecture["channels"])
            return module
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the size of the saved {noun} is not valid") from error

    return ImageEncoder(
        MedicalOptions, build, restore, lambda options: dict(preprocess), pooling="average"
    )


TORCHXRAYVISION = _entry(
    "a TorchXRayVision DenseNet",
    2,
    _densenet_shape,
    _densenet,
    {
        "dimensions": 2, "size": [224, 224], "resize": "shortest", "window": "display",
        "mean": 0.5, "std": 1 / 2048,  # [0, 1] to [-1024, 1024]
    },
    key_of=_densenet_key,
    drop=(r"^classifier\.", r"^op_threshs$"),
)  # fmt: skip
MEDICALNET = _entry(
    "a MedicalNet ResNet",
    3,
    _resnet_shape,
    _resnet,
    {"dimensions": 3, "size": [56, 112, 112]},
    drop=(r"fc\.", r"conv_seg\."),
    inside="net.",
)
SWIN_UNETR = _entry(
    "a SwinUNETR encoder",
    3,
    _swin_shape,
    _swin,
    {
        "dimensions": 3, "size": [96, 96, 96], "spacing_mm": [2.0, 1.5, 1.5],
        "hu_window": "0/2000", "mean": 0.0, "std": 1.0,
    },
    key_of=_swin_key,
    drop=(r"(rotation_head|contrastive_head|conv|norm)\.",),
    inside="net.net.",
)  # fmt: skip
