"""Evidence for a hit: the findings and words that it shares with the query.

It compares what both *state*, not what the model looked at: a hit can be similar for reasons that
no finding and no word names, and a shared finding need not be the reason for the similarity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from medembed.cases import Case, Finding
from medembed.notes import Note, Side

__all__ = [
    "FindingMatch", "MatchEvidence", "QueryContent", "Relation", "content_words", "explain",
    "is_content_word",
]  # fmt: skip

_FUNCTION_WORDS = """
    a about above after all also an and any are as at be been before below both but by can case
    cases chest compared could did do does due during each exam examination film find for from had
    has have he her him his how i if image in into is it its like may more most new no not now of
    on one or other our out over patient patients possible prior radiograph report same scan seen
    she should show showing shows since so some study such than that the their them then there
    these they this those to two under up very view was were what when which while who will with
    without would x-ray xray you your
"""
_SIDE_WORDS = ("left", "right", "bilateral", "both", "left-sided", "right-sided")
"""A side has meaning only beside its finding; alone it occurs in every report."""
_STOPWORDS = frozenset((*_FUNCTION_WORDS.split(), *_SIDE_WORDS))
_MOST_WORDS = 6
_MOST_FINDINGS = 12
_MOST_DENIALS = 3
"""More denials are the routine of a report; that two reports share them says nothing."""


@dataclass(frozen=True)
class QueryContent:
    """Findings and words that a query states.

    Parameters
    ----------
    present, absent : tuple of Finding
        Findings that it asserts or denies. A side on an absent one limits the denial to that side.
    words : tuple of str
        Its content words, lower case, in order, without duplicates.
    """

    present: tuple[Finding, ...] = ()
    absent: tuple[Finding, ...] = ()
    words: tuple[str, ...] = ()

    @classmethod
    def of_text(cls, note: Note) -> QueryContent:
        """Extract the content of a text that was parsed as a note."""
        present, absent = _asserted(note)
        return cls(present, absent, content_words(note.text))

    @classmethod
    def of_case(cls, case: Case) -> QueryContent:
        """Extract the content of a case: its findings and those its note denies. No words."""
        absent = _asserted(case.note)[1] if case.note else ()
        return cls(case.findings, _without(absent, case.findings), ())

    def __add__(self, other: QueryContent) -> QueryContent:
        present = tuple(dict.fromkeys((*self.present, *other.present)))
        absent = tuple(dict.fromkeys((*self.absent, *other.absent)))
        words = tuple(dict.fromkeys((*self.words, *other.words)))
        return QueryContent(present, _without(absent, present), words)


class Relation(StrEnum):
    """How a finding of the query and one of the hit relate."""

    SHARED = "shared"
    SIDE_NOT_STATED = "side not stated"
    """The query names a side, the hit does not."""
    BOTH_RULE_OUT = "both rule out"
    OTHER_SIDE = "other side"
    RULED_OUT_BY_HIT = "ruled out by the hit's report"
    RULED_OUT_BY_QUERY = "ruled out by the query"


@dataclass(frozen=True)
class FindingMatch:
    """A finding of the hit beside the query. Programs read the fields; ``str`` is English.

    Parameters
    ----------
    relation : Relation
    finding : Finding
        As the hit has it; without a side if the hit's report rules it out.
    wanted_side : {"", "left", "right", "bilateral"}
        The side in the query.
    """

    relation: Relation
    finding: Finding
    wanted_side: Side = ""

    def __str__(self) -> str:
        return _ENGLISH[self.relation](self)


_ENGLISH: Mapping[Relation, Callable[[FindingMatch], str]] = MappingProxyType(
    {
        Relation.SHARED: lambda match: str(match.finding),
        Relation.SIDE_NOT_STATED: lambda match: f"{match.finding} (side not stated)",
        Relation.BOTH_RULE_OUT: lambda match: f"no {match.finding}",
        Relation.OTHER_SIDE: lambda match: f"{match.finding}, not {match.wanted_side}",
        Relation.RULED_OUT_BY_HIT: lambda match: f"its report rules out {match.finding.label}",
        Relation.RULED_OUT_BY_QUERY: lambda match: f"{match.finding} present",
    }
)


@dataclass(frozen=True)
class MatchEvidence:
    """What a hit and the query share, and where they contradict each other.

    Parameters
    ----------
    shared : tuple of FindingMatch
        Findings of the query that the hit has, and those that both rule out.
    conflicts : tuple of FindingMatch
        Contradictions between the two.
    words : tuple of str
        Words of the query that the hit's note contains outside its denied findings.
    parts : mapping of {"text", "image", "case", "agreement", "rerank"} to float
        Cosine similarity of each part of the query to the hit's image, the agreement of the
        hit with what the text states, if that counts in the score, and what reading its image
        together with the text added to its place (:mod:`medembed.lookup.reordering`).
    """

    shared: tuple[FindingMatch, ...] = ()
    conflicts: tuple[FindingMatch, ...] = ()
    words: tuple[str, ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", MappingProxyType(dict(self.parts)))

    def __str__(self) -> str:
        clauses = []
        if self.shared:
            clauses.append(f"shared findings: {', '.join(map(str, self.shared))}")
        if self.conflicts:
            clauses.append(f"conflicts: {', '.join(map(str, self.conflicts))}")
        named = {word for match in self.shared for word in re.findall(r"\w+", str(match.finding))}
        words = [word for word in self.words if word not in named]
        if words:
            clauses.append(f"words in the report: {', '.join(words)}")
        if len(self.parts) > 1:
            clauses.append(", ".join(f"{name} {score:.2f}" for name, score in self.parts.items()))
        if not clauses:
            clauses.append("no shared findings; similar by score only")
        return "; ".join(clauses)

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with the line for a person under ``"line"``."""
        return {
            "shared_findings": list(map(str, self.shared)),
            "differing_findings": list(map(str, self.conflicts)),
            "words": list(self.words),
            "parts": {name: round(score, 6) for name, score in self.parts.items()},
            "line": str(self),
        }


def explain(query: QueryContent, case: Case, parts: Mapping[str, float]) -> MatchEvidence:
    """Compare the findings and words of ``query`` with those of ``case``.

    Parameters
    ----------
    query : QueryContent
        An image states nothing; the evidence is then the cosines alone.
    case : Case
    parts : mapping of str to float
        Cosine similarity of each part of the query to the case, the agreement, and the
        reranker's score.

    Examples
    --------
    >>> from medembed.cases import ScanRef
    >>> scan = ScanRef(("a.png",), "0" * 64)
    >>> case = Case("C-1", "P-1", (scan,), findings=(Finding("effusion", "left"),))
    >>> str(explain(QueryContent(present=(Finding("effusion"),)), case, {"text": 0.4}))
    'shared findings: effusion:left'
    >>> str(explain(QueryContent(present=(Finding("effusion", "right"),)), case, {"text": 0.4}))
    'conflicts: effusion:left, not right'
    """
    denied = _without(_asserted(case.note)[1], case.findings) if case.note else ()
    shared: list[FindingMatch] = []
    conflicts: list[FindingMatch] = []
    for wanted in query.present:
        have = [f for f in case.findings if f.label == wanted.label]
        matching = [f for f in have if f.matches(wanted)]
        if matching:
            shared.extend(FindingMatch(Relation.SHARED, f, wanted.side) for f in matching)
        elif any(f.side for f in have):
            sided = [f for f in have if f.side]
            conflicts.extend(FindingMatch(Relation.OTHER_SIDE, f, wanted.side) for f in sided)
        elif have:
            shared.extend(FindingMatch(Relation.SIDE_NOT_STATED, f, wanted.side) for f in have)
        elif _rules_out(denied, wanted):
            conflicts.append(
                FindingMatch(Relation.RULED_OUT_BY_HIT, Finding(wanted.label), wanted.side)
            )
    for unwanted in query.absent:
        present = [f for f in case.findings if f.matches(unwanted)]
        conflicts.extend(FindingMatch(Relation.RULED_OUT_BY_QUERY, f) for f in present)
        if not present and len(query.absent) <= _MOST_DENIALS and _rules_out(denied, unwanted):
            shared.append(FindingMatch(Relation.BOTH_RULE_OUT, unwanted))
    return MatchEvidence(
        tuple(dict.fromkeys(shared))[:_MOST_FINDINGS],
        tuple(dict.fromkeys(conflicts))[:_MOST_FINDINGS],
        _words_in(query.words, case.note),
        parts,
    )


def _rules_out(denied: Iterable[Finding], unwanted: Finding) -> bool:
    return any(d.label == unwanted.label and d.side in ("", unwanted.side) for d in denied)


def content_words(text: str) -> tuple[str, ...]:
    """Return the words of three or more letters, in order, once each, without function words."""
    words = re.findall(r"[^\W\d_][\w'-]{2,}", text.casefold())
    return tuple(dict.fromkeys(w for w in words if w not in _STOPWORDS))


def is_content_word(word: str) -> bool:
    """Return whether a word in small letters is no function word; a side is none."""
    return word not in _STOPWORDS or word in _SIDE_WORDS


def _words_in(words: Sequence[str], note: Note | None) -> tuple[str, ...]:
    if note is None or not words:
        return ()
    text = note.text
    for span in note.assertions:
        if span.status == "absent":
            text = text[: span.start] + " " * (span.end - span.start) + text[span.end :]
    in_note = set(content_words(text))
    return tuple(word for word in words if word in in_note)[:_MOST_WORDS]


def _asserted(note: Note) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return the findings that a note asserts and denies for the current study."""
    by_status: dict[str, list[Finding]] = {"present": [], "absent": [], "uncertain": []}
    for assertion in note.assertions:
        if not assertion.historical:
            by_status[assertion.status].append(Finding(assertion.label, assertion.side))
    present = tuple(dict.fromkeys(by_status["present"]))
    return present, _without(tuple(dict.fromkeys(by_status["absent"])), present)


def _without(findings: Iterable[Finding], others: Iterable[Finding]) -> tuple[Finding, ...]:
    """Drop the denials that an assertion of the same finding contradicts."""
    kept = []
    others = tuple(others)
    for finding in findings:
        if not any(other.matches(finding) for other in others):
            kept.append(finding)
    return tuple(kept)
