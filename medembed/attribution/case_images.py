"""The images of a case, and how its vector changes with one of them; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from medembed.attribution.cells import CellImage
from medembed.attribution.faithfulness import ScoreOfKept
from medembed.attribution.region import InputFrame
from medembed.encoders.study_images import ScanSource, StudyImages
from medembed.model.mean_vectors import mean_vectors, unit_rows
from medembed.model.study_vectors import study_vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from medembed.model.dual_encoder import DualEncoder
    from medembed.preprocess import Pixels
    from medembed.scans import Scan

__all__ = ["MOST_IMAGES", "CaseImages"]

Vectors: TypeAlias = npt.NDArray[np.float32]
Floats: TypeAlias = npt.NDArray[np.float64]

MOST_IMAGES = 64
"""Images of one case that are encoded; of more, those at equal distances."""
_BATCH = 16


@dataclass(frozen=True, eq=False)
class CaseImages:
    """The encoded images of one case, or of a query.

    Parameters
    ----------
    model : DualEncoder
    pixels : tuple of array, each ``(m, 1, *size)``
        Of each scan, as :meth:`medembed.preprocess.Preprocess.pixels` returns them.
    sources : tuple of ScanSource
        Of each scan. One with ``gap_days`` above 0 belongs to an earlier study.
    frames : tuple of InputFrame
        Of each image, over all scans.
    places : tuple of (int, int)
        Of each image: its scan, and its position among the images of the scan.
    """

    model: DualEncoder
    pixels: tuple[Pixels, ...]
    sources: tuple[ScanSource, ...]
    frames: tuple[InputFrame, ...]
    places: tuple[tuple[int, int], ...]
    rows: Vectors = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", self._encoded(np.concatenate(list(self.pixels))))

    @classmethod
    def of(
        cls, model: DualEncoder, scans: Sequence[Scan], sources: Sequence[ScanSource]
    ) -> CaseImages:
        """Encode at most :data:`MOST_IMAGES` images, at equal distances within each scan.

        Raises
        ------
        ScanError
            If the model does not read this kind of scan.
        """
        preprocess = model.preprocess
        share = max(1, MOST_IMAGES // len(scans))
        pixels, frames, places = [], [], []
        for at, scan in enumerate(scans[:MOST_IMAGES]):
            images = preprocess.pixels(scan)
            chosen = _spread(len(images), share)
            pixels.append(images[chosen])
            shape, spacing = scan.pixels.shape, scan.spacing_mm
            frames += [InputFrame.of(preprocess, shape, spacing, int(i)) for i in chosen]
            places += [(at, int(i)) for i in chosen]
        return cls(model, tuple(pixels), tuple(sources[:MOST_IMAGES]), tuple(frames), tuple(places))

    @property
    def n_images(self) -> int:
        """Number of encoded images."""
        return len(self.rows)

    def image(self, at: int) -> Pixels:
        """Return the pixels ``(1, *size)`` of image ``at``, counted over all scans."""
        scan = self.places[at][0]
        first = next(i for i, (owner, _) in enumerate(self.places) if owner == scan)
        pixels: Pixels = self.pixels[scan][at - first]
        return pixels

    def part(self, at: int) -> float:
        """Return where within its scan image ``at`` lies, from 0 to 1."""
        own = [i for i, (scan, _) in enumerate(self.places) if scan == self.places[at][0]]
        return (own.index(at) + 0.5) / len(own)

    def vector(self) -> Vectors:
        """Return the unit vector ``(dim,)`` of the case."""
        vector: Vectors = self._pooled(self.rows[None])[0]
        return vector

    def carrying_image(self, score: Callable[[Vectors], Floats]) -> int:
        """Return the image of the case itself without which the score falls most.

        Parameters
        ----------
        score : callable
            Scores ``(n,)`` of case vectors ``(n, dim)``.
        """
        own = [at for at, (scan, _) in enumerate(self.places) if not self.sources[scan].gap_days]
        if len(own) < 2:
            return own[0]
        # An image is taken away by putting the mean of the others in its place: no encoder runs.
        # The size of the other rows is kept, which some poolings read.
        variants = np.repeat(self.rows[None], len(own), axis=0)
        for row, at in enumerate(own):
            variants[row, at] = np.delete(self.rows[own], row, axis=0).mean(axis=0)
        return own[int(np.argmin(score(self._pooled(variants))))]

    def score_of_cells(
        self,
        at: int,
        image: CellImage,
        score: Callable[[Vectors], Floats],
        *,
        blurred: bool = False,
    ) -> ScoreOfKept:
        """Return the score of the case as a function of the cells kept of image ``at``.

        The other cells are gray, or blurred.
        """

        def of_kept(kept: npt.NDArray[np.bool_]) -> Floats:
            variants = np.repeat(self.rows[None], len(kept), axis=0)  # (v, images, dim)
            for first in range(0, len(kept), _BATCH):
                rows = slice(first, first + _BATCH)
                variants[rows, at] = self._encoded(image.variants(kept[rows], blurred=blurred))
            return score(self._pooled(variants))

        return of_kept

    def features(self, at: int) -> Vectors:
        """Return the features ``(width,)`` of image ``at``, from which its vector is made.

        Raises
        ------
        ModelError
            If the model's file does not show them.
        """
        normalized = self.model.preprocess.normalize(self.image(at)[None])
        features: Vectors = self.model.sides.run("image", normalized, output="features")[0]
        return features

    def is_vector_of(self, at: int, features: Vectors, tolerance: float) -> bool:
        """Whether the features lead to the vector of image ``at``, within ``tolerance``.

        Raises
        ------
        ModelError
            If vectors cannot be made from the model's features.
        """
        made = unit_rows(self.model.sides.run("head", features[None]))
        return bool(np.abs(made - unit_rows(self.rows[at : at + 1])).max() <= tolerance)

    def score_of_features(
        self, at: int, features: Vectors, score: Callable[[Vectors], Floats]
    ) -> Floats:
        """Return the scores ``(v,)`` of the case with features ``(v, width)`` of image ``at``."""
        variants = np.repeat(self.rows[None], len(features), axis=0)
        for first in range(0, len(features), _BATCH):
            rows = slice(first, first + _BATCH)
            variants[rows, at] = self.model.sides.run("head", features[rows])
        return score(self._pooled(variants))

    def _encoded(self, images: Pixels) -> Vectors:
        batches = [images[first : first + _BATCH] for first in range(0, len(images), _BATCH)]
        normalize, run = self.model.preprocess.normalize, self.model.sides.run
        return np.concatenate([run("image", normalize(batch)) for batch in batches])

    def _pooled(self, variants: Vectors) -> Vectors:
        """Pool variants ``(v, images, dim)`` of the case into unit vectors ``(v, dim)``."""
        n, m, _ = variants.shape
        counts = [len(scan) for scan in self.pixels]
        flat = variants.reshape(n * m, -1)
        if not self.model.pools_studies:
            owners = [str(v) for v in range(n) for _ in counts]
            return mean_vectors(flat, counts * n, owners)
        firsts = np.cumsum([0, *counts])[:-1]
        studies = [
            StudyImages.joined(
                [
                    StudyImages.of_scan(int(v * m + first), count, source)
                    for first, count, source in zip(firsts, counts, self.sources, strict=True)
                ]
            )
            for v in range(n)
        ]
        return study_vectors(self.model, studies, flat)


def _spread(n: int, most: int) -> npt.NDArray[np.int64]:
    """Return at most ``most`` of ``n`` places, at equal distances."""
    if n <= most:
        return np.arange(n)
    return np.unique(((np.arange(most) + 0.5) * n / most).astype(np.int64))
