r"""Bootstrap-t intervals of standardised gaps: patients are drawn, strata estimated anew each time.

A draw gives both sides' means in every stratum, the gap at the archive's own mix of the strata that
the draw has, and that gap's error with residuals around the draw's own additive model
(:mod:`evaluation.inference.standardisation`). Only this far does it take the ratio of a patient's
outcomes to its number of queries into account; drawing the linearised gap instead covered 90% where
it said 95, at 30 patients.

References
----------
As :mod:`evaluation.inference.studentised`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.inference.standardisation import (
    AdjustedContrast,
    Layers,
    adjusted_contrast,
    layers_of,
    proportion_ends,
)
from evaluation.pairs import codes
from medembed.errors import InputError

__all__ = ["StandardisedGap", "score_ends", "standardised_gap"]

Array = NDArray[np.float64]
_LARGE = 2000  # patients from which on a side's draws are those of its normal limit
_WIDE = 200_000  # patients times strata, the same
_BLOCK = 2_000_000
_FLAT = 1e-15


@dataclass(frozen=True)
class StandardisedGap:
    """A standardised gap with test and interval; NaN where not assessable.

    Parameters
    ----------
    gap, low, high, t, df, p : float
    overlap : float
        Share of the first group's queries in strata where the second has some.
    """

    gap: float
    low: float
    high: float
    t: float
    df: float
    p: float
    overlap: float


def standardised_gap(
    outcomes: ArrayLike,
    patients: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    strata: ArrayLike,
    *,
    level: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
) -> StandardisedGap:
    """Compare two groups of queries at the same mix of strata.

    Parameters
    ----------
    outcomes : float array of shape (n_queries,)
        NaN where not measured. Only 0 and 1 is a proportion (Korn–Graubard and MOVER); else a
        bootstrap-t interval over patients.
    patients, strata : arrays of shape (n_queries,)
        Whole numbers or text.
    first, second : bool arrays of shape (n_queries,)
        The groups; no query in both.
    level, repetitions, seed

    Raises
    ------
    InputError
        Where arrays do not fit or a query is in both groups.

    Examples
    --------
    >>> hit = [1, 1, 0, 1, 0, 0, 1, 0]
    >>> view = ["PA", "PA", "AP", "PA", "AP", "AP", "PA", "AP"]
    >>> group = np.array([True, True, True, False, False, False, True, False])
    >>> standardised_gap(hit, list("abcdefgh"), group, ~group, view).gap  # all of it is the mix
    0.0
    """
    values = np.asarray(outcomes, dtype=np.float64)
    one, two = np.asarray(first), np.asarray(second)
    owner, stratum = codes(patients), codes(strata)
    if not values.shape == one.shape == two.shape == owner.shape == stratum.shape:
        raise InputError("outcomes, patients, groups and strata of different numbers of queries")
    if (one & two).any() or (owner < 0).any() or (stratum < 0).any() or np.isinf(values).any():
        raise InputError("a query in both groups, without patient or stratum, or infinite")
    side = np.where(one, 0, np.where(two, 1, 2)).astype(np.int64)
    layers = layers_of(values[:, None], owner, side, stratum)
    found = adjusted_contrast(layers, layers.group == 0, layers.group == 1)
    known = values[~np.isnan(values)]
    if np.isin(known, (0, 1)).all():
        ends = [e.item() for e in proportion_ends(found, np.zeros(1, dtype=np.int64), level)]
    else:
        drawn = score_ends(
            layers, layers.group == 0, layers.group == 1, found, 0, (level,),
            repetitions=repetitions, seed=seed,
        )  # fmt: skip
        ends = list(drawn[0])
    return StandardisedGap(
        float(found.gap[0]),
        *ends,
        *(float(x[0]) for x in (found.t, found.df, found.p, found.overlap)),
    )


@dataclass(frozen=True)
class _Side:
    """Patients of one side: their sums s and n in the common strata (n_patients, n_strata)."""

    patients: NDArray[np.int64]
    s: Array
    n: Array

    @property
    def large(self) -> bool:
        return len(self.patients) > _LARGE or self.n.size > _WIDE


def score_ends(
    layers: Layers,
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    found: AdjustedContrast,
    outcome: int,
    levels: tuple[float, ...],
    *,
    repetitions: int = 2000,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """Interval ends of one standardised gap, NaN where there are none.

    Parameters
    ----------
    layers : Layers
    first, second : bool arrays of shape (n_cells,)
        The two sides.
    found : AdjustedContrast
        Of these sides.
    outcome : int
    levels : tuple of float
    repetitions, seed : int

    Notes
    -----
    Patients are drawn as out of a large archive, so that the size of a group varies with the draw;
    with sizes held fixed intervals were too narrow by a percentage point at 50 patients. A side of
    over 2,000 patients is drawn from the normal limit of its mean, which it then has reached. The
    covariance of sides that share patients is left out of the error and of that of each draw.
    """
    nothing = [(float("nan"), float("nan"))] * len(levels)
    if np.isnan(found.gap[outcome]) or (found.k[:, outcome] < 2).any():
        return nothing
    sides = _sides(layers, first, second, outcome)
    weight = sides[0].n.sum(axis=0) + sides[1].n.sum(axis=0)
    whole = [np.ones((1, len(side.patients))) for side in sides]
    gap, variance = _estimate(sides, whole, weight)
    error = float(np.sqrt(variance.sum()))
    if not np.isfinite(error) or error <= _FLAT:
        return nothing
    rng = np.random.default_rng(seed)
    t: list[Array] = []
    step = max(1, _BLOCK // max(1, *(0 if s.large else len(s.patients) for s in sides)))
    for start in range(0, repetitions, step):
        size = min(step, repetitions - start)
        drawn, its = _estimate(sides, _weights(rng, sides, size), weight)
        shift = drawn - gap
        for number, side in enumerate(sides):
            if side.large:
                limit = np.sqrt(variance[number]) * rng.standard_normal(size)
                shift = shift + (limit if number == 0 else -limit)
                its[number] = variance[number]
        spread = np.sqrt(its.sum(axis=0))
        shift = np.where(np.isnan(shift), np.inf, shift)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(spread > _FLAT, shift / spread, np.copysign(np.inf, shift))
        t.append(np.where(np.abs(shift) <= _FLAT, 0.0, ratio))
    ranked = np.sort(np.concatenate(t))
    ends = []
    for level in levels:
        half = (1 - level) / 2
        lower = ranked[int(np.floor(half * (repetitions - 1)))]
        upper = ranked[int(np.ceil((1 - half) * (repetitions - 1)))]
        if not (np.isfinite(lower) and np.isfinite(upper)):
            return nothing
        point = float(found.gap[outcome])
        ends.append((float(point - upper * error), float(point - lower * error)))
    return ends


def _sides(
    layers: Layers, first: NDArray[np.bool_], second: NDArray[np.bool_], outcome: int
) -> tuple[_Side, _Side]:
    n = layers.n[:, outcome]
    has = [np.bincount(layers.stratum[m], n[m], layers.n_strata) > 0 for m in (first, second)]
    common = np.flatnonzero(has[0] & has[1])
    place = np.full(layers.n_strata, -1)
    place[common] = np.arange(len(common))
    made = []
    for mask in (first, second):
        rows = np.flatnonzero(mask & (n > 0) & (place[layers.stratum] >= 0))
        patients, of = np.unique(layers.owner[rows], return_inverse=True)
        shape = (len(patients), len(common))
        flat = of.ravel() * len(common) + place[layers.stratum[rows]]
        s, size = (
            np.bincount(flat, column[rows], shape[0] * shape[1]).reshape(shape).astype(np.float64)
            for column in (layers.s[:, outcome], n)
        )
        made.append(_Side(patients, s, size))
    return made[0], made[1]


def _weights(rng: np.random.Generator, sides: tuple[_Side, _Side], size: int) -> list[Array]:
    """How often each patient of either side was drawn; ones for a side in its limit."""
    shared = np.isin(sides[0].patients, sides[1].patients)
    other = np.isin(sides[1].patients, sides[0].patients)
    out = [np.ones((1 if s.large else size, len(s.patients))) for s in sides]
    for number, kind in ((0, ~shared), (1, ~other)):
        if not sides[number].large:
            out[number][:, kind] = _counts(rng, int(kind.sum()), size)
    both = _counts(rng, int(shared.sum()), size) if shared.any() else None
    if both is not None:
        for number, kind in enumerate((shared, other)):
            if not sides[number].large:
                out[number][:, kind] = both
    return out


def _counts(rng: np.random.Generator, m: int, size: int) -> Array:
    """Draws out of a large archive: how many of a group they hold varies as well."""
    return rng.poisson(1.0, size=(size, m)).astype(np.float64)


def _estimate(sides: tuple[_Side, _Side], weights: list[Array], mix: Array) -> tuple[Array, Array]:
    """Gap (n_draws,) and the variance of either side's mean (2, n_draws)."""
    n = [w @ side.n for w, side in zip(weights, sides, strict=True)]
    s = [w @ side.s for w, side in zip(weights, sides, strict=True)]
    common = (n[0] > 0) & (n[1] > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(common, mix, 0.0)
        share = share / share.sum(axis=1, keepdims=True)
        each = np.where(common, s[0] / n[0] - s[1] / n[1], 0.0)
        gap = (share * each).sum(axis=1)
        pooled = np.where(common, (s[0] + s[1]) / (n[0] + n[1]), 0.0)
        part = np.where(common, n[0] / (n[0] + n[1]), 0.0)
        variance = []
        for number, (w, side) in enumerate(zip(weights, sides, strict=True)):
            a = np.where(common, share / n[number], 0.0)
            centre = pooled + gap[:, None] * ((1 - part) if number == 0 else -part)
            if len(w) < len(gap):  # a side in its limit keeps the variance that it has
                variance.append(np.zeros(len(gap)))
                continue
            u = a @ side.s.T - (a * centre) @ side.n.T
            k = w.sum(axis=1)
            v = k / (k - 1) * (w * u**2).sum(axis=1)
            variance.append(v)
    return gap, np.stack(variance)
