"""The nouns :class:`LookupHit` and :class:`Result`: what a search returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from medembed.cases import Case
from medembed.counted import counted
from medembed.explain import MatchEvidence
from medembed.index import Plan
from medembed.lookup.hit_groups import PatientHits
from medembed.lookup.messages import Novelty, NoveltyReason
from medembed.lookup.novelty_check import NoveltyAnswer
from medembed.lookup.score_worth import ScoreBasis, Worth
from medembed.lookup.terms import QueryTerms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from medembed.lookup.query import Query

__all__ = ["LookupHit", "Result"]


@dataclass(frozen=True, repr=False)
class LookupHit:
    """One case found by a search.

    Parameters
    ----------
    rank : int
        From 1.
    score : float
        Cosine similarity of the query to the case's vector; if the words of the query count, its
        weighted mean with the agreement and BM25 (:mod:`medembed.lookup.fused`).
    case : Case
    evidence : MatchEvidence
        Findings and words that both state; it does not explain the model.
    same_image : tuple of str
        Cases with the same image, which take no place of their own
        (:mod:`medembed.lookup.hit_groups`).
    percentile : float or None
        At least this percentage of the scores between held-out queries of this kind and cases of
        other patients are lower; None if they were not measured.
    worth : Worth
        How many hits of about this score share a finding with their query
        (:mod:`medembed.lookup.score_worth`).
    """

    rank: int
    score: float
    case: Case
    evidence: MatchEvidence
    same_image: tuple[str, ...] = ()
    percentile: float | None = None
    worth: Worth = field(default_factory=Worth)

    def __repr__(self) -> str:
        return f"LookupHit({self.rank}, {self.case_id!r}, score {self.score:.3f})"

    @property
    def case_id(self) -> str:
        """Id of the case."""
        return self.case.case_id

    def to_json(self) -> dict[str, Any]:
        """Return the hit as ``medembed search --json`` prints it."""
        case = self.case
        return {
            "rank": self.rank,
            "case_id": case.case_id,
            "patient_id": case.patient_id,
            "study_date": case.study_date.isoformat() if case.study_date else None,
            "score": round(self.score, 6),
            "percentile": self.percentile,
            "worth": self.worth.to_json(),
            "modality": case.modality,
            "sex": case.sex,
            "age": case.age_years,
            "findings": [str(finding) for finding in case.findings],
            "note": case.note.text if case.note else None,
            "why": self.evidence.to_json(),
            "same_image": list(self.same_image),
        }


@dataclass(frozen=True, repr=False)
class Result(Sequence[LookupHit]):
    """Result of a search: a sequence of its hits, best first.

    ``result[0]`` is the best hit and ``result[:3]`` a tuple of the first three; a result without
    hits is false. :meth:`to_frame` gives a table; notebooks show one by themselves.

    Parameters
    ----------
    hits : tuple of LookupHit
        Best first; may be empty.
    plan : Plan
        How the hits were found, and notes for the reader.
    novelty_answer : NoveltyAnswer
        Whether the library has anything like the query, without the query's own patient.
    fingerprint : str
        Fingerprint of the model.
    query : dict
        The query as plain data.
    own_cases : tuple of str
        Cases that are the query itself: same scan, same pixels or same study. Excluded from the
        hits.
    own_patient_cases : int
        Number of excluded cases of the query's own patient, :attr:`own_cases` included.
    patients : tuple of PatientHits
        The hits by patient, each with the patient's other matching cases and earlier studies.
    terms : QueryTerms
        How the text was read.
    agreement_weight : float
        Weight of the agreement with these terms beside the cosine; 0 if it does not count.
    bm25_weight : float
        Weight of the words of the text in the cases' notes, beside cosine and agreement; 0 if they
        do not count.
    bm25_words : tuple of str
        The words that were looked up in the notes, the rarest first.
    reranked : int
        How many of the first hits were read together with the text; these are not in the order
        of their scores (:mod:`medembed.lookup.reordering`).
    out_of_depth : bool
        Whether the text names nothing known and is unlike the library's reports.
    score_basis : ScoreBasis
        What the percentiles and the worth of the hits rest on.
    asked : Query or None
        The query, for :meth:`medembed.lookup.CaseLookup.why`.
    parts : mapping of str to float32 array ``(d,)``
        The vector of each part of the query.
    marks : mapping of str to float32 array ``(d,)``
        The vector of each case marked as like or unlike.
    """

    hits: tuple[LookupHit, ...]
    plan: Plan
    novelty_answer: NoveltyAnswer
    fingerprint: str
    query: dict[str, Any] = field(repr=False)
    own_cases: tuple[str, ...] = ()
    own_patient_cases: int = 0
    patients: tuple[PatientHits, ...] = ()
    terms: QueryTerms = field(default_factory=QueryTerms, repr=False)
    agreement_weight: float = 0.0
    bm25_weight: float = 0.0
    bm25_words: tuple[str, ...] = ()
    out_of_depth: bool = False
    reranked: int = 0
    score_basis: ScoreBasis = field(default_factory=ScoreBasis, repr=False)
    asked: Query | None = field(default=None, repr=False, compare=False)
    parts: Mapping[str, npt.NDArray[np.float32]] = field(
        default_factory=dict, repr=False, compare=False
    )
    marks: Mapping[str, npt.NDArray[np.float32]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, at: int) -> LookupHit: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[LookupHit, ...]: ...
    def __getitem__(self, at: int | slice) -> LookupHit | tuple[LookupHit, ...]:
        return self.hits[at]

    def __repr__(self) -> str:
        best = f", best {self.hits[0].case_id!r} {self.hits[0].score:.3f}" if self.hits else ""
        return f"Result({counted(len(self), 'hit')}{best}, {self.novelty}, {self.plan.method})"

    def _repr_html_(self) -> str:
        """Return the hits as an HTML table, as notebooks show it."""
        from medembed.lookup.result_table import result_html

        return result_html(self)

    def to_frame(self) -> pd.DataFrame:
        """Return the hits as a table, one row each, best first.

        Returns
        -------
        pandas.DataFrame
            Columns ``rank, case_id, score, percentile, worth, worth_low, worth_high, modality,
            view, sex, age_years, study_date, findings, impression, why``. An unknown age, date,
            percentile or worth is missing. No path and no patient id.
        """
        from medembed.lookup.result_table import result_frame

        return result_frame(self)

    @property
    def novelty(self) -> Novelty:
        """UNLIKE, LIKE or CANNOT_TELL."""
        return self.novelty_answer.state

    @property
    def novelty_reason(self) -> NoveltyReason:
        """Why :attr:`novelty` is CANNOT_TELL; NONE if it is not."""
        return self.novelty_answer.reason

    @property
    def novel(self) -> bool:
        """Whether :attr:`novelty` is UNLIKE; False also if it is CANNOT_TELL."""
        return self.novelty is Novelty.UNLIKE

    @property
    def novelty_line(self) -> str:
        """:attr:`novelty_answer` as text, with the p-value or the reason."""
        return str(self.novelty_answer)

    def to_json(self) -> dict[str, Any]:
        """Return the result as ``medembed search --json`` prints it."""
        return {
            "query": self.query,
            "model": self.fingerprint,
            "plan": {
                **self.plan.to_json(),
                "read_as": self.terms.to_json(),
                "agreement_weight": round(self.agreement_weight, 6),
                "bm25_weight": round(self.bm25_weight, 6),
                "bm25_words": list(self.bm25_words),
                "out_of_depth": self.out_of_depth,
                "reranked": self.reranked,
            },
            "novel": self.novel,
            "novelty": self.novelty_answer.to_json(),
            "scores": self.score_basis.to_json(),
            "own_cases": list(self.own_cases),
            "own_patient_cases": self.own_patient_cases,
            "hits": [hit.to_json() for hit in self.hits],
            "patients": [patient.to_json() for patient in self.patients],
        }
