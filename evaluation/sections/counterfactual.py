r"""Does the search depend on what the query says of the patient? Swapped words against placebos.

Every query is said in two ways that differ in the patient's sex, age or race only
(:mod:`evaluation.sections.term_swaps`). What changes is measured

- ``similarity``: how much nearer the query comes to a group's images than to the rest,
  :math:`(v_2 - v_1) \cdot (\bar g - \bar r)`, in cosine;
- ``exposure``: the group's discounted share of the first k hits, second way less first;
- ``ranking``: the share of the first k hits that are others.

Any other word moves a text encoder, too. So pairs of words without meaning are put in the same
places. Such a pair has no direction: its effects :math:`e_p` scatter around 0, and their size is
the yardstick, :math:`t = e / \sqrt{\sum_p e_p^2 / P}` with P degrees of freedom. ``ranking`` has no
sign; from it the placebos' mean is subtracted, and it is held against their spread, one-sided.
A second test asks whether the effect is the same way over the queries: the score test of a mean of
0 with patients as units. The p-value is the larger of both: an effect has to be more than that of
any word, and of more than a few queries.

References
----------
Garg et al., *Counterfactual fairness in text classification through robustness*, AIES 2019;
Berger, Technometrics 24:295, 1982 (intersection-union test).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.sections.group_vs_rest import plain, text_groups
from evaluation.sections.term_swaps import PLACEBO_WORDS, SWAPS, Swap, mentions, version
from evaluation.stats import Minimum, bootstrap_t_mean, cluster_mean, decide, holm
from evaluation.stats.clusters import cluster_sums
from evaluation.stats.verdict import Verdict
from medembed.errors import InputError

__all__ = ["MARGINS", "Counterfactual", "CounterfactualRow", "assess_counterfactual"]

Measure = Literal["similarity", "exposure", "ranking"]
Floats = NDArray[np.float64]
Encode = Callable[[list[str]], ArrayLike]

MARGINS: Mapping[Measure, float] = {"similarity": 0.02, "exposure": 0.05, "ranking": 0.1}
"""Effects of no consequence where nothing else is declared."""


@dataclass(frozen=True)
class CounterfactualRow:
    """The effect of a swap.

    Parameters
    ----------
    attribute, swap, group : str
        Group of the gallery that is looked at; empty for ``ranking``.
    measure : {"similarity", "exposure", "ranking"}
    effect, ci_low, ci_high : float or None
        Second way less first, or for ``ranking`` less the placebos; 95% over the queries.
    placebo : float or None
        Root mean square of the placebos' effects; for ``ranking`` their mean.
    p, p_adjusted : float or None
        Holm over all rows.
    n_queries, n_units : int
        Units are the queries' patients; the queries themselves where none were given.
    n_said : int
        Queries that say the attribute themselves; in the others it was put before the text.
    verdict : {"within", "exceeds", "differs", "inconclusive", "not_assessable"}
    reason : str
    inner_low, inner_high : float or None
        Ends at 1 - 2 alpha, which the verdict is taken from.
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

    def to_json(self) -> dict[str, Any]:
        """Plain values under the names above."""
        return plain(asdict(self))


@dataclass(frozen=True)
class Counterfactual:
    """What :func:`assess_counterfactual` found.

    Parameters
    ----------
    rows : tuple of CounterfactualRow
    notes : tuple of str
    """

    rows: tuple[CounterfactualRow, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Rows and notes in plain values."""
        return {"rows": [row.to_json() for row in self.rows], "notes": list(self.notes)}


def assess_counterfactual(
    texts: Sequence[str],
    encode: Encode,
    gallery_vectors: ArrayLike,
    gallery_groups: Mapping[str, ArrayLike],
    gallery_patients: ArrayLike,
    *,
    patients: ArrayLike | None = None,
    swaps: Sequence[Swap] = SWAPS,
    placebo_words: Sequence[str] = PLACEBO_WORDS,
    k: int = 10,
    margins: Mapping[Measure, float] = MARGINS,
    alpha: float = 0.05,
    minimum: Minimum | None = None,
    repetitions: int = 2000,
    seed: int = 0,
) -> Counterfactual:
    """Swap words in the queries and see what changes, against placebo swaps.

    Parameters
    ----------
    texts : sequence of str
        Queries.
    encode : callable of a list of n texts
        Gives float vectors of shape (n, d); their length does not matter.
    gallery_vectors : float array of shape (n_items, d)
        Images.
    gallery_groups : mapping of str to array of shape (n_items,)
        By attribute; one that a swap names is looked at group by group, else ``ranking`` alone.
    gallery_patients : array of shape (n_items,)
        Groups of fewer than ``minimum.reported`` patients are not looked at.
    patients : array of shape (n_queries,), optional
        Whose text it is.
    swaps : sequence of Swap
    placebo_words : sequence of str
        In pairs, at least 5.
    k : int
    margins : mapping of measure to float
    alpha, minimum, repetitions, seed

    Returns
    -------
    Counterfactual

    Raises
    ------
    InputError
        Where arrays do not fit, or the encoder gives something else than finite vectors.
    """
    least = minimum or Minimum()
    gallery = _unit(gallery_vectors, "the gallery")
    owner = np.asarray(gallery_patients)
    unit = np.arange(len(texts)) if patients is None else np.asarray(patients)
    pairs = [tuple(placebo_words[i : i + 2]) for i in range(0, len(placebo_words) - 1, 2)]
    if not texts or len(unit) != len(texts) or len(owner) != len(gallery) or k < 1 or not swaps:
        raise InputError("queries, patients, gallery or swaps that do not fit each other")
    if len(pairs) < 5:
        raise InputError("fewer than 5 pairs of placebo words")
    depth = min(k, len(gallery))
    rows: list[CounterfactualRow] = []
    for swap in swaps:
        groups = _groups(gallery_groups, swap.attribute, owner, least)
        ways = {
            word: _look([version(t, swap.attribute, word, placebo=True) for t in texts],
                        encode, gallery, groups, depth)
            for pair in pairs for word in pair
        }  # fmt: skip
        one, two = (
            _look([version(t, swap.attribute, to) for t in texts], encode, gallery, groups, depth)
            for to in (swap.first, swap.second)
        )
        moved = [_change(one, two), *(_change(ways[a], ways[b]) for a, b in pairs)]
        said = sum(mentions(text, swap.attribute) for text in texts)
        for measure in ("similarity", "exposure", "ranking"):
            names = [""] if measure == "ranking" else list(groups)
            for number, name in enumerate(names):
                effects = np.array([change[measure][number] for change in moved])
                row = CounterfactualRow(
                    swap.attribute, swap.name, name, measure, n_queries=len(texts),
                    n_units=len(np.unique(unit)), n_said=said,
                )  # fmt: skip
                rows.append(_measured(row, effects, unit, least, alpha, repetitions, seed))
    adjusted = holm([np.nan if row.p is None else row.p for row in rows]).tolist()
    done = []
    for row, p in zip(rows, adjusted, strict=True):
        if row.reason:
            done.append(row)
            continue
        inner = None
        if row.inner_low is not None and row.inner_high is not None:
            inner = (row.inner_low, row.inner_high)
        found = decide(row.effect, inner, p, margin=margins[row.measure], alpha=alpha)
        done.append(replace(row, p_adjusted=p, verdict=found.verdict, reason=found.reason))
    return Counterfactual(
        tuple(done),
        (
            f"{len(pairs)} placebo pairs; an effect has to stand clear of what any other word does "
            "in the same place, and of 0 over the queries.",
            "Texts that do not say the attribute have it put before them.",
        ),
    )


def _groups(
    given: Mapping[str, ArrayLike], attribute: str, owner: NDArray[Any], minimum: Minimum
) -> dict[str, NDArray[np.bool_]]:
    if attribute not in given:
        return {}
    labels = text_groups(given[attribute], attribute, len(owner))
    out = {}
    for name in np.unique(labels).tolist():
        inside = np.asarray(labels == name)
        enough = min(len(np.unique(owner[x])) for x in (inside, ~inside)) >= minimum.reported
        if enough:
            out[name] = inside
    return out


def _unit(vectors: ArrayLike, what: str) -> Floats:
    table = np.asarray(vectors, dtype=np.float64)
    if table.ndim != 2 or not len(table) or not np.isfinite(table).all():
        raise InputError(f"vectors of {what} that are no finite rows")
    length = np.linalg.norm(table, axis=1, keepdims=True)
    if (length <= 0).any():
        raise InputError(f"a vector of {what} without a direction")
    return np.asarray(table / length)


@dataclass(frozen=True)
class _View:
    """What a way of saying the queries shows."""

    nearer: Floats  # (groups, queries)
    shares: Floats  # (groups, queries)
    hits: NDArray[np.int64]  # (queries, k)


def _look(
    texts: list[str],
    encode: Encode,
    gallery: Floats,
    groups: Mapping[str, NDArray[np.bool_]],
    depth: int,
) -> _View:
    vectors = _unit(encode(texts), "the queries")
    if vectors.shape != (len(texts), gallery.shape[1]):
        raise InputError(f"the encoder gave {vectors.shape} for {len(texts)} texts")
    scores = vectors @ gallery.T
    first = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
    order = np.argsort(-np.take_along_axis(scores, first, axis=1), axis=1, kind="stable")
    hits = np.take_along_axis(first, order, axis=1)
    weight = 1 / np.log2(2 + np.arange(depth))
    n = len(texts)
    centres = [gallery[g].mean(axis=0) - gallery[~g].mean(axis=0) for g in groups.values()]
    nearer = [vectors @ centre for centre in centres]
    shares = [g[hits] @ weight / weight.sum() for g in groups.values()]
    return _View(np.reshape(nearer, (-1, n)), np.reshape(shares, (-1, n)), hits)


def _change(one: _View, two: _View) -> dict[Measure, Floats]:
    kept = (one.hits[:, :, None] == two.hits[:, None, :]).any(axis=2).mean(axis=1)
    return {
        "similarity": two.nearer - one.nearer,
        "exposure": two.shares - one.shares,
        "ranking": 1 - kept[None, :],
    }


def _measured(
    row: CounterfactualRow,
    effects: Floats,
    unit: NDArray[Any],
    minimum: Minimum,
    alpha: float,
    repetitions: int,
    seed: int,
) -> CounterfactualRow:
    """Effects of shape (1 + placebos, queries), the swap's own first."""
    if row.n_units < minimum.reported:
        return replace(row, reason=f"queries of fewer than {minimum.reported} patients")
    placebos = np.array([cluster_mean(line, unit).mean for line in effects[1:]])
    unsigned = row.measure == "ranking"
    own = effects[0] - effects[1:].mean(axis=0) if unsigned else effects[0]
    mean = cluster_mean(own, unit).mean
    size = float(placebos.mean() if unsigned else np.sqrt(np.mean(placebos**2)))
    p = max(_over_queries(own, unit, unsigned), _over_placebos(mean, placebos, unsigned))
    row = replace(row, effect=mean, placebo=size, p=p)
    wide, inner = (
        bootstrap_t_mean(own, unit, level=level, repetitions=repetitions, seed=seed)
        for level in (0.95, 1 - 2 * alpha)
    )
    if wide.error <= 1e-15:  # each unit the same: nothing is left to estimate
        ends: tuple[float | None, ...] = (mean,) * 4
    else:
        ends = (wide.low, wide.high, inner.low, inner.high)
    if ends[2] is None or ends[3] is None:
        return replace(row, p=None, reason="effects that do not vary enough for an interval")
    return replace(
        row, ci_low=ends[0], ci_high=ends[1], inner_low=min(ends[2], mean),
        inner_high=max(ends[3], mean),
    )  # fmt: skip


def _over_queries(own: Floats, unit: NDArray[Any], one_sided: bool) -> float:
    """Score test of a mean of 0: the variance is taken under it."""
    from scipy.special import stdtr  # the command line starts without scipy

    sums = cluster_sums(own, unit).sums
    k, squares = len(sums), float(np.sum(sums**2))
    if squares <= 0:
        return 1.0
    t = float(sums.sum() / np.sqrt(k / (k - 1) * squares))
    return float(stdtr(k - 1, -t)) if one_sided else float(2 * stdtr(k - 1, -abs(t)))


def _over_placebos(mean: float, placebos: Floats, one_sided: bool) -> float:
    """Whether the effect stands clear of the placebos'; 0 where they have none at all."""
    from scipy.special import stdtr  # the command line starts without scipy

    n = len(placebos)
    if one_sided:
        spread = float(placebos.std(ddof=1) * np.sqrt(1 + 1 / n))
        if spread <= 1e-12:
            return 0.0 if mean > 1e-12 else 1.0
        return float(stdtr(n - 1, -mean / spread))
    spread = float(np.sqrt(np.mean(placebos**2)))
    if spread <= 1e-12:
        return 0.0 if abs(mean) > 1e-12 else 1.0
    return float(2 * stdtr(n, -abs(mean) / spread))
