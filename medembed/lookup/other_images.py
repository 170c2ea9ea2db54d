"""Images of other patients, in which a region of a query's image is seen."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from medembed.errors import ScanError
from medembed.lookup.usual_images import read_scan_of

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.encoders.study_images import ScanSource
    from medembed.library import CaseLibrary
    from medembed.lookup.query_image import QueryImageReader
    from medembed.model.dual_encoder import DualEncoder
    from medembed.preprocess import Pixels

__all__ = ["OtherImage", "OtherImages"]

Vectors: TypeAlias = npt.NDArray[np.float32]

_PATIENTS = 4
"""On validation cases, one found fewer cases, and eight no more (docs/results/region.md)."""
_CANDIDATES = 64
"""Cases, at equal distances, among which images of the same modality and view are sought."""
_MOST_KINDS, _MOST_VECTORS = 32, 256
"""Headers of queries may say anything: what is kept for them has to end."""


@dataclass(eq=False)
class OtherImage:
    """A scan of another patient, as the model reads it.

    Parameters
    ----------
    patient_id : str
    pixels : array ``(m, 1, *size)``
        As :meth:`medembed.preprocess.Preprocess.pixels` returns them.
    """

    patient_id: str
    pixels: Pixels
    _vectors: dict[object, Vectors] = field(default_factory=dict, repr=False)

    def at(self, parts: Sequence[float]) -> tuple[int, ...]:
        """Return which images lie at these parts of the scan, each from 0 to 1."""
        n = len(self.pixels)
        return tuple(min(int(part * n), n - 1) for part in parts)

    def vector(self, model: DualEncoder, at: tuple[int, ...], source: ScanSource) -> Vectors:
        """Return the vector ``(dim,)`` of some of its images, encoded once for each source.

        Some models read what a header says: the source is that of the image beside which it stands.
        """
        known = (at, source)
        if known not in self._vectors:
            if len(self._vectors) >= _MOST_VECTORS:
                self._vectors.clear()
            self._vectors[known] = model.encode_pixels([self.pixels[list(at)]], sources=[source])[0]
        return self._vectors[known]


class OtherImages:
    """Images of a library, read on request and kept. Can be used from several threads.

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
        self._kept: dict[tuple[str, str], list[OtherImage]] = {}
        self._lock = threading.Lock()

    def like(
        self, model: DualEncoder, source: ScanSource, without: Collection[str]
    ) -> list[OtherImage]:
        """Return an image of each of up to four patients; those of its modality and view first.

        Parameters
        ----------
        model : DualEncoder
        source : ScanSource
            Of the scan that is to be compared.
        without : collection of str
            Patients whose images are left out.
        """
        kind = (source.modality, source.view)
        with self._lock:
            if kind not in self._kept:  # one more, since one may be the query's own patient's
                if len(self._kept) >= _MOST_KINDS:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[kind] = self._read(model, *kind, _PATIENTS + 1)
            kept = [one for one in self._kept[kind] if one.patient_id not in without]
        return kept[:_PATIENTS]

    def _read(self, model: DualEncoder, modality: str, view: str, n: int) -> list[OtherImage]:
        cases = self._library.select(self._case_ids)
        known = [(case, at, ref) for case in cases for at, ref in enumerate(case.scans)]
        known.sort(key=lambda one: (one[2].modality != modality, one[2].view != view))
        found: dict[str, OtherImage] = {}
        for case, at, _ in known:
            if case.patient_id not in found:
                pixels = self._pixels(model, case, at)
                if pixels is not None:
                    found[case.patient_id] = OtherImage(case.patient_id, pixels)
            if len(found) == n:
                break
        return list(found.values())

    def _pixels(self, model: DualEncoder, case: Case, at: int) -> Pixels | None:
        """Read a scan's pixels; None if it cannot be read, or not by this model."""
        scan = read_scan_of(self._library, self._images, case, at)
        try:
            return None if scan is None else model.preprocess.pixels(scan)
        except ScanError:  # an image, for a model of volumes
            return None
