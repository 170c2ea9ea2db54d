"""The :class:`DualEncoder` embeds scans and notes in one space.

A saved model encodes on ONNX Runtime, and importing this module imports no torch. Torch runs what
has no ONNX file: a model that is new in this process, folders of earlier formats, and sides that
could not be exported.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from medembed.encoders.study_images import ScanSource, StudyBatch
from medembed.encoders.tokenizers import Tokens
from medembed.errors import QueryError
from medembed.model.mean_vectors import mean_vectors, unit_rows
from medembed.model.model_files import RERANKER_FILES, WEIGHTS, ModelFiles, write_model
from medembed.model.new_files import NewModelFiles
from medembed.model.onnx_side import SideName
from medembed.model.sides import Sides
from medembed.model.study_vectors import pooled_vectors
from medembed.preprocess import Pixels, Preprocess
from medembed.scans import Scan

if TYPE_CHECKING:
    from medembed.model.reranking import ModelReranker
    from medembed.model.towers import ImageSide, TextSide, Towers

__all__ = ["DualEncoder"]

Vectors = npt.NDArray[np.float32]


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

    Attributes
    ----------
    sides : Sides
        Maps pixels and tokens to the shared space, before unit vectors are made of the rows.
    """

    def __init__(
        self,
        architecture: dict[str, Any],
        preprocess: Preprocess,
        tokens: Tokens,
        towers: Towers,
    ) -> None:
        towers.eval()
        device = str(next(towers.parameters()).device)
        files = NewModelFiles(architecture, preprocess, tokens, towers)
        self._hold(files, Sides(files, device, towers))

    def _hold(self, files: ModelFiles | NewModelFiles, sides: Sides) -> None:
        self._files, self.sides = files, sides
        self._reranker: ModelReranker | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        known = f", {self.fingerprint[:12]}" if isinstance(self._files, ModelFiles) else ""
        return f"DualEncoder({self.dim} dimensions, {self.dimensions}D images{known})"

    @property
    def dim(self) -> int:
        """Dimensions of the shared space."""
        return int(self.architecture["projection"]["dim"])

    @property
    def pools_studies(self) -> bool:
        """Whether the images of a case are pooled by trained weights."""
        return "study" in self.architecture

    @property
    def n_priors(self) -> int:
        """Maximum number of earlier studies whose images are pooled with a case's own."""
        return int(self.architecture.get("study", {}).get("priors", 0))

    @property
    def dimensions(self) -> int:
        """2 if the model reads images, 3 if it reads volumes."""
        return self.preprocess.dimensions

    @property
    def logit_scale(self) -> float:
        """Logarithm of the inverse temperature, as trained."""
        from safetensors.numpy import load

        return float(load(self._files.read(WEIGHTS))["logit_scale"])

    @property
    def preprocess(self) -> Preprocess:
        """Turns a scan into the pixels that the image side reads."""
        return self._files.preprocess

    @property
    def tokens(self) -> Tokens:
        """Turns text into the ids that the text side reads."""
        return self._files.tokens

    @property
    def max_length(self) -> int:
        """Tokens after which a note is truncated."""
        return self.tokens.max_length

    @property
    def reads_header(self) -> bool:
        """Whether notes are read below what the header says (``header.text`` in training)."""
        return bool(self.architecture.get("header"))

    @property
    def precision(self) -> str:
        """``"float32"``, or ``"int8"`` for a quantized variant of another model."""
        return str(self._files.about.get("precision", "float32"))

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over weights, settings, preprocessing, tokenizer and the code's version."""
        return self._files.fingerprint

    @property
    def made_from(self) -> str:
        """Fingerprint of the model of which this is an int8 variant; else empty."""
        return str(self._files.about.get("made_from", ""))

    @property
    def architecture(self) -> dict[str, Any]:
        """The settings from which the sides are built, as JSON values."""
        return self._files.architecture

    @property
    def device(self) -> str:
        """``"cpu"``, or ``"cuda"`` with an optional index."""
        return self.sides.device

    @property
    def folder(self) -> Path | None:
        """Where the model was loaded from; None for a new one."""
        return self._files.folder.absolute() if isinstance(self._files, ModelFiles) else None

    @property
    def training(self) -> dict[str, Any]:
        """How the model was trained; empty if unknown."""
        return self._files.training

    @property
    def serving(self) -> dict[str, dict[str, Any]]:
        """What runs each side once the model is saved.

        ``{"image": {"runtime": "onnx", "max_difference": 3e-7, …}, "text": {"runtime": "torch",
        "reason": …}}``; empty for folders of formats 1 and 2.
        """
        return self._files.serving

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
        files = ModelFiles(Path(folder_or_name))
        model = cls.__new__(cls)
        model._hold(files, Sides(files, device))
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
        return self._files.export(pixels, texts) if isinstance(self._files, NewModelFiles) else []

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
        if not self.serving:
            self.export()
        write_model(folder, self._files, files or {})
        return folder

    @property
    def has_reranker(self) -> bool:
        """Whether the model has a reranker."""
        return set(RERANKER_FILES) <= set(self._files.names)

    @property
    def reranker(self) -> ModelReranker | None:
        """What reads images and texts together, loaded on first use; None if it has none."""
        if not self.has_reranker:
            return None
        from medembed.model.reranking import ModelReranker

        with self._lock:
            if self._reranker is None:
                files = {name: self._files.read(name) for name in RERANKER_FILES[:2]}
                self._reranker = ModelReranker(self, files, self.device)
            return self._reranker

    def add_reranker(self, files: Mapping[str, bytes]) -> None:
        """Give a new model a reranker, by the files that :meth:`save` keeps.

        The fingerprint does not depend on it, since the vectors do not.
        """
        if isinstance(self._files, NewModelFiles):
            self._files.add(files)

    def image_side(self) -> ImageSide:
        """Return the image tower as a torch module, importing what it is made of.

        Raises
        ------
        ModelError
            If the weights do not fit the architecture.
        """
        return cast("ImageSide", self.sides.module("image"))

    def text_side(self) -> TextSide:
        """Return the text tower as a torch module, importing what it is made of.

        Raises
        ------
        ModelError
            If the weights do not fit the architecture.
        """
        return cast("TextSide", self.sides.module("text"))

    def provider(self, name: SideName) -> str:
        """What computes a side: ``"torch"``, or the name of an ONNX Runtime provider.

        Raises
        ------
        ModelError
            If the side cannot be loaded.
        """
        return self.sides.runner(name).provider

    def warm_up(self) -> None:
        """Load both sides, so that the first search does not wait for it."""
        names: tuple[SideName, ...] = ("image", "text")
        for name in (*names, "study") if self.pools_studies else names:
            self.sides.runner(name)

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
        pixels = [self.preprocess.pixels(scan) for scan in scans]
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
        images = np.concatenate(list(items))
        batches = (images[at : at + batch_size] for at in range(0, len(images), batch_size))
        vectors = np.concatenate(
            [self.sides.run("image", self.preprocess.normalize(batch)) for batch in batches]
        )
        counts = list(map(len, items))
        if self.pools_studies:
            return pooled_vectors(self, vectors, counts, scans, sources)
        return mean_vectors(vectors, counts, scans)

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
            out[chosen] = unit_rows(
                self.sides.run("text", *self.tokens([texts[i] for i in chosen]))
            )
        return out

    def pool(self, study: StudyBatch, vectors: Vectors) -> Vectors:
        """Pool the vectors of each case's images into a unit vector ``(n, dim)``.

        Parameters
        ----------
        study : StudyBatch
        vectors : float32 array ``(images, dim)``
            One row for each present image, case by case, as the image side returns them.
        """
        known: tuple[npt.NDArray[Any], ...]
        known = (study.present, study.view, study.place, study.gap_days)
        if self.architecture.get("study", {}).get("header"):
            known += (study.header,)
        return unit_rows(self.sides.run("study", study.spread(vectors), *known))
