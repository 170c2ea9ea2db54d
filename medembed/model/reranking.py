"""Use a model's reranker: score images and a text by reading both; imports no torch."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medembed.errors import ModelError, ScanError
from medembed.model.feature_cache import FeatureCache
from medembed.model.model_files import RERANKER_FILES
from medembed.model.onnx_side import OnnxSide
from medembed.model.pixel_cache import PixelCache, read_pixels

if TYPE_CHECKING:
    from medembed.cases import Case, ScanRef
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder
    from medembed.preprocess import Pixels

__all__ = ["CANDIDATES", "ImageTokens", "ModelReranker", "RerankerAbout", "scan_features"]

Features = npt.NDArray[np.float32]

CANDIDATES = 50
"""Hits that are read; the others keep their places behind them."""

_MOST_IMAGES = 8
"""Images of a case that are read: a volume's slices are taken at equal distances."""

_BATCH = 32


@dataclass(frozen=True)
class RerankerAbout:
    """How a model's reranker is used: ``reranker.json``.

    Parameters
    ----------
    features : str
        Key of the image features in a library's cache (:func:`~.feature_cache.image_key`).
    places : int
        Image tokens of one image.
    scale : float
        Factor of the similarity, the model's inverse temperature.
    weight : float
        Factor of the reranker's score beside it; chosen on validation cases.
    default : bool
        Whether searches use it unless told otherwise: its gain on validation patients is above 0
        with 95% confidence.
    settings : dict
        :class:`medembed.encoders.reranker.RerankerSettings`, and the widths of the tokens.
    measured : dict
        R@10 and MRR on validation cases without and with it, and the paired gains.
    """

    features: str
    places: int
    scale: float
    weight: float
    default: bool
    settings: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return ``reranker.json``."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def read(cls, data: bytes) -> RerankerAbout:
        """Read ``reranker.json``.

        Raises
        ------
        ModelError
            If it is not one.
        """
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError) as error:
            raise ModelError(
                "reranker.json cannot be read", hint="train the model again"
            ) from error


class ModelReranker:
    """The reranker of a saved model, on ONNX Runtime. Can be used from several threads.

    Parameters
    ----------
    model : DualEncoder
        Runs the text side.
    files : mapping of file name to bytes
        ``reranker.json`` and ``reranker.onnx``.
    device : str
    """

    def __init__(self, model: DualEncoder, files: Mapping[str, bytes], device: str = "cpu") -> None:
        about, onnx = RERANKER_FILES[:2]
        self.about = RerankerAbout.read(files[about])
        self._model = model
        self._side: OnnxSide | None = None
        self._open = partial(OnnxSide, "reranker", files[onnx], device)
        self._lock = threading.Lock()

    def scores(self, images: Sequence[Features], text: str) -> npt.NDArray[np.float64]:
        """Score cases against a text.

        Parameters
        ----------
        images : sequence of float32 array ``(m, width)``
            Features of each case's images, at least one. A case's score is the mean over its
            images, as its vector is.
        text : str

        Returns
        -------
        float64 array ``(n,)``
            To be added to the scaled similarity.
        """
        with self._lock:
            if self._side is None:  # opened when it is used, not when its settings are read
                self._side = self._open()
            side = self._side
        ids, mask = self._model.tokens([text])
        words = self._model.sides.run("text", ids, mask, output="tokens")
        chosen = [_spread(rows) for rows in images]
        owner = np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen])
        tokens = self.image_tokens(np.concatenate(chosen))
        scores = np.concatenate(
            [
                side.run(tokens[at : at + _BATCH], words, mask, output="scores")[:, 0]
                for at in range(0, len(tokens), _BATCH)
            ]
        ).astype(np.float64)
        return np.bincount(owner, scores) / np.bincount(owner)

    def image_tokens(self, features: Features) -> Features:
        """Return features ``(n, width)`` as tokens ``(n, places, width / places)``."""
        # features hold the cells of the first channel, then those of the next
        cells = features.reshape(len(features), -1, self.about.places)
        return np.ascontiguousarray(cells.transpose(0, 2, 1))

    def fused(
        self, similarity: npt.ArrayLike, scores: npt.ArrayLike, share: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """Return what hits are ordered by.

        Parameters
        ----------
        similarity, scores : array ``(n,)``
            A score that is not known (NaN) counts as the mean of the others.
        share : float
            Weight of the text in the query.
        """
        read = np.asarray(scores, dtype=np.float64)
        known = np.isfinite(read)
        filled = np.where(known, read, read[known].mean() if known.any() else 0.0)
        return self.about.scale * np.asarray(similarity) + share * self.about.weight * filled


class ImageTokens:
    """Image features of cases for a reranker: from the library's cache, else from pixels.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder
        With a reranker.
    """

    def __init__(self, library: CaseLibrary, model: DualEncoder) -> None:
        reranker = model.reranker
        if reranker is None:
            raise ModelError("this model has no reranker")
        self._library = library
        self._model = model
        self._cache = FeatureCache(library.path / "cache", reranker.about.features)

    def of(self, cases: Sequence[Case]) -> list[Features | None]:
        """Return the features ``(m, width)`` of each case's images; None if no scan can be read.

        What the cache lacks is computed and kept.
        """
        refs = {PixelCache.key_of(ref): (case, at) for case in cases for at, ref in _scans(case)}
        lacking = {name: place for name, place in refs.items() if name not in self._cache}
        if lacking:
            self._fill(lacking)
        found: list[Features | None] = []
        for case in cases:
            names = [PixelCache.key_of(ref) for _, ref in _scans(case)]
            rows = [self._cache.get(name) for name in names if name in self._cache]
            found.append(np.concatenate(rows) if rows else None)
        return found

    def keep(self, features: Mapping[str, Features]) -> None:
        """Keep the features of scans, by their names, where the cache lacks them."""
        self._cache.add({name: f for name, f in features.items() if name not in self._cache})

    def _fill(self, lacking: Mapping[str, tuple[Case, int]]) -> None:
        preprocess = self._model.preprocess
        pixels = PixelCache(self._library.path / "cache", preprocess)
        at_hand: dict[str, Pixels] = {}
        unread: dict[str, tuple[Case, int]] = {}
        for name, (case, at) in lacking.items():
            ref = case.scans[at]
            if ref in pixels:
                first, count = pixels.span(ref)
                at_hand[name] = pixels.rows(slice(first, first + count))
            else:
                unread[name] = case, at
        read = read_pixels(self._library, list(unread.values()), preprocess)
        for name, found in zip(unread, read, strict=True):
            if not isinstance(found, ScanError):
                at_hand[name] = found
        self.keep({name: scan_features(self._model, rows) for name, rows in at_hand.items()})


def scan_features(model: DualEncoder, pixels: Pixels) -> Features:
    """Return the image features ``(m, width)`` of a scan's images ``(m, c, *size)``."""
    batches = (pixels[at : at + _BATCH] for at in range(0, len(pixels), _BATCH))
    normalize, run = model.preprocess.normalize, model.sides.run
    return np.concatenate([run("image", normalize(rows), output="features") for rows in batches])


def _scans(case: Case) -> list[tuple[int, ScanRef]]:
    return list(enumerate(case.scans))


def _spread(rows: Features) -> Features:
    """Return at most :data:`_MOST_IMAGES` rows at equal distances, the ends included."""
    if len(rows) <= _MOST_IMAGES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_IMAGES).round().astype(int)]
