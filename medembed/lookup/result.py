"""The nouns :class:`LookupHit` and :class:`Result`: what a search gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from medembed.cases import Case
from medembed.explain import Why
from medembed.index import Plan
from medembed.lookup.messages import (
    Novelty,
    NoveltyReason,
    novelty_line,
    own_cases_line,
)

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
    novelty : {"novel", "familiar", "unknown"}
        Whether the best score in the whole library, the query's own patient left out, is
        unusually low (:mod:`medembed.index.novelty`), or cannot be judged.
    fingerprint : str
        Of the model.
    query : dict
        The question as plain data.
    novelty_reason : str
        Why it cannot be judged: ``"mixture"``, ``"few cases"``, ``"short text"``,
        ``"nobody else"``; empty where it can.
    best_score, novelty_threshold : float or None
        The two that were compared.
    fewest_words : int
        A text of fewer words is not judged.
    own_cases : tuple of str
        Cases that are the query: the same scan, the same pixels, or the same study. They are not
        among the hits.
    own_patient_cases : int
        Cases of the query's own patient that were left out, :attr:`own_cases` counted in.
    """

    hits: tuple[LookupHit, ...]
    plan: Plan
    novelty: Novelty
    fingerprint: str
    query: dict[str, Any] = field(repr=False)
    novelty_reason: NoveltyReason = ""
    best_score: float | None = None
    novelty_threshold: float | None = None
    fewest_words: int = 0
    own_cases: tuple[str, ...] = ()
    own_patient_cases: int = 0

    @property
    def novel(self) -> bool:
        """Whether the library holds nothing quite like the query; False where it cannot tell."""
        return self.novelty == "novel"

    @property
    def novelty_line(self) -> str:
        """:attr:`novelty` for a person, with the scores or the reason."""
        return novelty_line(
            self.novelty,
            self.novelty_reason,
            self.best_score,
            self.novelty_threshold,
            self.fewest_words,
        )

    @property
    def own_cases_line(self) -> str:
        """:attr:`own_cases` for a person; empty where there are none."""
        return own_cases_line(self.own_cases)

    def to_json(self) -> dict[str, Any]:
        """Give the result as ``medembed search --json`` prints it."""
        return {
            "query": self.query,
            "model": self.fingerprint,
            "plan": self.plan.to_json(),
            "novel": self.novel,
            "novelty": {
                "state": self.novelty,
                "reason": self.novelty_reason,
                "best": self.best_score,
                "threshold": self.novelty_threshold,
            },
            "own_cases": list(self.own_cases),
            "own_patient_cases": self.own_patient_cases,
            "hits": [hit.to_json() for hit in self.hits],
        }
