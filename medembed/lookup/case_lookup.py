"""The noun :class:`CaseLookup`: search by image, text, case, or a combination."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import QueryError
from medembed.explain import QueryContent, explain
from medembed.index import (
    Hits,
    LibraryIndex,
    SearchNote,
    SearchNoteKind,
    library_revision,
    open_index,
)
from medembed.index.exact import cosine
from medembed.lookup.fused import AGREEMENT_WEIGHT, fused_hits
from medembed.lookup.given import ImageQuery
from medembed.lookup.novelty_check import NoveltyCheck
from medembed.lookup.patient_exclusion import (
    QueryOrigin,
    cases_of_patients,
    origin_of_case,
    origin_of_files,
    origin_of_scan,
)
from medembed.lookup.query import Query, Where
from medembed.lookup.query_image import QueryImageReader
from medembed.lookup.query_remarks import unknown_labels
from medembed.lookup.query_text import QueryTextReader, term_notes
from medembed.lookup.reordering import Reordered, Reordering, first_hits
from medembed.lookup.result import LookupHit, Result
from medembed.lookup.terms import QueryTerms
from medembed.model.reranking import CANDIDATES
from medembed.model.resolve import ModelChoice, choose_model
from medembed.vector_exchange import short_fingerprint

if TYPE_CHECKING:
    from medembed.attribution.why import HitWhy
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder
    from medembed.notes import Note
    from medembed.scans import Limits, Scan, ScanHeader

__all__ = ["CaseLookup"]

Floats = npt.NDArray[np.float32]


class CaseLookup:
    """Searches a library for similar past cases.

    The gallery is the image vectors of the library's cases. Model, index and the worker that
    reads image files are loaded on first use and kept; :meth:`close`, or leaving a ``with``
    block, releases the worker. Safe to use from several threads.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder, name or folder, optional
        Default: the library's active model.
    limits : Limits, optional
        Resource limits of the worker that reads image files.

    Raises
    ------
    ModelError
        If the library has no active model, or no model has this name.
    """

    def __init__(
        self,
        library: CaseLibrary,
        model: DualEncoder | str | Path | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        self.library = library
        self._choice: ModelChoice = choose_model(library, model)
        self._collapsed = self._choice.collapsed
        self._model: DualEncoder | None = self._choice.loaded
        self._index: LibraryIndex | None = None
        self._images = QueryImageReader(limits)
        self._novelty = NoveltyCheck(library)
        self._texts = QueryTextReader(library, lambda: self.model, self._novelty)
        self._reordering = Reordering(library, lambda: self.model)
        self._lock = threading.RLock()

    def close(self) -> None:
        """Stop the worker that reads image files; a later search starts a new one."""
        self._images.close()

    def __enter__(self) -> CaseLookup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"CaseLookup({self.library!r}, model {short_fingerprint(self.fingerprint)})"

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model."""
        return self._choice.fingerprint

    @property
    def model(self) -> DualEncoder:
        """The model, loaded on first use."""
        with self._lock:
            if self._model is None:
                self._model = self._choice.load()
            return self._model

    @property
    def index(self) -> LibraryIndex:
        """The index, reopened if the library's vectors have changed.

        Raises
        ------
        FingerprintError
            If the library has no vectors of the model.
        """
        with self._lock:
            held = self._index
            if held is None or held.revision != library_revision(self.library, self.fingerprint):
                self._index = held = open_index(self.library, self.fingerprint)
            return held

    def search(
        self,
        text: str | None = None,
        image: ImageQuery | None = None,
        case: str | None = None,
        *,
        vector: npt.ArrayLike | None = None,
        weights: Mapping[str, float] | None = None,
        where: Where = None,
        k: int = 10,
        literal: bool = False,
        ignore: Collection[str] = (),
        rerank: bool | None = None,
    ) -> Result:
        """Find the most similar cases. Give at least one of text, image, case and vector.

        A text shorter than a report is read (:mod:`medembed.lookup.terms`): what it asks for,
        denies, or names as an attribute counts in the score, beside the similarity.

        Parameters
        ----------
        text : str, optional
            A few words, a sentence or a whole report.
        image : path, sequence of paths, Scan, PIL image or array, optional
            One image, or the files of one series; arrays as in
            :func:`medembed.lookup.given.as_image`.
        case : str, optional
            Id of a case in the library; its image is the query.
        vector : array, shape ``(d,)``, optional
            Made by the model whose vectors are searched, of any length above 0. Nothing is known
            of where it comes from, so no patient is excluded for it.
        weights : mapping, optional
            One for each given part, for example ``{"text": 0.6, "image": 0.4}``; not negative,
            not all 0. Equal by default.
        where : condition or several, optional
            A case must meet all of them: ``["sex=F", "age>=60"]``.
        k : int
            Maximum number of hits.
        literal : bool
            Compare the text as written, by similarity only.
        ignore : collection of str
            Terms of the text that do not count, by name: ``["sex F"]``.
        rerank : bool, optional
            Whether the model's reranker reads the first 50 hits together with the text and
            reorders them (:mod:`medembed.lookup.reordering`). None does as the model says, which
            depends on what it gained on validation patients.

        Returns
        -------
        Result
            The hits exclude every case of the query's own patient.

        Raises
        ------
        QueryError, ConditionError
            If the query or a condition is not valid.
        ScanError
            If the image cannot be read.
        FingerprintError
            If the library has no vectors of the model.
        """
        query = Query.of(text, image, case, weights, where, k, vector)
        if query.case is not None and query.case not in self.library:
            raise QueryError(
                "no case has this id in this library",
                hint="list the cases with medembed show LIBRARY",
            )
        matching = self.library.find(query.where) if query.where else None
        before = self._index
        index = self.index
        notes = list(index.notes) if index is not before else []
        if self._collapsed:
            notes.append(SearchNote(SearchNoteKind.MODEL_COLLAPSED))
        note, terms = None, QueryTerms()
        if query.text is not None:
            note, terms = self._texts.read(query.text, literal, ignore)
        elif ignore:
            raise QueryError("the query has no text to ignore terms of", where="ignore")

        with ThreadPoolExecutor(1, thread_name_prefix="medembed-read") as pool:
            # The worker reads the image while the model is loaded.
            reading = pool.submit(self._images.read, query.files) if query.files else None
            parts, own, scan = self._parts(query, terms, index, reading)
        novelty = self._novelty.judge(query, scan, own.patients, len(index.index), note)
        reads = self._reordering.applies(rerank, terms.affirmed)
        out_of_depth = False
        if note is not None:
            out_of_depth = self._texts.is_out_of_depth(note, terms, novelty)
            notes += self._texts.notes(note, terms, out_of_depth)
        notes += unknown_labels(self.library, query.where)
        vector = query.mixed(parts)
        excluded = {
            name
            for name in cases_of_patients(self.library, own.patients) | own.cases
            if name in index.index
        }
        own_cases = tuple(sorted(own.cases))
        if own_cases:
            notes.append(SearchNote(SearchNoteKind.OWN_CASES, names=own_cases))
        if own.patients:
            counts = len(excluded), len(own.patients)
            notes.append(SearchNote(SearchNoteKind.OWN_PATIENT, counts))
        allowed = _allowed(index, matching, excluded)
        k = max(query.k, CANDIDATES) if reads else query.k
        hits, agreements, weight, term_remarks = self._rank(query, terms, index, vector, allowed, k)
        reordered = Reordered(hits.of(0))
        if reads:
            hits = first_hits(hits, query.k)
            reordered = self._reordering.reorder(
                reordered.near, terms.affirmed, query.weights["text"]
            )
            notes += reordered.notes
        content = self._content(query, note)
        found = self._hits(reordered, query.k, parts, content, index, agreements)
        all_notes = (*notes, *term_remarks, *hits.plan.notes)
        return Result(
            found,
            replace(hits.plan, notes=all_notes),
            novelty,
            self.fingerprint,
            query.to_json(),
            own_cases=own_cases,
            own_patient_cases=len(excluded),
            terms=terms,
            agreement_weight=weight,
            out_of_depth=out_of_depth,
            reranked=len(reordered.scores),
            asked=query,
            parts=parts,
        )

    def why(self, result: Result, rank: int = 1) -> HitWhy:
        """Explain the hit of a rank: the regions and sentences that carry it, if a test agrees.

        Computed on request (:mod:`medembed.lookup.why`). Agreement and reranker have no part in it.

        Raises
        ------
        QueryError
            If there is no such hit.
        """
        from medembed.lookup.why import MatchExplainer, average_vector

        average = average_vector(self.index.index.vectors)
        explainer = MatchExplainer(self.library, lambda: self.model, self._images, average)
        return explainer.why(result, rank)

    def _rank(
        self,
        query: Query,
        terms: QueryTerms,
        index: LibraryIndex,
        vector: Floats,
        allowed: npt.NDArray[np.bool_] | None,
        k: int,
    ) -> tuple[Hits, dict[str, float], float, list[SearchNote]]:
        """Return the hits, the agreement of each with the terms, its weight, and remarks."""
        weight = AGREEMENT_WEIGHT * query.weights["text"] if terms.terms else 0.0
        if not weight:
            return index.index.search(vector, k, allowed), {}, 0.0, []
        statements = self._texts.statements(index)
        agreement = statements.agreement(terms.terms)
        hits = fused_hits(vector, index.index, statements.rank, agreement, weight, k, allowed)
        agreements = {name: float(agreement[statements.row(name)]) for name, _ in hits.of(0)}
        return hits, agreements, weight, term_notes(terms, statements)

    def _parts(
        self,
        query: Query,
        terms: QueryTerms,
        index: LibraryIndex,
        reading: Future[tuple[Scan, ScanHeader]] | None,
    ) -> tuple[dict[str, Floats], QueryOrigin, Scan | None]:
        """Encode each part, find where the query comes from in the library, and read its image."""
        vectors: dict[str, Floats] = {}
        scan = query.scan
        own = QueryOrigin()
        if query.text is not None:
            vectors["text"] = self._texts.encode(terms)
        if "image" in query.parts:
            model = self.model
            if reading is not None:
                scan, header = reading.result()
                own |= origin_of_files(self.library, query.files, header)
            if scan is None:
                raise QueryError("the query has no image")
            own |= origin_of_scan(self.library, scan)
            vectors["image"] = model.encode_scans([scan])[0]
        if query.case is not None:
            if query.case not in index.index:
                raise QueryError(
                    "this case has no vector of the model yet", hint="run medembed embed LIBRARY"
                )
            vectors["case"] = index.index.vector(query.case)
            own |= origin_of_case(self.library, self.library.case(query.case))
        if query.vector is not None:
            if len(query.vector) != index.index.dim:
                raise QueryError(
                    f"it has {counted(len(query.vector), 'dimension')}, the library's vectors "
                    f"of this model {index.index.dim}",
                    where="vector",
                    hint="make it with the same model",
                )
            vectors["vector"] = query.vector
        return {name: vectors[name] for name in query.parts}, own, scan

    def _content(self, query: Query, note: Note | None) -> QueryContent:
        content = QueryContent()
        if note is not None:
            content += QueryContent.of_text(note)
        if query.case is not None:
            content += QueryContent.of_case(self.library.case(query.case))
        return content

    def _hits(
        self,
        reordered: Reordered,
        k: int,
        parts: Mapping[str, Floats],
        content: QueryContent,
        index: LibraryIndex,
        agreements: Mapping[str, float],
    ) -> tuple[LookupHit, ...]:
        near = reordered.near[:k]
        cases = {case.case_id: case for case in self.library.select([name for name, _ in near])}
        found: list[LookupHit] = []
        for case_id, score in near:
            case = cases.get(case_id)
            if case is None:  # erased between the two reads
                continue
            row = index.index.vector(case_id)[np.newaxis]
            each = {name: float(cosine(part, row)[0]) for name, part in parts.items()}
            if case_id in agreements:
                each["agreement"] = agreements[case_id]
            if case_id in reordered.scores:
                each["rerank"] = reordered.scores[case_id]
            found.append(LookupHit(len(found) + 1, score, case, explain(content, case, each)))
        return tuple(found)


def _allowed(
    index: LibraryIndex, matching: list[str] | None, excluded: set[str]
) -> npt.NDArray[np.bool_] | None:
    if matching is None and not excluded:
        return None
    allowed = (
        np.ones(len(index.index), dtype=bool) if matching is None else index.index.mask(matching)
    )
    allowed &= ~index.index.mask(excluded)
    return allowed
