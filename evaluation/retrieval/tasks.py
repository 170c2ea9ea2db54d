"""The retrieval tasks: a report finds its scan, a scan its report, a scan other patients' scans.

A case's own partner is relevant, and so is every partner whose note reads the same: a report that
several patients share cannot tell them apart. Other cases of the query's patient, and of the same
scan file, are left out of its pool unless their note reads the same: to find the same person's
other study is neither an error nor a success; counting it would reward or punish the recognition of
a patient. If the same finding is relevant, the query itself, its patient's other cases and copies
(same scan file; between images, same vector to the last bit) are left out whatever they show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.load_cases import LoadedCases, same_finding
from evaluation.retrieval.null_controls import NullControl, null_control
from evaluation.retrieval.rank_statistics import RankStatistics, ScoreRows, depth_of, rank
from evaluation.retrieval.relevance import Pairs, SameLabel, but_not
from evaluation.retrieval.scores import RetrievalScores, Scorer, score_ranking
from medembed.errors import InputError

__all__ = [
    "Relevance",
    "TaskScores",
    "image_to_image",
    "image_to_text",
    "pool_rules",
    "text_to_image",
]

Relevance = Literal["own", "finding"]
"""What counts: the case's own partner, or another patient's with the same finding and side."""

PAIR_MEASURES = ("R@1", "R@5", "R@10", "MRR", "median_rank", "nDCG@10")
NEIGHBOR_MEASURES = ("P@1", "P@5", "P@10", "nDCG@10", "MRR")
_NULL_CELLS = 300_000

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TaskScores:
    """Scores of one retrieval task, and its null controls.

    Parameters
    ----------
    scores : RetrievalScores
    nulls : dict of str to NullControl
        By what was shuffled: ``images_shuffled``, ``notes_shuffled``, ``findings_shuffled``. Empty
        with ``shuffles=0``.
    """

    scores: RetrievalScores
    nulls: dict[str, NullControl]


def text_to_image(
    cases: LoadedCases,
    *,
    relevant: Relevance = "own",
    repetitions: int = 2000,
    shuffles: int = 100,
    seed: int = 0,
) -> TaskScores:
    """Search with each note for its own scan, or for other patients' with the same finding."""
    return _search(cases, _notes(cases), cases.images, relevant, repetitions, shuffles, seed)


def image_to_text(
    cases: LoadedCases,
    *,
    relevant: Relevance = "own",
    repetitions: int = 2000,
    shuffles: int = 100,
    seed: int = 0,
) -> TaskScores:
    """Search with each scan for its own note, or for other patients' with the same finding."""
    return _search(cases, cases.images, _notes(cases), relevant, repetitions, shuffles, seed)


def image_to_image(
    cases: LoadedCases,
    *,
    side: bool = True,
    scores: ScoreRows | None = None,
    measures: Sequence[str] = NEIGHBOR_MEASURES,
    repetitions: int = 2000,
    shuffles: int = 100,
    seed: int = 0,
) -> TaskScores:
    """Search with each scan for other patients' scans with the same finding.

    Parameters
    ----------
    side : bool
        Whether the finding has to be on the same side.
    scores : callable of (start, stop), optional
        :data:`~evaluation.retrieval.rank_statistics.ScoreRows` of another ranking than that by
        cosines. It has no null controls: ``shuffles=0``.
    measures : sequence of str
        As in :func:`evaluation.retrieval_scores`.

    Raises
    ------
    InputError
        If no case shares a finding with one of another patient.
    """
    if scores is not None and shuffles:
        raise InputError("null controls of given scores", hint="shuffles=0")
    return _search(
        cases, cases.images, cases.images, "finding", repetitions, shuffles, seed,
        side=side, scores=scores, measures=measures,
    )  # fmt: skip


def _notes(cases: LoadedCases) -> NDArray[np.float32]:
    if cases.notes is None:
        raise InputError("cases that were loaded without notes")
    return cases.notes


def _search(
    cases: LoadedCases,
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    relevant: Relevance,
    repetitions: int,
    shuffles: int,
    seed: int,
    *,
    side: bool = True,
    scores: ScoreRows | None = None,
    measures: Sequence[str] = NEIGHBOR_MEASURES,
) -> TaskScores:
    """Rank one kind of vectors by the other, and again while cases are shuffled."""
    n = len(cases)
    same = np.arange(n, dtype=np.int64)
    scorer = Scorer(queries, gallery)
    copies = None
    if queries is gallery:  # a report and an image are never the same vector
        copies = np.unique(gallery, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    if relevant == "own":
        measures = PAIR_MEASURES

    def score_rows(rows: Rows, image_of: Rows, note_of: Rows) -> ScoreRows:
        if relevant == "finding":
            return scores or scorer.reordered(image_of[rows], image_of)
        asks, given = (image_of, note_of) if queries is cases.images else (note_of, image_of)
        return scorer.reordered(asks[rows], given)

    right, left_out = pool_rules(cases, relevant, side, copies=copies)
    found = score_ranking(
        score_rows(same, same, same), right, left_out, cases.owners, measures,
        repetitions=repetitions, seed=seed,
    )  # fmt: skip
    if not shuffles:
        return TaskScores(found, {})
    # Queries of the null controls: all of them, or a draw if the pool is large.
    size = min(n, max(200, _NULL_CELLS // n))
    few = np.sort(np.random.default_rng([seed, n]).permutation(n)[:size]).astype(np.int64)

    def shuffled(image_of: Rows, other_of: Rows) -> RankStatistics:
        rules = pool_rules(cases, relevant, side, few, image_of, other_of, copies)
        return rank(score_rows(few, image_of, other_of), *rules, depth=depth_of(measures))[0]

    other = "notes_shuffled" if relevant == "own" else "findings_shuffled"
    nulls: dict[str, Callable[[Rows], RankStatistics]] = {
        "images_shuffled": lambda order: shuffled(order, same),
        other: lambda order: shuffled(same, order),
    }
    return TaskScores(
        found,
        {
            name: null_control(null, n, measures, repetitions=shuffles, seed=seed + at)
            for at, (name, null) in enumerate(nulls.items())
        },
    )


def pool_rules(
    cases: LoadedCases,
    relevant: Relevance,
    side: bool,
    rows: Rows | None = None,
    image_of: Rows | None = None,
    other_of: Rows | None = None,
    copies: Rows | None = None,
) -> tuple[Pairs, dict[str, Pairs]]:
    """What is relevant to a case, and what is left out of its pool and why.

    ``rows`` are the queries, all by default. ``image_of`` and ``other_of`` name the case whose
    image, and whose note or findings, each case has. ``copies`` are equal for equal vectors.
    """
    same = np.arange(len(cases), dtype=np.int64)
    rows, image_of, other_of = (same if x is None else x for x in (rows, image_of, other_of))
    scans = cases.scans[image_of]
    own = SameLabel(cases.owners[rows], cases.owners)
    same_scan = SameLabel(scans[rows], scans)
    if relevant == "own":
        right = SameLabel(cases.note_text[rows], cases.note_text)
        return right, {
            "own patient, other case": but_not(own, right),
            "same scan file": but_not(same_scan, right),
        }
    left_out: dict[str, Pairs] = {
        "the query itself": SameLabel(rows, same),
        "own patient, other case": own,
        "same scan file": same_scan,
    }
    if copies is not None:
        left_out["same vector"] = SameLabel(copies[image_of][rows], copies[image_of])
    findings = [cases.findings[i] for i in other_of]
    return same_finding([findings[i] for i in rows], findings, side=side), left_out
