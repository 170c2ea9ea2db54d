"""The vector of a region that was marked in an image of a query.

The region is put in the place of the same region of other patients' images, and their vectors move:
the mean of how they move is what is searched for. So what every image shows has no part in it, nor
has what the rest of the query's image shows; and each image that the model reads is one of its
kind, which a crop, or a box on a gray plane, is not. It needs pixels and vectors only, and works
for any encoder.

Only the vector of the query's part is another: what is searched, how, and under which conditions
stays the same, and with it every promise of a search.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from medembed.attribution.region import InputFrame
from medembed.counted import counted
from medembed.encoders.study_images import ScanSource
from medembed.errors import QueryError
from medembed.library.statements import body_part_of
from medembed.lookup.other_images import OtherImage, OtherImages
from medembed.lookup.usual_images import read_scan_of

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.index import LibraryIndex
    from medembed.library import CaseLibrary
    from medembed.lookup.marked_region import Region
    from medembed.lookup.query_image import QueryImageReader
    from medembed.model.dual_encoder import DualEncoder
    from medembed.preprocess import Pixels
    from medembed.scans import Scan

__all__ = ["RegionReader", "box_weights"]

Floats: TypeAlias = npt.NDArray[np.float32]
Interval: TypeAlias = tuple[float, float]

_SOFT = 1 / 28
"""Width of a box's soft edge in lengths of the image: a hard one is something to an encoder."""
_MOST_ENCODED = 16
"""Images with a region in them, of all slices and patients."""
_LEAST = 1e-3
"""Vectors that move by less have not moved."""


class RegionReader:
    """Encodes regions of images for one library and model. Can be used from several threads.

    The images of other patients are read at the first region, and others when the library's vectors
    have changed: an erased case has no part in any answer after that.

    Parameters
    ----------
    library : CaseLibrary
    model : callable
        Returns the model; called for images with a region only.
    images : QueryImageReader
    """

    def __init__(
        self, library: CaseLibrary, model: Callable[[], DualEncoder], images: QueryImageReader
    ) -> None:
        self._library, self._model, self._images = library, model, images
        self._others: tuple[str, OtherImages] | None = None
        self._lock = threading.Lock()

    def of_scan(
        self, scan: Scan, region: Region, index: LibraryIndex, own: Collection[str]
    ) -> Floats | None:
        """Return the vector ``(d,)`` of a region of a scan; None if it is the whole of it.

        Parameters
        ----------
        scan : Scan
        region : Region
        index : LibraryIndex
            Of the library's present vectors.
        own : collection of str
            Patients that the scan may be of.

        Raises
        ------
        QueryError
            If the scan has no such slice or image, or the region cannot be told from others.
        ScanError
            If the model does not read this kind of scan.
        """
        if region.image != 1:
            raise QueryError("the query has one image here", where="region", hint="leave out image")
        source = ScanSource(scan.view, scan.modality, body_part=scan.body_part)
        if self._is_all(scan, region):
            return None
        return self._vector(scan, source, region, index, own)

    def of_case(
        self, case: Case, region: Region, index: LibraryIndex, own: Collection[str]
    ) -> Floats | None:
        """Return the vector ``(d,)`` of a region of one of a case's images; None if it is all.

        Raises
        ------
        QueryError
            If the case has no such image, if it cannot be read any more, or as :meth:`of_scan`.
        ScanError
            If the model does not read this kind of scan.
        """
        if region.image > len(case.scans):
            raise QueryError(
                f"the case has {counted(len(case.scans), 'image')}",
                where="region",
                hint="choose another image of it",
            )
        if region.is_whole and region.slice is None and len(case.scans) == 1:
            return None  # also of a case whose file is gone
        scan = read_scan_of(self._library, self._images, case, region.image - 1)
        if scan is None:
            raise QueryError(
                "the image of this case cannot be read any more",
                where="region",
                hint="its file is gone or has changed: search by the whole case",
            )
        ref = case.scans[region.image - 1]
        source = ScanSource(ref.view, ref.modality, body_part=body_part_of(case.attributes))
        if not self._is_all(scan, region):
            return self._vector(scan, source, region, index, own)
        if len(case.scans) == 1:
            return None
        model = self._model()
        alone: Floats = model.encode_pixels([model.preprocess.pixels(scan)], sources=[source])[0]
        return alone

    def _is_all(self, scan: Scan, region: Region) -> bool:
        depth = scan.pixels.shape[0] if scan.is_volume else 1
        if region.slice is not None and region.slice > depth:
            raise QueryError(
                f"the image has {counted(depth, 'slice')}, so there is no slice {region.slice}",
                where="region",
            )
        return region.is_whole and (region.slice is None or depth == 1)

    def _vector(
        self,
        scan: Scan,
        source: ScanSource,
        region: Region,
        index: LibraryIndex,
        own: Collection[str],
    ) -> Floats:
        model = self._model()
        depth = scan.pixels.shape[0] if scan.is_volume else 1
        at = None if region.slice is None or not scan.is_volume else region.slice - 1
        box = [(region.top, region.bottom), (region.left, region.right)]
        if model.dimensions == 3:
            box.insert(0, (0.0, 1.0) if at is None else (at / depth, (at + 1) / depth))
        spacing = scan.spacing_mm or (1.0,) * scan.pixels.ndim
        pixels = model.preprocess.pixels(scan, at)  # refuses an image for a model of volumes
        frame = InputFrame.of(model.preprocess, scan.pixels.shape, spacing)
        ends = frame.pixels(box)
        if any(low >= high for low, high in ends):
            raise QueryError(
                "this model does not read that part of an image: it reads the middle only",
                where="region",
                hint="mark a region nearer to the center",
            )
        parts = [(i + 0.5) / len(pixels) for i in range(len(pixels))]
        if at is not None and model.dimensions == 2:
            parts = [(at + 0.5) / depth]
        others = self._others_of(index).like(model, source, own)
        moved = _moved(model, pixels, box_weights(ends, frame.input_size), parts, source, others)
        length = float(np.linalg.norm(moved))
        if not others or length < _LEAST:
            raise QueryError(
                "the model sees nothing in the region that other images do not show there"
                if others
                else "no image of another patient can be read, in which to see the region",
                where="region",
                hint="mark a larger region, or another one"
                if others
                else "check that the library's files are where they were",
            )
        return (moved / length).astype(np.float32)

    def _others_of(self, index: LibraryIndex) -> OtherImages:
        with self._lock:
            if self._others is None or self._others[0] != index.revision:
                made = OtherImages(self._library, self._images, index.index.case_ids)
                self._others = index.revision, made
            return self._others[1]


def box_weights(ends: tuple[Interval, ...], size: tuple[int, ...]) -> Floats:
    """Return how much each pixel of an image of ``size`` belongs to a box, from 0 to 1.

    1 within it, falling to 0 outside over :data:`_SOFT` of the image.

    Parameters
    ----------
    ends : tuple of (float, float)
        Of the box along each axis, in pixels.
    size : tuple of int
    """
    weights = np.ones((), dtype=np.float32)
    for (low, high), n in zip(ends, size, strict=True):
        middle, edge = np.arange(n) + 0.5, _SOFT * n
        ramp = np.clip(np.minimum(middle - low, high - middle) / edge + 1, 0, 1)
        weights = weights[..., None] * ramp.astype(np.float32)
    return weights


def _moved(
    model: DualEncoder,
    pixels: Pixels,
    weights: Floats,
    parts: list[float],
    source: ScanSource,
    others: list[OtherImage],
) -> npt.NDArray[np.float64]:
    """Return by how much vectors of other images move with the region in them, ``(dim,)``."""
    others = others[: max(1, _MOST_ENCODED // len(pixels))]
    if not others:
        return np.zeros(model.dim)
    places = [other.at(parts) for other in others]
    before = np.stack([o.vector(model, at, source) for o, at in zip(others, places, strict=True)])
    mixed: list[Pixels] = []
    for other, at in zip(others, places, strict=True):
        shown = np.rint(weights * pixels + (1 - weights) * other.pixels[list(at)])
        mixed.append(cast("Pixels", shown.astype(pixels.dtype)))
    after = model.encode_pixels(mixed, sources=[source] * len(mixed))
    moved: npt.NDArray[np.float64] = (after.astype(np.float64) - before).mean(axis=0)
    return moved
