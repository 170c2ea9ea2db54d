"""Measures of a retrieval, with patient-resampled intervals and chance beside each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.retrieval.rank_statistics import (
    RankStatistics,
    ScoreRows,
    measure,
    parse_measure,
    rank,
)
from evaluation.retrieval.relevance import ButNot, SameLabel, as_pairs
from evaluation.retrieval.score_rows import RankedLists, Scorer, rows_of_matrix
from evaluation.stats.bootstrap import Interval, PatientResampler
from medembed.errors import InputError

__all__ = ["MEASURES", "RUN_MEASURES", "RetrievalScores", "retrieval_scores", "summarise"]

MEASURES = ("R@1", "R@5", "R@10", "MRR", "median_rank", "P@5", "nDCG@10")
"""What is measured by default."""
RUN_MEASURES = ("R@1", "R@5", "R@10", "MRR", "P@5", "Recall@10", "nDCG@10")
"""The default for ranked lists: an item that was not retrieved has no rank."""


@dataclass(frozen=True)
class RetrievalScores:
    """Named measures of one retrieval.

    Parameters
    ----------
    values : dict of str to float
        By the measure's name.
    ci : dict of str to (low, high) or None
        95% interval over query patients; None with fewer than two patients.
    chance : dict of str to float
        What a random order of each query's own pool is expected to reach, exactly computed.
    ratio, ratio_ci
        Value over chance, for measures that grow with quality.
    adjusted, adjusted_ci
        ``(value - chance) / (1 - chance)``: 0 at chance, 1 for a perfect ranking.
    n_queries, n_without_relevant : int
        Queries that were measured; queries that have no relevant item and were left out.
    n_patients : int
        Resampled units among the measured queries.
    pool : int
        Items in the gallery.
    pool_mean : float
        Mean number of items that a query was ranked against, after exclusions.
    excluded : dict of str to int
        Pairs of query and item left out, by reason.
    per_query : dict of str to float64 array of shape (n_queries,)
        What the means are taken of; under ``chance:`` and the name, its expectation by chance.
    queries : int array of shape (n_queries,)
        Which of the given queries were measured.
    """

    values: dict[str, float]
    ci: dict[str, Interval | None]
    chance: dict[str, float]
    ratio: dict[str, float]
    ratio_ci: dict[str, Interval | None]
    adjusted: dict[str, float]
    adjusted_ci: dict[str, Interval | None]
    n_queries: int
    n_without_relevant: int
    n_patients: int
    pool: int
    pool_mean: float
    excluded: dict[str, int]
    per_query: dict[str, NDArray[np.float64]] = field(repr=False)
    queries: NDArray[np.int64] = field(repr=False)

    def __getitem__(self, name: str) -> float:
        """Value of one measure: ``scores["R@10"]``."""
        return self.values[name]

    def to_json(self) -> dict[str, Any]:
        """Plain values under plain names, the measures themselves at the top."""

        def ends(intervals: Mapping[str, Interval | None]) -> dict[str, list[float] | None]:
            return {name: list(pair) if pair else None for name, pair in intervals.items()}

        return {
            **self.values,
            "n_queries": self.n_queries,
            "n_without_relevant": self.n_without_relevant,
            "n_patients": self.n_patients,
            "pool": self.pool,
            "pool_mean": self.pool_mean,
            "ci": ends(self.ci),
            "chance": self.chance,
            "ratio_to_chance": self.ratio,
            "ratio_to_chance_ci": ends(self.ratio_ci),
            "chance_adjusted": self.adjusted,
            "chance_adjusted_ci": ends(self.adjusted_ci),
            "excluded": self.excluded,
        }


def retrieval_scores(
    queries: ArrayLike | None,
    gallery: ArrayLike | None,
    relevant: Any,
    patients: ArrayLike | None = None,
    *,
    gallery_patients: ArrayLike | None = None,
    excluded: Mapping[str, Any] | None = None,
    scores: ArrayLike | None = None,
    run: RankedLists | Sequence[tuple[ArrayLike, ArrayLike]] | None = None,
    min_grade: float = 0.0,
    measures: Sequence[str] | None = None,
    repetitions: int = 2000,
    seed: int = 0,
) -> RetrievalScores:
    """Rank the gallery for each query and measure how well the relevant items are placed.

    Parameters
    ----------
    queries : float array of shape (n_queries, d) or None
        Unit vectors.
    gallery : float array of shape (n_items, d) or None
        Unit vectors; the score is the inner product (cosine).
    relevant : bool or number array (n_queries, n_items), scipy sparse matrix, sequence, or Pairs
        Yes or no, or grades of 0 and above. A sequence holds for each query the indices of its
        relevant items, or a mapping of index to grade.
        :class:`evaluation.retrieval.relevance.SameLabel` and
        :class:`evaluation.retrieval.relevance.SharedTrait` state large relations without a matrix.
    patients : array of shape (n_queries,), optional
        The query's patient: the unit that intervals resample. Without it each query counts as
        a patient of its own, which makes intervals too narrow if patients have several.
    gallery_patients : array of shape (n_items,), optional
        If given, items of the query's own patient are left out of its pool unless they have a
        grade above 0: they are neither hits nor distractors.
    excluded : mapping of str to a relation of yes or no, optional
        Further reasons to leave an item out of a query's pool, relevant or not.
    scores : float array of shape (n_queries, n_items), optional
        Scores of another system, higher is nearer, instead of ``queries`` and ``gallery``.
    run : RankedLists or sequence of (items, scores), one per query, optional
        Ranked lists of another system, instead: for each query the indices of the items that it
        retrieved and their scores (:class:`evaluation.retrieval.score_rows.RankedLists`). An item
        that was not retrieved has no rank, so that a query without a relevant hit counts 0.
    min_grade : float
        Smallest grade that counts as relevant in ``R@k``, ``Recall@k``, ``P@k``, ``MRR`` and
        ``median_rank``, if there are grades; any above 0 by default. Queries without such an item
        are left out.
    measures : sequence of str, optional
        ``R@k``, ``Recall@k``, ``P@k``, ``nDCG@k``, ``MRR``, ``median_rank``; by default
        :data:`MEASURES`, for ``run`` :data:`RUN_MEASURES`.
    repetitions : int
        Draws of the bootstrap, at least 100.
    seed : int

    Returns
    -------
    RetrievalScores

    Raises
    ------
    InputError
        If arrays do not fit each other, hold values that are not finite or vectors that are
        not of unit length, if no query has a relevant item, or for the ``median_rank`` of a run.

    Notes
    -----
    The gain of ``nDCG@k`` is the grade itself, as in trec_eval and ir_measures; for the
    exponential gain pass ``2**grade - 1`` as the grade. ``R@k`` is what ir_measures calls
    ``Success@k``, ``Recall@k`` its ``R@k``.

    Tied items take the expectation over their orders
    (:mod:`evaluation.retrieval.rank_statistics`); a gallery of equal scores reaches exactly
    chance. Equal vectors of the gallery are scored once, so that they tie exactly. Memory holds a
    block of queries at a time, never the whole score matrix.

    Examples
    --------
    >>> import numpy as np
    >>> queries = np.eye(3)
    >>> gallery = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0.6, 0.8]])
    >>> scores = retrieval_scores(queries, gallery, [[0], [1], [1]], patients=["a", "b", "c"])
    >>> scores["R@1"], scores["MRR"], scores.pool  # the last query ties two items for rank 2
    (0.6666666666666666, 0.8055555555555555, 3)
    >>> grades = np.array([[0, 1, 2], [0, 1, 0]])
    >>> hits = [([1, 2], [0.9, 0.3]), ([], [])]
    >>> retrieval_scores(None, None, grades, run=hits, min_grade=2, measures=["MRR"])["MRR"]
    0.5
    """
    vectors = queries is not None or gallery is not None
    if [vectors, scores is not None, run is not None].count(True) != 1:
        raise InputError(
            "a retrieval needs exactly one of vectors, scores and a run",
            hint="give queries and gallery, or scores, or run",
        )
    score_rows, shape = _score_rows(queries, gallery, scores, run, relevant, gallery_patients)
    names = tuple(measures or (MEASURES if run is None else RUN_MEASURES))
    if run is not None and "median_rank" in names:
        raise InputError("the median_rank of a run", hint="items not retrieved have no rank")
    relation = as_pairs(relevant, shape, "relevant", graded=True)
    left_out = {
        name: as_pairs(pairs, shape, f"excluded ({name})")
        for name, pairs in (excluded or {}).items()
    }
    owners = np.arange(shape[0]) if patients is None else np.asarray(patients)
    if len(owners) != shape[0]:
        raise InputError(f"{len(owners)} patients for {shape[0]} queries")
    if gallery_patients is not None:
        if patients is None:
            raise InputError("patients of the gallery without patients of the queries")
        own = as_pairs(SameLabel(owners, gallery_patients), shape, "gallery_patients")
        left_out["own patient"] = ButNot(own, relation)
    parsed = [parse_measure(name) for name in names]
    statistics, n_excluded = rank(
        score_rows,
        relation,
        left_out,
        depth=max((k for kind, k in parsed if kind in ("P", "Recall", "nDCG")), default=0),
        min_grade=min_grade,
        truncated=run is not None,
    )
    return summarise(
        statistics,
        owners,
        pool=shape[1],
        excluded=n_excluded,
        measures=names,
        repetitions=repetitions,
        seed=seed,
    )


def _score_rows(
    queries: ArrayLike | None,
    gallery: ArrayLike | None,
    scores: ArrayLike | None,
    run: RankedLists | Sequence[tuple[ArrayLike, ArrayLike]] | None,
    relevant: Any,
    gallery_patients: ArrayLike | None,
) -> tuple[ScoreRows, tuple[int, int]]:
    """Give the scores of a block of queries, and (n_queries, n_items)."""
    if scores is not None:
        return rows_of_matrix(scores)
    if run is None:
        if queries is None or gallery is None:
            raise InputError("queries without a gallery, or the reverse")
        scorer = Scorer(queries, gallery)
        return scorer.rows, scorer.shape
    if isinstance(run, RankedLists):
        return run.rows, run.shape
    shape = getattr(relevant, "shape", None)
    if shape is not None:
        n_items = int(shape[-1])
    elif gallery_patients is not None:
        n_items = len(np.asarray(gallery_patients))
    else:
        raise InputError(
            "a run against a gallery of unknown size",
            hint="give relevant as a matrix or as Listed(indices, n_items)",
        )
    lists = RankedLists(run, n_items)
    return lists.rows, lists.shape


def summarise(
    statistics: RankStatistics,
    patients: ArrayLike,
    *,
    pool: int,
    excluded: Mapping[str, int] | None = None,
    measures: Sequence[str] = MEASURES,
    repetitions: int = 2000,
    seed: int = 0,
) -> RetrievalScores:
    """Turn rank statistics into named measures with intervals.

    Parameters
    ----------
    statistics : RankStatistics
        Of all queries; those without a relevant item are counted and left out here.
    patients : array of shape (n_queries,)
    pool : int
        Items in the gallery.
    excluded : mapping of str to int, optional
    measures, repetitions, seed
        As in :func:`retrieval_scores`.
    """
    kept = np.flatnonzero(statistics.relevant > 0)
    if not len(kept):
        raise InputError("no query has a relevant item", hint="nothing can be measured here")
    measured = statistics.take(kept)
    random = measured.at_chance()
    per_query = {name: measure(name, measured) for name in measures}
    per_query |= {f"chance:{name}": measure(name, random) for name in measures}
    resampler = PatientResampler(np.asarray(patients)[kept], repetitions=repetitions, seed=seed)
    means = [name for name in measures if name != "median_rank"]
    columns = [per_query[name] for name in means] + [per_query[f"chance:{name}"] for name in means]
    drawn = resampler.means(np.stack(columns, axis=1)) if means else np.empty((repetitions, 0))
    values: dict[str, float] = {}
    ci: dict[str, Interval | None] = {}
    chance: dict[str, float] = {}
    ratio: dict[str, float] = {}
    ratio_ci: dict[str, Interval | None] = {}
    adjusted: dict[str, float] = {}
    adjusted_ci: dict[str, Interval | None] = {}
    for name in measures:
        if name == "median_rank":
            values[name] = float(np.median(per_query[name]))
            chance[name] = float(np.median(per_query[f"chance:{name}"]))
            ci[name] = resampler.interval(resampler.medians(per_query[name]))
            continue
        column = means.index(name)
        value, base = drawn[:, column], drawn[:, len(means) + column]
        values[name] = float(per_query[name].mean())
        chance[name] = float(per_query[f"chance:{name}"].mean())
        ci[name] = resampler.interval(value, bounds=(0.0, 1.0))
        pair = ci[name]
        flat = pair is not None and np.ptp(value) < 1e-12  # resampling knows of no spread
        if chance[name] > 0:
            ratio[name] = values[name] / chance[name]
            ratio_ci[name] = resampler.interval(value / base)
            if flat and pair:
                ratio_ci[name] = pair[0] / chance[name], pair[1] / chance[name]
        if chance[name] < 1 and (base < 1).all():
            adjusted[name] = (values[name] - chance[name]) / (1 - chance[name])
            adjusted_ci[name] = resampler.interval((value - base) / (1 - base))
            if flat and pair:
                low, high = ((end - chance[name]) / (1 - chance[name]) for end in pair)
                adjusted_ci[name] = low, high
    return RetrievalScores(
        values=values,
        ci=ci,
        chance=chance,
        ratio=ratio,
        ratio_ci=ratio_ci,
        adjusted=adjusted,
        adjusted_ci=adjusted_ci,
        n_queries=len(kept),
        n_without_relevant=len(statistics.relevant) - len(kept),
        n_patients=resampler.n_patients,
        pool=pool,
        pool_mean=float(measured.pool.mean()),
        excluded=dict(excluded or {}),
        per_query=per_query,
        queries=kept,
    )
