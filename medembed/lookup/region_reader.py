"""The vector of a region that was marked in an image of a query.

Only the vector of the query's part is another: what is searched, how, and under which conditions
stays the same, and with it every promise of a search.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from medembed.attribution.case_images import CaseImages
from medembed.attribution.marked_box import box_vector
from medembed.counted import counted
from medembed.encoders.study_images import ScanSource
from medembed.errors import QueryError
from medembed.library.statements import body_part_of
from medembed.lookup.usual_images import UsualImages, read_scan_of

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.index import LibraryIndex
    from medembed.library import CaseLibrary
    from medembed.lookup.marked_region import Region
    from medembed.lookup.query_image import QueryImageReader
    from medembed.model.dual_encoder import DualEncoder
    from medembed.scans import Scan

__all__ = ["RegionReader"]

Floats: TypeAlias = npt.NDArray[np.float32]


class RegionReader:
    """Encodes regions of images for one library and model. Can be used from several threads.

    What other images of the library show on average is read at the first region, and again when
    the library's vectors have changed: an erased case has no part in it any more.

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
        self._usual: tuple[str, UsualImages] | None = None
        self._lock = threading.Lock()

    def of_scan(self, scan: Scan, region: Region, index: LibraryIndex) -> Floats | None:
        """Return the vector ``(d,)`` of a region of a scan; None if it is the whole of it.

        Raises
        ------
        QueryError
            If the scan has no such slice or image, or the model sees nothing in the region.
        ScanError
            If the model does not read this kind of scan.
        """
        if region.image != 1:
            raise QueryError("the query has one image here", where="region", hint="leave out image")
        source = ScanSource(scan.view, scan.modality, body_part=scan.body_part)
        return self._vector(scan, source, region, index)

    def of_case(self, case: Case, region: Region, index: LibraryIndex) -> Floats | None:
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
        at = region.image - 1
        scan = read_scan_of(self._library, self._images, case, at)
        if scan is None:
            raise QueryError(
                "the image of this case cannot be read any more",
                where="region",
                hint="its file is gone or has changed: search by the whole case",
            )
        ref = case.scans[at]
        source = ScanSource(ref.view, ref.modality, body_part=body_part_of(case.attributes))
        vector = self._vector(scan, source, region, index)
        if vector is None:  # all of one image of several
            vector = CaseImages.of(self._model(), [scan], [source]).vector()
        return vector

    def _vector(
        self, scan: Scan, source: ScanSource, region: Region, index: LibraryIndex
    ) -> Floats | None:
        depth = scan.pixels.shape[0] if scan.is_volume else 1
        if region.slice is not None and region.slice > depth:
            raise QueryError(
                f"the image has {counted(depth, 'slice')}, so there is no slice {region.slice}",
                where="region",
            )
        if region.is_whole and (region.slice is None or depth == 1):
            return None
        model = self._model()
        at = None if region.slice is None or not scan.is_volume else region.slice - 1
        flat = model.dimensions == 2
        images = CaseImages.of(model, [scan], [source], at if flat else None)
        box = [(region.top, region.bottom), (region.left, region.right)]
        if not flat:
            box.insert(0, (0.0, 1.0) if at is None else (at / depth, (at + 1) / depth))
        if any(low >= high for low, high in images.frames[0].pixels(box)):
            raise QueryError(
                "this model does not read that part of an image: it reads the middle only",
                where="region",
                hint="mark a region nearer to the center",
            )
        vector = box_vector(images, box, self._usual_of(index))
        if vector is None:
            raise QueryError(
                "the model sees nothing in the region",
                where="region",
                hint="mark a larger region, or another one",
            )
        return vector

    def _usual_of(self, index: LibraryIndex) -> UsualImages:
        with self._lock:
            if self._usual is None or self._usual[0] != index.revision:
                made = UsualImages(self._library, self._images, index.index.case_ids)
                self._usual = index.revision, made
            return self._usual[1]
