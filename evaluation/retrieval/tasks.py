"""The retrieval tasks: a report finds its scan, a scan its report, a scan other patients' scans.

Who is in a query's pool
------------------------
*Text to image and image to text.* The case's own partner is relevant, and so is every partner
whose note reads the same: a report that several patients share cannot tell them apart. Other cases
of the query's own patient, and other cases with the same scan file, are left out unless their note
reads the same: finding the same person's other study is neither an error nor a success, and
counting it as either would reward or punish the recognition of a patient. The search does the same:
it never shows hits of the query's own patient.

*Image to image*, and either of the others for cases with the same finding. The query itself, all
other cases of its patient, and copies (same scan file; between images, same vector to the last bit)
are left out whatever they show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.load_cases import GatheredCases, same_finding
from evaluation.retrieval.null_controls import NullControl, null_control
from evaluation.retrieval.rank_statistics import RankStatistics, ScoreRows, rank
from evaluation.retrieval.relevance import ButNot, Pairs, SameLabel
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
_Scores = Callable[[Rows, Rows, Rows], ScoreRows]
"""Called with the rows that are queries, the case whose image each case has, and the case whose
note or findings each case has: two permutations, which null controls shuffle."""
_Relations = Callable[[Rows, Rows, Rows], tuple[Pairs, dict[str, Pairs]]]
"""Called alike: what is relevant, and what is left out and why."""


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
) -> TaskScores:
    """Search with each note for its own scan, or for other patients' with the same finding."""
    if relevant == "finding":
        return _alike(cases, _notes(cases), cases.images, repetitions, shuffles, seed)
    scorer = Scorer(_notes(cases), cases.images)
    return _measured(
        cases, lambda rows, image_of, note_of: scorer.reordered(note_of[rows], image_of),
        _own_partner(cases), "notes_shuffled", PAIR_MEASURES, repetitions, shuffles, seed,
    )  # fmt: skip


def image_to_text(
    cases: GatheredCases,
    *,
    relevant: Relevance = "own",
    repetitions: int = 2000,
    shuffles: int = 100,
    seed: int = 0,
) -> TaskScores:
    """Search with each scan for its own note, or for other patients' with the same finding."""
    if relevant == "finding":
        return _alike(cases, cases.images, _notes(cases), repetitions, shuffles, seed)
    scorer = Scorer(cases.images, _notes(cases))
    return _measured(
        cases, lambda rows, image_of, note_of: scorer.reordered(image_of[rows], note_of),
        _own_partner(cases), "notes_shuffled", PAIR_MEASURES, repetitions, shuffles, seed,
    )  # fmt: skip


def image_to_image(
    cases: GatheredCases,
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
    cases : GatheredCases
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
    return _alike(
        cases, cases.images, cases.images, repetitions, shuffles, seed,
        side=side, scores=scores, measures=measures,
    )  # fmt: skip


def ranked_elsewhere(
    cases: GatheredCases,
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
    cases : GatheredCases
        Queries and gallery; no vectors are needed.
    lists : RankedLists
        For each case, in their order, its hits among the cases.
    relevant : {"own", "finding"}
    side : bool
        Whether a finding has to be on the same side.
    repetitions, seed : int

    Raises
    ------
    InputError
        If no case has anything relevant.
    """
    relations = _own_partner(cases) if relevant == "own" else _others_alike(cases, None, side)
    return _measured(
        cases, lambda *_: lists.rows, relations, "", RUN_MEASURES, repetitions, 0, seed,
        truncated=True,
    ).scores  # fmt: skip


def _notes(cases: GatheredCases) -> NDArray[np.float32]:
    if cases.notes is None:
        raise InputError("cases that were loaded without notes")
    return cases.notes


def _alike(
    cases: GatheredCases,
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    repetitions: int,
    shuffles: int,
    seed: int,
    *,
    side: bool = True,
    scores: ScoreRows | None = None,
    measures: Sequence[str] = NEIGHBOR_MEASURES,
) -> TaskScores:
    """Search with each case's vector for other patients' cases with the same finding."""
    scorer = Scorer(queries, gallery)
    copies = None
    if queries is gallery:  # a report and an image are never the same vector
        copies = np.unique(gallery, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    return _measured(
        cases, lambda rows, image_of, _: scores or scorer.reordered(image_of[rows], image_of),
        _others_alike(cases, copies, side), "findings_shuffled", measures,
        repetitions, shuffles, seed,
    )  # fmt: skip


def _own_partner(cases: GatheredCases) -> _Relations:
    """Partners whose note reads the same are relevant; others of the patient or scan left out."""

    def relations(rows: Rows, image_of: Rows, _: Rows) -> tuple[Pairs, dict[str, Pairs]]:
        scans = cases.scans[image_of]
        right = SameLabel(cases.note_text[rows], cases.note_text)
        return right, {
            "own patient, other case": ButNot(SameLabel(cases.owners[rows], cases.owners), right),
            "same scan file": ButNot(SameLabel(scans[rows], scans), right),
        }

    return relations


def _others_alike(cases: GatheredCases, copies: Rows | None, side: bool) -> _Relations:
    """Cases with the same finding are relevant; the patient's own and copies are left out."""

    def relations(rows: Rows, image_of: Rows, finding_of: Rows) -> tuple[Pairs, dict[str, Pairs]]:
        scans = cases.scans[image_of]
        findings = [cases.findings[i] for i in finding_of]
        left_out: dict[str, Pairs] = {
            "the query itself": SameLabel(rows, np.arange(len(cases))),
            "own patient, other case": SameLabel(cases.owners[rows], cases.owners),
            "same scan file": SameLabel(scans[rows], scans),
        }
        if copies is not None:
            vectors = copies[image_of]
            left_out["same vector"] = SameLabel(vectors[rows], vectors)
        return same_finding([findings[i] for i in rows], findings, side=side), left_out

    return relations


def _measured(
    cases: GatheredCases,
    score_rows: _Scores,
    relations: _Relations,
    other_shuffled: str,
    measures: Sequence[str],
    repetitions: int,
    shuffles: int,
    seed: int,
    *,
    truncated: bool = False,
) -> TaskScores:
    n = len(cases)
    same = np.arange(n, dtype=np.int64)

    def ranked(rows: Rows, image_of: Rows, other_of: Rows) -> tuple[RankStatistics, dict[str, int]]:
        right, left_out = relations(rows, image_of, other_of)
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

    def null(shuffled: Callable[[Rows], RankStatistics], which: int) -> NullControl:
        return null_control(shuffled, n, measures, repetitions=shuffles, seed=seed + which)

    nulls = {
        "images_shuffled": null(lambda p: ranked(few, p, same)[0], 0),
        other_shuffled: null(lambda p: ranked(few, same, p)[0], 1),
    }
    return TaskScores(scores, nulls)
