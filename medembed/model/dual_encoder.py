"""The :class:`DualEncoder` embeds scans and notes in one space."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from medembed.encoders.tokenizers import Tokens, read_tokens
from medembed.errors import ModelError, QueryError
from medembed.model.format_1 import upgrade
from medembed.model.model_files import (
    MODEL_FORMAT,
    digests_of,
    fingerprint_of,
    read_folder,
    standing,
    write_folder,
)
from medembed.preprocess import Pixels, Preprocess
from medembed.scans import Scan

if TYPE_CHECKING:
    from medembed.model.towers import ImageSide, TextSide, Towers

__all__ = ["DualEncoder", "unit_rows"]

Vectors = npt.NDArray[np.float32]


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
        self._settings: dict[str, Any] = {
            "format": MODEL_FORMAT,
            "architecture": architecture,
            "preprocess": preprocess.config,
        }
        self._architecture = architecture
        self._preprocess = preprocess
        self._tokens = tokens
        self._training: dict[str, Any] = {}
        self._sides: dict[str, ImageSide | TextSide] = {"image": towers.image, "text": towers.text}
        self._weights: dict[str, torch.Tensor] = {
            name: tensor.detach() for name, tensor in towers.state_dict().items()
        }
        self._folder: Path | None = None
        self._files: dict[str, bytes] | None = None
        self._fingerprint = ""
        self._device = next(towers.parameters()).device
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        known = f", {self._fingerprint[:12]}" if self._fingerprint else ""
        return f"DualEncoder({self.dim} dimensions, {self.dimensions}D images{known})"

    # properties ------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Dimensions of the shared space."""
        return int(self._architecture["projection"]["dim"])

    @property
    def dimensions(self) -> int:
        """2 if the model reads images, 3 if it reads volumes."""
        return self._preprocess.dimensions

    @property
    def logit_scale(self) -> float:
        """Logarithm of the inverse temperature, as trained."""
        return float(self._weights["logit_scale"])

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
    def fingerprint(self) -> str:
        """Hex sha256 over weights, settings, preprocessing, tokenizer and the code's version."""
        if not self._fingerprint:
            self._fingerprint = fingerprint_of(self._settings, digests_of(self._parts()))
        return self._fingerprint

    @property
    def training(self) -> dict[str, Any]:
        """How the model was trained; empty if unknown."""
        return self._training

    # folder ----------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder_or_name: str | Path, *, device: str = "cpu") -> DualEncoder:
        """Read a model folder and check its digests and fingerprint.

        Each side is built when it first encodes, so that a text query does not import what only
        the image side needs.

        Raises
        ------
        ModelError
            If there is no model, or it was changed after it was saved.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = standing(Path(folder_or_name))
        about, files = read_folder(folder)
        try:
            weights = load_file(folder / "weights.safetensors", device=device)
            model = cls.__new__(cls)
            model._settings = {
                name: about[name] for name in ("format", "architecture", "preprocess")
            }
            model._architecture, model._weights = about["architecture"], weights
            if about["format"] == 1:
                model._architecture, model._weights = upgrade(about["architecture"], weights)
            model._preprocess = Preprocess.from_config(about["preprocess"])
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise ModelError("the model cannot be read", where=str(folder)) from error
        model._tokens = read_tokens(files)
        model._training = {}
        if (folder / "training.json").is_file():
            model._training = json.loads((folder / "training.json").read_bytes())
        model._sides = {}
        model._folder = folder
        model._files = None
        model._fingerprint = about["fingerprint"]
        model._device = torch.device(device)
        model._lock = threading.Lock()
        return model

    def save(self, folder: str | Path, files: Mapping[str, bytes] | None = None) -> Path:
        """Write the model folder atomically, replacing a model at the same place.

        Parameters
        ----------
        folder : path
        files : mapping of file name to bytes, optional
            Further files, which are not part of the fingerprint.
        """
        folder = Path(folder).absolute()
        parts = self._parts()
        about = {
            **self._settings,
            "digests": digests_of(parts),
            "fingerprint": self.fingerprint,
            "dim": self.dim,
        }
        write_folder(folder, about, {**(files or {}), **parts})
        return folder

    def _parts(self) -> dict[str, bytes]:
        """Files of the folder by name, read from it or made once from the weights."""
        from safetensors.torch import save

        if self._folder is not None:
            names = read_folder(self._folder)[0]["digests"]
            return {name: (self._folder / name).read_bytes() for name in names}
        if self._files is None:
            weights = {k: v.cpu().contiguous().clone() for k, v in self._weights.items()}
            self._files = {"weights.safetensors": save(weights), **self._tokens.files()}
        return self._files

    def image_side(self) -> ImageSide:
        """Return the image tower as a module, importing what it is made of.

        Raises
        ------
        ModelError
            If the weights do not fit the architecture.
        """
        return cast("ImageSide", self._side("image"))

    def text_side(self) -> TextSide:
        """Return the text tower as a module, importing what it is made of.

        Raises
        ------
        ModelError
            If the weights do not fit the architecture.
        """
        return cast("TextSide", self._side("text"))

    def _side(self, name: Literal["image", "text"]) -> ImageSide | TextSide:
        from medembed.model.towers import restore_image_side, restore_text_side

        with self._lock:  # several threads may search at the same time
            if name not in self._sides:
                restore = restore_image_side if name == "image" else restore_text_side
                with torch.random.fork_rng(devices=[]):  # new modules draw their weights
                    side = restore(self._architecture)
                prefix = f"{name}."
                try:
                    side.load_state_dict(
                        {key: self._weights[prefix + key] for key in side.state_dict()}
                    )
                except (KeyError, RuntimeError) as error:
                    raise ModelError("the weights do not fit the model's architecture") from error
                self._sides[name] = side.to(self._device).eval()
            return self._sides[name]

    # encoding --------------------------------------------------------------------------------

    def encode_scans(self, scans: Iterable[Scan], batch_size: int = 32) -> Vectors:
        """Embed scans, one vector each.

        For a 2D model, the vector of a volume is the mean of its slices' unit vectors.

        Returns
        -------
        float32 array, shape ``(n, dim)``
            Rows of norm 1, finite.
        """
        return self.encode_pixels([self._preprocess.pixels(scan) for scan in scans], batch_size)

    def encode_pixels(
        self,
        items: Sequence[Pixels],
        batch_size: int = 32,
        scans: Sequence[str] | None = None,
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

        Returns
        -------
        float32 array, shape ``(n, dim)``
            One row per case, in order of first appearance.
        """
        if not items:
            return np.empty((0, self.dim), dtype=np.float32)
        rows = np.concatenate(list(items))
        vectors = np.concatenate(
            [
                self._run_images(self._preprocess.normalize(rows[at : at + batch_size]))
                for at in range(0, len(rows), batch_size)
            ]
        )
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

    def _run_images(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return self._run(self.image_side(), torch.from_numpy(pixels))

    def _run_notes(self, texts: list[str]) -> npt.NDArray[np.float32]:
        ids, mask = self._tokens(texts)
        return self._run(self.text_side(), torch.from_numpy(ids), torch.from_numpy(mask))

    @torch.no_grad()
    def _run(self, side: nn.Module, *inputs: torch.Tensor) -> npt.NDArray[np.float32]:
        rows: torch.Tensor = side(*(tensor.to(self._device) for tensor in inputs))
        out: npt.NDArray[np.float32] = rows.float().cpu().numpy()
        if not np.isfinite(out).all():
            raise ModelError("the model returned values that are not finite")
        return out
