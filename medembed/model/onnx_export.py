"""Export a side of a model to ONNX and check it against torch before it is kept."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from medembed.encoders.header_codes import HEADER_CODES
from medembed.encoders.study_images import VIEWS
from medembed.encoders.study_pooling import HeaderWords
from medembed.errors import ModelError
from medembed.model.mean_vectors import unit_rows
from medembed.model.onnx_side import INPUTS, OUTPUT, OnnxSide, OutputName, SideName
from medembed.model.torch_side import TorchSide
from medembed.model.towers import StudySide

if TYPE_CHECKING:
    from medembed.encoders.tokenizers import Tokens
    from medembed.model.towers import ImageSide, TextSide
    from medembed.preprocess import Preprocess

__all__ = [
    "TOLERANCE",
    "ExportedSide",
    "export_image_side",
    "export_study_side",
    "export_text_side",
    "onnx_bytes",
    "quiet_exporter",
]

TOLERANCE = 1e-4
"""Largest difference of a unit vector's component between ONNX Runtime and torch."""

Arrays = tuple[npt.NDArray[Any], ...]

_LARGEST = 2**31 - 2**24
"""Bytes of weights that fit one ONNX file, which is one protobuf message of less than 2 GiB."""

_SAMPLES = 40
_BATCHES = (1, 2, 8, 3)
_VOXELS = 2**22
"""Values of the largest batch that is checked: 83 images of 224², or 4 volumes of 96³."""

_TALKATIVE = ("torch.onnx._internal.exporter._registration", "onnxscript", "onnx_ir")

_WORDS = (
    "a",
    "effusion",
    "No pneumothorax.",
    "Right pleural effusion at the base, 12 mm. Heart size is normal.",
    "The lungs are clear. " * 400,
)
"""Texts of every length, to which those of a library are added."""


@dataclass(frozen=True)
class ExportedSide:
    """The outcome of an export.

    Parameters
    ----------
    data : bytes or None
        The ONNX file; None if the side runs in torch.
    about : dict
        JSON values: ``runtime``, ``"onnx"`` or ``"torch"``; for the first ``max_difference``,
        ``n_inputs`` and ``batch_sizes`` of the check, for the second ``reason``.
    """

    data: bytes | None
    about: dict[str, Any]


def export_image_side(
    side: ImageSide, preprocess: Preprocess, pixels: npt.NDArray[Any] | None = None
) -> ExportedSide:
    """Export an image side, with any number of images per batch.

    Parameters
    ----------
    side : ImageSide
        In evaluation mode, on the CPU.
    preprocess : Preprocess
    pixels : array ``(n, c, *size)``, optional
        Pixels of cases, as :meth:`Preprocess.pixels` returns them; made-up ones are added.
    """
    made_up = _made_up_pixels(preprocess)
    rows = made_up if pixels is None else np.concatenate([pixels[:_SAMPLES], made_up])
    normalized = np.ascontiguousarray(preprocess.normalize(rows), dtype=np.float32)
    most = max(1, _VOXELS // int(np.prod(normalized.shape[1:])))
    batches = [(part,) for part in _split(normalized, most)]
    example = (torch.zeros(2, *normalized.shape[1:]),)
    shapes = ({0: torch.export.Dim("batch")},)
    return _export("image", side, example, shapes, batches, ("vectors", "features"))


def export_text_side(side: TextSide, tokens: Tokens, texts: Sequence[str] = ()) -> ExportedSide:
    """Export a text side, with any number of texts and tokens per batch.

    Parameters
    ----------
    side : TextSide
        In evaluation mode, on the CPU.
    tokens : Tokens
    texts : sequence of str, optional
        Notes of cases; made-up ones are added.
    """
    notes = [*_WORDS, *(text for text in texts[:_SAMPLES] if text.strip())]
    batches = [tokens(part) for part in _split(notes, len(notes))]
    batches += [tokens([text]) for text in _WORDS]
    ids, mask = tokens(notes[1:4])
    shared = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=tokens.max_length)}
    example = (torch.from_numpy(ids), torch.from_numpy(mask))
    outputs: tuple[OutputName, ...] = (OUTPUT,)
    if getattr(side, "token_width", 0):  # heads and the toy show none
        outputs = (OUTPUT, "tokens")
    return _export("text", side, example, (shared, shared), batches, outputs)


def export_study_side(side: ImageSide, dim: int) -> ExportedSide:
    """Export how the images of a case are pooled, for any number of cases and images.

    It is checked on made-up vectors, views, places, time gaps and headers.

    Parameters
    ----------
    side : ImageSide
        In evaluation mode, on the CPU.
    dim : int
        Dimensions of the shared space.
    """
    draw = np.random.default_rng(0)
    reads_header = isinstance(side.header, HeaderWords)

    def studies(n: int, m: int) -> Arrays:
        vectors = draw.standard_normal((n, m, dim), dtype=np.float32)
        present = np.arange(m) < draw.integers(1, m, (n, 1), endpoint=True)
        view = draw.integers(0, len(VIEWS), (n, m))
        place = draw.random((n, m), dtype=np.float32)
        gap_days = (draw.integers(0, 2, (n, m)) * draw.uniform(0, 5000, (n, m))).astype(np.float32)
        if not reads_header:
            return vectors, present, view, place, gap_days
        header = draw.integers(0, HEADER_CODES, (n, m, 3))
        return vectors, present, view, place, gap_days, header

    batches = [studies(n, m) for n, m in ((1, 1), (2, 3), (8, 2), (3, 9))]
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("images")}
    example = tuple(torch.from_numpy(part) for part in batches[1])
    # one parameter of variable length takes all inputs
    return _export("study", StudySide(side).eval(), example, ((axes,) * len(example),), batches)


def _made_up_pixels(preprocess: Preprocess) -> npt.NDArray[Any]:
    """Noise, black, white and a ramp in the range of the preprocessing's pixels."""
    dtype = np.dtype(getattr(preprocess, "dtype", np.uint8))
    shape, most = preprocess.shape, np.iinfo(dtype).max
    noise = np.random.default_rng(0).integers(0, most, (5, *shape), dtype=dtype, endpoint=True)
    ramp = np.linspace(0, most, int(np.prod(shape))).reshape(1, *shape).astype(dtype)
    flat = [np.full((1, *shape), value, dtype) for value in (0, most)]
    return np.concatenate([noise, ramp, *flat])


def _split(rows: Any, most: int) -> list[Any]:
    """Split rows into batches of several sizes, the rest into one of at most ``most``."""
    parts, at = [], 0
    for size in _BATCHES:
        parts.append(rows[at : at + min(size, most)])
        at += min(size, most)
    parts += [rows[first : first + most] for first in range(at, len(rows), most)]
    return [part for part in parts if len(part)]


def _export(
    name: SideName,
    side: ImageSide | TextSide | StudySide,
    example: tuple[torch.Tensor, ...],
    shapes: Any,
    batches: Sequence[Arrays],
    outputs: tuple[OutputName, ...] = (OUTPUT,),
) -> ExportedSide:
    tensors = (*side.parameters(), *side.buffers())
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size > _LARGEST:
        return _in_torch(f"its {size / 2**30:.1f} GiB of weights do not fit one ONNX file")
    try:
        data = _to_onnx(name, side, example, shapes, outputs)
    except Exception as error:  # noqa: BLE001 - the exporter raises anything for what it lacks
        return _in_torch(f"it cannot be exported ({_cause(error)})")
    try:
        difference = _difference(name, side, data, batches, outputs)
    except ModelError as error:
        return _in_torch(error.what)
    if not difference <= TOLERANCE:
        return _in_torch(f"ONNX Runtime's vectors differ from torch's by up to {difference:.1e}")
    about = {
        "runtime": "onnx",
        "max_difference": float(f"{difference:.1e}"),
        "n_inputs": sum(len(batch[0]) for batch in batches),
        "batch_sizes": sorted({len(batch[0]) for batch in batches}),
    }
    return ExportedSide(data, about)


def _in_torch(reason: str) -> ExportedSide:
    return ExportedSide(None, {"runtime": "torch", "reason": reason})


def _cause(error: BaseException) -> str:
    """Return the operation without an ONNX form, else the kind of error; no path or value."""
    lacking = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", str(error))
    return f"ONNX has no {lacking[1]}" if lacking else type(error).__name__


class _WithFeatures(nn.Module):
    """An image side that also returns what its projection reads."""

    def __init__(self, side: nn.Module) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        side = cast("ImageSide", self.side)
        features = side.features(images)
        return side.projection(features), features


class _WithTokens(nn.Module):
    """A text side that also returns its encoder's last hidden states."""

    def __init__(self, side: nn.Module) -> None:
        super().__init__()
        self.side = side

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return cast("TextSide", self.side).vectors_and_tokens(ids, mask)


_SHOWING: dict[str, Callable[[nn.Module], nn.Module]] = {
    "features": _WithFeatures,
    "tokens": _WithTokens,
}


def _to_onnx(
    name: SideName,
    side: ImageSide | TextSide | StudySide,
    example: tuple[torch.Tensor, ...],
    shapes: Any,
    outputs: tuple[OutputName, ...],
) -> bytes:
    module: nn.Module = _SHOWING[outputs[1]](side) if len(outputs) > 1 else side
    with warnings.catch_warnings(), quiet_exporter(), torch.no_grad():
        warnings.simplefilter("ignore")
        with _PlainPooling():
            traced = torch.export.export(module, example, dynamic_shapes=shapes)
        return onnx_bytes(traced, INPUTS[name][: len(example)], outputs)


def onnx_bytes(traced: Any, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return a traced module as an ONNX file without paths of this machine.

    Raises
    ------
    ModelError
        If the exporter returns nothing; it raises anything for what it lacks.
    """
    program = torch.onnx.export(
        traced,
        (),
        dynamo=True,
        input_names=list(inputs),
        output_names=list(outputs),
        verbose=False,
    )
    if program is None:
        raise ModelError("the exporter returned nothing")
    proto = program.model_proto
    for node in (*proto.graph.node, *(n for function in proto.functions for n in function.node)):
        node.ClearField("doc_string")
        node.ClearField("metadata_props")  # stack traces, with paths of this machine
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        value.ClearField("metadata_props")
    proto.graph.ClearField("metadata_props")
    proto.ClearField("metadata_props")
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep the exporter's remarks from the user: absent torchvision, steps that it left out."""
    logs = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _difference(
    name: SideName,
    side: ImageSide | TextSide | StudySide,
    data: bytes,
    batches: Sequence[Arrays],
    outputs: tuple[OutputName, ...],
) -> float:
    """Return the largest difference of unit vectors between the two runtimes."""
    ours, theirs = OnnxSide(name, data), TorchSide(side)
    largest = 0.0
    for batch, output in product(batches, outputs):
        expected, found = theirs.run(*batch, output=output), ours.run(*batch, output=output)
        if expected.shape != found.shape or not np.isfinite(expected).all():
            return float("nan")
        if output == "tokens":  # those of padding are never read
            spoken = batch[1].astype(bool)
            expected, found = expected[spoken], found[spoken]
        largest = max(largest, float(np.abs(unit_rows(found) - unit_rows(expected)).max()))
        largest = largest if np.isfinite(found).all() else float("nan")
    return largest


class _PlainPooling(TorchFunctionMode):
    """Traces adaptive pooling as pooling of fixed windows, since ONNX has no adaptive pooling.

    Cell ``i`` of ``s`` covers ``floor(i n / s)`` to ``ceil((i + 1) n / s)`` of ``n`` positions.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        axes = _ADAPTIVE.get(func)
        if axes is None or kwargs.get("return_indices"):
            return func(*args, **kwargs)
        images, size = args[0], args[1] if len(args) > 1 else kwargs["output_size"]
        cells = (size,) * axes if isinstance(size, int) else tuple(size)
        lengths = images.shape[-axes:]
        cells = tuple(n if s is None else s for s, n in zip(cells, lengths, strict=True))
        takes_most = "max" in func.__name__
        if all(n % s == 0 for n, s in zip(lengths, cells, strict=True)):
            window = [n // s for n, s in zip(lengths, cells, strict=True)]
            return _WINDOWED[axes, takes_most](images, window, window)
        for axis, (n, s) in enumerate(zip(lengths, cells, strict=True), images.ndim - axes):
            ends = [(i * n // s, -(-(i + 1) * n // s)) for i in range(s)]
            parts = [images.narrow(axis, first, last - first) for first, last in ends]
            images = torch.cat(
                [
                    part.amax(axis, keepdim=True) if takes_most else part.mean(axis, keepdim=True)
                    for part in parts
                ],
                axis,
            )
        return images


_ADAPTIVE: dict[Any, int] = {
    functional.adaptive_avg_pool2d: 2,
    functional.adaptive_max_pool2d: 2,
    functional.adaptive_avg_pool3d: 3,
    functional.adaptive_max_pool3d: 3,
}
_WINDOWED: dict[tuple[int, bool], Callable[..., torch.Tensor]] = {
    (2, False): functional.avg_pool2d,
    (2, True): functional.max_pool2d,
    (3, False): functional.avg_pool3d,
    (3, True): functional.max_pool3d,
}
