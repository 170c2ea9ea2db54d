"""Measures of a retrieval, with patient-resampled intervals and chance beside each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.retrieval.rank_statistics import Standing, measure, parse_measure, stand
from evaluation.retrieval.relevance import ButNot, SameLabel, as_pairs
from evaluation.stats.bootstrap import Interval, PatientResampler
from medembed.errors import InputError

__all__ = ["MEASURES", "RetrievalScores", "Scorer", "retrieval_scores", "summarise"]

MEASURES = ("R@1", "R@5", "R@10", "MRR", "median_rank", "P@5", "nDCG@10")
"""What is measured where nothing else is asked."""


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
        Items that a query was ranked against, exclusions left out, on average.
    excluded : dict of str to int
        Pairs of query and item left out, by reason.
    per_query : dict of str to float64 array of shape (n_queries,)
        What the means are taken of, and ``chance:`` in front of a name its expectation.
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
    measures: Sequence[str] = MEASURES,
    repetitions: int = 2000,
    seed: int = 0,
) -> RetrievalScores:
    """Rank the gallery for each query and measure how well the relevant items stand.

    Parameters
    ----------
    queries : float array of shape (n_queries, d) or None
        Unit vectors.
    gallery : float array of shape (n_items, d) or None
        Unit vectors; the score is the inner product (cosine).
    relevant : bool array (n_queries, n_items), sequence of index arrays, or Pairs
        A sequence holds for each query the indices of its relevant items (a scipy sparse matrix
        does as well). :class:`evaluation.retrieval.relevance.SameLabel` and
        :class:`evaluation.retrieval.relevance.SharedTrait` state large relations without a matrix.
    patients : array of shape (n_queries,), optional
        The query's patient: the unit that intervals resample. Without it each query counts as
        a patient of its own, which makes intervals too narrow where patients have several.
    gallery_patients : array of shape (n_items,), optional
        Given, items of the query's own patient are left out of its pool unless they are
        relevant: they are neither hits nor distractors.
    excluded : mapping of str to a relation like ``relevant``, optional
        Further reasons to leave an item out of a query's pool, relevant or not.
    scores : float array of shape (n_queries, n_items), optional
        Scores of another system, higher is nearer, instead of ``queries`` and ``gallery``.
    measures : sequence of str
        ``R@k``, ``P@k``, ``nDCG@k``, ``MRR``, ``median_rank``.
    repetitions : int
        Draws of the bootstrap, at least 100.
    seed : int

    Returns
    -------
    RetrievalScores

    Raises
    ------
    InputError
        Where arrays do not fit each other, hold values that are not finite or vectors that are
        not of unit length, or where no query has a relevant item.

    Notes
    -----
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
    """
    score_rows, shape = _score_rows_of(queries, gallery, scores)
    relation = as_pairs(relevant, shape, "relevant")
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
    standing, n_excluded = stand(score_rows, relation, left_out, depth=_depth(measures))
    return summarise(
        standing,
        owners,
        pool=shape[1],
        excluded=n_excluded,
        measures=measures,
        repetitions=repetitions,
        seed=seed,
    )


def _depth(measures: Sequence[str]) -> int:
    parsed = [parse_measure(name) for name in measures]
    return max((k for kind, k in parsed if kind in ("P", "nDCG")), default=0)


class Scorer:
    """Cosines of queries and items, equal items to the last bit equal.

    Parameters
    ----------
    queries, gallery : float arrays of shape (n_queries, d) and (n_items, d)
        Unit vectors.

    Raises
    ------
    InputError
        Where a value is not finite, a row not of unit length, or the dimensions differ.
    """

    def __init__(self, queries: ArrayLike, gallery: ArrayLike) -> None:
        self._asked, kept = _unit(queries, "queries"), _unit(gallery, "gallery")
        if self._asked.shape[1] != kept.shape[1]:
            raise InputError(
                f"queries of {self._asked.shape[1]} dimensions and a gallery of {kept.shape[1]}",
                hint="both have to come from one model",
            )
        self.shape = len(self._asked), len(kept)
        # A product of matrices does not promise that equal columns give equal values.
        distinct, inverse = np.unique(kept, axis=0, return_inverse=True)
        self._item: NDArray[np.int64] | None = None
        if len(distinct) < len(kept):
            kept, self._item = distinct, inverse.ravel().astype(np.int64)
        self._kept = kept

    def rows(self, start: int, stop: int) -> NDArray[np.floating]:
        """Scores of queries ``start`` to ``stop`` against all items, a new array."""
        scores = self._asked[start:stop] @ self._kept.T
        return scores if self._item is None else scores[:, self._item]

    def reordered(
        self, queries: NDArray[np.int64], items: NDArray[np.int64]
    ) -> Callable[[int, int], NDArray[np.floating]]:
        """Give ``rows`` as if queries and items stood in another order."""
        index = items if self._item is None else self._item[items]
        return lambda start, stop: (self._asked[queries[start:stop]] @ self._kept.T)[:, index]


def _score_rows_of(
    queries: ArrayLike | None, gallery: ArrayLike | None, scores: ArrayLike | None = None
) -> tuple[Callable[[int, int], NDArray[np.floating]], tuple[int, int]]:
    """Give a function of the scores of a block of queries, and (n_queries, n_items)."""
    if scores is None:
        if queries is None or gallery is None:
            raise InputError("neither vectors nor scores", hint="give queries and gallery")
        scorer = Scorer(queries, gallery)
        return scorer.rows, scorer.shape
    if queries is not None or gallery is not None:
        raise InputError("both vectors and scores", hint="give one of the two")
    table = np.asarray(scores)
    if table.ndim != 2 or table.dtype.kind not in "iuf" or 0 in table.shape:
        raise InputError(f"scores of shape {table.shape} and type {table.dtype}, not (n, n_items)")

    def rows(start: int, stop: int) -> NDArray[np.floating]:
        block = table[start:stop]
        kind = block.dtype if block.dtype.kind == "f" else np.float64
        return np.array(block, dtype=kind, copy=True)

    return rows, (table.shape[0], table.shape[1])


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


def summarise(
    standing: Standing,
    patients: ArrayLike,
    *,
    pool: int,
    excluded: Mapping[str, int] | None = None,
    measures: Sequence[str] = MEASURES,
    repetitions: int = 2000,
    seed: int = 0,
) -> RetrievalScores:
    """Turn what stands where into named measures with intervals.

    Parameters
    ----------
    standing : Standing
        Of all queries; those without a relevant item are counted and left out here.
    patients : array of shape (n_queries,)
    pool : int
        Items in the gallery.
    excluded : mapping of str to int, optional
    measures, repetitions, seed
        As in :func:`retrieval_scores`.
    """
    kept = np.flatnonzero(standing.relevant > 0)
    if not len(kept):
        raise InputError("no query has a relevant item", hint="nothing can be measured here")
    measured = standing.take(kept)
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
        n_without_relevant=len(standing.relevant) - len(kept),
        n_patients=resampler.n_patients,
        pool=pool,
        pool_mean=float(measured.pool.mean()),
        excluded=dict(excluded or {}),
        per_query=per_query,
        queries=kept,
    )
