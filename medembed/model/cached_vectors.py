"""Vectors of cases whose frozen features training has left in the library's cache.

Only the projections have to run then. It needs torch, which a training has loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch

from medembed.encoders.study_images import StudyImages
from medembed.library.priors import with_earlier_studies
from medembed.model.dual_encoder import DualEncoder
from medembed.model.feature_cache import FeatureCache, image_key, text_key, token_key
from medembed.model.heads import FusedImageSide, FusedTextSide
from medembed.model.mean_vectors import unit_rows
from medembed.model.pixel_cache import PixelCache
from medembed.model.report_text import case_text
from medembed.model.study_vectors import source_of, study_vectors

if TYPE_CHECKING:
    from torch import nn

    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.model.towers import ImageSide, TextSide

__all__ = ["CachedVectors"]

Vectors = npt.NDArray[np.float32]


class CachedVectors:
    """Computes vectors from cached features, for the cases that have them.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder
    """

    def __init__(self, library: CaseLibrary, model: DualEncoder) -> None:
        folder = library.path / "cache"
        self._library, self._model = library, model
        self._header = model.reads_header
        self._image, self._text = model.image_side(), model.text_side()
        image, text = cast("nn.Module", self._image), cast("nn.Module", self._text)
        sides: Sequence[ImageSide] = [self._image]
        if isinstance(image, FusedImageSide):
            sides = cast("Sequence[ImageSide]", image.encoder)
        encoders: list[nn.Module] = [self._text.encoder]
        if isinstance(text, FusedTextSide) and text.words is not None:
            encoders.append(text.words)
        self._of_images = [FeatureCache(folder, image_key(s, model.preprocess)) for s in sides]
        self._of_texts = [FeatureCache(folder, token_key(e, model.tokens)) for e in encoders]

    def images(self, cases: Sequence[Case]) -> dict[str, Vectors]:
        """Return the vector of each case all of whose scans are in the cache."""
        if self._model.pools_studies:
            return self._pooled(cases)
        found: dict[str, Vectors] = {}
        for case in cases:
            names = [PixelCache.key_of(ref) for ref in case.scans]
            if not names or any(n not in cache for n in names for cache in self._of_images):
                continue
            means = [
                unit_rows(_project(self._image, self._of_images, name)).mean(0, keepdims=True)
                for name in names
            ]
            found[case.case_id] = unit_rows(unit_rows(np.concatenate(means)).mean(0, keepdims=True))
        return found

    def _pooled(self, cases: Sequence[Case]) -> dict[str, Vectors]:
        """Return the vector of each case all of whose scans, with priors, are in the cache."""
        names = [case.case_id for case in cases]
        (cache,) = self._of_images
        vectors: list[Vectors] = []
        studies: dict[str, StudyImages] = {}
        n_images = 0
        of_cases = with_earlier_studies(self._library, names, self._model.n_priors)
        for owner, of_case in of_cases.items():
            scans = [(case, ref, days) for case, days in of_case for ref in case.scans]
            keys = [PixelCache.key_of(ref) for _, ref, _ in scans]
            if not of_case[0][0].scans or any(key not in cache for key in keys):
                continue
            images = []
            for key, scan in zip(keys, scans, strict=True):
                rows = _project(self._image, [cache], key)
                images.append(StudyImages.of_scan(n_images, len(rows), source_of(*scan)))
                vectors.append(rows)
                n_images += len(rows)
            studies[owner] = StudyImages.joined(images)
        if not studies:
            return {}
        pooled = study_vectors(self._model, list(studies.values()), np.concatenate(vectors))
        return {owner: row[None] for owner, row in zip(studies, pooled, strict=True)}

    def notes(self, cases: Sequence[Case]) -> dict[str, Vectors]:
        """Return the vector of each case whose note is in the cache."""
        found: dict[str, Vectors] = {}
        for case in cases:
            if not case.note:
                continue
            name = text_key(case_text(case, header=self._header))
            if all(name in cache for cache in self._of_texts):
                found[case.case_id] = unit_rows(_project(self._text, self._of_texts, name))
        return found

    def of(self, kind: str) -> Callable[[Sequence[Case]], dict[str, Vectors]]:
        """Return :meth:`images` or :meth:`notes`."""
        return self.images if kind == "image" else self.notes


@torch.no_grad()
def _project(side: ImageSide | TextSide, caches: Sequence[FeatureCache], name: str) -> Vectors:
    features = np.concatenate([cache.get(name) for cache in caches], axis=1)
    device = next(side.parameters()).device
    out: Vectors = side.projection(torch.from_numpy(features).to(device)).float().cpu().numpy()
    return out
