"""The files of a model that is new in this process; imports torch to make them, not before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from medembed.model.model_files import MODEL_FORMAT, ONNX_FILES, WEIGHTS, digests_of, fingerprint_of

if TYPE_CHECKING:
    from medembed.encoders.tokenizers import Tokens
    from medembed.model.onnx_export import ExportedSide
    from medembed.model.onnx_side import SideName
    from medembed.model.towers import Towers
    from medembed.preprocess import Preprocess

__all__ = ["NewModelFiles"]


class NewModelFiles:
    """The files that a new model will be saved as, made from its weights when first needed.

    Read like the :class:`medembed.model.model_files.ModelFiles` of a saved model.

    Parameters
    ----------
    architecture : dict
    preprocess : Preprocess
    tokens : Tokens
    towers : Towers
        In evaluation mode.
    """

    def __init__(
        self,
        architecture: dict[str, Any],
        preprocess: Preprocess,
        tokens: Tokens,
        towers: Towers,
    ) -> None:
        self.about: dict[str, Any] = {
            "format": MODEL_FORMAT,
            "architecture": architecture,
            "preprocess": preprocess.config,
        }
        self.architecture = architecture
        self.serving: dict[str, dict[str, Any]] = {}
        self.training: dict[str, Any] = {}
        self.preprocess, self.tokens = preprocess, tokens
        self._towers = towers
        self._fingerprint = ""
        self._made: dict[str, bytes] = {}
        self._added: dict[str, bytes] = {}

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model that will be saved."""
        if not self._fingerprint:
            files = {name: self.read(name) for name in self.names}
            self._fingerprint = fingerprint_of(self.about, digests_of(files))
        return self._fingerprint

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files."""
        return tuple(dict.fromkeys((WEIGHTS, *self.tokens.files(), *self._added)))

    def read(self, name: str) -> bytes:
        """Return a file whole."""
        if name in self._added:
            return self._added[name]
        if not self._made:
            from safetensors.torch import save

            state = self._towers.state_dict()
            weights = {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
            self._made = {WEIGHTS: save(weights), **self.tokens.files()}
        return self._made[name]

    def add(self, files: Mapping[str, bytes]) -> None:
        """Add files that are not made from the weights alone, such as a reranker's."""
        self._added.update(files)

    def export(self, pixels: npt.NDArray[Any] | None, texts: Sequence[str]) -> list[str]:
        """Make the ONNX files of the sides that can have one; see :meth:`DualEncoder.export`."""
        from medembed.model.onnx_export import (
            export_image_side,
            export_study_side,
            export_text_side,
        )

        image, text = self._towers.image, self._towers.text
        outcomes: dict[SideName, ExportedSide] = {
            "image": export_image_side(image, self.preprocess, pixels),
            "text": export_text_side(text, self.tokens, texts),
        }
        if "study" in self.architecture:
            dim = int(self.architecture["projection"]["dim"])
            outcomes["study"] = export_study_side(image, dim)
        for name, outcome in outcomes.items():
            self.serving[name] = outcome.about
            self._added.pop(ONNX_FILES[name], None)
            if outcome.data is not None:
                self._added[ONNX_FILES[name]] = outcome.data
        return [
            f"the {name} side runs in torch, not on ONNX Runtime: {about['reason']}"
            for name, about in self.serving.items()
            if about["runtime"] == "torch"
        ]
