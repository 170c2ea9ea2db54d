"""How well each case's own query was answered: the outcomes that an audit compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.directions import image_to_image, image_to_text, text_to_image
from evaluation.gathering import GatheredCases
from evaluation.retrieval import RetrievalScores
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
_ALIKE = "the past cases shown beside theirs have other findings and mislead the reader"

OUTCOMES: dict[str, Outcome] = {
    "image_to_image.P@1": Outcome("first similar case shares a finding and its side", _ALIKE),
    "image_to_image.P@5": Outcome(
        "share of the first 5 similar cases with a same finding and side", _ALIKE, "score"
    ),
    "image_to_image.P@10": Outcome(
        "share of the first 10 similar cases with a same finding and side", _ALIKE, "score"
    ),
    "image_to_image.adjusted P@5": Outcome(
        "the same of the first 5, chance taken off", _ALIKE, "score"
    ),
    "image_to_image.adjusted P@10": Outcome(
        "the same of the first 10, chance taken off", _ALIKE, "score"
    ),
    "image_to_image.nDCG@10": Outcome("order of the first 10 similar cases", _ALIKE, "score"),
    "image_to_image.MRR": Outcome(
        "reciprocal rank of the first case with a same finding and side", _ALIKE, "score"
    ),
    "text_to_image.R@1": Outcome("report finds its own scan first", _OWN_SCAN),
    "text_to_image.R@5": Outcome("report finds its own scan among 5", _OWN_SCAN),
    "text_to_image.R@10": Outcome("report finds its own scan among 10", _OWN_SCAN),
    "text_to_image.MRR": Outcome("reciprocal rank of a report's own scan", _OWN_SCAN, "score"),
    "text_to_image.nDCG@10": Outcome("a report's own scan high among 10", _OWN_SCAN, "score"),
    "image_to_text.R@1": Outcome("scan finds its own report first", _OWN_REPORT),
    "image_to_text.R@5": Outcome("scan finds its own report among 5", _OWN_REPORT),
    "image_to_text.R@10": Outcome("scan finds its own report among 10", _OWN_REPORT),
    "image_to_text.MRR": Outcome("reciprocal rank of a scan's own report", _OWN_REPORT, "score"),
    "image_to_text.nDCG@10": Outcome("a scan's own report high among 10", _OWN_REPORT, "score"),
}
"""By name: the way that is asked, a point, and the measure."""


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
        Of another ranking of images by images, as :func:`~evaluation.directions.image_to_image`
        takes them.

    Returns
    -------
    columns : dict of str to float64 array of shape (n_cases,)
        NaN for a query that has nothing relevant, or no note.
    missing : dict of str to str
        Outcomes that could not be measured at all, and why.
    """
    found: dict[str, RetrievalScores] = {}
    missing: dict[str, str] = {}
    for way in dict.fromkeys(name.partition(".")[0] for name in outcomes):
        try:
            if way == "image_to_image":
                found[way] = image_to_image(by_image, scores=scores, shuffles=0, seed=seed).scores
            elif paired is None or rows_of_pairs is None:
                missing[way] = "the cases have no notes with vectors of this model"
            else:
                ask = text_to_image if way == "text_to_image" else image_to_text
                found[way] = ask(paired, shuffles=0, seed=seed).scores
        except InputError as error:
            missing[way] = str(error)
    columns: dict[str, NDArray[np.float64]] = {}
    for name in outcomes:
        way, _, measure = name.partition(".")
        if way not in found:
            continue
        measured = found[way]
        held = measured.per_query[measure.removeprefix("adjusted ")]
        if measure.startswith("adjusted "):
            chance = measured.per_query["chance:" + measure.removeprefix("adjusted ")]
            held = np.where(chance < 1, (held - chance) / np.maximum(1 - chance, 1e-12), np.nan)
        rows = measured.queries
        if way != "image_to_image" and rows_of_pairs is not None:
            rows = rows_of_pairs[rows]
        column = np.full(len(by_image), np.nan)
        column[rows] = held
        columns[name] = column
    return columns, {name: missing[w] for name in outcomes if (w := name.split(".")[0]) in missing}
