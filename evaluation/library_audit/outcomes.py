"""How well each case's own query was answered: the outcomes that an audit compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.load_cases import LoadedCases as GatheredCases
from evaluation.retrieval.scores import RetrievalScores
from evaluation.retrieval.tasks import Relevance, image_to_image, image_to_text, text_to_image
from medembed.errors import InputError

__all__ = ["OUTCOMES", "Outcome", "outcome_columns"]


@dataclass(frozen=True)
class Outcome:
    """An outcome in words.

    Parameters
    ----------
    title, harm : str
        For a reader who is no statistician.
    unit : {"proportion", "score"}
    """

    title: str
    harm: str
    unit: str = "proportion"


_OWN_REPORT = "their own report is not found from the image, so a comparison with it is missed"
_OWN_SCAN = "their scan is not found from the report, so past images are missed"
_BY_WORDS = "the past cases shown for their report have other findings and mislead the reader"
_TOLD = "the past reports shown for their image tell of other findings and mislead the reader"
_ALIKE = "the past cases shown beside theirs have other findings and mislead the reader"

_NEIGHBOURS = ("P@1", "P@5", "P@10", "R@5", "R@10", "nDCG@10", "MRR")

OUTCOMES: dict[str, Outcome] = {
    "image_to_image.P@1": Outcome("first similar case shares a finding and its side", _ALIKE),
    "image_to_image.P@5": Outcome(
        "share of the first 5 similar cases with the same finding and side", _ALIKE, "score"
    ),
    "image_to_image.P@10": Outcome(
        "share of the first 10 similar cases with the same finding and side", _ALIKE, "score"
    ),
    "image_to_image.adjusted P@5": Outcome(
        "the same of the first 5, corrected for chance", _ALIKE, "score"
    ),
    "image_to_image.adjusted P@10": Outcome(
        "the same of the first 10, corrected for chance", _ALIKE, "score"
    ),
    "image_to_image.R@5": Outcome("the same finding and side among the first 5", _ALIKE),
    "image_to_image.R@10": Outcome("the same finding and side among the first 10", _ALIKE),
    "image_to_image.nDCG@10": Outcome("order of the first 10 similar cases", _ALIKE, "score"),
    "image_to_image.MRR": Outcome(
        "reciprocal rank of the first case with the same finding and side", _ALIKE, "score"
    ),
    "text_to_image.R@1": Outcome("report finds its own scan first", _OWN_SCAN),
    "text_to_image.R@5": Outcome("report finds its own scan among the first 5", _OWN_SCAN),
    "text_to_image.R@10": Outcome("report finds its own scan among the first 10", _OWN_SCAN),
    "text_to_image.MRR": Outcome("reciprocal rank of a report's own scan", _OWN_SCAN, "score"),
    "text_to_image.nDCG@10": Outcome(
        "rank of a report's own scan in the first 10", _OWN_SCAN, "score"
    ),
    "text_to_image.P@1": Outcome("first scan for a report shares a finding and side", _BY_WORDS),
    "text_to_image.P@5": Outcome(
        "share of the first 5 scans for a report with the same finding and side", _BY_WORDS, "score"
    ),
    "text_to_image.P@10": Outcome(
        "share of the first 10 scans for a report with the same finding and side",
        _BY_WORDS,
        "score",
    ),
    "text_to_image.adjusted P@5": Outcome(
        "the same of a report's first 5, corrected for chance", _BY_WORDS, "score"
    ),
    "text_to_image.adjusted P@10": Outcome(
        "the same of a report's first 10, corrected for chance", _BY_WORDS, "score"
    ),
    "image_to_text.R@1": Outcome("scan finds its own report first", _OWN_REPORT),
    "image_to_text.R@5": Outcome("scan finds its own report among the first 5", _OWN_REPORT),
    "image_to_text.R@10": Outcome("scan finds its own report among the first 10", _OWN_REPORT),
    "image_to_text.MRR": Outcome("reciprocal rank of a scan's own report", _OWN_REPORT, "score"),
    "image_to_text.nDCG@10": Outcome(
        "rank of a scan's own report in the first 10", _OWN_REPORT, "score"
    ),
    "image_to_text.P@1": Outcome("first report for a scan shares a finding and side", _TOLD),
    "image_to_text.P@5": Outcome(
        "share of the first 5 reports for a scan with the same finding and side", _TOLD, "score"
    ),
    "image_to_text.P@10": Outcome(
        "share of the first 10 reports for a scan with the same finding and side", _TOLD, "score"
    ),
    "image_to_text.adjusted P@5": Outcome(
        "the same of a scan's first 5 reports, corrected for chance", _TOLD, "score"
    ),
    "image_to_text.adjusted P@10": Outcome(
        "the same of a scan's first 10 reports, corrected for chance", _TOLD, "score"
    ),
}
"""By name: the way that is asked, a point, and the measure.

With words R, MRR and nDCG are of a case's own partner, P of other patients' cases with the same
finding and side; between images all are of these.
"""


def outcome_columns(
    outcomes: Sequence[str],
    by_image: GatheredCases,
    paired: GatheredCases | None,
    rows_of_pairs: NDArray[np.int64] | None,
    seed: int,
    scores: Callable[[int, int], NDArray[np.floating]] | None = None,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """Measure each case's own query.

    Parameters
    ----------
    outcomes : sequence of str
        Of :data:`OUTCOMES`.
    by_image : GatheredCases
        All cases; the rows of the result.
    paired : GatheredCases or None
        Those with a note.
    rows_of_pairs : int array or None
        Where each of these stands among all.
    seed : int
    scores : callable of (start, stop), optional
        Of another ranking of images by images, as
        :func:`~evaluation.retrieval.tasks.image_to_image` takes them.

    Returns
    -------
    columns : dict of str to float64 array of shape (n_cases,)
        NaN for a query that has nothing relevant, or no note.
    missing : dict of str to str
        Outcomes that could not be measured at all, and why.
    """
    found: dict[tuple[str, Relevance], RetrievalScores] = {}
    missing: dict[tuple[str, Relevance], str] = {}
    for way, relevant in dict.fromkeys(map(_asked, outcomes)):
        try:
            if way == "image_to_image":
                measured = image_to_image(
                    by_image, scores=scores, measures=_NEIGHBOURS, shuffles=0, seed=seed
                )
            elif paired is None or rows_of_pairs is None:
                missing[way, relevant] = "the cases have no notes with vectors of this model"
                continue
            else:
                ask = text_to_image if way == "text_to_image" else image_to_text
                measured = ask(paired, relevant=relevant, shuffles=0, seed=seed)
            found[way, relevant] = measured.scores
        except InputError as error:
            missing[way, relevant] = str(error)
    columns: dict[str, NDArray[np.float64]] = {}
    for name in outcomes:
        if _asked(name) not in found:
            continue
        way, _, measure = name.partition(".")
        held = found[_asked(name)]
        values = held.per_query[measure.removeprefix("adjusted ")]
        if measure.startswith("adjusted "):
            chance = held.per_query["chance:" + measure.removeprefix("adjusted ")]
            values = np.where(chance < 1, (values - chance) / np.maximum(1 - chance, 1e-12), np.nan)
        rows = held.queries
        if way != "image_to_image" and rows_of_pairs is not None:
            rows = rows_of_pairs[rows]
        column = np.full(len(by_image), np.nan)
        column[rows] = values
        columns[name] = column
    return columns, {name: missing[_asked(name)] for name in outcomes if _asked(name) in missing}


def _asked(outcome: str) -> tuple[str, Relevance]:
    """The way that an outcome asks, and what it counts as relevant."""
    way, _, measure = outcome.partition(".")
    alike = way == "image_to_image" or measure.removeprefix("adjusted ").startswith("P@")
    return way, "finding" if alike else "own"
