"""The three ways to ask: words for an image, an image for words, an image for images.

Who is in a query's pool
------------------------
*Text to image and image to text.* The case's own partner is relevant, and so is every partner
whose note reads the same: a report that several patients share cannot tell them apart. Other cases
of the own patient, and other cases that hold the same scan file, are left out unless their note
reads the same: to find the same person's other study is neither an error nor a success, and
counting it as either would reward or punish the recognition of a patient. It is also what the
search does, where the query's own patient never answers for itself.

*Image to image*, and words and images asked for cases with the same finding. The query itself, all
else of its own patient, and copies (same scan file; between images same vector to the last bit) are
left out whatever they show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.load_cases import GatheredCases, same_finding
from evaluation.retrieval.null_controls import NullControl, null_control
from evaluation.retrieval.rank_statistics import Standing, stand
from evaluation.retrieval.relevance import ButNot, Pairs, SameLabel
from evaluation.retrieval.scores import RetrievalScores, Scorer, summarise
from medembed.errors import InputError

__all__ = ["Direction", "Relevance", "image_to_image", "image_to_text", "text_to_image"]

Relevance = Literal["own", "finding"]
"""What counts: the case's own partner, or another patient's with the same finding and side."""

PAIR_MEASURES = ("R@1", "R@5", "R@10", "MRR", "median_rank", "nDCG@10")
NEIGHBOUR_MEASURES = ("P@1", "P@5", "P@10", "nDCG@10", "MRR")
_DEPTH = 10
_NULL_CELLS = 300_000


@dataclass(frozen=True)
class Direction:
    """Scores of one way to ask, and its null controls.

    Parameters
    ----------
    scores : RetrievalScores
    nulls : dict of str to NullControl
        By what was shuffled: ``images_shuffled``, ``notes_shuffled``, ``findings_shuffled``. Empty
        where none was asked for (``shuffles=0``).
    """

    scores: RetrievalScores
    nulls: dict[str, NullControl]

    def nulls_json(self) -> dict[str, Any]:
        """Plain values, by what was shuffled."""
        return {name: null.to_json() for name, null in self.nulls.items()}


def text_to_image(
    cases: GatheredCases,
    *,
    relevant: Relevance = "own",
    repetitions: int = 2000,
    shuffles: int = 100,
    seed: int = 0,
) -> Direction:
    """Ask with each note for its own scan, or for other patients' with the same finding."""
    if relevant == "finding":
        return _alike(cases, _notes(cases), cases.images, repetitions, shuffles, seed)
    return _pairs(cases, repetitions, shuffles, seed, by_note=True)


def image_to_text(
    cases: GatheredCases,
    *,
    relevant: Relevance = "own",
    repetitions: int = 2000,
    shuffles: int = 100,
    seed: int = 0,
) -> Direction:
    """Ask with each scan for its own note, or for other patients' with the same finding."""
    if relevant == "finding":
        return _alike(cases, cases.images, _notes(cases), repetitions, shuffles, seed)
    return _pairs(cases, repetitions, shuffles, seed, by_note=False)


def _notes(cases: GatheredCases) -> NDArray[np.float32]:
    if cases.notes is None:
        raise InputError("cases that were gathered without notes")
    return cases.notes


def _pairs(
    cases: GatheredCases, repetitions: int, shuffles: int, seed: int, *, by_note: bool
) -> Direction:
    notes = _notes(cases)
    n = len(cases)
    same = np.arange(n, dtype=np.int64)
    scorer = Scorer(notes, cases.images) if by_note else Scorer(cases.images, notes)

    def standing(
        rows: NDArray[np.int64], image_of: NDArray[np.int64], note_of: NDArray[np.int64]
    ) -> tuple[Standing, dict[str, int]]:
        scans = cases.scans[image_of]
        asked, gallery = (note_of, image_of) if by_note else (image_of, note_of)
        right = SameLabel(cases.note_text[rows], cases.note_text)
        left_out: dict[str, Pairs] = {
            "own patient, other case": ButNot(SameLabel(cases.owners[rows], cases.owners), right),
            "same scan file": ButNot(SameLabel(scans[rows], scans), right),
        }
        return stand(scorer.reordered(asked[rows], gallery), right, left_out, depth=_DEPTH)

    found, n_excluded = standing(same, same, same)
    scores = summarise(
        found,
        cases.owners,
        pool=n,
        excluded=n_excluded,
        measures=PAIR_MEASURES,
        repetitions=repetitions,
        seed=seed,
    )
    if not shuffles:
        return Direction(scores, {})
    few = _some(n, seed)
    nulls = {
        "images_shuffled": null_control(
            lambda p: standing(few, p, same)[0], n, PAIR_MEASURES, repetitions=shuffles, seed=seed
        ),
        "notes_shuffled": null_control(
            lambda p: standing(few, same, p)[0],
            n,
            PAIR_MEASURES,
            repetitions=shuffles,
            seed=seed + 1,
        ),
    }
    return Direction(scores, nulls)


def image_to_image(
    cases: GatheredCases,
    *,
    side: bool = True,
    scores: Callable[[int, int], NDArray[np.floating]] | None = None,
    measures: Sequence[str] = NEIGHBOUR_MEASURES,
    repetitions: int = 2000,
    shuffles: int = 100,
    seed: int = 0,
) -> Direction:
    """Ask with each scan for other patients' scans with the same finding.

    Parameters
    ----------
    cases : GatheredCases
    side : bool
        Whether the finding has to be on the same side.
    scores : callable of (start, stop), optional
        Scores of those cases against all of them, shape ``(stop - start, n)``, of another ranking
        than that by cosines; a new array each time. It has no null controls: ``shuffles=0``.
    measures : sequence of str
        As :func:`evaluation.retrieval_scores` has them, up to 10 cases deep.
    repetitions, shuffles, seed : int

    Raises
    ------
    InputError
        Where no case shares a finding with one of another patient.
    """
    if scores is not None and shuffles:
        raise InputError("null controls of given scores", hint="shuffles=0")
    return _alike(
        cases, cases.images, cases.images, repetitions, shuffles, seed,
        side=side, scores=scores, measures=measures,
    )  # fmt: skip


def _alike(
    cases: GatheredCases,
    asked: NDArray[np.float32],
    gallery: NDArray[np.float32],
    repetitions: int,
    shuffles: int,
    seed: int,
    *,
    side: bool = True,
    scores: Callable[[int, int], NDArray[np.floating]] | None = None,
    measures: Sequence[str] = NEIGHBOUR_MEASURES,
) -> Direction:
    """Ask with each case's vector for other patients' cases with the same finding."""
    n = len(cases)
    same = np.arange(n, dtype=np.int64)
    scorer = Scorer(asked, gallery)
    twins = None
    if asked is gallery:  # a report and an image are never the same vector
        twins = np.unique(gallery, axis=0, return_inverse=True)[1].ravel().astype(np.int64)

    def standing(
        rows: NDArray[np.int64], image_of: NDArray[np.int64], finding_of: NDArray[np.int64]
    ) -> tuple[Standing, dict[str, int]]:
        scans = cases.scans[image_of]
        findings = [cases.findings[i] for i in finding_of]
        right = same_finding([findings[i] for i in rows], findings, side=side)
        left_out: dict[str, Pairs] = {
            "the query itself": SameLabel(rows, same),
            "own patient, other case": SameLabel(cases.owners[rows], cases.owners),
            "same scan file": SameLabel(scans[rows], scans),
        }
        if twins is not None:
            vectors = twins[image_of]
            left_out["same vector"] = SameLabel(vectors[rows], vectors)
        given = scores or scorer.reordered(image_of[rows], image_of)
        return stand(given, right, left_out, depth=_DEPTH)

    found, n_excluded = standing(same, same, same)
    measured = summarise(
        found,
        cases.owners,
        pool=n,
        excluded=n_excluded,
        measures=measures,
        repetitions=repetitions,
        seed=seed,
    )
    if not shuffles:
        return Direction(measured, {})
    few = _some(n, seed)

    def null(shuffle: Callable[[NDArray[np.int64]], Standing], which: int) -> NullControl:
        return null_control(shuffle, n, measures, repetitions=shuffles, seed=seed + which)

    return Direction(
        measured,
        {
            "images_shuffled": null(lambda p: standing(few, p, same)[0], 0),
            "findings_shuffled": null(lambda p: standing(few, same, p)[0], 1),
        },
    )


def _some(n: int, seed: int) -> NDArray[np.int64]:
    """Queries for the null controls: all of them, or a draw where the pool is large."""
    wanted = min(n, max(200, _NULL_CELLS // n))
    drawn = np.random.default_rng([seed, n]).permutation(n)[:wanted]
    return np.sort(drawn).astype(np.int64)
