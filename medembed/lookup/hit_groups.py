"""Hits that belong together: of one patient, and of one image.

A hit *shows the same image* as a better one if a scan of both has the same pixels, or if both are
of one patient and one day and their vectors are nearly the same. It is listed beside that hit and
takes no place of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medembed.errors import QueryError
from medembed.index import Hits, SearchNote, SearchNoteKind
from medembed.index.exact import cosine
from medembed.lookup.reordering import Reordered

if TYPE_CHECKING:
    from medembed.index import CaseIndex
    from medembed.library import CaseLibrary
    from medembed.lookup.ranking import Ranked

__all__ = [
    "SAME_IMAGE",
    "PatientHits",
    "Thinned",
    "diversify",
    "group_by_patient",
    "rerank_beside",
    "thin",
]

Floats = npt.NDArray[np.float32]

SAME_IMAGE = 0.99
"""From this cosine on, two images of one patient and day count as the same.

By ``tests/benchmarks/same_image.py`` on the embedded cohort, all 8-bit copies reach it, a third of
JPEG copies, and 6 in 1,000 pairs of different studies of a patient, of any days.
"""

_DEEPER = 4


@dataclass(frozen=True)
class PatientHits:
    """The hits of one patient.

    Parameters
    ----------
    patient_id : str
    hits : tuple of str
        Cases among the hits, best first.
    others : tuple of str
        The patient's other cases that match the conditions, the latest first.
    priors : mapping of str to int
        Earlier studies than the best hit, whether they match or not: days before it.
    """

    patient_id: str
    hits: tuple[str, ...]
    others: tuple[str, ...] = ()
    priors: Mapping[str, int] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """The patient's best hit."""
        return self.hits[0]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "patient_id": self.patient_id,
            "hits": list(self.hits),
            "others": list(self.others),
            "priors": [{"case_id": name, "days_before": n} for name, n in self.priors.items()],
        }


@dataclass(frozen=True)
class Thinned:
    """A ranking in which no image, and perhaps no patient, occurs twice.

    Parameters
    ----------
    ranked : Ranked
        As deep as was needed.
    near : sequence of (str, float)
        Cases and scores that are left, best first.
    same_image : mapping of str to tuple of str
        Cases with the same image as one that is left, by the id of that.
    """

    ranked: Ranked
    near: Sequence[tuple[str, float]]
    same_image: Mapping[str, tuple[str, ...]]

    def plan_notes(self, k: int, per_patient: bool) -> tuple[SearchNote, ...]:
        """Return the notes of the plan for the ``k`` hits that were requested."""
        kinds = (SearchNoteKind.FEWER_HITS, SearchNoteKind.NO_MATCH)
        notes = [note for note in self.ranked.hits.plan.notes if note.kind not in kinds]
        shown = [name for name, _ in self.near[:k]]
        beside = sum(len(self.same_image.get(name, ())) for name in shown)
        if beside:
            notes.append(SearchNote(SearchNoteKind.DUPLICATES, (beside,)))
        if not shown:
            notes.append(SearchNote(SearchNoteKind.NO_MATCH))
        elif len(shown) < k:
            kind = SearchNoteKind.FEWER_PATIENTS if per_patient else SearchNoteKind.FEWER_HITS
            notes.append(SearchNote(kind, (len(shown), k)))
        return tuple(notes)

    def first(self, k: int, per_patient: bool) -> Hits:
        """Return the first ``k`` as hits, with the plan."""
        hits = self.ranked.hits
        kept = self.near[:k]
        names = np.array([[name for name, _ in kept]], dtype=object).reshape(1, len(kept))
        scores = np.array([[score for _, score in kept]], dtype=np.float32).reshape(1, len(kept))
        plan = replace(hits.plan, notes=self.plan_notes(k, per_patient))
        return Hits(names, scores, plan, k)


@dataclass(frozen=True)
class _Case:
    patient_id: str
    study_date: str | None
    digests: frozenset[str]


def thin(
    rank: Callable[[int], Ranked],
    k: int,
    library: CaseLibrary,
    scans: CaseIndex,
    *,
    per_patient: bool = False,
) -> Thinned:
    """Rank cases until ``k`` of different images, or different patients, are found or none is left.

    Parameters
    ----------
    rank : callable
        Returns the best cases, as many as it is asked for.
    k : int
    library : CaseLibrary
    scans : CaseIndex
        Image vectors of the cases.
    per_patient : bool
        Whether a patient's best case is the only one.
    """
    depth = k
    while True:
        ranked = rank(depth)
        near = ranked.hits.of(0)
        kept, same = _different(near, library, scans, per_patient)
        if len(kept) >= k or len(near) < depth:
            return Thinned(ranked, kept, same)
        depth *= _DEEPER


def _different(
    near: Sequence[tuple[str, float]], library: CaseLibrary, scans: CaseIndex, per_patient: bool
) -> tuple[list[tuple[str, float]], dict[str, tuple[str, ...]]]:
    cases = _cases(library, [name for name, _ in near])
    kept: list[tuple[str, float]] = []
    same: dict[str, tuple[str, ...]] = {}
    of_digest: dict[str, str] = {}
    of_day: dict[tuple[str, str], list[str]] = {}
    patients: set[str] = set()
    for name, score in near:
        case = cases.get(name)
        if case is None:  # erased meanwhile
            continue
        day = (case.patient_id, case.study_date) if case.study_date else None
        first = next((of_digest[d] for d in case.digests if d in of_digest), None)
        if first is None and day is not None:
            alike = (other for other in of_day.get(day, ()) if _same_image(scans, name, other))
            first = next(alike, None)
        if first is not None:
            same[first] = (*same.get(first, ()), name)
            continue
        if per_patient and case.patient_id in patients:
            continue
        kept.append((name, score))
        patients.add(case.patient_id)
        of_digest |= dict.fromkeys(case.digests, name)
        if day is not None:
            of_day.setdefault(day, []).append(name)
    return kept, same


def _same_image(scans: CaseIndex, one: str, other: str) -> bool:
    if one not in scans or other not in scans:
        return False
    return float(cosine(scans.vector(one), scans.vector(other)[np.newaxis])[0]) >= SAME_IMAGE


def _cases(library: CaseLibrary, case_ids: Sequence[str]) -> dict[str, _Case]:
    rows = library.database.read().execute(
        "SELECT c.case_id, c.patient_id, c.study_date, group_concat(s.pixel_sha256) "
        "FROM cases c LEFT JOIN scan_contents s ON s.case_row = c.id "
        "WHERE c.case_id IN (SELECT value FROM json_each(?)) GROUP BY c.id",
        (json.dumps(list(case_ids)),),
    )
    return {
        name: _Case(patient, day, frozenset(filter(None, (digests or "").split(","))))
        for name, patient, day, digests in rows
    }


def group_by_patient(
    library: CaseLibrary, hits: Sequence[str], eligible: Callable[[Sequence[str]], set[str]]
) -> tuple[PatientHits, ...]:
    """Group hits by their patient, in the order of each patient's best.

    Parameters
    ----------
    library : CaseLibrary
    hits : sequence of str
        Best first.
    eligible : callable
        Returns those of some cases that match the conditions of the search.
    """
    cases = _cases(library, hits)
    grouped: dict[str, list[str]] = {}
    for name in hits:
        if name in cases:
            grouped.setdefault(cases[name].patient_id, []).append(name)
    rows = library.database.read().execute(
        "SELECT patient_id, case_id, study_date FROM cases "
        "WHERE patient_id IN (SELECT value FROM json_each(?)) "
        "ORDER BY study_date IS NULL, study_date DESC, case_id",
        (json.dumps(list(grouped)),),
    )
    studies: dict[str, list[tuple[str, str | None]]] = {}
    for patient, name, day in rows:
        studies.setdefault(patient, []).append((name, day))
    matching = eligible([name for each in studies.values() for name, _ in each])
    return tuple(
        _patient(patient, names, studies.get(patient, []), cases[names[0]], matching)
        for patient, names in grouped.items()
    )


def _patient(
    patient: str,
    names: Sequence[str],
    studies: Sequence[tuple[str, str | None]],
    best: _Case,
    matching: set[str],
) -> PatientHits:
    when = date.fromisoformat(best.study_date) if best.study_date else None
    priors = {}
    for name, day in studies:
        days = (when - date.fromisoformat(day)).days if when and day else 0
        if days > 0:
            priors[name] = days
    others = tuple(name for name, _ in studies if name not in names and name in matching)
    return PatientHits(patient, tuple(names), others, priors)


def diversify(
    near: Sequence[tuple[str, float]], gallery: CaseIndex, k: int, diversity: float
) -> Reordered:
    """Choose ``k`` cases that match and differ: maximal marginal relevance.

    Each next case has the highest ``(1 - diversity) * score - diversity * cosine`` to the nearest
    case chosen before; equal ones in the order of the scores.

    Parameters
    ----------
    near : sequence of (str, float)
        Cases and scores, best first, of which to choose.
    gallery : CaseIndex
        Vectors by which the cases differ.
    k : int
    diversity : float
        0 to below 1.

    References
    ----------
    J. Carbonell and J. Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering
    Documents and Producing Summaries", SIGIR 1998.
    """
    if not near or not diversity:
        return Reordered(near[:k])
    vectors = np.stack([gallery.vector(name) for name, _ in near])
    scores = np.array([score for _, score in near], dtype=np.float64)
    nearest = np.full(len(near), -np.inf)
    open_rows = np.ones(len(near), dtype=bool)
    chosen: list[int] = []
    for _ in range(min(k, len(near))):
        like = nearest if chosen else np.zeros(len(near))
        value = np.where(open_rows, (1 - diversity) * scores - diversity * like, -np.inf)
        at = int(np.argmax(value))
        chosen.append(at)
        open_rows[at] = False
        nearest = np.maximum(nearest, cosine(vectors[at], vectors).astype(np.float64))
    note = SearchNote(SearchNoteKind.DIVERSIFIED, (len(near),))
    return Reordered([near[at] for at in chosen], notes=(note,))


def rerank_beside(rerank: bool | None, diversity: float) -> bool | None:
    """Return whether to rerank; hits that were chosen to differ are not reordered.

    Raises
    ------
    QueryError
        If the diversity is not valid, or reranking is asked for beside it.
    """
    if isinstance(diversity, bool) or not isinstance(diversity, int | float | np.number):
        raise QueryError("the diversity must be a number", where="diversity")
    if not 0 <= diversity < 1:
        raise QueryError("the diversity must be from 0 to below 1", where="diversity")
    if diversity and rerank:
        raise QueryError(
            "hits chosen to differ cannot be reordered by reading",
            where="diversity",
            hint="leave out either rerank or diversity",
        )
    return False if diversity else rerank
