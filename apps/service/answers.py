"""What the service answers, as models: they describe the answers, and a test holds them to it.

Answers are not rebuilt through these models: a search is sent exactly as ``medembed search --json``
prints it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AuditAnswer",
    "CaseAnswer",
    "HealthAnswer",
    "ProblemAnswer",
    "ReviewAnswer",
    "ReviewList",
    "SearchAnswer",
]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ProblemAnswer(_Answer):
    """An error: RFC 9457."""

    type: str = Field(description="Names the kind of problem, as `urn:medembed:problem:busy`.")
    title: str
    status: int
    detail: str = Field(description="One line: what, and what to do.")
    request_id: str = Field("", description="The same as in the header X-Request-ID.")


class Worth(_Answer):
    """How many hits of about this score share a finding with their query."""

    share: float | None
    low: float | None
    high: float | None
    reason: str


class Why(_Answer):
    """What query and case both state, and the similarity of each part of the query."""

    shared_findings: list[str]
    differing_findings: list[str]
    words: list[str]
    parts: dict[str, float]
    line: str


class Hit(_Answer):
    """One case found."""

    rank: int
    case_id: str
    patient_id: str = Field(description="A pseudonym.")
    study_date: str | None = Field(description="Shifted, by the same days for all of a patient.")
    score: float
    percentile: float | None
    worth: Worth
    modality: str
    sex: str
    age: float | None
    findings: list[str]
    note: str | None
    why: Why
    same_image: list[str]


class Prior(_Answer):
    """An earlier study of a hit's patient."""

    case_id: str
    days_before: int


class PatientHits(_Answer):
    """The hits of one patient, and the patient's other cases."""

    patient_id: str
    hits: list[str]
    others: list[str]
    priors: list[Prior]


class Plan(_Answer):
    """How the hits were found."""

    method: str
    compared: int
    matching: int
    recall: dict[str, Any] | None
    notes: list[str] = Field(description="What a reader should know besides the hits.")
    read_as: dict[str, Any]
    agreement_weight: float
    bm25_weight: float
    bm25_words: list[str]
    out_of_depth: bool
    reranked: int


class Novelty(_Answer):
    """Whether the library has anything like the query."""

    state: Literal["unlike", "like", "cannot tell"]
    reason: str
    p_value: float | None
    alpha: float
    parts: dict[str, float]
    stale: bool
    instead: list[str]


class ScoreBasis(_Answer):
    """What percentiles and worth rest on."""

    kind: str | None
    any_case: float | None
    n_queries: int
    n_with_finding: int
    day: str | None
    stale: bool
    reason: str


class SearchAnswer(_Answer):
    """A search's answer, as `medembed search --json` prints it."""

    query: dict[str, Any] = Field(description="As it was understood, conditions included.")
    model: str = Field(description="Fingerprint of the model that found the hits.")
    plan: Plan
    novel: bool
    novelty: Novelty
    scores: ScoreBasis
    own_cases: list[str] = Field(description="Cases that are the query itself; never hits.")
    own_patient_cases: int
    hits: list[Hit]
    patients: list[PatientHits]
    explained: dict[str, Any] | None = Field(None, description="Only with `why`.")


class NoteSection(_Answer):
    """A section of a report, as positions in its text."""

    name: str
    start: int
    end: int


class NoteAssertion(_Answer):
    """What a report says of a finding."""

    label: str
    status: Literal["present", "absent", "uncertain"]
    side: str
    start: int
    end: int
    historical: bool


class NoteAnswer(_Answer):
    """A report."""

    text: str
    sections: list[NoteSection]
    assertions: list[NoteAssertion]


class ScanAnswer(_Answer):
    """A scan of a case; its pixels are under `scans/{scan}`."""

    scan: int
    modality: str
    view: str
    kind: str
    files: int


class CaseAnswer(_Answer):
    """One case."""

    case_id: str
    patient_id: str = Field(description="A pseudonym.")
    study_date: str | None = Field(description="Shifted, by the same days for all of a patient.")
    modality: str
    view: str
    kind: str
    sex: str
    age: float | None
    race: str
    site: str
    scanner: str
    findings: list[str]
    attributes: dict[str, str]
    note: NoteAnswer | None
    scans: list[ScanAnswer]


class ReviewSummary(_Answer):
    """A review session in a list."""

    link: str
    name: str
    creator: str
    created: str
    state: Literal["open", "closed"]
    cases: int
    readers: list[str]


class ReviewList(_Answer):
    """Review sessions, the newest first."""

    reviews: list[ReviewSummary]


class ReviewAnswer(_Answer):
    """A review session: its cases, readings and measures."""

    review: dict[str, Any]
    readings: list[dict[str, Any]] = Field(
        description="One's own; those of others for cases that one has finished, or does not read."
    )
    measures: dict[str, Any] | None = Field(
        description="Times, revisions and agreement; null for a reader who has not finished."
    )


class AuditAnswer(_Answer):
    """The latest audit: what was asked, what was found, and whether the release check passed."""

    stamp: dict[str, Any] = Field(description="Which library, model, protocol, and when.")
    gate: dict[str, Any]
    outcomes: list[dict[str, Any]] = Field(
        description="One row for each group and outcome, as in the report; small groups have none."
    )


class HealthAnswer(_Answer):
    """That the service answers, or can search."""

    status: Literal["ok", "ready"]
