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
from evaluation.retrieval.rank_statistics import RankStatistics, ScoreRows, rank
from evaluation.retrieval.relevance import Pairs, SameLabel, but_not
from evaluation.retrieval.score_rows import RankedLists, Scorer
from evaluation.retrieval.scores import RUN_MEASURES, RetrievalScores, summarise
from medembed.errors import InputError

__all__ = [
    "Relevance",
    "TaskScores",
    "image_to_image",
    "image_to_text",
    "ranked_elsewhere",
    "text_to_image",
]

Relevance = Literal["own", "finding"]
"""What counts: the case's own partner, or another patient's with the same finding and side."""

PAIR_MEASURES = ("R@1", "R@5", "R@10", "MRR", "median_rank", "nDCG@10")
NEIGHBOR_MEASURES = ("P@1", "P@5", "P@10", "nDCG@10", "MRR")
_DEPTH = 10
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
    cases : LoadedCases
    side : bool
        Whether the finding has to be on the same side.
    scores : callable of (start, stop), optional
        Scores of those cases against all of them, shape ``(stop - start, n)``, of another ranking
        than that by cosines; a new array each time. It has no null controls: ``shuffles=0``.
    measures : sequence of str
        As in :func:`evaluation.retrieval_scores`, up to 10 cases deep.
    repetitions, shuffles, seed : int

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


def ranked_elsewhere(
    cases: LoadedCases,
    lists: RankedLists,
    *,
    relevant: Relevance = "finding",
    side: bool = True,
    repetitions: int = 2000,
    seed: int = 0,
) -> RetrievalScores:
    """Measure the hits of another system by the same relevance and the same exclusions.

    Parameters
    ----------
    cases : LoadedCases
        Queries and gallery; no vectors are needed.
    lists : RankedLists
        For each case, in their order, its hits among the cases.
    relevant, side, repetitions, seed
        As in the other tasks.
    """
    return _measured(
        cases, lambda *_: lists.rows, _Rules(cases, relevant, side), RUN_MEASURES,
        repetitions, 0, seed, truncated=True,
    ).scores  # fmt: skip


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
    """Rank one kind of vectors by the other."""
    scorer = Scorer(queries, gallery)
    copies = None
    if queries is gallery:  # a report and an image are never the same vector
        copies = np.unique(gallery, axis=0, return_inverse=True)[1].ravel().astype(np.int64)

    def score_rows(rows: Rows, image_of: Rows, note_of: Rows) -> ScoreRows:
        if relevant == "finding":
            return scores or scorer.reordered(image_of[rows], image_of)
        asks, given = (image_of, note_of) if queries is cases.images else (note_of, image_of)
        return scorer.reordered(asks[rows], given)

    return _measured(
        cases, score_rows, _Rules(cases, relevant, side, copies),
        PAIR_MEASURES if relevant == "own" else measures, repetitions, shuffles, seed,
    )  # fmt: skip


@dataclass(frozen=True)
class _Rules:
    """What is relevant to a case, and what is left out of its pool and why."""

    cases: LoadedCases
    relevant: Relevance
    side: bool
    copies: Rows | None = None

    def pairs(self, rows: Rows, image_of: Rows, finding_of: Rows) -> tuple[Pairs, dict[str, Pairs]]:
        """Give both for these queries, where images or findings belong to other cases."""
        cases, scans = self.cases, self.cases.scans[image_of]
        own = SameLabel(cases.owners[rows], cases.owners)
        same_scan = SameLabel(scans[rows], scans)
        if self.relevant == "own":
            right = SameLabel(cases.note_text[rows], cases.note_text)
            return right, {
                "own patient, other case": but_not(own, right),
                "same scan file": but_not(same_scan, right),
            }
        left_out: dict[str, Pairs] = {
            "the query itself": SameLabel(rows, np.arange(len(cases))),
            "own patient, other case": own,
            "same scan file": same_scan,
        }
        if self.copies is not None:
            vectors = self.copies[image_of]
            left_out["same vector"] = SameLabel(vectors[rows], vectors)
        findings = [cases.findings[i] for i in finding_of]
        return same_finding([findings[i] for i in rows], findings, side=self.side), left_out


def _measured(
    cases: LoadedCases,
    score_rows: Callable[[Rows, Rows, Rows], ScoreRows],
    rules: _Rules,
    measures: Sequence[str],
    repetitions: int,
    shuffles: int,
    seed: int,
    *,
    truncated: bool = False,
) -> TaskScores:
    """Measure, and measure again while cases are shuffled.

    ``score_rows`` is called with the rows that are queries, the case whose image each case has,
    and the case whose note or findings each case has: two permutations.
    """
    n = len(cases)
    same = np.arange(n, dtype=np.int64)

    def ranked(rows: Rows, image_of: Rows, other_of: Rows) -> tuple[RankStatistics, dict[str, int]]:
        right, left_out = rules.pairs(rows, image_of, other_of)
        scores = score_rows(rows, image_of, other_of)
        return rank(scores, right, left_out, depth=_DEPTH, truncated=truncated)

    found, n_excluded = ranked(same, same, same)
    scores = summarise(
        found, cases.owners, pool=n, excluded=n_excluded, measures=measures,
        repetitions=repetitions, seed=seed,
    )  # fmt: skip
    if not shuffles:
        return TaskScores(scores, {})
    # Queries of the null controls: all of them, or a draw if the pool is large.
    size = min(n, max(200, _NULL_CELLS // n))
    few = np.sort(np.random.default_rng([seed, n]).permutation(n)[:size]).astype(np.int64)
    other = "notes_shuffled" if rules.relevant == "own" else "findings_shuffled"
    shuffled: dict[str, Callable[[Rows], RankStatistics]] = {
        "images_shuffled": lambda order: ranked(few, order, same)[0],
        other: lambda order: ranked(few, same, order)[0],
    }
    return TaskScores(
        scores,
        {
            name: null_control(null, n, measures, repetitions=shuffles, seed=seed + at)
            for at, (name, null) in enumerate(shuffled.items())
        },
    )
