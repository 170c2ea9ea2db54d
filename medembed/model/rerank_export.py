"""Export a trained reranker to ONNX and check it against torch."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from safetensors.torch import save

from medembed.encoders.reranker import Reranker
from medembed.errors import ModelError
from medembed.model.model_files import RERANKER_FILES
from medembed.model.onnx_export import TOLERANCE, onnx_bytes, quiet_exporter
from medembed.model.onnx_side import INPUTS, OnnxSide
from medembed.model.reranking import RerankerAbout

__all__ = ["reranker_files"]

_SIZES = ((1, 1, 1), (50, 1, 7), (3, 5, 40))
"""Images, notes and tokens of the checks."""


def reranker_files(net: Reranker, about: RerankerAbout) -> dict[str, bytes]:
    """Return the files that a model folder keeps of a reranker.

    Parameters
    ----------
    net : Reranker
        In evaluation mode, on the CPU.
    about : RerankerAbout

    Raises
    ------
    ModelError
        If ONNX Runtime's scores differ from torch's by more than 1e-4 of their spread.
    """
    widths = about.places, int(about.settings["image_width"]), int(about.settings["text_width"])
    dims = {name: torch.export.Dim(name) for name in ("b", "c", "t")}
    shapes = ({0: dims["b"]}, {0: dims["c"], 1: dims["t"]}, {0: dims["c"], 1: dims["t"]})
    with warnings.catch_warnings(), quiet_exporter(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.export.export(net, _inputs((2, 3, 5), widths), dynamic_shapes=shapes)
        data = onnx_bytes(traced, INPUTS["reranker"], ("scores",))
        side = OnnxSide("reranker", data)
        for size in _SIZES:
            inputs = _inputs(size, widths)
            expected = net(*inputs).numpy()
            found = side.run(*(each.numpy() for each in inputs), output="scores")
            scale = max(1.0, float(np.abs(expected).max()))
            if not np.abs(found - expected).max() <= TOLERANCE * scale:
                raise ModelError("ONNX Runtime's scores differ from the trained reranker's")
    weights = {name: value.detach().contiguous() for name, value in net.state_dict().items()}
    return dict(zip(RERANKER_FILES, (about.to_bytes(), data, save(weights)), strict=True))


def _inputs(
    size: tuple[int, int, int], widths: tuple[int, int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    (b, c, t), (places, image_width, text_width) = size, widths
    rng = np.random.default_rng(0)
    images = rng.standard_normal((b, places, image_width), dtype=np.float32)
    words = rng.standard_normal((c, t, text_width), dtype=np.float32)
    mask = np.arange(t)[None, :] <= rng.integers(t, size=(c, 1))
    return torch.from_numpy(images), torch.from_numpy(words), torch.from_numpy(mask).long()
