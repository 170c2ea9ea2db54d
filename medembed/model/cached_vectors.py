"""Vectors of cases whose frozen features training has left in the library's cache.

Only the projections have to run then. It needs torch, which a training has loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch

from medembed.model.dual_encoder import DualEncoder, unit_rows
from medembed.model.feature_cache import FeatureCache, image_key, text_key, token_key
from medembed.model.heads import FusedImageSide, FusedTextSide
from medembed.model.pixel_cache import PixelCache
from medembed.model.report_text import case_text

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
