"""Run one side of a model in torch: a new model, or one that has no ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch

from medembed.errors import ModelError
from medembed.model.towers import restore_image_side, restore_text_side

if TYPE_CHECKING:
    from medembed.model.onnx_side import OutputName, SideName
    from medembed.model.towers import ImageSide, StudySide, TextSide

__all__ = ["TorchSide", "read_weights", "restore_side"]


class TorchSide:
    """A side of a model as a torch module.

    Parameters
    ----------
    side : ImageSide, TextSide or StudySide
        In evaluation mode.
    """

    provider = "torch"

    def __init__(self, side: ImageSide | TextSide | StudySide) -> None:
        self.side = side

    @torch.no_grad()
    def run(
        self, *inputs: npt.NDArray[Any], output: OutputName = "vectors"
    ) -> npt.NDArray[np.float32]:
        """Map inputs to the shared space; see :meth:`OnnxSide.run`."""
        compute: Callable[..., torch.Tensor] = self.side
        if output == "features":
            compute = cast("ImageSide", self.side).features
        elif output == "tokens":
            text = cast("TextSide", self.side)
            compute = lambda *inputs: text.vectors_and_tokens(*inputs)[1]  # noqa: E731
        tensors = (*self.side.parameters(), *self.side.buffers())
        device = tensors[0].device if tensors else torch.device("cpu")
        rows: torch.Tensor = compute(*(torch.from_numpy(array).to(device) for array in inputs))
        out: npt.NDArray[np.float32] = rows.float().cpu().numpy()
        return out


def restore_side(
    name: SideName,
    architecture: dict[str, Any],
    weights: Mapping[str, torch.Tensor],
    device: str = "cpu",
) -> ImageSide | TextSide:
    """Build a side from the settings and weights of a saved model.

    Raises
    ------
    ModelError
        If the weights do not fit the architecture, or the device does not exist.
    """
    restore = restore_image_side if name == "image" else restore_text_side
    with torch.random.fork_rng(devices=[]):  # new modules draw their weights
        side = restore(architecture)
    prefix = f"{name}."
    try:
        side.load_state_dict({key: weights[prefix + key] for key in side.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise ModelError("the weights do not fit the model's architecture") from error
    try:
        side.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # torch raises either without CUDA
        raise ModelError(f"torch cannot use the device {device!r}") from error
    side.eval()
    return side


def read_weights(data: bytes) -> dict[str, torch.Tensor]:
    """Read ``weights.safetensors``.

    Raises
    ------
    ModelError
        If it is not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        weights: dict[str, torch.Tensor] = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError("the model's weights cannot be read") from error
    return weights
