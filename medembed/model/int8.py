"""Make an int8 variant of a saved model, and measure what it loses on the library."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medembed.errors import LibraryError, ModelError, ScanError
from medembed.model.activation import keep_serving
from medembed.model.dual_encoder import DualEncoder
from medembed.model.model_files import (
    MODEL_FORMAT,
    ONNX_FILES,
    WEIGHTS,
    digests_of,
    fingerprint_of,
    write_folder,
)
from medembed.model.onnx_side import SideName
from medembed.model.pixel_cache import PixelCache, read_pixels

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["Int8Loss", "make_int8", "measure_int8_loss"]

_CALIBRATION = 64
_VOXELS = 2**22
"""Values of pixels for calibration: 83 images of 224², or 4 volumes of 96³."""

_BATCH = 8
_QUERIES = 2000
_K = 10
_SUFFIX = "-int8"
_SIDES: tuple[SideName, ...] = ("image", "text")


@dataclass(frozen=True)
class Int8Loss:
    """How the int8 vectors of a library differ from the float32 ones.

    Parameters
    ----------
    n_cases : int
        Cases with image vectors of both; all are in the gallery.
    n_queries : int
        Cases whose image was the query: all, or a fixed sample of 2,000.
    overlap_at_10 : float or None
        Share of the ten images nearest to an image that both find; None with fewer than 12 cases.
    n_pairs : int
        Cases whose note was the query.
    recall_at_10_float32, recall_at_10_int8 : float or None
        Share of notes whose own image is among the ten nearest; None with fewer than 12 pairs.
    """

    n_cases: int
    n_queries: int = 0
    overlap_at_10: float | None = None
    n_pairs: int = 0
    recall_at_10_float32: float | None = None
    recall_at_10_int8: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


def make_int8(library: CaseLibrary, model: DualEncoder, name: str) -> DualEncoder:
    """Quantize both sides of a model to 8-bit integers, as a model of its own.

    Convolutional sides get 8-bit weights and activations, whose ranges are measured on images of
    the library; transformers get 8-bit weights, and their activations are scaled as they come. The
    variant is saved as ``NAME-int8`` and has its own fingerprint, since its vectors are others. If
    it exists already, it is loaded.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder
        A saved float32 model, both of whose sides are ONNX files.
    name : str
        Name of the model.

    Raises
    ------
    ModelError
        If a side runs in torch, or cannot be quantized.
    LibraryError
        If no image of the library can be read.

    References
    ----------
    Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference, section 2.
    """
    if model.precision != "float32":
        raise ModelError("the model is an int8 variant already", where=name)
    if model.pools_studies:
        raise ModelError("a model that pools studies has no int8 variant", where=name)
    for side in _SIDES:
        if model.serving.get(side, {}).get("runtime") != "onnx":
            raise ModelError(
                f"the {side} side runs in torch and has no int8 variant",
                where=name,
                hint="only sides that were exported to ONNX have one: medembed show LIBRARY",
            )
    folder = library.path / "models" / f"{name.replace('@', '-')}{_SUFFIX}"
    if (folder / "model.json").is_file():
        kept = DualEncoder.load(folder)
        if kept.made_from == model.fingerprint:
            return kept
    from safetensors.numpy import save

    pixels = _calibration_pixels(library, model)
    files = {
        WEIGHTS: save({"logit_scale": np.array(model.logit_scale, np.float32)}),
        **model.tokens.files(),
    }
    serving = {}
    for side in _SIDES:
        file = ONNX_FILES[side]
        files[file], method = _quantized(model.sides.onnx_file(side), model, pixels)
        serving[side] = {"runtime": "onnx", "quantization": method}
    about: dict[str, Any] = {
        "format": MODEL_FORMAT,
        "architecture": model.architecture,
        "preprocess": model.preprocess.config,
        "precision": "int8",
        "made_from": model.fingerprint,
        "serving": serving,
        "dim": model.dim,
        "digests": digests_of(files),
    }
    about["fingerprint"] = fingerprint_of(about, digests_of(files))
    keep_serving(library, folder.name, about["fingerprint"])
    write_folder(folder, about, files)
    return DualEncoder.load(folder)


def _calibration_pixels(library: CaseLibrary, model: DualEncoder) -> npt.NDArray[Any]:
    """Return pixels of evenly spaced cases: the range of their activations is measured."""
    preprocess = model.preprocess
    most = max(1, min(_CALIBRATION, _VOXELS // int(np.prod(preprocess.shape))))
    names = library.find()
    cases = library.select(names[:: max(1, len(names) // most)][:most])
    wanted = [(case, 0) for case in cases if case.scans]
    cache = PixelCache(library.path / "cache", preprocess)
    found: list[npt.NDArray[Any]] = []
    for case, at in wanted:
        if case.scans[at] in cache:
            first, _ = cache.span(case.scans[at])
            found.append(cache.rows(slice(first, first + 1)))
    absent = [(case, at) for case, at in wanted if case.scans[at] not in cache]
    for read in read_pixels(library, absent, preprocess):
        if not isinstance(read, ScanError):
            found.append(read[:1])
    if not found:
        raise LibraryError(
            "no image of the library can be read, and int8 ranges are measured on its images",
            hint="mount the archive and run the same command again",
        )
    return np.concatenate(found)


def _quantized(data: bytes, model: DualEncoder, pixels: npt.NDArray[Any]) -> tuple[bytes, str]:
    """Quantize one side; returns the ONNX file and the method."""
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches: Iterator[dict[str, npt.NDArray[np.float32]]] = (
                {"pixels": model.preprocess.normalize(pixels[at : at + _BATCH])}
                for at in range(0, len(pixels), _BATCH)
            )

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            return next(self._batches, None)

    kinds = {node.op_type for node in onnx.load_model_from_string(data).graph.node}
    # On a CPU, convolutions with activations scaled as they come are slower than in float32, and
    # the activations of transformers vary too much for ranges measured beforehand.
    static = "Conv" in kinds and "Softmax" not in kinds
    with tempfile.TemporaryDirectory() as temporary:
        source, plain, out = (Path(temporary) / f"{i}.onnx" for i in range(3))
        source.write_bytes(data)
        try:
            quant_pre_process(str(source), str(plain), skip_symbolic_shape=True)
            if static:
                quantize_static(
                    str(plain),
                    str(out),
                    Reader(),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                )
            else:
                quantize_dynamic(
                    str(plain),
                    str(out),
                    op_types_to_quantize=["MatMul", "Gemm", "Gather"],
                    per_channel=True,
                    weight_type=QuantType.QInt8,
                )
            return out.read_bytes(), "static" if static else "dynamic"
        except Exception as error:  # the quantizer raises anything for what it lacks
            raise ModelError(
                f"the model cannot be quantized ({type(error).__name__})",
                hint="use it as it is, in float32",
            ) from error


def measure_int8_loss(library: CaseLibrary, float32: str, int8: str) -> Int8Loss:
    """Compare the searches of two sets of vectors on the library's own cases.

    Parameters
    ----------
    library : CaseLibrary
    float32, int8 : str
        Fingerprints.
    """
    images = _common(library, "image", float32, int8)
    names, exact, rounded = images
    n = len(names)
    if n < _K + 2:
        return Int8Loss(n)
    asked = _sample(n)
    overlap = _overlap(exact, rounded, asked)
    noted, notes_exact, notes_rounded = _common(library, "note", float32, int8)
    place = {name: at for at, name in enumerate(names)}
    rows = np.array([at for at, name in enumerate(noted) if name in place], dtype=np.int64)
    if len(rows) < _K + 2:
        return Int8Loss(n, len(asked), overlap, len(rows))
    rows = rows[_sample(len(rows))]
    own = np.array([place[noted[at]] for at in rows])
    return Int8Loss(
        n,
        len(asked),
        overlap,
        len(rows),
        _recall(notes_exact[rows], exact, own),
        _recall(notes_rounded[rows], rounded, own),
    )


Vectors = npt.NDArray[np.float32]


def _common(
    library: CaseLibrary, kind: str, first: str, second: str
) -> tuple[list[str], Vectors, Vectors]:
    """Return the cases that have vectors of both models, and these."""
    (names, rows), (others, other_rows) = (library.vectors(f, kind) for f in (first, second))
    place = {name: at for at, name in enumerate(others)}
    both = [at for at, name in enumerate(names) if name in place]
    return (
        [names[at] for at in both],
        np.asarray(rows)[both],
        np.asarray(other_rows)[[place[names[at]] for at in both]],
    )


def _sample(n: int) -> npt.NDArray[np.int64]:
    if n <= _QUERIES:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, _QUERIES, replace=False))


def _nearest(queries: Vectors, gallery: Vectors, own: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Rows of the ten nearest ``(q, 10)``, without the query's own."""
    scores = queries @ gallery.T
    scores[np.arange(len(own)), own] = -np.inf
    return np.argpartition(-scores, _K - 1, axis=1)[:, :_K]


def _overlap(exact: Vectors, rounded: Vectors, asked: npt.NDArray[np.int64]) -> float:
    shared = 0
    for at in range(0, len(asked), 256):
        part = asked[at : at + 256]
        first, second = (_nearest(rows[part], rows, part) for rows in (exact, rounded))
        shared += int((first[:, :, None] == second[:, None, :]).sum())
    return shared / (_K * len(asked))


def _recall(queries: Vectors, gallery: Vectors, own: npt.NDArray[np.int64]) -> float:
    found = 0
    for at in range(0, len(own), 256):
        scores = queries[at : at + 256] @ gallery.T
        mine = scores[np.arange(len(scores)), own[at : at + 256]]
        found += int(((scores > mine[:, None]).sum(axis=1) < _K).sum())
    return found / len(own)
