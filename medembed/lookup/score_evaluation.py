"""Measure what scores are worth: held-out patients of a library ask it, each in several ways.

Each patient of the validation and test splits, up to 300, asks with one case: with its image, its
report, words that name its findings, a sentence of its report, and an image and a text together.
The archive is the whole library without the patient, as in any search; no training case asks, since
a model has learned those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.cases import NO_FINDING
from medembed.errors import FingerprintError, LibraryError, MedEmbedError
from medembed.explain import QueryContent
from medembed.index import library_revision, open_index
from medembed.lookup.gallery import Gallery
from medembed.lookup.novelty_check import NoveltyCheck
from medembed.lookup.patient_exclusion import cases_of_patients, origin_of_case
from medembed.lookup.query import Query
from medembed.lookup.query_text import QueryTextReader, ReadText
from medembed.lookup.ranking import rank
from medembed.lookup.score_curve import FEWEST_PATIENTS, Percentiles, ShareCurve
from medembed.lookup.score_tables import KindScores, QueryKind, ScoreTables
from medembed.lookup.score_worth import kind_of
from medembed.progress import Progress, no_progress

if TYPE_CHECKING:
    from medembed.cases import Case, Finding
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder
    from medembed.model.resolve import ModelChoice

__all__ = ["MOST_QUERIES", "evaluate_if_due", "evaluate_scores"]

MOST_QUERIES = 300
DEPTH = 50
"""Hits of a query that the worth is measured on: as deep as a reranker reads."""

_ARCHIVE_SAMPLE = 2000
_DUE_SHARE = 0.1
_SPLITS = ("val", "test")
_SENTENCE = re.compile(r"[^.\n]+[.\n]?")

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Asked:
    """Scores of one query: with a sample of the archive, and of its best hits."""

    owner: str
    spread: npt.NDArray[np.float64]
    hits: npt.NDArray[np.float64]
    shared: Mask
    any_case: float | None


def evaluate_if_due(
    library: CaseLibrary,
    choice: ModelChoice,
    *,
    after_any_change: bool = False,
    progress: Progress = no_progress,
) -> ScoreTables:
    """Measure the scores of a model if they were not, or the library changed by a tenth since.

    Parameters
    ----------
    library : CaseLibrary
    choice : ModelChoice
    after_any_change : bool
        Measure them if the library's vectors changed at all.
    progress : callable of (done, total)
    """
    made = ScoreTables.load(library, choice.fingerprint)
    moved = abs(_n_vectors(library, choice.fingerprint) - made.n_cases)
    is_due = not made.day or moved > _DUE_SHARE * made.n_cases
    if after_any_change:
        is_due |= made.revision != library_revision(library, choice.fingerprint)
    return evaluate_scores(library, choice, progress=progress) if is_due else made


def evaluate_scores(
    library: CaseLibrary,
    choice: ModelChoice,
    *,
    patients: Sequence[str] | None = None,
    save: bool = True,
    progress: Progress = no_progress,
) -> ScoreTables:
    """Measure percentiles and worth for a model, and keep the result beside the index.

    Parameters
    ----------
    library : CaseLibrary
    choice : ModelChoice
        The model. If it cannot be loaded, only queries by image and case are measured.
    patients : sequence of str, optional
        Of whom to ask only these.
    save : bool
        Whether to keep the result for searches.
    progress : callable of (done, total)

    Returns
    -------
    ScoreTables
        Without kinds if the held-out patients are fewer than 50. Not kept if the library has no
        vectors of the model, or its folder cannot be written to.
    """
    fingerprint = choice.fingerprint
    revision = library_revision(library, fingerprint)
    cases = _held_out(library, fingerprint, patients)
    day = datetime.now(UTC).date().isoformat()
    tables = ScoreTables({}, day, _n_vectors(library, fingerprint), revision)
    with suppress(FingerprintError):
        if len(cases) >= FEWEST_PATIENTS:
            asking = _Asking(library, choice)
            asked: dict[QueryKind, list[_Asked]] = {}
            for done, case in enumerate(cases):
                progress(done, len(cases))
                for kind, one in asking.all(case):
                    asked.setdefault(kind, []).append(one)
            progress(len(cases), len(cases))
            kinds = {kind: _summary(asked[kind]) for kind in QueryKind if kind in asked}
            tables = ScoreTables(kinds, day, tables.n_cases, revision)
    # Erased meanwhile? Figures of an earlier library must not come back.
    if save and library_revision(library, fingerprint) == revision:
        with suppress(OSError, LibraryError):  # read-only, or another process is measuring
            tables.save(library, fingerprint)
    return tables


class _Asking:
    """Asks one library as its searches do.

    Parameters
    ----------
    library : CaseLibrary
    choice : ModelChoice
    """

    def __init__(self, library: CaseLibrary, choice: ModelChoice) -> None:
        index = open_index(library, choice.fingerprint)
        self._library = library
        self._choice = choice
        self.gallery = Gallery("scans", index.index, index.revision)
        novelty = NoveltyCheck(library)
        self._reader = QueryTextReader(library, lambda: self._model, novelty)
        names = self.gallery.index.case_ids
        self._row_of = {name: row for row, name in enumerate(names)}
        self._findings = _Findings(library, names)
        self._sample = np.zeros(len(names), dtype=bool)
        drawn = np.random.default_rng(0).permutation(len(names))[:_ARCHIVE_SAMPLE]
        self._sample[drawn] = True
        self._has_model = True
        try:
            _ = self._model
        except MedEmbedError:  # vectors that were made elsewhere
            self._has_model = False

    @cached_property
    def _model(self) -> DualEncoder:
        return self._choice.load()

    def all(self, case: Case) -> Iterator[tuple[QueryKind, _Asked]]:
        """Ask with one case in every way that it allows."""
        own = origin_of_case(self._library, case)
        hidden = cases_of_patients(self._library, own.patients) | own.cases | {case.case_id}
        index = self.gallery.index
        allowed = ~index.mask([name for name in hidden if name in index])
        if not allowed.any():
            return
        image = {"case": index.vector(case.case_id)}
        query = Query.of(case=case.case_id)
        one = self._ask(query, (), image, case, case.findings, allowed)[0]
        yield QueryKind.CASE, one
        # The vector of a study of one image is that of the image.
        is_image = len(case.scans) == 1
        if is_image:
            yield QueryKind.IMAGE, one
        for words in _texts(case, self._library) if self._has_model else ():
            query = Query.of(text=words)
            text = self._reader.read(query, False, ())[0]
            vector = {"text": self._reader.encode(text.terms)}
            stated = QueryContent.of_text(text.note).present
            one, by_notes = self._ask(query, [text], vector, case, stated, allowed)
            kind = kind_of(query, [text], by_notes=by_notes)
            if kind is None:
                continue
            yield kind, one
            if is_image:
                query = Query.of(text=words, case=case.case_id)
                read = self._reader.read(query, False, ())
                one, _ = self._ask(query, read, vector | image, case, stated, allowed)
                yield QueryKind(f"{QueryKind.IMAGE}+{kind}"), one

    def _ask(
        self,
        query: Query,
        texts: Sequence[ReadText],
        parts: Mapping[str, Floats],
        case: Case,
        stated: Sequence[Finding],
        allowed: Mask,
    ) -> tuple[_Asked, bool]:
        """Return the scores of one query, and whether words counted in the notes."""
        mixed = query.mixed(parts)
        size = len(self.gallery.index)
        is_small = size <= _ARCHIVE_SAMPLE
        ranked = rank(
            mixed, texts, self._reader, self.gallery, size if is_small else DEPTH, allowed
        )
        spread = ranked.hits.scores[0]
        if not is_small:
            sampled = allowed & self._sample
            spread = rank(
                mixed, texts, self._reader, self.gallery, _ARCHIVE_SAMPLE, sampled
            ).hits.scores[0]
        near = ranked.hits.of(0)[:DEPTH]
        shares = self._findings.share(stated)
        found = np.array([self._row_of[name] for name, _ in near], dtype=np.int64)
        asked = _Asked(
            case.patient_id,
            spread.astype(np.float64),
            np.array([score for _, score in near]),
            np.zeros(0, dtype=bool) if shares is None else shares[found],
            None if shares is None else float(shares[allowed].mean()),
        )
        return asked, ranked.bm25_weight > 0


class _Findings:
    """Findings of the archive's cases as columns.

    Parameters
    ----------
    library : CaseLibrary
    names : sequence of str
    """

    def __init__(self, library: CaseLibrary, names: Sequence[str]) -> None:
        self._columns: dict[Finding, Mask] = {}
        row_of = {name: row for row, name in enumerate(names)}
        for case in library.select(list(names)):
            for finding in case.findings:
                column = self._columns.setdefault(finding, np.zeros(len(names), dtype=bool))
                column[row_of[case.case_id]] = True

    def share(self, stated: Sequence[Finding]) -> Mask | None:
        """Return which cases have one of some findings, on its side if it names one.

        None if it states none.
        """
        wanted = [finding for finding in stated if finding.label not in NO_FINDING]
        if not wanted or not self._columns:
            return None
        rows = np.zeros(len(next(iter(self._columns.values()))), dtype=bool)
        for held, column in self._columns.items():
            if any(held.matches(finding) for finding in wanted):
                rows |= column
        return rows


def _held_out(library: CaseLibrary, fingerprint: str, patients: Sequence[str] | None) -> list[Case]:
    """Return a case of each patient that asks, chosen by keyed hashes."""
    with_vector = set(library.vectors(fingerprint, "image")[0])
    owner = library.patients()
    asked = None if patients is None else set(patients)

    def place(purpose: str, name: str) -> float:
        return library.pseudonymizer.fraction(f"worth of scores, {purpose}", name)

    chosen: dict[str, str] = {}
    for name in (name for split in _SPLITS for name in library.split(split)):
        who = owner[name]
        if name not in with_vector or (asked is not None and who not in asked):
            continue
        if who not in chosen or place("case", name) < place("case", chosen[who]):
            chosen[who] = name
    first = sorted(chosen, key=lambda who: place("patient", who))[:MOST_QUERIES]
    return list(library.select([chosen[who] for who in first]))


def _n_vectors(library: CaseLibrary, fingerprint: str) -> int:
    """Return how many cases have an image vector of a model."""
    counts = {s.fingerprint: s.n_vectors for s in library.embedding_sets() if s.kind == "image"}
    return counts.get(fingerprint, 0)


def _texts(case: Case, library: CaseLibrary) -> Iterator[str]:
    """Texts that a reader of this case might search with: report, findings, a sentence."""
    seed = int(library.pseudonymizer.fraction("worth of scores, text", case.case_id) * 2**48)
    rng = np.random.default_rng(seed)
    if case.note is not None and case.note.text.strip():
        yield case.note.text
    named = [finding for finding in case.findings if finding.label not in NO_FINDING]
    if named:
        few = rng.permutation(len(named))[: int(rng.integers(1, 3))]
        yield ", ".join(f"{named[at].side} {named[at].label}".strip() for at in few)
    if case.note is not None:
        stating = [
            one for one in case.note.assertions if one.status == "present" and not one.historical
        ]
        if stating:
            at = stating[int(rng.integers(len(stating)))].start
            for sentence in _SENTENCE.finditer(case.note.text):
                if sentence.start() <= at < sentence.end():
                    yield re.sub(r"^[A-Z ]+:", "", sentence.group().strip()).strip()


def _summary(asked: Sequence[_Asked]) -> KindScores:
    owners = {one.owner for one in asked}
    if len(owners) < FEWEST_PATIENTS:
        return KindScores(n_queries=len(owners))
    stating = [one for one in asked if one.any_case is not None]
    curve = ShareCurve()
    if stating:
        curve = ShareCurve.fit(
            np.concatenate([one.hits for one in stating]),
            np.concatenate([one.shared for one in stating]),
            np.repeat([one.owner for one in stating], [len(one.hits) for one in stating]),
        )
    return KindScores(
        Percentiles.of(np.concatenate([one.spread for one in asked])),
        curve,
        float(np.mean([one.any_case for one in stating])) if stating else None,
        len(owners),
        len({one.owner for one in stating}),
    )
