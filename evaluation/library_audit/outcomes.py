"""How well each case's own query was answered: the outcomes that an audit compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.library_audit.attributes import UNKNOWN
from evaluation.retrieval.rank_statistics import ScoreRows
from evaluation.retrieval.scores import RetrievalScores
from evaluation.retrieval.tasks import Relevance, image_to_image, image_to_text, text_to_image
from medembed.errors import InputError

if TYPE_CHECKING:
    from evaluation.library_audit.cases import AuditedCases, TextSide
    from evaluation.library_audit.protocol import Hypothesis, Protocol
    from medembed.library import CaseLibrary

__all__ = ["OUTCOMES", "Columns", "MeasuredCases", "Outcome", "outcome_columns", "spelled_out"]

Columns = dict[str, NDArray[np.float64]]
"""By outcome, float64 of shape (n_cases,); NaN for a query with nothing relevant, or no note."""


@dataclass(frozen=True)
class Outcome:
    """An outcome in words for a reader who is no statistician."""

    title: str
    harm: str


_NEIGHBOURS = {
    "P@1": "first similar case shares a finding and its side",
    "P@5": "share of the first 5 similar cases with the same finding and side",
    "P@10": "share of the first 10 similar cases with the same finding and side",
    "R@5": "a case with the same finding and side among the first 5",
    "R@10": "a case with the same finding and side among the first 10",
    "nDCG@10": "order of the first 10 similar cases",
    "MRR": "reciprocal rank of the first case with the same finding and side",
}
_OWN = {
    "R@1": "{query} finds its own {item} first",
    "R@5": "{query} finds its own {item} among the first 5",
    "R@10": "{query} finds its own {item} among the first 10",
    "MRR": "reciprocal rank of a {query}'s own {item}",
    "nDCG@10": "rank of a {query}'s own {item} in the first 10",
}
_OTHERS = {
    "P@1": "first {item} for a {query} shares a finding and side",
    "P@5": "share of the first 5 {item}s for a {query} with the same finding and side",
    "P@10": "share of the first 10 {item}s for a {query} with the same finding and side",
}
for _titles in (_NEIGHBOURS, _OTHERS):
    for _k in ("5", "10"):
        _titles[f"adjusted P@{_k}"] = f"{_titles[f'P@{_k}']}, corrected for chance"
_REPORT = {"query": "report", "item": "scan"}
_SCAN = {"query": "scan", "item": "report"}

OUTCOMES = {
    f"{way}.{measure}": Outcome(title.format(**words), harm)
    for way, titles, words, harm in (
        ("image_to_image", _NEIGHBOURS, {},
         "the past cases shown beside theirs have other findings and mislead the reader"),
        ("text_to_image", _OWN, _REPORT,
         "their scan is not found from the report, so past images are missed"),
        ("text_to_image", _OTHERS, _REPORT,
         "the past cases shown for their report have other findings and mislead the reader"),
        ("image_to_text", _OWN, _SCAN,
         "their own report is not found from the image, so a comparison with it is missed"),
        ("image_to_text", _OTHERS, _SCAN,
         "the past reports shown for their image tell of other findings and mislead the reader"),
    )
    for measure, title in titles.items()
}  # fmt: skip
"""By name: the way that is asked, a point, and the measure.

With words R, MRR and nDCG are of a case's own partner, P of other patients' cases with the same
finding and side; between images all are of these.
"""


@dataclass(frozen=True)
class MeasuredCases:
    """The audited cases with the outcomes of their queries, and what these were made from.

    Parameters
    ----------
    cases, columns, protocol, library, seed
    model : str
        Fingerprint.
    text_side : TextSide or None
        None if the model's folder is not available.
    merged : mapping of attribute to groups
        The small groups of these cases that became one.
    """

    cases: AuditedCases
    columns: Columns
    protocol: Protocol
    library: CaseLibrary
    model: str
    text_side: TextSide | None = None
    merged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seed: int = 0

    def words(self, purpose: str) -> TextSide:
        """The model's text side, or an InputError that says what it was needed for."""
        if self.text_side is None:
            raise InputError(f"the model's folder is not available, so {purpose}")
        return self.text_side

    def options(self, *names: str) -> dict[str, Any]:
        """Settings of these names: the protocol's, and ``minimum`` and ``seed``."""
        own = {"minimum": self.protocol.least, "seed": self.seed}
        return {name: own[name] if name in own else getattr(self.protocol, name) for name in names}


def outcome_columns(
    outcomes: Iterable[str],
    cases: AuditedCases,
    scores: ScoreRows | None = None,
) -> tuple[Columns, dict[str, str]]:
    """Measure each case's own query; the second dict says which outcomes could not be, and why.

    Parameters
    ----------
    outcomes : iterable of str
        Of :data:`OUTCOMES`.
    cases : AuditedCases
    scores : callable of (start, stop), optional
        Of another ranking of images by images, as
        :func:`~evaluation.retrieval.tasks.image_to_image` takes them.
    """
    found: dict[tuple[str, Relevance], RetrievalScores | str] = {}
    columns: Columns = {}
    missing: dict[str, str] = {}
    for name in outcomes:
        way, _, measure = name.partition(".")
        plain = measure.removeprefix("adjusted ")
        relevant: Relevance = "own" if way != "image_to_image" and plain in _OWN else "finding"
        if (way, relevant) not in found:
            found[way, relevant] = _searched(way, relevant, cases, scores)
        held = found[way, relevant]
        if isinstance(held, str):
            missing[name] = held
            continue
        values, rows = held.per_query[plain], held.queries
        if measure != plain:
            chance = held.per_query[f"chance:{plain}"]
            values = np.where(chance < 1, (values - chance) / np.maximum(1 - chance, 1e-12), np.nan)
        if way != "image_to_image" and cases.rows_of_pairs is not None:
            rows = cases.rows_of_pairs[rows]
        columns[name] = np.full(len(cases.cases), np.nan)
        columns[name][rows] = values
    return columns, missing


def _searched(
    way: str, relevant: Relevance, cases: AuditedCases, scores: ScoreRows | None
) -> RetrievalScores | str:
    """Scores of every query, or why there are none; their intervals are not used."""
    few: dict[str, Any] = {"repetitions": 100, "shuffles": 0}
    try:
        if way == "image_to_image":
            measures = [name for name in _NEIGHBOURS if not name.startswith("adjusted ")]
            return image_to_image(cases.by_image, scores=scores, measures=measures, **few).scores
        if cases.paired is None:
            return "the cases have no notes with vectors of this model"
        ask = text_to_image if way == "text_to_image" else image_to_text
        return ask(cases.paired, relevant=relevant, **few).scores
    except InputError as error:
        return str(error)


def spelled_out(
    asked: Iterable[Hypothesis], attributes: Mapping[str, NDArray[np.str_]]
) -> list[tuple[str, str, str]]:
    """Spell out hypotheses: attribute, group and outcome of each test.

    Only of groups that are there; a hypothesis without a group stands for each but "unknown".
    """
    tests: dict[tuple[str, str, str], None] = {}
    for one in asked:
        parts = [attributes[name].tolist() for name in one.attribute.split("*")]
        there = {"*".join(cell) for cell in zip(*parts, strict=True)}
        named = sorted(g for g in there if UNKNOWN not in g.split("*"))
        for group in named if one.group is None else there & {one.group}:
            tests[one.attribute, group, one.outcome] = None
    return list(tests)
