"""The nouns of a review: session, case, impression, and what one reader did with one case."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from medembed.cases import NO_FINDING, Finding
from medembed.errors import ReviewError
from medembed.library import Condition

__all__ = [
    "NO_FINDING_LABEL",
    "Impression",
    "Mark",
    "Reading",
    "ReadingState",
    "ReviewCase",
    "ReviewQuery",
    "ReviewSession",
    "SessionState",
    "marked",
    "plain_text",
]

NO_FINDING_LABEL = "no finding"
"""The choice that there is none."""

_LONGEST = 20_000
_MOST_FINDINGS = 100
_FIELDS = frozenset(
    ("modality", "view", "sex", "age", "date", "finding", "site", "scanner", "kind")
)


class SessionState(StrEnum):
    """Whether a session still takes readings."""

    OPEN = "open"
    CLOSED = "closed"


class ReadingState(StrEnum):
    """How far one reader is with one case; each state follows the one before."""

    OPENED = "opened"
    IMPRESSION = "impression"
    REVEALED = "revealed"
    FINISHED = "finished"

    @property
    def is_blind(self) -> bool:
        """Whether report, findings and diagnoses are still covered."""
        return self in (ReadingState.OPENED, ReadingState.IMPRESSION)


class Mark(StrEnum):
    """What a reader keeps a case for."""

    SHORTLIST = "shortlisted"
    TEACHING = "teaching"


def plain_text(text: str, what: str, longest: int) -> str:
    """Return a text that can be stored, without blanks around it.

    Raises
    ------
    ReviewError
        If it is longer than ``longest`` characters.
    """
    kept = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8").strip()
    if len(kept) > longest:
        raise ReviewError(f"{what} has more than {longest:,} characters", hint="shorten it")
    return kept


@dataclass(frozen=True)
class Impression:
    """What a reader thinks of a case: text, chosen findings, or both.

    Parameters
    ----------
    text : str
    findings : tuple of str
        ``"label"`` or ``"label:side"``; kept sorted, each once. ``"no finding"`` is a choice, too.

    Raises
    ------
    ReviewError
        If "no finding" stands beside a finding, or the text is too long.
    InputError
        If a finding cannot be parsed.

    Examples
    --------
    >>> Impression("Small effusion.", ("Effusion:right", "cardiomegaly")).findings
    ('cardiomegaly', 'effusion:right')
    >>> Impression(" ").is_empty
    True
    """

    text: str = ""
    findings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", plain_text(self.text, "the impression", _LONGEST))
        found = sorted({str(Finding.parse(name)) for name in self.findings})
        if len(found) > _MOST_FINDINGS:
            raise ReviewError(f"more than {_MOST_FINDINGS} findings", hint="choose fewer")
        none = NO_FINDING.intersection(found)
        if none and len(found) > len(none):
            raise ReviewError(
                "“no finding” and a finding are both chosen", hint="remove one of them"
            )
        object.__setattr__(self, "findings", tuple(found))

    @property
    def is_empty(self) -> bool:
        """Whether there is neither text nor finding."""
        return not self.text and not self.findings

    @property
    def labels(self) -> frozenset[str]:
        """Labels of the chosen findings, without sides; empty for "no finding"."""
        return frozenset(name.partition(":")[0] for name in self.findings) - NO_FINDING

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {"text": self.text, "findings": list(self.findings)}


@dataclass(frozen=True)
class ReviewQuery:
    """The query by which a case came into a session, without a word that somebody typed.

    Parameters
    ----------
    parts : tuple of str
        ``"text"``, ``"image"``, ``"case"``.
    terms : tuple of str
        What the text was read as: terms of the vocabulary.
    where : tuple of Condition
        Filters, of the fields that tell nothing of one patient.
    case_id : str
        Case of the library that was the query; empty if none was, or it was erased.
    rank : int
        Of the case in the results, from 1.
    score : float or None
    """

    parts: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    case_id: str = ""
    rank: int = 0
    score: float | None = None

    def __post_init__(self) -> None:
        kept = tuple(condition for condition in self.where if condition.field in _FIELDS)
        object.__setattr__(self, "where", kept)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "parts": list(self.parts),
            "terms": list(self.terms),
            "where": [[c.field, c.op, list(c.values)] for c in self.where],
            "case_id": self.case_id,
            "rank": self.rank,
            "score": self.score,
        }

    def stored(self) -> str:
        """Return the text that the library keeps; the case is kept apart, so that it is erased."""
        kept = self.to_json()
        del kept["case_id"]
        return json.dumps(kept, sort_keys=True)

    @classmethod
    def from_stored(cls, text: str, case_id: str | None) -> ReviewQuery | None:
        """Read what :meth:`stored` wrote; None if a case came without a query."""
        if not text:
            return None
        kept = json.loads(text)
        where = tuple(Condition(name, op, tuple(values)) for name, op, values in kept["where"])
        return cls(
            tuple(kept["parts"]), tuple(kept["terms"]), where, case_id or "",
            int(kept["rank"]), kept["score"],
        )  # fmt: skip


@dataclass(frozen=True)
class ReviewCase:
    """A case of a session.

    Parameters
    ----------
    case_id : str
    query : ReviewQuery or None
    position : int
        From 1, in the order of the session; set when the session is made.
    """

    case_id: str
    query: ReviewQuery | None = None
    position: int = 0


@dataclass(frozen=True)
class ReviewSession:
    """Cases in an order, which readers read blind first.

    Parameters
    ----------
    link : str
        In the address that is shared: 22 random characters.
    name, creator : str
    created : str
        UTC, ISO 8601.
    state : SessionState
    cases : tuple of ReviewCase
        Without those that were erased; positions keep their numbers.
    readers : tuple of str
        Who has opened a case, in the order of their names.
    """

    link: str
    name: str
    creator: str
    created: str
    state: SessionState
    cases: tuple[ReviewCase, ...]
    readers: tuple[str, ...] = ()

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids of the cases in their order."""
        return tuple(case.case_id for case in self.cases)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "link": self.link,
            "name": self.name,
            "creator": self.creator,
            "created": self.created,
            "state": self.state.value,
            "readers": list(self.readers),
            "cases": [
                {
                    "position": case.position,
                    "case_id": case.case_id,
                    "query": None if case.query is None else case.query.to_json(),
                }
                for case in self.cases
            ],
        }


@dataclass(frozen=True)
class Reading:
    """What one reader did with one case.

    Parameters
    ----------
    case_id, reader : str
    state : ReadingState
    opened : str
        UTC, ISO 8601, as the other times.
    open_seconds : float
        How long the case was open on this reader's screen so far.
    impression : Impression or None
        The first one. It does not change after the reveal.
    impression_seconds, reveal_seconds, end_seconds : float or None
        ``open_seconds`` when the first impression was last written, at the reveal, and at the end.
    revision : Impression or None
        The final impression, written after the reveal.
    marks : frozenset of Mark
    """

    case_id: str
    reader: str
    state: ReadingState
    opened: str = ""
    open_seconds: float = 0.0
    impression: Impression | None = None
    impression_at: str = ""
    impression_seconds: float | None = None
    revealed_at: str = ""
    reveal_seconds: float | None = None
    revision: Impression | None = None
    finished_at: str = ""
    end_seconds: float | None = None
    marks: frozenset[Mark] = field(default_factory=frozenset)

    @property
    def is_finished(self) -> bool:
        """Whether the reading is at its end."""
        return self.state is ReadingState.FINISHED

    @property
    def is_revised(self) -> bool:
        """Whether the final impression differs from the first, in findings or in words."""
        return self.revision is not None and self.revision != self.impression

    @property
    def has_revised_findings(self) -> bool:
        """Whether the findings, sides included, differ between the first and the final one."""
        if self.revision is None or self.impression is None:
            return False
        return self.revision.findings != self.impression.findings

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""

        def data(impression: Impression | None) -> dict[str, Any] | None:
            return None if impression is None else impression.to_json()

        return {
            "case_id": self.case_id,
            "reader": self.reader,
            "state": self.state.value,
            "opened": self.opened,
            "open_seconds": round(self.open_seconds, 1),
            "impression": data(self.impression),
            "impression_at": self.impression_at or None,
            "impression_seconds": _rounded(self.impression_seconds),
            "revealed_at": self.revealed_at or None,
            "reveal_seconds": _rounded(self.reveal_seconds),
            "revision": data(self.revision),
            "is_revised": self.is_revised,
            "finished_at": self.finished_at or None,
            "end_seconds": _rounded(self.end_seconds),
            "marks": sorted(mark.value for mark in self.marks),
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def marked(readings: Iterable[Reading], mark: Mark) -> list[str]:
    """Return the ids of the cases that any reader has marked, in the order given."""
    return list(dict.fromkeys(reading.case_id for reading in readings if mark in reading.marks))
