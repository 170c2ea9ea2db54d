"""Why a case was found: what in query and hit carries the similarity, if a test bears it out.

A map of an image is always easy to draw, and readers believe it. So a region or a sentence is shown
only if it passes a test of faithfulness in this very comparison
(:mod:`medembed.attribution.faithfulness`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from medembed.attribution.case_images import CaseImages
from medembed.attribution.cells import CellImage, control_maps
from medembed.attribution.faithfulness import (
    Faithfulness,
    check_faithfulness,
    drops,
    rises,
    summed,
)
from medembed.attribution.feature_cells import UsualFeatures, feature_losses
from medembed.attribution.region import Region, carrying_cells
from medembed.attribution.sentences import (
    FEWEST_SENTENCES,
    order_controls,
    score_of_sentences,
    spans_of,
)

if TYPE_CHECKING:
    from medembed.model.dual_encoder import DualEncoder
    from medembed.notes import Note

__all__ = [
    "HitWhy",
    "ImageWhy",
    "NoteWhy",
    "Phrase",
    "WhyState",
    "why_image",
    "why_note",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Vectors: TypeAlias = npt.NDArray[np.float32]
VectorScore: TypeAlias = Callable[[Vectors], Floats]

_MOST_PHRASES = 3
_OF_PIXELS = [3.0, 1.0]
"""Factors of losses and gains, chosen on validation cases (docs/results/why.md)."""
_WITH_FEATURES = [1.0, 1.0, 1.0]
"""Of the same, and of the losses of features."""


class WhyState(StrEnum):
    """Whether something is shown, and why not."""

    SHOWN = "shown"
    NOT_FAITHFUL = "not faithful"
    MODEL_FAILED = "model failed"
    NO_ENCODER = "no encoder"
    UNREADABLE = "unreadable"
    TOO_SHORT = "too short"
    NOT_COMPARED = "not compared"


STATE_TEXTS: Mapping[WhyState, str] = MappingProxyType(
    {
        WhyState.SHOWN: "shown",
        WhyState.NOT_FAITHFUL: "no region carries this match",
        WhyState.MODEL_FAILED: "not shown: with this model, maps did not pass the test on "
        "held-out cases of this library",
        WhyState.NO_ENCODER: "not known: the library has no encoder for these vectors",
        WhyState.UNREADABLE: "not known: the image cannot be read any more",
        WhyState.NOT_COMPARED: "the query was compared with reports, not with images",
        WhyState.TOO_SHORT: f"the report has fewer than {FEWEST_SENTENCES} sentences",
    }
)


@dataclass(frozen=True, eq=False)
class ImageWhy:
    """The region of an image that carries a similarity.

    Parameters
    ----------
    state : WhyState
        The region is None unless it is SHOWN.
    region : Region or None
    score, without : float or None
        The similarity, and what it is without the region.
    faithfulness : Faithfulness or None
        None if it was not tested.
    scan, image : int
        Position of the scan in the case, and of the image in the scan.
    """

    state: WhyState
    region: Region | None = None
    score: float | None = None
    without: float | None = None
    faithfulness: Faithfulness | None = None
    weights: Floats | None = None
    scan: int = 0
    image: int = 0

    def __str__(self) -> str:
        if self.region is None:
            return STATE_TEXTS[self.state]
        return f"{self.region}; without it {self.score:.2f} becomes {self.without:.2f}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data; the weights of the cells only if the region is shown."""
        shown = self.state is WhyState.SHOWN
        return {
            "state": self.state,
            "region": None if self.region is None else self.region.to_json(),
            "score": _rounded(self.score),
            "without": _rounded(self.without) if shown else None,
            "scan": self.scan,
            "image": self.image,
            "weights": np.round(self.weights, 6).tolist()
            if shown and self.weights is not None
            else None,
            "line": str(self),
        }


@dataclass(frozen=True)
class Phrase:
    """A sentence of a report that carries a similarity.

    Parameters
    ----------
    start, end : int
        Its span in the note's text.
    text : str
    weight : float
        By how much the similarity falls without it.
    """

    start: int
    end: int
    text: str
    weight: float


@dataclass(frozen=True, eq=False)
class NoteWhy:
    """The sentences of the hit's report that carry the similarity of query and report.

    Parameters
    ----------
    state : WhyState
        There are no phrases unless it is SHOWN.
    phrases : tuple of Phrase
        At most three, the largest weight first.
    score : float or None
        Similarity of the query to the report. The search compares the image, so this is beside the
        hit's score, not a part of it.
    faithfulness : Faithfulness or None
    """

    state: WhyState
    phrases: tuple[Phrase, ...] = ()
    score: float | None = None
    faithfulness: Faithfulness | None = None

    def __str__(self) -> str:
        if self.state is WhyState.NOT_FAITHFUL:
            return "no sentence carries this match"
        if self.state is not WhyState.SHOWN:
            return STATE_TEXTS[self.state]
        return " … ".join(f'"{" ".join(phrase.text.split())}"' for phrase in self.phrases)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "state": self.state,
            "phrases": [
                {"start": p.start, "end": p.end, "text": p.text, "weight": _rounded(p.weight)}
                for p in self.phrases
            ],
            "score": _rounded(self.score),
            "line": str(self),
        }


@dataclass(frozen=True, eq=False)
class HitWhy:
    """Why a case was found.

    Parameters
    ----------
    case_id : str
    hit : ImageWhy
        Region of the hit's image.
    query : ImageWhy or None
        Region of the query's image; None if the query has none.
    note : NoteWhy or None
        Sentences of the hit's report; None if it has none.
    """

    case_id: str
    hit: ImageWhy
    query: ImageWhy | None = None
    note: NoteWhy | None = None

    def lines(self) -> list[str]:
        """Return a line for a person on each part."""
        parts = {"in the hit": self.hit, "in the query": self.query, "in its report": self.note}
        return [f"{name}: {part}" for name, part in parts.items() if part is not None]

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as ``medembed search --why --json`` prints it."""
        return {
            "case_id": self.case_id,
            "hit": self.hit.to_json(),
            "query": None if self.query is None else self.query.to_json(),
            "note": None if self.note is None else self.note.to_json(),
            "lines": self.lines(),
        }


def why_image(
    images: CaseImages,
    score: VectorScore,
    cosine: VectorScore | None = None,
    usual: UsualFeatures | None = None,
) -> ImageWhy:
    """Find the region of a case's images that carries a score of its vector, and test it.

    Parameters
    ----------
    images : CaseImages
    score : callable
        Scores ``(n,)`` of case vectors ``(n, dim)``.
    cosine : callable, optional
        The score that a reader sees, if it is another.
    usual : callable, optional
        Mean features of other images. The map is that of pixels alone without them, or if the model
        has no features with places.
    """
    at = images.carrying_image(score)
    cells = CellImage(images.image(at))
    scores = (
        images.score_of_cells(at, cells, score),
        images.score_of_cells(at, cells, score, blurred=True),
    )
    _, losses = drops(scores[0], cells.n_cells)
    parts, factors = [losses, rises(scores[1], cells.n_cells)], _OF_PIXELS
    deeper = None if usual is None else feature_losses(images, at, score, cells.grid, usual)
    if deeper is not None:
        parts, factors = [*parts, deeper], _WITH_FEATURES
    weights = summed(parts, factors)
    seen = images.score_of_cells(at, cells, cosine or score)
    carrying = carrying_cells(weights, cells.grid)
    whole, without = map(float, seen(np.stack([np.ones_like(carrying), ~carrying])))
    scan, place = images.places[at]
    found: dict[str, Any] = {"score": whole, "without": without, "scan": scan, "image": place}
    if weights.max() <= 0:
        return ImageWhy(WhyState.NOT_FAITHFUL, **found)
    controls = control_maps(weights, cells.grid)
    found["faithfulness"] = test = check_faithfulness(scores, weights, controls)
    found["weights"] = weights.reshape(cells.grid)
    if not test.passed or without >= whole:
        return ImageWhy(WhyState.NOT_FAITHFUL, **found)
    return ImageWhy(WhyState.SHOWN, Region.of(weights, cells.grid, images.frames[at]), **found)


def why_note(model: DualEncoder, note: Note, score: VectorScore) -> NoteWhy:
    """Find the sentences of a report that carry a score of its vector, and test them."""
    spans = spans_of(note)
    if len(spans) < FEWEST_SENTENCES:
        return NoteWhy(WhyState.TOO_SHORT)
    of_sentences = score_of_sentences(model, [note.text[a:b] for a, b in spans], score)
    whole, weights = drops(of_sentences, len(spans))
    if weights.max() <= 0:
        return NoteWhy(WhyState.NOT_FAITHFUL, score=whole)
    test = check_faithfulness((of_sentences, of_sentences), weights, order_controls(weights))
    if not test.passed:
        return NoteWhy(WhyState.NOT_FAITHFUL, score=whole, faithfulness=test)
    strong = [at for at in np.argsort(-weights) if weights[at] >= weights.max() / 2]
    phrases = tuple(
        Phrase(start, end, note.text[start:end], float(weights[at]))
        for at in strong[:_MOST_PHRASES]
        for start, end in [spans[at]]
    )
    return NoteWhy(WhyState.SHOWN, phrases, whole, test)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
