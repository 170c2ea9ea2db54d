"""The vectors of a query's parts and of the cases marked in it, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import QueryError
from medembed.index import SearchNote, SearchNoteKind
from medembed.lookup.patient_exclusion import (
    QueryOrigin,
    cases_of_patients,
    origin_of_case,
    origin_of_files,
    origin_of_scan,
)
from medembed.lookup.query_remarks import archive_lacks

if TYPE_CHECKING:
    from medembed.index import CaseIndex, LibraryIndex
    from medembed.library import CaseLibrary
    from medembed.lookup.encoded import EncodedParts
    from medembed.lookup.marked_region import Region
    from medembed.lookup.query import Query
    from medembed.lookup.query_text import QueryTextReader, ReadText
    from medembed.lookup.region_reader import RegionReader
    from medembed.model.dual_encoder import DualEncoder
    from medembed.scans import Scan, ScanHeader

__all__ = ["QueryVectors", "encode_query", "excluded_cases"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class QueryVectors:
    """A query as vectors.

    Parameters
    ----------
    parts : mapping of str to float32 array, shape ``(d,)``
        By the name of the part, in the order of the query.
    marks : mapping of str to float32 array, shape ``(d,)``
        By the id of the case marked as like or unlike.
    origin : QueryOrigin
        The cases and patients that the query belongs to.
    marked_patients : frozenset of str
        The patients of the marked cases: the reader knows them.
    scans : mapping of str to Scan
        The images that were given, by the name of the part.
    notes : tuple of SearchNote
    """

    parts: Mapping[str, Floats]
    marks: Mapping[str, Floats] = field(default_factory=dict)
    origin: QueryOrigin = field(default_factory=QueryOrigin)
    marked_patients: frozenset[str] = frozenset()
    scans: Mapping[str, Scan] = field(default_factory=dict)
    notes: tuple[SearchNote, ...] = ()


def encode_query(
    query: Query,
    texts: Sequence[ReadText],
    reader: QueryTextReader,
    readings: Mapping[str, Future[tuple[Scan, ScanHeader]]],
    library: CaseLibrary,
    images: LibraryIndex,
    gallery: CaseIndex,
    model: Callable[[], DualEncoder],
    regions: RegionReader,
    encoded: EncodedParts,
) -> QueryVectors:
    """Encode each part of a query and find where it comes from in the library.

    Parameters
    ----------
    query : Query
    texts : sequence of ReadText
        Its texts, in order.
    reader : QueryTextReader
    readings : mapping of str to Future
        The images that are being read, by the name of the part.
    library : CaseLibrary
    images : LibraryIndex
        Image vectors of the cases, of which a case as query has one.
    gallery : CaseIndex
        What is searched: marked cases move the query in its space.
    model : callable
        Returns the model; called for texts, images and regions only.
    regions : RegionReader
        Encodes the regions that were marked.
    encoded : EncodedParts
        What was encoded before; what is new is added.
    """
    vectors: dict[str, Floats] = {}
    own, scans, notes = QueryOrigin(), dict[str, "Scan"](), list[SearchNote]()
    for text in texts:
        terms = text.terms
        key = (model().fingerprint, terms.affirmed, terms.denied)
        vectors[text.name] = encoded.of_text(key, partial(reader.encode, terms))
    for part in query.of_kind("image"):
        encoder = model()
        scan = part.scan
        if part.name in readings:
            scan, header = readings[part.name].result()
            own |= origin_of_files(library, part.files, header)
            notes += archive_lacks(library, header)
        if scan is None:
            raise QueryError("the query has no image")
        own |= origin_of_scan(library, scan)
        scans[part.name] = scan
        make = partial(_encoded, encoder, scan)
        if part.region is not None:
            make = partial(_marked, regions, scan, part.region, images, own.patients, make)
        which = (encoder.fingerprint, "" if part.region is None else str(part.region))
        vectors[part.name] = encoded.of_scan(scan, which, make)
    for part in query.of_kind("case"):
        case = library.case(part.case)
        own |= origin_of_case(library, case)
        marked = None
        if part.region is not None:
            marked = regions.of_case(case, part.region, images, own.patients)
        vectors[part.name] = _vector(images.index, part.case) if marked is None else marked
    if query.vector is not None:
        if len(query.vector) != gallery.dim:
            raise QueryError(
                f"it has {counted(len(query.vector), 'dimension')}, the library's vectors "
                f"of this model {gallery.dim}",
                where="vector",
                hint="make it with the same model",
            )
        vectors["vector"] = query.vector
    return QueryVectors(
        {name: vectors[name] for name in query.parts},
        {name: _vector(gallery, name) for name in query.marked},
        own,
        frozenset(library.case(name).patient_id for name in query.marked),
        scans,
        tuple(dict.fromkeys(notes)),
    )


def excluded_cases(
    library: CaseLibrary, given: QueryVectors, gallery: CaseIndex
) -> tuple[set[str], int, list[SearchNote]]:
    """Return the cases that cannot be hits, how many are of the query's own patient, and notes.

    Those are the cases that the query is, of its own patient, and of the patients of marked cases.
    """
    own, notes = given.origin, list[SearchNote]()
    if own.cases:
        notes.append(SearchNote(SearchNoteKind.OWN_CASES, names=tuple(sorted(own.cases))))
    excluded = _within(gallery, cases_of_patients(library, own.patients) | own.cases)
    n_own = len(excluded)
    if own.patients:
        notes.append(SearchNote(SearchNoteKind.OWN_PATIENT, (n_own, len(own.patients))))
    others = given.marked_patients - own.patients
    if others:
        marked = _within(gallery, cases_of_patients(library, others))
        notes.append(SearchNote(SearchNoteKind.MARKED_PATIENTS, (len(marked), len(others))))
        excluded |= marked
    return excluded, n_own, notes


def _encoded(encoder: DualEncoder, scan: Scan) -> Floats:
    vector: Floats = encoder.encode_scans([scan])[0]
    return vector


def _marked(
    regions: RegionReader,
    scan: Scan,
    region: Region,
    images: LibraryIndex,
    patients: frozenset[str],
    whole: Callable[[], Floats],
) -> Floats:
    """Encode a region; one that is the whole image is that."""
    marked = regions.of_scan(scan, region, images, patients)
    return whole() if marked is None else marked


def _within(gallery: CaseIndex, case_ids: Iterable[str]) -> set[str]:
    return {name for name in case_ids if name in gallery}


def _vector(index: CaseIndex, case_id: str) -> Floats:
    if case_id not in index:
        raise QueryError(
            "this case has no vector of the model yet", hint="run medembed embed LIBRARY"
        )
    return index.vector(case_id)
