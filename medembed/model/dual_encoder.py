"""The :class:`DualEncoder` embeds scans and notes in one space.

A saved model encodes on ONNX Runtime, and importing this module imports no torch. Torch runs what
has no ONNX file: a model that is new in this process, folders of earlier formats, and sides that
could not be exported.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from medembed.encoders.study_images import ScanSource, StudyBatch
from medembed.encoders.tokenizers import Tokens, read_tokens
from medembed.errors import ModelError, QueryError
from medembed.model.model_files import (
    MODEL_FORMAT,
    ONNX_FILES,
    RERANKER_FILES,
    WEIGHTS,
    ModelFiles,
    digests_of,
    fingerprint_of,
    standing,
    write_folder,
)
from medembed.model.onnx_side import OnnxSide, OutputName, SideName, has_cuda
from medembed.model.study_vectors import pooled_vectors
from medembed.preprocess import Pixels, Preprocess
from medembed.scans import Scan

if TYPE_CHECKING:
    from medembed.model.onnx_export import ExportedSide
    from medembed.model.reranking import ModelReranker
    from medembed.model.torch_side import TorchSide
    from medembed.model.towers import ImageSide, TextSide, Towers

__all__ = ["DualEncoder", "unit_rows"]

Vectors = npt.NDArray[np.float32]

_LOG = logging.getLogger("medembed")
_SIDES: tuple[SideName, ...] = ("image", "text")
_ABOUT = ("format", "architecture", "preprocess", "precision", "made_from")


def unit_rows(rows: npt.NDArray[np.floating[Any]]) -> Vectors:
    """Scale rows to norm 1.

    A row of zeros has no direction and becomes the unit row of equal values.
    """
    rows = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    flat = np.full_like(rows, 1 / math.sqrt(rows.shape[1]))
    return np.where(norms > 1e-12, rows / np.maximum(norms, 1e-12), flat).astype(np.float32)


def _mean_unit(rows: Vectors, owner: npt.NDArray[np.int64]) -> Vectors:
    """Average the rows of each owner and scale the means to norm 1."""
    sums = np.zeros((int(owner.max()) + 1, rows.shape[1]), dtype=np.float64)
    np.add.at(sums, owner, rows)
    return unit_rows(sums)


class DualEncoder:
    """An image encoder and a text encoder with a shared space and their preprocessing.

    Created by :meth:`load`, by training, or by :func:`medembed.model.toy_model`. Immutable:
    training creates a new one.

    Parameters
    ----------
    architecture : dict
        As returned by :func:`medembed.model.towers.build_towers`.
    preprocess : Preprocess
    tokens : Tokens
    towers : Towers
    """

    def __init__(
        self,
        architecture: dict[str, Any],
        preprocess: Preprocess,
        tokens: Tokens,
        towers: Towers,
    ) -> None:
        towers.eval()
        self._about: dict[str, Any] = {
            "format": MODEL_FORMAT,
            "architecture": architecture,
            "preprocess": preprocess.config,
        }
        self._architecture = architecture
        self._preprocess = preprocess
        self._tokens = tokens
        self._training: dict[str, Any] = {}
        self._towers: Towers | None = towers
        self._files: ModelFiles | None = None
        self._made: dict[str, bytes] = {}
        self._serving: dict[str, dict[str, Any]] = {}
        self._fingerprint = ""
        self._device = str(next(towers.parameters()).device)
        self._prepare()

    def _prepare(self) -> None:
        self._modules: dict[SideName, ImageSide | TextSide] = {}
        self._runners: dict[SideName, OnnxSide | TorchSide] = {}
        self._reranker: ModelReranker | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        known = f", {self._fingerprint[:12]}" if self._fingerprint else ""
        return f"DualEncoder({self.dim} dimensions, {self.dimensions}D images{known})"

    # properties ------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Dimensions of the shared space."""
        return int(self._architecture["projection"]["dim"])

    @property
    def pools_studies(self) -> bool:
        """Whether the images of a case are pooled by trained weights."""
        return "study" in self._architecture

    @property
    def n_priors(self) -> int:
        """Maximum number of earlier studies whose images are pooled with a case's own."""
        return int(self._architecture.get("study", {}).get("priors", 0))

    @property
    def dimensions(self) -> int:
        """2 if the model reads images, 3 if it reads volumes."""
        return self._preprocess.dimensions

    @property
    def logit_scale(self) -> float:
        """Logarithm of the inverse temperature, as trained."""
        if self._towers is not None:
            return float(self._towers.logit_scale.detach())
        from safetensors.numpy import load

        return float(load(self._read(WEIGHTS))["logit_scale"])

    @property
    def preprocess(self) -> Preprocess:
        """Turns a scan into the pixels that the image side reads."""
        return self._preprocess

    @property
    def tokens(self) -> Tokens:
        """Turns text into the ids that the text side reads."""
        return self._tokens

    @property
    def max_length(self) -> int:
        """Tokens after which a note is truncated."""
        return self._tokens.max_length

    @property
    def reads_header(self) -> bool:
        """Whether notes are read below what the header says (``header.text`` in training)."""
        return bool(self._architecture.get("header"))

    @property
    def precision(self) -> str:
        """``"float32"``, or ``"int8"`` for a quantized variant of another model."""
        return str(self._about.get("precision", "float32"))

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over weights, settings, preprocessing, tokenizer and the code's version."""
        if not self._fingerprint:
            self._fingerprint = fingerprint_of(self._about, digests_of(self._parts()))
        return self._fingerprint

    @property
    def made_from(self) -> str:
        """Fingerprint of the model of which this is an int8 variant; else empty."""
        return str(self._about.get("made_from", ""))

    @property
    def architecture(self) -> dict[str, Any]:
        """The settings from which the sides are built, as JSON values."""
        return self._architecture

    @property
    def device(self) -> str:
        """``"cpu"``, or ``"cuda"`` with an optional index."""
        return self._device

    @property
    def training(self) -> dict[str, Any]:
        """How the model was trained; empty if unknown."""
        return self._training

    @property
    def serving(self) -> dict[str, dict[str, Any]]:
        """What runs each side once the model is saved.

        ``{"image": {"runtime": "onnx", "max_difference": 3e-7, …}, "text": {"runtime": "torch",
        "reason": …}}``; empty for folders of formats 1 and 2.
        """
        return self._serving

    # folder ----------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder_or_name: str | Path, *, device: str = "cpu") -> DualEncoder:
        """Open a model folder.

        Files are held open, so that a training that replaces the folder changes nothing. Each
        side, and its file's digest, is read when it first encodes.

        Parameters
        ----------
        folder_or_name : path
        device : str
            ``"cpu"`` or ``"cuda"``.

        Raises
        ------
        ModelError
            If there is no model, or it was changed after it was saved.
        """
        folder = standing(Path(folder_or_name))
        files = ModelFiles(folder)
        about = files.about
        model = cls.__new__(cls)
        try:
            model._about = {k: v for k, v in about.items() if k in _ABOUT}
            model._architecture = about["architecture"]
            model._serving = dict(about.get("serving", {}))
            model._preprocess = Preprocess.from_config(about["preprocess"])
            if about["format"] == 1:
                from medembed.model.format_1 import upgrade_settings

                model._architecture = upgrade_settings(about["architecture"])
        except (KeyError, ValueError, TypeError) as error:
            raise ModelError("the model cannot be read", where=str(folder)) from error
        model._tokens = read_tokens(files.small())
        model._training = {}
        if (folder / "training.json").is_file():
            model._training = json.loads((folder / "training.json").read_bytes())
        model._towers = None
        model._files = files
        model._made = {}
        model._fingerprint = about["fingerprint"]
        model._device = device
        model._prepare()
        return model

    def export(
        self, pixels: npt.NDArray[Any] | None = None, texts: Sequence[str] = ()
    ) -> list[str]:
        """Export the sides of a new model to ONNX, for :meth:`save` to keep.

        A side is kept as ONNX if its unit vectors agree with torch's to 1e-4 on the given inputs
        and on made-up ones, in batches and lengths of several sizes; otherwise it runs in torch.
        Does nothing for a saved model.

        Parameters
        ----------
        pixels : array ``(n, c, *size)``, optional
            Pixels of the library's cases, as :meth:`Preprocess.pixels` returns them.
        texts : sequence of str, optional
            Notes of the library's cases.

        Returns
        -------
        list of str
            A sentence for each side that will run in torch, with the reason.
        """
        if self._towers is None:
            return []
        from medembed.model.onnx_export import (
            export_image_side,
            export_study_side,
            export_text_side,
        )

        outcomes: dict[SideName, ExportedSide] = {
            "image": export_image_side(self.image_side(), self._preprocess, pixels),
            "text": export_text_side(self.text_side(), self._tokens, texts),
        }
        if self.pools_studies:
            outcomes["study"] = export_study_side(self.image_side(), self.dim)
        for name, outcome in outcomes.items():
            self._serving[name] = outcome.about
            self._made.pop(ONNX_FILES[name], None)
            if outcome.data is not None:
                self._made[ONNX_FILES[name]] = outcome.data
        return [
            f"the {name} side runs in torch, not on ONNX Runtime: {about['reason']}"
            for name, about in self._serving.items()
            if about["runtime"] == "torch"
        ]

    def save(self, folder: str | Path, files: Mapping[str, bytes] | None = None) -> Path:
        """Write the model folder atomically, replacing a model at the same place.

        A new model is exported to ONNX first, unless :meth:`export` has been called.

        Parameters
        ----------
        folder : path
        files : mapping of file name to bytes, optional
            Further files, which are not part of the fingerprint.
        """
        folder = Path(folder).absolute()
        if not self._serving:
            self.export()
        parts = self._parts()
        about = {
            **self._about,
            "digests": digests_of(parts),
            "fingerprint": self.fingerprint,
            "dim": self.dim,
        }
        if self._serving:
            about["serving"] = self._serving
        write_folder(folder, about, {**(files or {}), **parts})
        return folder

    def _parts(self) -> dict[str, bytes]:
        """Files of the folder by name, read from it or made once from the weights."""
        if self._files is not None:
            return {name: self._read(name) for name in self._files.names}
        if WEIGHTS not in self._made and self._towers is not None:
            from safetensors.torch import save

            state = self._towers.state_dict()
            weights = {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
            self._made = {WEIGHTS: save(weights), **self._tokens.files(), **self._made}
        return self._made

    def _read(self, name: str) -> bytes:
        if self._files is None:
            return self._parts()[name]
        return self._files.read(name)

    def onnx_file(self, name: SideName) -> bytes:
        """Return a side's ONNX file.

        Raises
        ------
        ModelError
            If it has none, because it runs in torch.
        """
        if self._files is None or ONNX_FILES[name] not in self._files.names:
            raise ModelError(f"the {name} side has no ONNX file")
        return self._read(ONNX_FILES[name])

    @property
    def has_reranker(self) -> bool:
        """Whether the model has a reranker."""
        names = self._files.names if self._files is not None else tuple(self._made)
        return set(RERANKER_FILES) <= set(names)

    @property
    def reranker(self) -> ModelReranker | None:
        """What reads images and texts together, loaded on first use; None if it has none."""
        if not self.has_reranker:
            return None
        from medembed.model.reranking import ModelReranker

        with self._lock:
            if self._reranker is None:
                files = {name: self._read(name) for name in RERANKER_FILES[:2]}
                self._reranker = ModelReranker(self, files, self._device)
            return self._reranker

    def add_reranker(self, files: Mapping[str, bytes]) -> None:
        """Give a new model a reranker, by the files that :meth:`save` keeps.

        The fingerprint does not depend on it, since the vectors do not.
        """
        self._made.update(files)

    def image_side(self) -> ImageSide:
        """Return the image tower as a torch module, importing what it is made of.

        Raises
        ------
        ModelError
            If the weights do not fit the architecture.
        """
        return cast("ImageSide", self._module("image"))

    def text_side(self) -> TextSide:
        """Return the text tower as a torch module, importing what it is made of.

        Raises
        ------
        ModelError
            If the weights do not fit the architecture.
        """
        return cast("TextSide", self._module("text"))

    def _module(self, name: SideName) -> ImageSide | TextSide:
        if self._towers is not None:
            return self._towers.image if name == "image" else self._towers.text
        if self.precision != "float32":
            raise ModelError(
                f"an {self.precision} variant holds no torch modules",
                hint="use the model that it was made from",
            )
        from medembed.model.torch_side import read_weights, restore_side

        with self._lock:  # several threads may search at the same time
            if name not in self._modules:
                weights = read_weights(self._read(WEIGHTS))
                if self._about["format"] == 1:
                    from medembed.model.format_1 import upgrade_weights

                    weights = upgrade_weights(self._architecture, weights)
                self._modules[name] = restore_side(name, self._architecture, weights, self._device)
            return self._modules[name]

    # running ---------------------------------------------------------------------------------

    def provider(self, name: SideName) -> str:
        """What computes a side: ``"torch"``, or the name of an ONNX Runtime provider.

        Raises
        ------
        ModelError
            If the side cannot be loaded.
        """
        return self._runner(name).provider

    def warm_up(self) -> None:
        """Load both sides, so that the first search does not wait for it."""
        for name in (*_SIDES, "study") if self.pools_studies else _SIDES:
            self._runner(name)

    def _runner(self, name: SideName) -> OnnxSide | TorchSide:
        with self._lock:
            if name not in self._runners:
                self._runners[name] = self._open_side(name)
            return self._runners[name]

    def _open_side(self, name: SideName) -> OnnxSide | TorchSide:
        if self._files is not None and ONNX_FILES[name] in self._files.names:
            if not self._device.startswith("cuda") or has_cuda():
                return OnnxSide(name, self._read(ONNX_FILES[name]), self._device)
            _LOG.warning(
                "this ONNX Runtime has no CUDA: the %s side runs in torch "
                "(pip install onnxruntime-gpu in place of onnxruntime)",
                name,
            )
        from medembed.model.torch_side import TorchSide

        if name == "study":
            from medembed.model.towers import StudySide

            return TorchSide(StudySide(self.image_side()).eval())
        return TorchSide(self._module(name))

    # encoding --------------------------------------------------------------------------------

    def encode_scans(self, scans: Iterable[Scan], batch_size: int = 32) -> Vectors:
        """Embed scans, one vector each.

        For a 2D model, the vector of a volume is the mean of its slices' unit vectors, unless the
        model pools studies.

        Returns
        -------
        float32 array, shape ``(n, dim)``
            Rows of norm 1, finite.
        """
        scans = list(scans)
        pixels = [self._preprocess.pixels(scan) for scan in scans]
        sources = [ScanSource(s.view, s.modality, body_part=s.body_part) for s in scans]
        return self.encode_pixels(pixels, batch_size, sources=sources)

    def encode_pixels(
        self,
        items: Sequence[Pixels],
        batch_size: int = 32,
        scans: Sequence[str] | None = None,
        sources: Sequence[ScanSource] | None = None,
    ) -> Vectors:
        """Embed the output of :meth:`Preprocess.pixels`.

        Parameters
        ----------
        items : sequence of uint8 or uint16 array, each ``(m, 1, h, w)`` or ``(m, 1, d, h, w)``
            The vector of a scan is the mean of its ``m`` images' unit vectors.
        batch_size : int
        scans : sequence of str, optional
            The case of each item. Scans of one case are averaged with equal weights, however many
            slices they have. None treats each item as its own case.
        sources : sequence of ScanSource, optional
            What is known of each item. A model that pools studies reads it.

        Returns
        -------
        float32 array, shape ``(n, dim)``
            One row per case, in order of first appearance.
        """
        if not items:
            return np.empty((0, self.dim), dtype=np.float32)
        vectors = self.encode_images(np.concatenate(list(items)), batch_size)
        if self.pools_studies:
            return pooled_vectors(self, vectors, list(map(len, items)), scans, sources)
        owner = np.repeat(np.arange(len(items)), [len(item) for item in items])
        of_items = _mean_unit(unit_rows(vectors), owner)
        if scans is None:
            return of_items
        place = {name: at for at, name in enumerate(dict.fromkeys(scans))}
        return _mean_unit(of_items, np.array([place[name] for name in scans]))

    def encode_notes(self, texts: Iterable[str], batch_size: int = 64) -> Vectors:
        """Embed texts, one vector each; texts are truncated to :attr:`max_length` tokens.

        Returns
        -------
        float32 array, shape ``(n, dim)``
            Rows of norm 1, finite.

        Raises
        ------
        QueryError
            If a text is blank, or a single text is given instead of a list.
        """
        if isinstance(texts, str):  # its letters would be read as texts
            raise QueryError("expected a list of texts, got one text", hint="pass [text]")
        texts = list(texts)
        if not all(text.strip() for text in texts):
            raise QueryError("the query text is empty")
        out = np.empty((len(texts), self.dim), dtype=np.float32)
        order = np.argsort([len(text) for text in texts], kind="stable")  # little padding
        for at in range(0, len(texts), batch_size):
            chosen = order[at : at + batch_size]
            out[chosen] = unit_rows(self._run_notes([texts[i] for i in chosen]))
        return out

    def image_features(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what the image side's projection reads, ``(n, width)``.

        Parameters
        ----------
        pixels : float32 array ``(n, c, *size)``
            Normalized by :meth:`Preprocess.normalize`.

        Raises
        ------
        ModelError
            If the model was exported before it kept this output.
        """
        return self._run("image", pixels, output="features")

    def pool(self, study: StudyBatch, vectors: Vectors) -> Vectors:
        """Pool the vectors of each case's images into a unit vector ``(n, dim)``.

        Parameters
        ----------
        study : StudyBatch
        vectors : float32 array ``(images, dim)``
            One row for each present image, case by case, as :meth:`encode_images` returns them.
        """
        known: tuple[npt.NDArray[Any], ...]
        known = (study.present, study.view, study.place, study.gap_days)
        if self._architecture.get("study", {}).get("header"):
            known += (study.header,)
        return unit_rows(self._run("study", study.spread(vectors), *known))

    def encode_images(self, rows: Pixels, batch_size: int = 32) -> Vectors:
        """Map single images to the shared space, not normalized and not pooled.

        Parameters
        ----------
        rows : uint8 or uint16 array ``(n, c, *size)``
        batch_size : int

        Returns
        -------
        float32 array, shape ``(n, dim)``
        """
        batches = (rows[at : at + batch_size] for at in range(0, len(rows), batch_size))
        return np.concatenate(
            [self._run("image", self._preprocess.normalize(batch)) for batch in batches]
        )

    def note_tokens(
        self, texts: Sequence[str]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the text encoder's last hidden states ``(n, t, width)`` and mask ``(n, t)``.

        Raises
        ------
        ModelError
            If the text encoder does not show them, or was exported before they were kept.
        """
        ids, mask = self._tokens(texts)
        return self._run("text", ids, mask, output="tokens"), mask

    def _run_notes(self, texts: list[str]) -> npt.NDArray[np.float32]:
        return self._run("text", *self._tokens(texts))

    def _run(
        self, name: SideName, *inputs: npt.NDArray[Any], output: OutputName = "vectors"
    ) -> npt.NDArray[np.float32]:
        rows = self._runner(name).run(*inputs, output=output)
        if not np.isfinite(rows).all():
            raise ModelError("the model returned values that are not finite")
        return rows
