"""Explain a hit of a search: read its images and the query's, and ask what carries the match."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from medembed.attribution.case_images import CaseImages
from medembed.attribution.why import (
    HitWhy,
    ImageWhy,
    NoteWhy,
    VectorScore,
    WhyState,
    why_image,
    why_note,
)
from medembed.counted import counted
from medembed.encoders.study_images import ScanSource
from medembed.errors import ModelError, QueryError, ScanError
from medembed.library.priors import with_earlier_studies
from medembed.lookup.usual_images import UsualImages, read_scan_of
from medembed.model.study_vectors import source_of
from medembed.scans import Scan

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.index import CaseIndex
    from medembed.library import CaseLibrary
    from medembed.lookup.query import Part, Query
    from medembed.lookup.query_image import QueryImageReader
    from medembed.lookup.result import Result
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["MOST_SCANS", "MatchExplainer", "average_vector", "keep_map_test", "kept_map_test"]

Vectors: TypeAlias = npt.NDArray[np.float32]
Floats: TypeAlias = npt.NDArray[np.float64]

MOST_SCANS = 16
"""Scans of one case that are read for an explanation."""
_MOST_AVERAGED = 5000
_META = "map_test:"


class MatchExplainer:
    """Explains hits of searches in one library, on request.

    Parameters
    ----------
    library : CaseLibrary
    model : callable
        Returns the model.
    images : QueryImageReader
        Reads the files of scans.
    compared : CaseIndex
        Image vectors of the library. What is explained is the similarity beyond that of the average
        case (:func:`average_vector`), which every chest shares with every other, and what a cell
        shows is taken away by what other cases of it show there.
    searched : CaseIndex, optional
        The vectors of notes, or of scans and notes, that a query was compared with; by default the
        scans'.
    """

    def __init__(
        self,
        library: CaseLibrary,
        model: Callable[[], DualEncoder],
        images: QueryImageReader,
        compared: CaseIndex,
        searched: CaseIndex | None = None,
    ) -> None:
        self._library, self._model, self._images = library, model, images
        self._searched = searched
        self._average = average_vector(compared.vectors)
        self._usual = UsualImages(library, images, compared.case_ids)

    def why(self, result: Result, rank: int) -> HitWhy:
        """Explain the hit of this rank; see :meth:`medembed.lookup.CaseLookup.why`."""
        if isinstance(rank, bool) or rank not in range(1, len(result) + 1):
            raise QueryError(
                f"no hit has rank {rank}; the result has {counted(len(result), 'hit')}",
                where="rank",
            )
        hit = result.hits[rank - 1]
        query = result.asked
        if query is None:
            raise QueryError("this result does not hold its query", hint="search again")
        try:
            model = self._model()
        except ModelError:
            return HitWhy(hit.case_id, ImageWhy(WhyState.NO_ENCODER))
        towards: Floats = query.mixed(result.parts, result.marks)[0].astype(np.float64)
        test = kept_map_test(self._library, result.fingerprint)
        may_show = test is None or bool(test.get("passed"))

        images = self._case_images(model, hit.case_id)
        beyond = towards - self._average
        of_hit = ImageWhy(WhyState.NOT_COMPARED)
        if query.against != "notes":
            seen: VectorScore = lambda rows: rows @ towards  # noqa: E731
            of_hit = self._shown(images, lambda rows: rows @ beyond, seen, may_show)
        of_query = None
        # Of several images or cases, the one that counts most; the first of equal ones.
        # A region is what the reader has marked: no map says more about it.
        shown = [p for p in query.inputs if p.kind in ("image", "case") and p.region is None]
        if shown and (images is not None or self._searched is not None):
            part = max(shown, key=lambda one: (query.weights[one.name], one.kind == "image"))
            target, average = self._target(hit.case_id, images)
            of_query = self._shown(
                self._query_images(model, part),
                _with_part(query, result, part.name, target - average),
                _with_part(query, result, part.name, target),
                may_show,
            )
        note: NoteWhy | None = None
        if hit.case.note is not None:
            note = why_note(model, hit.case.note, lambda rows: rows @ towards)
        return HitWhy(hit.case_id, of_hit, of_query, note)

    def _shown(
        self, images: CaseImages | None, score: VectorScore, cosine: VectorScore, may_show: bool
    ) -> ImageWhy:
        if not may_show:
            return ImageWhy(WhyState.MODEL_FAILED)
        if images is None:
            return ImageWhy(WhyState.UNREADABLE)
        return why_image(images, score, cosine, self._usual)

    def _case_images(self, model: DualEncoder, case_id: str) -> CaseImages | None:
        """Return the images of a case and of earlier studies that the model pools with it."""
        studies = with_earlier_studies(self._library, [case_id], model.n_priors).get(case_id, [])
        scans: list[Scan] = []
        sources: list[ScanSource] = []
        for case, days in studies:
            for at, scan in self._scans(case):
                scans.append(scan)
                sources.append(source_of(case, case.scans[at], days))
            if not scans:  # of an erased case, or of one whose own images cannot be read
                return None
        return _encoded(model, scans[:MOST_SCANS], sources[:MOST_SCANS])

    def _target(self, case_id: str, images: CaseImages | None) -> tuple[Floats, Floats]:
        """Return the vector of a hit that the query was compared with, and the average one."""
        if self._searched is not None:
            vector = self._searched.vector(case_id).astype(np.float64)
            return vector, average_vector(self._searched.vectors)
        assert images is not None  # the caller has looked
        return images.vector().astype(np.float64), self._average

    def _query_images(self, model: DualEncoder, part: Part) -> CaseImages | None:
        if part.kind == "case":
            return self._case_images(model, part.case)
        scan = part.scan
        try:
            if scan is None:
                scan, _ = self._images.read(part.files)
        except ScanError:
            return None
        source = ScanSource(scan.view, scan.modality, body_part=scan.body_part)
        return _encoded(model, [scan], [source])

    def _scans(self, case: Case) -> list[tuple[int, Scan]]:
        """Read the scans of a case whose files are those that were ingested."""
        most = range(min(len(case.scans), MOST_SCANS))
        read = [(at, read_scan_of(self._library, self._images, case, at)) for at in most]
        return [(at, scan) for at, scan in read if scan is not None]


def _encoded(
    model: DualEncoder, scans: Sequence[Scan], sources: Sequence[ScanSource]
) -> CaseImages | None:
    try:
        return CaseImages.of(model, scans, sources) if scans else None
    except ScanError:  # the model does not read this kind of scan
        return None


def average_vector(vectors: npt.NDArray[np.floating]) -> Floats:
    """Return the mean ``(dim,)`` of at most :data:`_MOST_AVERAGED` vectors at equal distances."""
    step = max(1, len(vectors) // _MOST_AVERAGED)
    mean: Floats = np.asarray(vectors[::step], dtype=np.float64).mean(axis=0)
    return mean


def _with_part(query: Query, result: Result, name: str, target: Floats) -> VectorScore:
    """Return the product of ``target`` and the query with other vectors ``(n, d)`` of a part."""

    def score(rows: Vectors) -> Floats:
        mixed = query.total({**result.parts, name: rows}, result.marks)
        lengths = np.linalg.norm(mixed, axis=1)
        products: Floats = (mixed @ target) / np.maximum(lengths, 1e-12)
        return products

    return score


def keep_map_test(library: CaseLibrary, fingerprint: str, test: dict[str, Any]) -> None:
    """Keep the outcome of a test of a model's maps; ``"passed": False`` hides them from then on."""
    library.set_meta(f"{_META}{fingerprint}", json.dumps(test, sort_keys=True))


def kept_map_test(library: CaseLibrary, fingerprint: str) -> dict[str, Any] | None:
    """Return the outcome of the test of a model's maps; None if they were not tested."""
    kept = library.get_meta(f"{_META}{fingerprint}")
    return None if kept is None else dict(json.loads(kept))
