r"""Does the search depend on what the query says of the patient? Swapped words against placebos.

Every query is said in two ways that differ in the patient's sex, age or race only. ``similarity``
is how much nearer it comes to a group's images than to the rest, :math:`(v_2 - v_1) \cdot (\bar g -
\bar r)`; ``exposure`` the group's discounted share of the first k hits, second way less first;
``ranking`` the share of these hits that are others. Any other word moves a text encoder, too: pairs
of words without meaning in the same places are the yardstick, and p is the larger of two.

References
----------
Garg et al., *Counterfactual fairness in text classification through robustness*, AIES 2019;
Berger, Technometrics 24:295, 1982 (intersection-union test).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import UNKNOWN, codes
from evaluation.sections.group_vs_rest import PlainRow, SectionResult, judge, numbers, text_groups
from evaluation.sections.term_swaps import PLACEBO_WORDS, SWAPS, Swap, mentions, version
from evaluation.stats import Minimum
from evaluation.stats.bootstrap_t import bootstrap_t_means
from evaluation.stats.cluster_sums import add_up
from evaluation.stats.verdict import Verdict
from medembed.errors import InputError

__all__ = ["CounterfactualRow", "assess_counterfactual"]

Measure = Literal["similarity", "exposure", "ranking"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_CELLS = 2_000_000
_PAIRS = list(zip(PLACEBO_WORDS[::2], PLACEBO_WORDS[1::2], strict=True))
_MARGINS: Mapping[Measure, float] = {"similarity": 0.02, "exposure": 0.05, "ranking": 0.1}
"""Effects of no consequence."""


@dataclass(frozen=True)
class CounterfactualRow(PlainRow):
    """The effect of a swap; columns as in ``PlainRow``.

    Parameters
    ----------
    group : str
        Of the gallery, that is looked at; empty for ``ranking``.
    effect, placebo : float or None
        Second way less first, and the root mean square of the placebos' effects; for ``ranking``
        less the placebos, and their mean.
    n_units, n_said : int
        The queries' patients (or the queries); queries that say the attribute themselves.
    """

    attribute: str
    swap: str
    group: str
    measure: Measure
    effect: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    placebo: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    n_queries: int = 0
    n_units: int = 0
    n_said: int = 0
    verdict: Verdict = Verdict.NOT_ASSESSABLE
    reason: str = ""
    inner_low: float | None = None
    inner_high: float | None = None


def assess_counterfactual(
    texts: Sequence[str],
    encode: Callable[[list[str]], ArrayLike],
    gallery_vectors: ArrayLike,
    gallery_groups: Mapping[str, ArrayLike],
    gallery_patients: ArrayLike,
    *,
    patients: ArrayLike | None = None,
    swaps: Sequence[Swap] = SWAPS,
    k: int = 10,
    alpha: float = 0.05,
    minimum: Minimum | None = None,
    repetitions: int = 2000,
    seed: int = 0,
) -> SectionResult[CounterfactualRow]:
    """Swap words in the queries and see what changes, against placebo swaps.

    Parameters
    ----------
    texts : sequence of str
        Queries.
    encode : callable of a list of n texts
        Gives float vectors of shape (n, d); their length does not matter.
    gallery_vectors : float array of shape (n_items, d)
    gallery_groups : mapping of attribute to array of shape (n_items,)
        One that a swap names is looked at group by group, else ``ranking`` alone.
    gallery_patients : array of shape (n_items,)
        Groups of fewer than ``minimum.reported`` patients are not looked at.
    patients : array of shape (n_queries,), optional
        Whose text it is.
    swaps : sequence of Swap
    k : int
        Hits of a query that are looked at.
    alpha, minimum, repetitions, seed

    Raises
    ------
    InputError
        Where arrays do not fit, or the encoder gives something else than finite vectors.
    """
    least = minimum or Minimum()
    gallery = _unit(gallery_vectors, "the gallery")
    owner = np.asarray(gallery_patients)
    unit = np.arange(len(texts)) if patients is None else codes(patients)
    if not texts or len(unit) != len(texts) or len(owner) != len(gallery) or k < 1 or not swaps:
        raise InputError("queries, patients, gallery or swaps that do not fit each other")
    # Many ways of saying a query are the same words: each distinct text is encoded once.
    ways = [(swap.attribute, to, False) for swap in swaps for to in (swap.first, swap.second)]
    ways += [(swap.attribute, word, True) for swap in swaps for pair in _PAIRS for word in pair]
    place: dict[str, int] = {}
    at = {
        (attribute, to, placebo): np.array([
            place.setdefault(version(text, attribute, to, placebo=placebo), len(place))
            for text in texts
        ])
        for attribute, to, placebo in dict.fromkeys(ways)
    }  # fmt: skip
    vectors = _unit(encode(list(place)), "the queries")
    if vectors.shape != (len(place), gallery.shape[1]):
        raise InputError(f"the encoder gave {vectors.shape} for {len(place)} texts")
    hits = _first_hits(vectors, gallery, min(k, len(gallery)))
    weight = 1 / np.log2(2 + np.arange(hits.shape[1]))
    rows: list[CounterfactualRow] = []
    effects: list[Floats] = []  # of each row (1 + placebos, queries), the swap's own first
    for swap in swaps:
        pairs = [(swap.first, swap.second, False), *((one, two, True) for one, two in _PAIRS)]
        first = np.stack([at[swap.attribute, one, placebo] for one, _, placebo in pairs])
        second = np.stack([at[swap.attribute, two, placebo] for _, two, placebo in pairs])
        # Without groups everybody is unknown, and nobody is left to compare with.
        given = gallery_groups.get(swap.attribute, [UNKNOWN] * len(owner))
        labels = text_groups(given, swap.attribute, len(owner))
        groups = {name: np.asarray(labels == name) for name in np.unique(labels).tolist()}
        groups = {
            name: inside
            for name, inside in groups.items()
            if min(len(np.unique(owner[x])) for x in (inside, ~inside)) >= least.reported
        }
        made: list[tuple[Measure, str, Floats]] = []
        for name, inside in groups.items():
            nearer = vectors @ (gallery[inside].mean(axis=0) - gallery[~inside].mean(axis=0))
            made.append(("similarity", name, nearer[second] - nearer[first]))
        for name, inside in groups.items():
            share = inside[hits] @ weight / weight.sum()
            made.append(("exposure", name, share[second] - share[first]))
        made.append(("ranking", "", _replaced(hits, first, second)))
        n_said = sum(mentions(text, swap.attribute) for text in texts)
        for measure, name, moved in made:
            rows.append(
                CounterfactualRow(
                    swap.attribute, swap.name, name, measure, n_queries=len(texts),
                    n_units=len(np.unique(unit)), n_said=n_said,
                )
            )  # fmt: skip
            effects.append(moved)
    if rows[0].n_units < least.reported:
        why = f"queries of fewer than {least.reported} patients"
        rows = [replace(row, reason=why) for row in rows]
    else:
        rows = _measured(rows, np.stack(effects), unit, alpha, repetitions, seed)
    tested = numbers(rows, "effect", "inner_low", "inner_high")
    return SectionResult(
        judge(rows, tested, [_MARGINS[row.measure] for row in rows], alpha=alpha),
        (
            f"{len(_PAIRS)} placebo pairs; an effect must exceed that of other words in the same "
            "place, and differ from 0 over the queries.",
            "If a text does not mention the attribute, it is put in front of the text.",
        ),
    )


def _unit(vectors: ArrayLike, what: str) -> Floats:
    table = np.asarray(vectors, dtype=np.float64)
    if table.ndim != 2 or not len(table) or not np.isfinite(table).all():
        raise InputError(f"vectors of {what} that are no finite rows")
    length = np.linalg.norm(table, axis=1, keepdims=True)
    if (length <= 0).any():
        raise InputError(f"a vector of {what} without a direction")
    return np.asarray(table / length)


def _first_hits(vectors: Floats, gallery: Floats, depth: int) -> Ints:
    hits = np.empty((len(vectors), depth), dtype=np.int64)
    step = max(1, _CELLS // len(gallery))
    for start in range(0, len(vectors), step):
        scores = vectors[start : start + step] @ gallery.T
        best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        hits[start : start + step] = np.take_along_axis(best, order, axis=1)
    return hits


def _replaced(hits: Ints, first: Ints, second: Ints) -> Floats:
    """Share of the hits of one text that the other lacks, text by text."""
    kept = [
        (hits[a][:, :, None] == hits[b][:, None, :]).any(axis=2).mean(axis=1)
        for a, b in zip(first, second, strict=True)
    ]
    return np.asarray(1 - np.stack(kept))


def _measured(
    rows: list[CounterfactualRow],
    effects: Floats,
    unit: Ints,
    alpha: float,
    repetitions: int,
    seed: int,
) -> list[CounterfactualRow]:
    """Effects (rows, 1 + placebos, queries) with intervals, against the placebos' and against 0."""
    from scipy.special import stdtr  # the command line starts without scipy

    unsigned = np.array([row.measure == "ranking" for row in rows])

    def p_of(t: Floats, df: Any) -> Floats:
        return np.asarray(np.where(unsigned, stdtr(df, -t), 2 * stdtr(df, -np.abs(t))))

    placebos = effects[:, 1:].mean(axis=2)
    chance = np.where(unsigned[:, None], effects[:, 1:].mean(axis=1), 0.0)
    own = np.ascontiguousarray((effects[:, 0] - chance).T)
    mean, error, ends = bootstrap_t_means(
        own, unit, repetitions=repetitions, levels=(1 - alpha, 1 - 2 * alpha), seed=seed
    )
    # Where each unit is the same nothing is left to estimate.
    ends = np.where(error <= 1e-15, mean, ends)
    # Over the queries: the score test of a mean of 0, whose variance is taken under it.
    sums = np.ascontiguousarray(add_up(unit, own, int(unit.max()) + 1).T)
    k, squares = sums.shape[1], np.sum(sums**2, axis=1)
    # A placebo pair has no direction: its effects scatter around 0, those without sign around
    # their mean.
    n = placebos.shape[1]
    size = np.sqrt(np.mean(placebos**2, axis=1))
    spread = np.where(unsigned, placebos.std(axis=1, ddof=1) * np.sqrt(1 + 1 / n), size)
    with np.errstate(invalid="ignore", divide="ignore"):
        over_queries = p_of(sums.sum(axis=1) / np.sqrt(k / (k - 1) * squares), k - 1)
        over_placebos = p_of(mean / spread, np.where(unsigned, n - 1, n))
    beyond = np.where(unsigned, mean, np.abs(mean)) > 1e-12
    p = np.maximum(
        np.where(squares > 0, over_queries, 1.0),
        np.where(spread > 1e-12, over_placebos, np.where(beyond, 0.0, 1.0)),
    )
    size = np.where(unsigned, placebos.mean(axis=1), size)
    found = []
    for number, row in enumerate(rows):
        value, (low, high, *inner) = float(mean[number]), ends[:, :, number].ravel().tolist()
        made = replace(row, effect=value, placebo=float(size[number]))
        if np.isnan(inner).any():
            found.append(replace(made, reason="the effect varies too little for an interval"))
            continue
        if not np.isnan(low + high):
            made = replace(made, ci_low=low, ci_high=high)
        inner_low, inner_high = min(inner[0], value), max(inner[1], value)
        found.append(replace(made, p=float(p[number]), inner_low=inner_low, inner_high=inner_high))
    return found
