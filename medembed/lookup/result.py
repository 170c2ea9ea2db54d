"""The nouns :class:`LookupHit` and :class:`Result`: what a search gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from medembed.cases import Case
from medembed.explain import Why
from medembed.index import Plan

__all__ = ["LookupHit", "Result"]


@dataclass(frozen=True)
class LookupHit:
    """One case that a search found.

    Parameters
    ----------
    rank : int
        From 1.
    score : float
        Cosine of the query with the case's image.
    case : Case
    why : Why
        What both state. No statement on what the model looked at.
    """

    rank: int
    score: float
    case: Case
    why: Why

    @property
    def case_id(self) -> str:
        """Id of the case."""
        return self.case.case_id

    def to_json(self) -> dict[str, Any]:
        """Give the hit as ``medembed search --json`` prints it."""
        case = self.case
        return {
            "rank": self.rank,
            "case_id": case.case_id,
            "patient_id": case.patient_id,
            "study_date": case.study_date.isoformat() if case.study_date else None,
            "score": round(self.score, 6),
            "modality": case.modality,
            "sex": case.sex,
            "age": case.age_years,
            "findings": [str(finding) for finding in case.findings],
            "note": case.note.text if case.note else None,
            "why": self.why.to_json(),
        }


@dataclass(frozen=True)
class Result:
    """What a search gives back.

    Parameters
    ----------
    hits : tuple of LookupHit
        Best first; may be empty.
    plan : Plan
        How they were found, who was left out, and what else a reader should know.
    novel : bool
        Whether the best score in the whole library, the query's own patient left out, is
        unusually low (:mod:`medembed.index.novelty`). False also where the library cannot tell.
    novelty : str
        The same for a person, with the scores compared or the reason that none can be.
    fingerprint : str
        Of the model.
    query : dict
        The question as plain data.
    """

    hits: tuple[LookupHit, ...]
    plan: Plan
    novel: bool
    novelty: str
    fingerprint: str
    query: dict[str, Any] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Give the result as ``medembed search --json`` prints it."""
        return {
            "query": self.query,
            "model": self.fingerprint,
            "plan": self.plan.to_json(),
            "novel": self.novel,
            "hits": [hit.to_json() for hit in self.hits],
        }
