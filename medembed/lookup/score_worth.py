"""What the score of a hit means: its percentile in the archive, and what it is worth.

A hit's *percentile* is the share of pairs of a held-out query of this kind and a case of another
patient that score lower. Its *worth* is the share of hits of about its score that share a finding
with their query. Both come from the last evaluation (:mod:`medembed.lookup.score_evaluation`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from medembed.cases import NO_FINDING
from medembed.lookup.messages import Novelty
from medembed.lookup.score_curve import FEWEST_PATIENTS
from medembed.lookup.score_tables import KindScores, QueryKind, ScoreTables, tables_folder
from medembed.lookup.terms import TermKind

if TYPE_CHECKING:
    from medembed.explain import QueryContent
    from medembed.library import CaseLibrary
    from medembed.lookup.query import Query
    from medembed.lookup.query_text import ReadText
    from medembed.lookup.result import LookupHit

__all__ = ["ScoreBasis", "ScoreReader", "Worth", "WorthReason", "kind_of", "worth_line"]

_STALE_SHARE = 0.1
_EVEN = 1e-6


class WorthReason(StrEnum):
    """Why it cannot be told what a score is worth; NONE if it can."""

    NONE = ""
    NOT_MEASURED = "not measured"
    """The library has not been evaluated with this model."""
    OTHER_KIND = "other kind of query"
    """Scores of such queries are not measured."""
    FEW_PATIENTS = "few patients"
    NO_FINDING = "no finding in the query"
    FILTERED = "filtered by finding"
    """A condition on findings decides what the hits share."""
    UNLIKE = "query unlike the library"
    """Its scores may be high nevertheless; those measured are of queries like the library's."""
    BELOW = "below the measured scores"


_CANNOT_TELL: dict[WorthReason, str] = {
    WorthReason.NONE: "",
    WorthReason.NOT_MEASURED: "the library was not evaluated (run medembed index LIBRARY)",
    WorthReason.OTHER_KIND: "scores of this kind of query are not measured",
    WorthReason.FEW_PATIENTS: (
        f"fewer than {FEWEST_PATIENTS} held-out patients have a query of this kind with a finding"
    ),
    WorthReason.NO_FINDING: "the query states no finding",
    WorthReason.FILTERED: "a condition on findings decides what the hits share",
    WorthReason.UNLIKE: "the query is unlike the library",
    WorthReason.BELOW: "no hit of the evaluation scored so low",
}


@dataclass(frozen=True)
class Worth:
    """Share of hits of about one score that share a finding with their query.

    Parameters
    ----------
    share, low, high : float or None
        0 to 1, with its 95% interval over patients; None if it cannot be told.
    reason : WorthReason
        Why not.
    """

    share: float | None = None
    low: float | None = None
    high: float | None = None
    reason: WorthReason = WorthReason.NOT_MEASURED

    def __str__(self) -> str:
        if self.share is None or self.low is None or self.high is None:
            return f"cannot tell: {_CANNOT_TELL[self.reason]}"
        ends = f"{100 * self.low:.0f}–{100 * self.high:.0f}"
        return f"shares a finding in {100 * self.share:.0f} of 100 such hits ({ends})"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "share": _rounded(self.share),
            "low": _rounded(self.low),
            "high": _rounded(self.high),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class ScoreBasis:
    """What percentiles and worth of a result rest on.

    Parameters
    ----------
    kind : QueryKind or None
        None if scores of such a query are not measured.
    any_case : float or None
        Share of all cases that share a finding with such a query.
    n_queries : int
        Held-out queries behind the percentiles, one a patient.
    n_with_finding : int
        Those that state a finding: behind the worth.
    day : str
        ISO date of the evaluation; empty without one.
    is_stale : bool
        Whether the library has grown or shrunk by more than a tenth since.
    reason : WorthReason
        Why no hit has a worth; NONE if hits have one.
    """

    kind: QueryKind | None = None
    any_case: float | None = None
    n_queries: int = 0
    n_with_finding: int = 0
    day: str = ""
    is_stale: bool = False
    reason: WorthReason = WorthReason.NOT_MEASURED

    def __str__(self) -> str:
        return worth_line(self)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": self.kind,
            "any_case": _rounded(self.any_case),
            "n_queries": self.n_queries,
            "n_with_finding": self.n_with_finding,
            "day": self.day or None,
            "stale": self.is_stale,
            "reason": self.reason,
        }


def worth_line(basis: ScoreBasis) -> str:
    """State what a random case gives and which evaluation says so, or why nothing is said."""
    if basis.reason or basis.any_case is None:
        return f"what a score is worth, cannot tell: {_CANNOT_TELL[basis.reason]}"
    stale = "; measured before the library changed, run medembed index LIBRARY"
    return (
        f"any case shares a finding in {100 * basis.any_case:.0f} of 100 (measured on {basis.day} "
        f"with {basis.n_with_finding} held-out patients who have a finding"
        f"{stale if basis.is_stale else ''})"
    )


def kind_of(query: Query, texts: Sequence[ReadText], *, by_notes: bool) -> QueryKind | None:
    """Return the kind of a query; None if scores of such a query are not measured.

    That is: against notes, with marks, regions or unequal weights, a vector, several parts of a
    kind, words that name no finding, deny one, or name an attribute.

    Parameters
    ----------
    query : Query
    texts : sequence of ReadText
        Its texts, as they were read.
    by_notes : bool
        Whether words of the texts counted in the cases' notes.
    """
    parts = sorted(part.kind for part in query.inputs)
    weights = query.weights.values()
    if query.against != "scans" or query.marked or query.regions or not parts:
        return None
    if max(weights) - min(weights) > _EVEN:
        return None
    if parts == ["image"]:
        return QueryKind.IMAGE
    if parts == ["case"]:
        return QueryKind.CASE
    if parts not in (["text"], ["image", "text"]):
        return None
    of_text = _kind_of_text(texts[0], by_notes)
    if of_text is None or len(parts) == 1:
        return of_text
    return QueryKind(f"{QueryKind.IMAGE}+{of_text}")


def _kind_of_text(text: ReadText, by_notes: bool) -> QueryKind | None:
    if text.is_report:
        return QueryKind.REPORT
    terms = text.terms.terms
    only_findings = all(t.kind is TermKind.FINDING and t.status == "present" for t in terms)
    if not terms or not only_findings or text.terms.ignored:
        return None
    return QueryKind.SENTENCE if by_notes else QueryKind.WORDS


@dataclass(frozen=True)
class _Measured:
    """One reading of the tables."""

    stamp: object
    tables: ScoreTables = field(default_factory=ScoreTables)


class ScoreReader:
    """Tells what the scores of one library and model mean, by the last evaluation.

    Never measures by itself. Can be used from several threads.
    """

    def __init__(self, library: CaseLibrary, fingerprint: str) -> None:
        self._library = library
        self._fingerprint = fingerprint
        self._held: _Measured | None = None
        self._lock = threading.Lock()

    @property
    def tables(self) -> ScoreTables:
        """The last evaluation's tables, read again if their file has been replaced."""
        try:
            stat = (tables_folder(self._library, self._fingerprint) / "index.json").stat()
            stamp: object = (stat.st_mtime_ns, stat.st_ino)
        except OSError:
            return ScoreTables()
        with self._lock:
            if self._held is None or self._held.stamp != stamp:
                tables = ScoreTables.load(self._library, self._fingerprint)
                self._held = _Measured(stamp, tables)
            return self._held.tables

    def mark(
        self,
        hits: Sequence[LookupHit],
        query: Query,
        texts: Sequence[ReadText],
        content: QueryContent,
        n_cases: int,
        novelty: Novelty,
        *,
        by_notes: bool,
        is_usual: bool,
    ) -> tuple[tuple[LookupHit, ...], ScoreBasis]:
        """Add percentile and worth to the hits of a search.

        Parameters
        ----------
        hits : sequence of LookupHit
        query : Query
        texts : sequence of ReadText
        content : QueryContent
            What the query states.
        n_cases : int
            Cases with an image vector now.
        novelty : Novelty
        by_notes : bool
            Whether words of the texts counted in the cases' notes.
        is_usual : bool
            Whether texts are read and their words looked up, which are the defaults of a search.
        """
        tables = self.tables
        kind = kind_of(query, texts, by_notes=by_notes) if is_usual else None
        scores = None if kind is None else tables.kinds.get(kind)
        reason = _reason(tables, kind, scores, query, content)
        if novelty is Novelty.UNLIKE and not reason:
            reason = WorthReason.UNLIKE
        basis = ScoreBasis(kind, day=tables.day, reason=reason)
        if scores is None:
            return tuple(replace(hit, worth=Worth(reason=reason)) for hit in hits), basis
        moved = abs(n_cases - tables.n_cases) > _STALE_SHARE * tables.n_cases
        basis = replace(
            basis,
            any_case=scores.any_case,
            n_queries=scores.n_queries,
            n_with_finding=scores.n_with_finding,
            is_stale=moved,
        )
        marked = tuple(
            replace(
                hit,
                percentile=scores.percentiles.of_score(hit.score),
                worth=_worth(scores, hit.score, reason),
            )
            for hit in hits
        )
        return marked, basis


def _reason(
    tables: ScoreTables,
    kind: QueryKind | None,
    scores: KindScores | None,
    query: Query,
    content: QueryContent,
) -> WorthReason:
    if not tables.day:
        return WorthReason.NOT_MEASURED
    if kind is None:
        return WorthReason.OTHER_KIND
    if scores is None:
        return WorthReason.FEW_PATIENTS
    stated = [f for f in content.present if f.label not in NO_FINDING]
    if kind is not QueryKind.IMAGE and not stated:  # an image states nothing that could be read
        return WorthReason.NO_FINDING
    if any(condition.field == "finding" for condition in query.where):
        return WorthReason.FILTERED
    return WorthReason.NONE if len(scores.curve.floors) else WorthReason.FEW_PATIENTS


def _worth(scores: KindScores, score: float, reason: WorthReason) -> Worth:
    if reason:
        return Worth(reason=reason)
    step = scores.curve.at(score)
    if step is None:
        return Worth(reason=WorthReason.BELOW)
    return Worth(step.share, step.low, step.high, WorthReason.NONE)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
