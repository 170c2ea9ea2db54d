"""Run one side of a model on ONNX Runtime; imports no torch."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medembed.errors import ModelError

__all__ = [
    "INPUTS",
    "OUTPUT",
    "OnnxSide",
    "OutputName",
    "SideName",
    "default_threads",
    "has_cuda",
    "usable_cores",
]

SideName = Literal["image", "text", "study", "head", "reranker"]
OutputName = Literal["vectors", "features", "tokens", "scores"]

INPUTS: dict[SideName, tuple[str, ...]] = {
    "image": ("pixels",),
    "text": ("ids", "mask"),
    "study": ("elements", "present", "view_codes", "places", "gap_days", "header_codes"),
    "head": ("features",),
    "reranker": ("images", "words", "mask"),
}
"""Inputs of each side. ``"study"`` pools the vectors of a case's images, if the model does, and has
the last input only if the model reads headers (``study.header``). ``"head"`` is the part of the
image side behind its features."""

OUTPUT: OutputName = "vectors"

_QUIET = 3  # of ONNX Runtime's log: errors only


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """Threads of one run: one per core; ``OMP_NUM_THREADS`` lowers it, as it does for torch."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable_cores(), int(wanted) if wanted.isdigit() and int(wanted) else usable_cores())


class OnnxSide:
    """A side of a model as an ONNX Runtime session. Can be used from several threads.

    Parameters
    ----------
    name : {"image", "text", "study", "head", "reranker"}
    data : bytes
        The ONNX file; a file that needs others beside it is refused.
    device : str
        ``"cpu"``, or ``"cuda"`` with an optional index.
    threads : int, optional
        Threads of one run on the CPU. Default: :func:`default_threads`.

    Raises
    ------
    ModelError
        If ONNX Runtime cannot load it.
    """

    def __init__(
        self, name: SideName, data: bytes, device: str = "cpu", threads: int | None = None
    ) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()  # it may have been loaded before this package
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or default_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        # Threads that wait by spinning would take the cores from decoding and from other searches.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._name: SideName = name
        try:
            self._session = onnxruntime.InferenceSession(
                data, options, providers=_providers(device)
            )
        except Exception as error:  # ONNX Runtime raises RuntimeError's and its own kinds
            raise ModelError(
                f"ONNX Runtime cannot load the {name} side ({type(error).__name__})",
                hint="train the model again, or install the version of onnxruntime it was made for",
            ) from error

        if device.startswith("cuda") and self.provider != "CUDAExecutionProvider":
            raise ModelError(
                f"ONNX Runtime cannot use the device {device!r}",
                hint="check the driver and that CUDA and cuDNN fit this onnxruntime-gpu, "
                "or use device cpu",
            )

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of what computes, such as ``"CPUExecutionProvider"``."""
        return str(self._session.get_providers()[0])

    def run(
        self, *inputs: npt.NDArray[Any], output: OutputName = OUTPUT
    ) -> npt.NDArray[np.float32]:
        """Map inputs to the shared space.

        Parameters
        ----------
        *inputs : array
            Float32 pixels ``(n, c, *size)``; int64 ids and mask ``(n, t)``; the images of studies
            as in :class:`medembed.encoders.study_pooling.Elements`; or the inputs of
            :class:`medembed.encoders.reranker.Reranker`.
        output : {"vectors", "features", "tokens", "scores"}
            ``"features"``: what the image side's projection reads, ``(n, width)``; ``"tokens"``:
            the text encoder's last hidden states ``(n, t, width)``.

        Returns
        -------
        float32 array, shape ``(n, dim)``
            Not normalized.

        Raises
        ------
        ModelError
            If it cannot be run, or the file lacks this output.
        """
        named = dict(zip(INPUTS[self._name], inputs, strict=self._name != "study"))
        try:
            (rows,) = self._session.run([output], named)
        except Exception as error:
            raise ModelError(
                f"the {self._name} side cannot be run ({type(error).__name__})"
            ) from error
        return np.asarray(rows, dtype=np.float32)


def has_cuda() -> bool:
    """Whether this ONNX Runtime was built for CUDA."""
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _providers(device: str) -> list[str | tuple[str, dict[str, Any]]]:
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return ["CPUExecutionProvider"]
    # TF32 would round products to 10 bits, which the checked vectors were not.
    settings = {"device_id": int(index or 0), "use_tf32": 0}
    return [("CUDAExecutionProvider", settings), "CPUExecutionProvider"]
