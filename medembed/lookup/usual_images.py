"""What other images of a library show at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from medembed.errors import ScanError
from medembed.model.reranking import scan_features

if TYPE_CHECKING:
    from medembed.attribution.case_images import CaseImages
    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.lookup.query_image import QueryImageReader
    from medembed.model.dual_encoder import DualEncoder
    from medembed.preprocess import Pixels
    from medembed.scans import Scan

__all__ = ["UsualImages", "read_scan_of"]

Vectors: TypeAlias = npt.NDArray[np.float32]

_MOST_USUAL = 16
"""Other images that are read. On validation cases, four pointed about as well as 54."""
_FEWEST_USUAL = 4
_CANDIDATES = 64
"""Cases, at equal distances, among which images of the same modality and view are sought."""


class UsualImages:
    """What other images of a library show: their mean features, read on request.

    Parameters
    ----------
    library : CaseLibrary
    images : QueryImageReader
    case_ids : sequence of str
        Cases that the library's model has encoded.
    """

    def __init__(
        self, library: CaseLibrary, images: QueryImageReader, case_ids: Sequence[str]
    ) -> None:
        self._library, self._images = library, images
        step = max(1, len(case_ids) // _CANDIDATES)
        self._case_ids = case_ids[::step][:_CANDIDATES]
        self._known: dict[tuple[str, str, float], Vectors | None] = {}

    def __call__(self, images: CaseImages, at: int) -> Vectors | None:
        """Return the mean features ``(width,)`` of images like image ``at`` of a case.

        Those of its modality and view come first. Of a volume's slices, the one at the same part of
        the volume is taken.

        Returns
        -------
        float32 array or None
            None of fewer than :data:`_FEWEST_USUAL` images.
        """
        like, part = images.sources[images.places[at][0]], images.part(at)
        kind = (like.modality, like.view, part)
        if kind not in self._known:  # hit and query are often of one kind
            self._known[kind] = self._mean(images.model, *kind)
        return self._known[kind]

    def _mean(self, model: DualEncoder, modality: str, view: str, part: float) -> Vectors | None:
        cases = self._library.select(self._case_ids)
        known = [(case, at, ref) for case in cases for at, ref in enumerate(case.scans)]
        known.sort(key=lambda one: (one[2].modality != modality, one[2].view != view))
        found: list[Pixels] = []
        for case, at, _ in known:
            other = read_scan_of(self._library, self._images, case, at)
            if other is None:
                continue
            try:
                pixels = model.preprocess.pixels(other)
            except ScanError:  # a volume, for a model of images
                continue
            found.append(pixels[min(int(part * len(pixels)), len(pixels) - 1)])
            if len(found) == _MOST_USUAL:
                break
        if len(found) < _FEWEST_USUAL:
            return None
        rows = cast("Pixels", np.stack(found))
        mean: Vectors = scan_features(model, rows).mean(axis=0)
        return mean


def read_scan_of(
    library: CaseLibrary, images: QueryImageReader, case: Case, at: int
) -> Scan | None:
    """Read a scan of a case; None if it cannot be read, or is not what was ingested."""
    ref = case.scans[at]
    try:
        scan = images.read_frame(library.scan_files(case)[at], ref.frame)
    except ScanError:
        return None
    return None if library.has_changed_files(ref) else ref.declared(scan)
