"""Measures of a retrieval, with patient-resampled intervals and chance beside each.

Scores come from vectors, from a matrix of scores, or from ranked lists of any system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.retrieval.rank_statistics import ScoreRows, depth_of, measure, rank
from evaluation.retrieval.relevance import Pairs, SameLabel, as_pairs, but_not, item_indices
from evaluation.stats.bootstrap import Interval, PatientResampler
from medembed.errors import InputError

__all__ = ["RetrievalScores", "Scorer", "retrieval_scores", "score_ranking"]

MEASURES = ("R@1", "R@5", "R@10", "MRR", "median_rank", "P@5", "nDCG@10")
"""What is measured by default."""
RUN_MEASURES = ("R@1", "R@5", "R@10", "MRR", "P@5", "Recall@10", "nDCG@10")
"""The default for ranked lists: an item that was not retrieved has no rank."""


@dataclass(frozen=True)
class RetrievalScores:
    """Named measures of one retrieval; every mapping has the measure's name as its key.

    Parameters
    ----------
    values, ci : dict of str to float, and to (low, high) or None
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
    pool, pool_mean : int, float
        Items in the gallery; mean number that a query was ranked against, after exclusions.
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
        sizes = ("n_queries", "n_without_relevant", "n_patients", "pool", "pool_mean")
        return {
            **self.values,
            **{name: getattr(self, name) for name in sizes},
            "ci": self.ci,
            "chance": self.chance,
            "ratio_to_chance": self.ratio,
            "ratio_to_chance_ci": self.ratio_ci,
            "chance_adjusted": self.adjusted,
            "chance_adjusted_ci": self.adjusted_ci,
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
    run: Sequence[tuple[ArrayLike, ArrayLike]] | None = None,
    min_grade: float = 0.0,
    measures: Sequence[str] | None = None,
    repetitions: int = 2000,
    seed: int = 0,
) -> RetrievalScores:
    """Rank the gallery for each query and measure how well the relevant items are placed.

    Parameters
    ----------
    queries, gallery : float arrays of shape (n_queries, d) and (n_items, d), or None
        Unit vectors; the score is the inner product (cosine).
    relevant : bool or number array (n_queries, n_items), scipy sparse matrix, sequence, or Pairs
        Yes or no, or grades of 0 and above. A sequence holds for each query the indices of its
        relevant items, or a mapping of index to grade.
        :class:`~evaluation.retrieval.relevance.SameLabel` and
        :class:`~evaluation.retrieval.relevance.SharedTrait` state large relations without a matrix.
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
    run : sequence of (items, scores), one per query, optional
        Ranked lists of another system, instead: for each query the indices of the items that it
        retrieved, each once, in any order, and their scores; both empty without hits. An item that
        was not retrieved has no rank, so that a query without a relevant hit counts 0.
    min_grade : float
        Smallest grade that counts as relevant, if there are grades (any above 0 by default), in
        every measure but ``nDCG@k``. Queries without such an item are left out.
    measures : sequence of str, optional
        As in :func:`~evaluation.retrieval.rank_statistics.measure`; by default :data:`MEASURES`,
        for ``run`` :data:`RUN_MEASURES`.
    repetitions : int
        Draws of the bootstrap, at least 100.
    seed : int

    Raises
    ------
    InputError
        If arrays do not fit each other, hold values that are not finite or vectors that are
        not of unit length, if no query has a relevant item, or for the ``median_rank`` of a run.

    Notes
    -----
    The gain of ``nDCG@k`` is the grade itself, as in trec_eval and ir_measures; for the
    exponential gain pass ``2**grade - 1`` as the grade. ``R@k`` is what ir_measures calls
    ``Success@k``, ``Recall@k`` its ``R@k``. Tied items take the expectation over their orders, and
    equal vectors of the gallery tie exactly, so that a gallery of equal scores reaches exactly
    chance. Memory holds a block of queries at a time, never the whole score matrix.

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
    if scores is not None:
        score_rows, shape = _rows_of_matrix(scores)
    elif run is not None:
        score_rows, shape = _rows_of_lists(run, _gallery_size(relevant, gallery_patients))
    elif queries is None or gallery is None:
        raise InputError("queries without a gallery, or the reverse")
    else:
        scorer = Scorer(queries, gallery)
        score_rows, shape = scorer.rows, scorer.shape
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
        left_out["own patient"] = but_not(own, relation)
    return score_ranking(
        score_rows, relation, left_out, owners, names,
        min_grade=min_grade, truncated=run is not None, repetitions=repetitions, seed=seed,
    )  # fmt: skip


class Scorer:
    """Cosines of queries and items; equal items have scores that are equal to the last bit.

    Parameters
    ----------
    queries, gallery : float arrays of shape (n_queries, d) and (n_items, d)
        Unit vectors; InputError if they are not, or of different dimensions.
    """

    def __init__(self, queries: ArrayLike, gallery: ArrayLike) -> None:
        self._queries, kept = _unit(queries, "queries"), _unit(gallery, "gallery")
        if self._queries.shape[1] != kept.shape[1]:
            raise InputError(
                f"queries of {self._queries.shape[1]} dimensions and a gallery of {kept.shape[1]}",
                hint="both have to come from one model",
            )
        self.shape = len(self._queries), len(kept)
        # A product of matrices does not promise that equal columns give equal values.
        distinct, inverse = np.unique(kept, axis=0, return_inverse=True)
        self._item: NDArray[np.int64] | None = None
        if len(distinct) < len(kept):
            kept, self._item = distinct, inverse.ravel().astype(np.int64)
        self._kept = kept

    def rows(self, start: int, stop: int) -> NDArray[np.floating]:
        """As :data:`~evaluation.retrieval.rank_statistics.ScoreRows`."""
        scores = self._queries[start:stop] @ self._kept.T
        return scores if self._item is None else scores[:, self._item]

    def reordered(self, queries: NDArray[np.int64], items: NDArray[np.int64]) -> ScoreRows:
        """Give ``rows`` for queries and items in another order."""
        index = items if self._item is None else self._item[items]
        return lambda start, stop: (self._queries[queries[start:stop]] @ self._kept.T)[:, index]


def _gallery_size(relevant: Any, gallery_patients: ArrayLike | None) -> int:
    """Number of items that ranked lists are drawn from."""
    if hasattr(relevant, "shape"):
        return int(relevant.shape[-1])
    if gallery_patients is None:
        raise InputError(
            "a run against a gallery of unknown size",
            hint="give relevant as a matrix or as Listed(indices, n_items)",
        )
    return len(np.asarray(gallery_patients))


def score_ranking(
    score_rows: ScoreRows,
    relevant: Pairs,
    excluded: Mapping[str, Pairs],
    patients: ArrayLike,
    measures: Sequence[str],
    *,
    min_grade: float = 0.0,
    truncated: bool = False,
    repetitions: int,
    seed: int,
) -> RetrievalScores:
    """Measure a ranking; parameters as in :func:`retrieval_scores` and :func:`rank`."""
    statistics, n_excluded = rank(
        score_rows, relevant, excluded,
        depth=depth_of(measures), min_grade=min_grade, truncated=truncated,
    )  # fmt: skip
    kept, measured = statistics.of_answerable()
    random = measured.at_chance()
    per_query = {name: measure(name, measured) for name in measures}
    per_query |= {f"chance:{name}": measure(name, random) for name in measures}
    resampler = PatientResampler(np.asarray(patients)[kept], repetitions=repetitions, seed=seed)
    means = [name for name in measures if name != "median_rank"]
    columns = [*means, *(f"chance:{name}" for name in means)]
    drawn: dict[str, NDArray[np.float64]] = {}
    if columns:
        draws = resampler.means(np.stack([per_query[name] for name in columns], axis=1))
        drawn = dict(zip(columns, draws.T, strict=True))
    found: dict[str, dict[str, Any]] = {
        part: {}
        for part in ("values", "ci", "chance", "ratio", "ratio_ci", "adjusted", "adjusted_ci")
    }
    for name in measures:
        centre = np.median if name == "median_rank" else np.mean
        value, chance = (float(centre(per_query[key])) for key in (name, f"chance:{name}"))
        found["values"][name], found["chance"][name] = value, chance
        if name == "median_rank":
            found["ci"][name] = resampler.interval(resampler.medians(per_query[name]))
            continue
        scores, base = drawn[name], drawn[f"chance:{name}"]
        ends = found["ci"][name] = resampler.interval(scores, bounds=(0.0, 1.0))
        flat = np.ptp(scores) < 1e-12  # resampling knows of no spread
        for part, against, defined in (
            ("ratio", _ratio, chance > 0),
            ("adjusted", _adjusted, chance < 1 and (base < 1).all()),
        ):
            if defined:
                found[part][name] = against(value, chance)
                found[f"{part}_ci"][name] = (
                    tuple(against(end, chance) for end in ends)
                    if flat and ends
                    else resampler.interval(against(scores, base))
                )
    return RetrievalScores(
        **found,
        n_queries=len(kept),
        n_without_relevant=relevant.shape[0] - len(kept),
        n_patients=resampler.n_patients,
        pool=relevant.shape[1],
        pool_mean=float(measured.pool.mean()),
        excluded=n_excluded,
        per_query=per_query,
        queries=kept,
    )


def _ratio(value: Any, chance: Any) -> Any:
    return value / chance


def _adjusted(value: Any, chance: Any) -> Any:
    return (value - chance) / (1 - chance)


def _rows_of_matrix(scores: ArrayLike) -> tuple[ScoreRows, tuple[int, int]]:
    """Give the rows of a matrix of scores, and (n_queries, n_items)."""
    table = np.asarray(scores)
    if table.ndim != 2 or table.dtype.kind not in "iuf" or 0 in table.shape:
        raise InputError(f"scores of shape {table.shape} and type {table.dtype}, not (n, n_items)")
    kind = table.dtype if table.dtype.kind == "f" else np.float64
    shape = table.shape[0], table.shape[1]
    return lambda start, stop: table[start:stop].astype(kind), shape


def _rows_of_lists(
    run: Sequence[tuple[ArrayLike, ArrayLike]], n_items: int
) -> tuple[ScoreRows, tuple[int, int]]:
    """Give the scores of ranked lists, -inf for items that were not retrieved, and the shape."""
    lists = []
    for items, given in run:
        index, scores = item_indices(items, n_items, "hits"), np.asarray(given)
        if scores.shape != index.shape or (scores.size and scores.dtype.kind not in "iuf"):
            raise InputError("a list of hits without exactly one number as the score of each")
        if not np.isfinite(scores).all():
            raise InputError("scores that are not finite numbers")
        if len(np.unique(index)) < len(index):
            raise InputError("a query that lists an item twice", hint="keep its best score")
        lists.append((index, scores))

    def rows(start: int, stop: int) -> NDArray[np.floating]:
        block = np.full((stop - start, n_items), -np.inf)
        for row, (index, scores) in enumerate(lists[start:stop]):
            block[row, index] = scores
        return block

    return rows, (len(lists), n_items)


def _unit(vectors: ArrayLike, name: str) -> NDArray[np.floating]:
    given = np.asarray(vectors)
    if given.ndim != 2 or 0 in given.shape:
        raise InputError(f"{name} of shape {given.shape}, not (n, d)")
    kind = given.dtype if given.dtype in (np.float32, np.float64) else np.float64
    array: NDArray[np.floating] = np.ascontiguousarray(given, dtype=kind)
    if not np.isfinite(array).all():
        raise InputError(f"{name} with values that are not finite numbers")
    length = np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
    if np.abs(length - 1).max() > 1e-3:
        raise InputError(f"{name} that are not unit vectors", hint="divide each row by its length")
    return array
