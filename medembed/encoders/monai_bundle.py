"""Image encoders from MONAI bundles: known networks by their class, never code of a bundle.

A bundle's configuration is a program that MONAI can run. It is read here as data: the name of the
network's class and arguments that are plain values.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from medembed.encoders.checkpoint import Checkpoint, load_weights
from medembed.encoders.medical_image import InWorldAxes, SwinMap
from medembed.encoders.medical_weights import weights_of_bundle
from medembed.encoders.monai import DenseNetMap, ResNetMap
from medembed.errors import ConfigError, ModelError

__all__ = ["bundle_preprocess", "load_bundle", "restore_bundle"]

_CONFIGS = ("configs/inference.json", "configs/evaluate.json", "configs/train.json")
_NETWORK = ("network_def", "network", "net", "model")


class _SegResNetMap(nn.Module):
    """The encoder of a SegResNet."""

    def __init__(self, net: nn.Module, width: int) -> None:
        super().__init__()
        self.net = net
        self.width = width

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, cast(Any, self.net).encode(images)[0])


@dataclass(frozen=True)
class _Known:
    """A network of MONAI that has an encoder.

    Parameters
    ----------
    module : str
        Where in ``monai.networks.nets`` its class is.
    encoder : callable
        Wraps the network as a feature map.
    """

    module: str
    encoder: Callable[[Any, Mapping[str, Any]], nn.Module]


def _densenet(net: Any, _: Mapping[str, Any]) -> nn.Module:
    return DenseNetMap(net.features, int(net.class_layers.out.in_features))


def _resnet(net: Any, _: Mapping[str, Any]) -> nn.Module:
    return ResNetMap(net, int(net.in_planes))


def _swin(net: Any, arguments: Mapping[str, Any]) -> nn.Module:
    return SwinMap(net.swinViT, 16 * int(arguments.get("feature_size", 24)))


def _segresnet(net: Any, arguments: Mapping[str, Any]) -> nn.Module:
    filters, down = arguments.get("init_filters", 8), arguments.get("blocks_down", (1, 2, 2, 4))
    return _SegResNetMap(net, int(filters) * 2 ** (len(down) - 1))


_KNOWN = {
    **{f"DenseNet{n}": _Known("densenet", _densenet) for n in ("", 121, 169, 201, 264)},
    "ResNet": _Known("resnet", _resnet),
    **{f"resnet{n}": _Known("resnet", _resnet) for n in (10, 18, 34, 50, 101, 152, 200)},
    "SwinUNETR": _Known("swin_unetr", _swin),
    "SegResNet": _Known("segresnet", _segresnet),
}


def bundle_preprocess(checkpoint: Checkpoint) -> dict[str, Any]:
    """Read what a bundle says of its images, as settings of our preprocessing.

    Size and dimensions come from the metadata; spacing and window from the transforms
    ``Spacingd`` and ``ScaleIntensityRanged``.
    """
    name = checkpoint.name
    try:
        image = checkpoint.read_json("configs/metadata.json")["network_data_format"]["inputs"][
            "image"
        ]
        shape, channels = list(image["spatial_shape"]), int(image["num_channels"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError("configs/metadata.json does not describe its image", where=name) from error
    if not all(isinstance(n, int) and n > 0 for n in shape) or len(shape) not in (2, 3):
        raise ModelError(
            "configs/metadata.json gives no fixed size of its images",
            where=name,
            hint="write numbers for spatial_shape",
        )
    settings: dict[str, Any] = {
        "dimensions": len(shape),
        "size": shape[::-1] if len(shape) == 3 else shape,  # theirs are (x, y, z)
        "mean": 0.0,
        "std": 1.0,
    }
    for transform in _transforms(checkpoint):
        kind = str(transform.get("_target_", "")).rpartition(".")[2]
        if kind == "Spacingd" and len(shape) == 3:
            settings["spacing_mm"] = [float(v) for v in transform["pixdim"]][::-1]
        elif kind == "ScaleIntensityRanged":
            low, high, first, last = (
                float(transform.get(key, default))
                for key, default in (("a_min", 0), ("a_max", 0), ("b_min", 0.0), ("b_max", 1.0))
            )
            settings["hu_window"] = f"{(low + high) / 2:g}/{high - low:g}"
            settings["mean"], settings["std"] = -first / (last - first), 1 / (last - first)
    if channels > 1:
        settings["mean"] = [settings["mean"]] * channels
        settings["std"] = [settings["std"]] * channels
    return settings


def load_bundle(checkpoint: Checkpoint, dimensions: int, size: tuple[int, ...]) -> nn.Module:
    """Load the encoder of a bundle's network; every key is accounted for.

    Raises
    ------
    ModelError
        If its network is not known, its arguments are computed, or its weights do not fit.
    """
    del size
    definition = _definition(checkpoint)
    target = str(definition.get("_target_", ""))
    cls = target.rpartition(".")[2]
    if target not in (cls, f"monai.networks.nets.{cls}") or cls not in _KNOWN:
        raise ModelError(
            f"its network {target!r} is not known here",
            where=checkpoint.name,
            hint=f"known: {', '.join(_KNOWN)}",
        )
    arguments = {
        key: _plain(value, key, checkpoint)
        for key, value in definition.items()
        if not key.startswith("_") and key != "pretrained"
    }
    if int(arguments.get("spatial_dims", 3)) != dimensions:
        raise ConfigError(
            f"this bundle reads {arguments.get('spatial_dims', 3)}D images",
            where="preprocess.dimensions",
        )
    architecture = {"library": "monai", "network": cls, "arguments": arguments}
    net = _network(architecture, checkpoint.name)
    load_weights(net, weights_of_bundle(checkpoint), name=checkpoint.name)
    return _encoder(net, architecture, dimensions)


def restore_bundle(architecture: Mapping[str, Any], dimensions: int) -> nn.Module:
    """Build the encoder of a saved architecture; its weights are not loaded yet."""
    return _encoder(_network(architecture, "the saved model"), architecture, dimensions)


def _network(architecture: Mapping[str, Any], name: str) -> nn.Module:
    cls = architecture["network"]
    if cls not in _KNOWN:
        raise ModelError(f"the network {cls!r} is not known here", where=name)
    module = importlib.import_module(f"monai.networks.nets.{_KNOWN[cls].module}")
    try:
        return cast(nn.Module, getattr(module, cls)(**architecture["arguments"]))
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        raise ModelError(f"the arguments of its {cls} are not valid", where=name) from error


def _encoder(net: nn.Module, architecture: Mapping[str, Any], dimensions: int) -> nn.Module:
    encoder = _KNOWN[architecture["network"]].encoder(net, architecture["arguments"])
    module = InWorldAxes(encoder) if dimensions == 3 else encoder
    arguments = architecture["arguments"]
    channels = arguments.get("in_channels", arguments.get("n_input_channels", 0))
    cast(Any, module).channels = channels if isinstance(channels, int) else 0
    cast(Any, module).kept_options = {"source": "", "architecture": dict(architecture)}
    return module


def _config(checkpoint: Checkpoint) -> dict[str, Any]:
    for file in _CONFIGS:
        read = checkpoint.read_json(file)
        if isinstance(read, dict) and any(isinstance(read.get(name), dict) for name in _NETWORK):
            return read
    raise ModelError(
        "the bundle does not define its network",
        where=checkpoint.name,
        hint=f"one of {', '.join(_CONFIGS)} has network_def",
    )


def _definition(checkpoint: Checkpoint) -> dict[str, Any]:
    config = _config(checkpoint)
    return next(dict(config[name]) for name in _NETWORK if isinstance(config.get(name), dict))


def _transforms(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    listed = _config(checkpoint).get("preprocessing", {})
    listed = listed.get("transforms", []) if isinstance(listed, dict) else []
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _plain(value: Any, key: str, checkpoint: Checkpoint) -> Any:
    """Return an argument if it is a value; a reference to a value (``@name``) is followed once."""
    if isinstance(value, str) and value.startswith("@"):
        value = _config(checkpoint).get(value[1:], value)
    nested = value if isinstance(value, (list, tuple)) else [value]
    computed = any(isinstance(each, str) and each[:1] in ("@", "$", "%") for each in nested)
    if computed or isinstance(value, dict):
        raise ModelError(
            f"{key} of its network is computed, and code of a bundle is not run",
            where=checkpoint.name,
            hint="write its value into the configuration",
        )
    return value
