"""The noun :class:`CaseLookup`: search by image, text, case, or a combination."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.columns import CaseFilter
from medembed.errors import QueryError
from medembed.explain import QueryContent, explain
from medembed.index import (
    LibraryIndex,
    SearchNote,
    SearchNoteKind,
    current_index,
)
from medembed.index.exact import cosine
from medembed.lookup.encoded import EncodedParts
from medembed.lookup.gallery import Galleries, Gallery, allowed_rows, eligible_in
from medembed.lookup.given import ImageQuery
from medembed.lookup.hit_groups import (
    Thinned,
    diversify,
    group_by_patient,
    rerank_beside,
    thin,
)
from medembed.lookup.marked_region import MarkedRegions
from medembed.lookup.novelty_check import NoveltyCheck
from medembed.lookup.query import CaseIds, Query, Texts, Where
from medembed.lookup.query_image import QueryImageReader
from medembed.lookup.query_remarks import unknown_labels
from medembed.lookup.query_text import QueryTextReader, ReadText
from medembed.lookup.query_vectors import encode_query, excluded_cases
from medembed.lookup.ranking import rank
from medembed.lookup.region_reader import RegionReader
from medembed.lookup.reordering import Reordered, Reordering
from medembed.lookup.result import LookupHit, Result
from medembed.lookup.score_worth import ScoreReader
from medembed.lookup.terms import all_terms
from medembed.model.reranking import CANDIDATES
from medembed.model.resolve import ModelChoice, choose_model
from medembed.vector_exchange import short_fingerprint

if TYPE_CHECKING:
    from medembed.attribution.why import HitWhy
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder
    from medembed.scans import Limits

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
        self._galleries = Galleries(library, self._choice.fingerprint)
        self._images = QueryImageReader(limits)
        self._regions = RegionReader(library, lambda: self.model, self._images)
        self._novelty = NoveltyCheck(library)
        self._texts = QueryTextReader(library, lambda: self.model, self._novelty)
        self._scores = ScoreReader(library, self._choice.fingerprint)
        self._reordering = Reordering(library, lambda: self.model)
        self._filter = CaseFilter.of(library)
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
            self._index = current_index(self.library, self.fingerprint, self._index)
            return self._index

    def search(
        self,
        text: Texts = None,
        image: ImageQuery | None = None,
        case: CaseIds = None,
        *,
        vector: npt.ArrayLike | None = None,
        weights: Mapping[str, float] | None = None,
        where: Where = None,
        k: int = 10,
        literal: bool = False,
        ignore: Collection[str] = (),
        rerank: bool | None = None,
        bm25: bool = True,
        against: str = "scans",
        like: CaseIds = None,
        unlike: CaseIds = None,
        region: MarkedRegions = None,
        per_patient: bool = False,
        diversity: float = 0.0,
        encoded: EncodedParts | None = None,
    ) -> Result:
        """Find the most similar cases. Give at least one of text, image, case, vector and like.

        A text shorter than a report is read (:mod:`medembed.lookup.terms`): what it asks for,
        denies, or names as an attribute counts in the score, beside the similarity, and so do its
        words in the cases' notes, the more the rarer they are (:mod:`medembed.lookup.note_words`).

        Parameters
        ----------
        text : str or sequence of str, optional
            A few words, a sentence or a whole report; or several of them.
        image : path, sequence of paths, Scan, PIL image, array, or several, optional
            One image, the files of one series, or several images, as in
            :func:`medembed.lookup.given.as_images`.
        case : str or sequence of str, optional
            Id of a case in the library; its image is the query.
        vector : array, shape ``(d,)``, optional
            Made by the model whose vectors are searched, of any length above 0. Nothing is known
            of where it comes from, so no patient is excluded for it.
        weights : mapping, optional
            One for each given part, for example ``{"text": 0.6, "image": 0.4}``; not negative,
            not all 0. Equal by default. The second text is ``text2``, the third ``text3``.
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
        bm25 : bool
            Whether the words of the text in the cases' notes count.
        against : {"scans", "notes", "both"}
            What the query is compared with: the cases' images, their notes, or the mean direction
            of the two.
        like, unlike : str or sequence of str, optional
            Ids of cases that the hits should, or should not, resemble. They move the query's
            vector (:data:`medembed.lookup.query.LIKE_WEIGHT`) and are excluded with their patients.
        region : Region, text, four numbers, or mapping, optional
            The part of the image or the case that counts, as ``Region(0.1, 0.2, 0.4, 0.5)`` or
            ``"0.1,0.2,0.4,0.5"``: top, left, bottom and right in fractions of the image. With
            several images, a mapping by the name of the part: ``{"image2": …}``. The hits resemble
            the query in what the region adds to it (:mod:`medembed.lookup.region_reader`).
        per_patient : bool
            Whether only the best case of each patient is a hit; the others are in
            :attr:`Result.patients`.
        diversity : float
            0 to below 1: how much hits that differ from each other are preferred
            (:func:`medembed.lookup.hit_groups.diversify`).
        encoded : EncodedParts, optional
            Vectors of this reader's texts and images from earlier searches: what is in there is
            not encoded again, and what is new is added.

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
        query = Query.of(
            text, image, case, weights, where, k, vector,
            against=against, like=like, unlike=unlike, region=region,
        )  # fmt: skip
        named = (*(part.case for part in query.of_kind("case")), *query.marked)
        if any(name not in self.library for name in named):
            raise QueryError(
                "no case has this id in this library",
                hint="list the cases with medembed show LIBRARY",
            )
        before = self._index
        index = self.index
        gallery = self._galleries.of(index, query.against)
        matching = self._filter.mask(gallery.index, query.where) if query.where else None
        notes = list(index.notes) if index is not before else []
        if self._collapsed:
            notes.append(SearchNote(SearchNoteKind.MODEL_COLLAPSED))
        texts = self._texts.read(query, literal, ignore)
        terms = all_terms([text.terms for text in texts])

        with ThreadPoolExecutor(1, thread_name_prefix="medembed-read") as pool:
            # The worker reads the images while the model is loaded.
            readings = {
                part.name: pool.submit(self._images.read, part.files)
                for part in query.of_kind("image")
                if part.files
            }
            given = encode_query(
                query, texts, self._texts, readings, self.library, index, gallery.index,
                lambda: self.model, self._regions, EncodedParts() if encoded is None else encoded,
            )  # fmt: skip
        own, parts = given.origin, given.parts
        notes += given.notes
        novelty = self._novelty.judge(
            query,
            given.scans,
            own.patients,
            len(index.index),
            notes={one.name: one.note for one in texts},
        )
        reads = self._reordering.applies(rerank_beside(rerank, diversity), terms.affirmed)
        out_of_depth = False
        for one in texts:
            strange = self._texts.is_out_of_depth(one.note, one.terms, novelty)
            notes += self._texts.notes(one.note, one.terms, strange)
            out_of_depth |= strange
        notes += unknown_labels(self.library, query.where)
        mixed = query.mixed(parts, given.marks)
        excluded, n_own, whose = excluded_cases(self.library, given, gallery.index)
        notes += whose
        allowed = allowed_rows(gallery, matching, excluded)
        depth = max(query.k, CANDIDATES) if reads or diversity else query.k
        thinned = thin(
            lambda n: rank(mixed, texts, self._texts, gallery, n, allowed, by_words=bm25),
            depth,
            self.library,
            index.index,
            per_patient=per_patient,
        )
        ranked = thinned.ranked
        hits = thinned.first(query.k, per_patient)
        if reads:
            share = sum(one.weight for one in texts)
            reordered = self._reordering.reorder(thinned.near, terms.affirmed, share)
        else:
            reordered = diversify(thinned.near[:depth], gallery.index, query.k, diversity)
        notes += reordered.notes
        content = self._content(query, texts)
        found, basis = self._scores.mark(
            self._hits(reordered, query.k, parts, content, gallery, thinned),
            query, texts, content, len(index.index), novelty.state,
            by_notes=ranked.bm25_weight > 0, is_usual=bm25 and not literal,
        )  # fmt: skip
        eligible = eligible_in(gallery, allowed)
        patients = group_by_patient(self.library, [hit.case_id for hit in found], eligible)
        all_notes = (*dict.fromkeys(notes), *ranked.notes, *hits.plan.notes)
        return Result(
            found,
            replace(hits.plan, notes=all_notes),
            novelty,
            self.fingerprint,
            query.to_json(),
            own_cases=tuple(sorted(own.cases)),
            own_patient_cases=n_own,
            patients=patients,
            terms=terms,
            agreement_weight=ranked.agreement_weight,
            bm25_weight=ranked.bm25_weight,
            bm25_words=ranked.words,
            out_of_depth=out_of_depth,
            reranked=len(reordered.scores),
            score_basis=basis,
            asked=query,
            parts=parts,
            marks=given.marks,
        )

    def why(self, result: Result, rank: int = 1) -> HitWhy:
        """Explain the hit of a rank: the regions and sentences that carry it, if a test agrees.

        Computed on request (:mod:`medembed.lookup.why`). Agreement and reranker have no part in it.

        Raises
        ------
        QueryError
            If there is no such hit.
        """
        from medembed.lookup.why import MatchExplainer

        index = self.index
        against = "scans" if result.asked is None else result.asked.against
        searched = None if against == "scans" else self._galleries.of(index, against).index
        explainer = MatchExplainer(
            self.library, lambda: self.model, self._images, index.index, searched
        )
        return explainer.why(result, rank)

    def _content(self, query: Query, texts: Sequence[ReadText]) -> QueryContent:
        content = QueryContent()
        for text in texts:
            content += QueryContent.of_text(text.note)
        for part in query.of_kind("case"):
            content += QueryContent.of_case(self.library.case(part.case))
        return content

    def _hits(
        self,
        reordered: Reordered,
        k: int,
        parts: Mapping[str, Floats],
        content: QueryContent,
        gallery: Gallery,
        thinned: Thinned,
    ) -> tuple[LookupHit, ...]:
        near = reordered.near[:k]
        cases = {case.case_id: case for case in self.library.select([name for name, _ in near])}
        ranked = thinned.ranked
        beside = {"agreement": ranked.agreements, "bm25": ranked.bm25, "rerank": reordered.scores}
        found: list[LookupHit] = []
        near = [one for one in near if one[0] in cases]  # others were erased between the two reads
        rows = np.array([gallery.index.vector(name) for name, _ in near])
        cosines = {name: cosine(part, rows) for name, part in parts.items()} if near else {}
        for at, (case_id, score) in enumerate(near):
            case = cases[case_id]
            each = {name: float(of[at]) for name, of in cosines.items()}
            each |= {name: of[case_id] for name, of in beside.items() if case_id in of}
            same = thinned.same_image.get(case_id, ())
            found.append(LookupHit(len(found) + 1, score, case, explain(content, case, each), same))
        return tuple(found)
