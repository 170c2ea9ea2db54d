"""The sides of a model, opened when they first run; imports torch only for those that need it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from medembed.errors import ModelError
from medembed.model.feature_head import cut_head
from medembed.model.model_files import ONNX_FILES, WEIGHTS
from medembed.model.onnx_side import OnnxSide, OutputName, SideName, has_cuda

if TYPE_CHECKING:
    from medembed.model.model_files import ModelFiles
    from medembed.model.new_files import NewModelFiles
    from medembed.model.torch_side import TorchSide
    from medembed.model.towers import ImageSide, TextSide, Towers

__all__ = ["Sides"]

_LOG = logging.getLogger("medembed")


class Sides:
    """What runs each side of a model: ONNX Runtime, or torch where there is no ONNX file.

    Each side, and its file's digest, is read once, when it is first needed. Can be used from
    several threads.

    Parameters
    ----------
    files : ModelFiles or NewModelFiles
    device : str
        ``"cpu"``, or ``"cuda"`` with an optional index.
    towers : Towers, optional
        Modules of a new model, in evaluation mode. None restores them from the files.
    """

    def __init__(
        self,
        files: ModelFiles | NewModelFiles,
        device: str,
        towers: Towers | None = None,
    ) -> None:
        self.device = device
        self._files = files
        self._towers = towers
        self._modules: dict[SideName, ImageSide | TextSide] = {}
        self._runners: dict[SideName, OnnxSide | TorchSide] = {}
        self._lock = threading.RLock()

    def module(self, name: SideName) -> ImageSide | TextSide:
        """Return the image or text side as a torch module, importing what it is made of.

        Raises
        ------
        ModelError
            If the weights do not fit the architecture, or the model is an int8 variant.
        """
        if self._towers is not None:
            return self._towers.image if name == "image" else self._towers.text
        about, architecture = self._files.about, self._files.architecture
        precision = about.get("precision", "float32")
        if precision != "float32":
            raise ModelError(
                f"an {precision} variant holds no torch modules",
                hint="use the model that it was made from",
            )
        from medembed.model.torch_side import read_weights, restore_side

        with self._lock:  # several threads may search at the same time
            if name not in self._modules:
                weights = read_weights(self._files.read(WEIGHTS))
                if about["format"] == 1:
                    from medembed.model.format_1 import upgrade_weights

                    weights = upgrade_weights(architecture, weights)
                self._modules[name] = restore_side(name, architecture, weights, self.device)
            return self._modules[name]

    def runner(self, name: SideName) -> OnnxSide | TorchSide:
        """Return what runs a side.

        Raises
        ------
        ModelError
            If the side cannot be loaded.
        """
        with self._lock:
            if name not in self._runners:
                self._runners[name] = self._opened(name)
            return self._runners[name]

    def onnx_file(self, name: SideName) -> bytes:
        """Return a side's ONNX file.

        Raises
        ------
        ModelError
            If it has none, because it runs in torch.
        """
        if not self._has_onnx(name):
            raise ModelError(f"the {name} side has no ONNX file")
        return self._files.read(ONNX_FILES[name])

    def run(
        self, name: SideName, *inputs: npt.NDArray[Any], output: OutputName = "vectors"
    ) -> npt.NDArray[np.float32]:
        """Map inputs to the shared space; see :meth:`OnnxSide.run`.

        Raises
        ------
        ModelError
            If the side cannot be loaded or run, or returns a value that is not finite.
        """
        rows = self.runner(name).run(*inputs, output=output)
        if not np.isfinite(rows).all():
            raise ModelError("the model returned values that are not finite")
        return rows

    def _has_onnx(self, name: SideName) -> bool:
        # The sides of a new model run in torch, also once they are exported.
        return self._towers is None and ONNX_FILES[name] in self._files.names

    def _opened(self, name: SideName) -> OnnxSide | TorchSide:
        file: SideName = "image" if name == "head" else name
        if self._has_onnx(file):
            if not self.device.startswith("cuda") or has_cuda():
                data = self.onnx_file(file)
                return OnnxSide(name, cut_head(data) if name == "head" else data, self.device)
            _LOG.warning(
                "this ONNX Runtime has no CUDA: the %s side runs in torch "
                "(pip install onnxruntime-gpu in place of onnxruntime)",
                name,
            )
        from medembed.model.torch_side import TorchSide

        if name == "study":
            from medembed.model.towers import StudySide

            return TorchSide(StudySide(cast("ImageSide", self.module("image"))).eval())
        if name == "head":
            head = cast("ImageSide", self.module("image")).projection
            return TorchSide(cast("ImageSide", head))
        return TorchSide(self.module(name))
