"""The noun :class:`CaseLookup`: past cases like a scan, some words, a case, or several of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.embeddings import unit_rows
from medembed.errors import QueryError, ScanError
from medembed.explain import QueryContent, explain
from medembed.index import Hits, LibraryIndex, Plan, QueryKind, library_stamp, open_index
from medembed.index.exact import cosine
from medembed.library import library_vocabulary
from medembed.lookup.messages import (
    COLLAPSED,
    NoveltyReason,
    cut_off_line,
    own_cases_line,
    own_patient_line,
)
from medembed.lookup.patient_exclusion import (
    Own,
    cases_of_patients,
    own_of_case,
    own_of_files,
    own_of_scan,
)
from medembed.lookup.query import ImageQuery, Question, Where
from medembed.lookup.query_remarks import unknown_labels, unknown_words
from medembed.lookup.result import LookupHit, Result
from medembed.model.resolve import ModelChoice, choose_model
from medembed.notes import read_note

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model import DualEncoder
    from medembed.scans import Limits, Scan, ScanHeader, ScanReader

__all__ = ["CaseLookup"]

Floats = npt.NDArray[np.float32]

_OPPOSED = 1e-3


class CaseLookup:
    """Looks up past cases in a library.

    The gallery is the image vectors of the library's cases. Model, index and the worker that
    reads image files are loaded when first needed and kept; :meth:`close`, or leaving a ``with``,
    lets go of them. May be used from several threads.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder, name or folder, optional
        None is the library's active model.
    limits : Limits, optional
        Of the worker that reads image files.

    Raises
    ------
    ModelError
        Where the library has no model, or there is none of that name.
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
        self._limits = limits
        self._reader: ScanReader | None = None
        self._lock = threading.RLock()
        self._reading = threading.Lock()

    def close(self) -> None:
        """End the worker that reads image files; a later search starts another."""
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def __enter__(self) -> CaseLookup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model."""
        return self._choice.fingerprint

    @property
    def model(self) -> DualEncoder:
        """The model; the first use imports torch."""
        with self._lock:
            if self._model is None:
                self._model = self._choice.load()
            return self._model

    @property
    def index(self) -> LibraryIndex:
        """The index, opened anew where the library's vectors have changed.

        Raises
        ------
        FingerprintError
            Where the library has no vectors of the model.
        """
        with self._lock:
            held = self._index
            if held is None or held.stamp != library_stamp(self.library, self.fingerprint):
                self._index = held = open_index(self.library, self.fingerprint)
            return held

    def search(
        self,
        text: str | None = None,
        image: ImageQuery | None = None,
        case: str | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        where: Where = None,
        k: int = 10,
    ) -> Result:
        """Find the cases most like what is given; at least one of the first three.

        Parameters
        ----------
        text : str, optional
            Words, a sentence or a whole report.
        image : path, sequence of paths, or Scan, optional
            One image, or the files of one series.
        case : str, optional
            Id of a case of the library; its image asks.
        weights : mapping, optional
            For each part that is given, for example ``{"text": 0.6, "image": 0.4}``; from 0 on,
            not all 0. Equal where left out.
        where : condition or several, optional
            All have to hold: ``["sex=F", "age>=60"]``.
        k : int
            At most so many hits.

        Returns
        -------
        Result
            No case of the query's own patient is among the hits.

        Raises
        ------
        QueryError, ConditionError
            Where it cannot be asked as it stands.
        ScanError
            Where the image cannot be read.
        FingerprintError
            Where the library has no vectors of the model.
        """
        question = Question.of(text, image, case, weights, where, k)
        if question.case is not None and question.case not in self.library:
            raise QueryError("no such case in this library", hint="medembed show LIBRARY")
        matching = self.library.find(question.where) if question.where else None
        before = self._index
        index = self.index
        notes = [index.said] if index is not before and index.said else []
        notes += [COLLAPSED] if self._collapsed else []

        with ThreadPoolExecutor(1, thread_name_prefix="medembed-read") as pool:
            # The worker reads the image while torch and the model are loaded.
            reading = pool.submit(self._read, question.files) if question.files else None
            parts, own = self._parts(question, index, reading)
        if question.text is not None:
            notes += self._cut_off(question.text)
            notes += unknown_words(self.library, question.text)
        notes += unknown_labels(self.library, question.where)
        query = _mixed(parts, question.weights)
        present = set(index.cases.case_ids)
        excluded = (cases_of_patients(self.library, own.patients) | own.cases) & present
        own_cases = tuple(sorted(own.cases))
        if own_cases:
            notes.append(own_cases_line(own_cases))
        if own.patients:
            notes.append(own_patient_line(len(excluded), len(own.patients)))
        hits = index.cases.search(query, question.k, _allowed(index, matching, excluded))
        best: float | None = None
        reason = _unjudged(question, index)
        threshold = index.novelty.thresholds.get(_kind(question) or "")
        if not reason:
            best = _best(index, query, excluded, hits, matching is None)
            reason = "nobody else" if best is None else ""
        found = self._hits(hits, parts, self._content(question), index)
        plan = Plan(
            hits.plan.method,
            hits.plan.searched,
            hits.plan.matching,
            (*notes, *hits.plan.notes),
        )
        novel = best is not None and threshold is not None and best < threshold
        return Result(
            found,
            plan,
            "unknown" if reason else "novel" if novel else "familiar",
            self.fingerprint,
            question.to_json(),
            novelty_reason=reason,
            best_score=best,
            novelty_threshold=threshold,
            fewest_words=index.novelty.fewest_words,
            own_cases=own_cases,
            own_patient_cases=len(excluded),
        )

    def _read(self, files: tuple[Path, ...]) -> tuple[Scan, ScanHeader]:
        from medembed.scans import ScanReader

        with self._reading:
            if self._reader is None:
                self._reader = ScanReader(self._limits)
            reader = self._reader
        try:
            scan = reader.read(files if len(files) > 1 else files[0])
            return scan, _first_header(reader, files[0])
        except ScanError as error:  # its place is a path, which may name a patient
            raise ScanError(
                error.what, where="image", hint=error.hint, reason=error.reason
            ) from None

    def _parts(
        self,
        question: Question,
        index: LibraryIndex,
        reading: Future[tuple[Scan, ScanHeader]] | None,
    ) -> tuple[dict[str, Floats], Own]:
        """Vector of each part of the question, and what of the library it is itself."""
        vectors: dict[str, Floats] = {}
        own = Own()
        if question.text is not None:
            model = self.model
            from medembed.model.report_text import note_text

            # A pasted report is read as those of the library were.
            read = note_text(read_note(question.text))
            vectors["text"] = model.encode_notes([read])[0]
        if "image" in question.parts:
            model = self.model
            scan = question.scan
            if reading is not None:
                scan, header = reading.result()
                own |= own_of_files(self.library, question.files, header)
            if scan is None:
                raise QueryError("no image to look for")
            own |= own_of_scan(self.library, scan)
            vectors["image"] = model.encode_scans([scan])[0]
        if question.case is not None:
            if question.case not in index.cases:
                raise QueryError(
                    "this case has no vector of the model yet", hint="medembed embed LIBRARY"
                )
            vectors["case"] = index.cases.vector(question.case)
            own |= own_of_case(self.library, self.library.case(question.case))
        return {name: vectors[name] for name in question.parts}, own

    def _cut_off(self, text: str) -> list[str]:
        from medembed.model.report_text import note_text

        limit = self.model.max_length
        ids, _ = self.model.tokens([note_text(read_note(text))])
        if ids.shape[1] < limit:
            return []
        return [cut_off_line(limit)]

    def _content(self, question: Question) -> QueryContent:
        content = QueryContent()
        if question.text is not None:
            read = read_note(question.text, library_vocabulary(self.library))
            content += QueryContent.of_text(read)
        if question.case is not None:
            content += QueryContent.of_case(self.library.case(question.case))
        return content

    def _hits(
        self, hits: Hits, parts: Mapping[str, Floats], content: QueryContent, index: LibraryIndex
    ) -> tuple[LookupHit, ...]:
        near = hits.of(0)
        cases = {case.case_id: case for case in self.library.select([name for name, _ in near])}
        found: list[LookupHit] = []
        for case_id, score in near:
            case = cases.get(case_id)
            if case is None:  # erased between the two reads
                continue
            row = index.cases.vector(case_id)[np.newaxis]
            each = {name: float(cosine(part, row)[0]) for name, part in parts.items()}
            found.append(LookupHit(len(found) + 1, score, case, explain(content, case, each)))
        return tuple(found)


def _first_header(reader: ScanReader, path: Path) -> ScanHeader:
    """Header of a file, or of the first readable file in a folder."""
    if not path.is_dir():
        return reader.header(path)
    for file in sorted(path.rglob("*")):
        if file.is_file():
            try:
                return reader.header(file)
            except ScanError:
                continue
    raise ScanError("no readable file in this folder", where=path.name)


def _mixed(parts: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """One unit query ``(1, d)``; its cosines rank as the weighted sum of the parts' cosines."""
    if len({part.shape for part in parts.values()}) != 1:
        raise QueryError("the parts of the query have vectors of different lengths")
    total = np.zeros(next(iter(parts.values())).shape, dtype=np.float64)
    for name, part in parts.items():
        total += weights[name] * part.astype(np.float64)
    if np.linalg.norm(total) < _OPPOSED:
        raise QueryError("the parts of the query cancel each other out", hint="change the weights")
    return unit_rows(total[np.newaxis])


def _allowed(
    index: LibraryIndex, matching: list[str] | None, excluded: set[str]
) -> npt.NDArray[np.bool_] | None:
    if matching is None and not excluded:
        return None
    wanted = None if matching is None else set(matching)
    return np.array(
        [
            (wanted is None or name in wanted) and name not in excluded
            for name in index.cases.case_ids
        ],
        dtype=bool,
    )


def _kind(question: Question) -> QueryKind | None:
    parts = {name for name, weight in question.weights.items() if weight}
    if parts == {"text"}:
        return "text"
    if len(parts) == 1:
        return "image"
    equal = len(set(question.weights.values())) == 1
    return "both" if len(parts) == 2 and "text" in parts and equal else None


def _unjudged(question: Question, index: LibraryIndex) -> NoveltyReason:
    """Why the library cannot tell whether this query is novel; empty where it can."""
    kind = _kind(question)
    if kind is None:
        return "mixture"
    if kind not in index.novelty.thresholds:
        return "few cases"
    if kind != "image" and len((question.text or "").split()) < index.novelty.fewest_words:
        return "short text"
    return ""


def _best(
    index: LibraryIndex, query: Floats, excluded: set[str], hits: Hits, whole: bool
) -> float | None:
    """Best score in the whole library, whatever the conditions."""
    if not whole:
        hits = index.cases.search(query, 1, _allowed(index, None, excluded))
    return float(hits.scores[0, 0]) if hits.scores.size else None
