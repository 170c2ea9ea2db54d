"""A plain bootstrap-t of one mean or one gap; patients of each side are drawn apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from support.one_by_one import ClusterSums, cluster_sums

from medembed.errors import InputError

_CELLS = 4_000_000
_FLAT = 1e-15


@dataclass(frozen=True)
class StudentisedInterval:
    """An estimate with its bootstrap-t interval."""

    estimate: float
    error: float
    low: float | None
    high: float | None
    repetitions: int


def bootstrap_t_mean(
    outcomes: ArrayLike,
    patients: ArrayLike,
    among: ArrayLike | None = None,
    *,
    repetitions: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> StudentisedInterval:
    """Mean over queries with a bootstrap-t interval over patients."""
    held = cluster_sums(outcomes, patients, among)
    if not len(held.sizes):
        raise InputError("no outcome was measured")
    n = len(held.sizes)
    table = _moments(held, np.arange(n), n)
    return _interval([table], None, _strata(np.zeros(n, dtype=np.int64)), repetitions, level, seed)


def bootstrap_t_gap(
    outcomes: ArrayLike,
    patients: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    repetitions: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> StudentisedInterval:
    """Difference of two groups' means with a bootstrap-t interval over patients."""
    one, two = np.asarray(first), np.asarray(second)
    if one.shape != two.shape or (one & two).any():
        raise InputError("a query in both groups of a comparison")
    a, b = cluster_sums(outcomes, patients, one), cluster_sums(outcomes, patients, two)
    if not len(a.sizes) or not len(b.sizes):
        raise InputError("a group without a measured outcome")
    everyone = np.union1d(a.patients, b.patients)
    n = len(everyone)
    place_a, place_b = (np.searchsorted(everyone, g.patients) for g in (a, b))
    kind = np.zeros(n, dtype=np.int64)
    kind[place_a] += 1
    kind[place_b] += 2
    left, right = _moments(a, place_a, n), _moments(b, place_b, n)
    shared = np.stack(
        [left[:, 0] * right[:, 0], left[:, 0] * right[:, 1], left[:, 1] * right[:, 0],
         left[:, 1] * right[:, 1]], axis=1,
    )  # fmt: skip
    return _interval([left, right], shared, _strata(kind), repetitions, level, seed)


def _moments(held: ClusterSums, place: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """For each patient s, n, s², s n, n², whether it is there; and the mean s is centered on."""
    # Centred first: the variance is a difference of sums that would else lose its digits.
    mean = held.sums.sum() / held.sizes.sum()
    s, size = held.sums - mean * held.sizes, held.sizes
    table = np.zeros((n, 7))
    table[place, :6] = np.stack([s, size, s**2, s * size, size**2, np.ones_like(s)], axis=1)
    table[:, 6] = mean
    return table


def _strata(kind: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(kind == value) for value in np.unique(kind)]


def _draws(
    strata: list[NDArray[np.int64]], n: int, repetitions: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // n)
    for start in range(0, repetitions, step):
        size = min(step, repetitions - start)
        weights = np.zeros((size, n))
        for members in strata:
            m = len(members)
            drawn = rng.integers(0, m, size=(size, m)) + m * np.arange(size)[:, None]
            weights[:, members] = np.bincount(drawn.ravel(), minlength=size * m).reshape(size, m)
        yield weights


def _interval(
    groups: list[NDArray[np.float64]],
    shared: NDArray[np.float64] | None,
    strata: list[NDArray[np.int64]],
    repetitions: int,
    level: float,
    seed: int,
) -> StudentisedInterval:
    if repetitions < 200:
        raise InputError("a bootstrap-t interval from fewer than 200 draws")
    if not 0 < level < 1:
        raise InputError("a level outside 0 to 1")
    n = len(groups[0])
    estimate, error = (float(x[0]) for x in _estimates(np.ones((1, n)), groups, shared))
    if not np.isfinite(error):  # fewer than two patients in a group
        return StudentisedInterval(estimate, float("nan"), None, None, repetitions)
    if error <= _FLAT:
        return StudentisedInterval(estimate, error, None, None, repetitions)
    t = []
    for weights in _draws(strata, n, repetitions, seed):
        drawn, its_error = _estimates(weights, groups, shared)
        shift = drawn - estimate
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(its_error > _FLAT, shift / its_error, np.copysign(np.inf, shift))
        t.append(np.where(np.abs(shift) <= _FLAT, 0.0, ratio))
    ranked = np.sort(np.concatenate(t))
    half = (1 - level) / 2
    lower = ranked[int(np.floor(half * (repetitions - 1)))]
    upper = ranked[int(np.ceil((1 - half) * (repetitions - 1)))]
    if not (np.isfinite(lower) and np.isfinite(upper)):
        return StudentisedInterval(estimate, error, None, None, repetitions)
    return StudentisedInterval(
        estimate, error, float(estimate - upper * error), float(estimate - lower * error),
        repetitions,
    )  # fmt: skip


def _estimates(
    weights: NDArray[np.float64],
    groups: list[NDArray[np.float64]],
    shared: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate and error under weights (draws, patients); the second group is subtracted."""
    value, variance = np.zeros(len(weights)), np.zeros(len(weights))
    centered, sizes = [], []
    for sign, table in zip((1.0, -1.0), groups, strict=False):
        s, n, ss, sn, nn, k = (weights @ table[:, :6]).T
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = s / n
            spread = np.maximum(ss - 2 * mean * sn + mean**2 * nn, 0.0)
            variance += k / (k - 1) * spread / n**2
        value += sign * (mean + table[0, 6])
        centered.append(mean)
        sizes.append((n, k))
    if shared is not None and shared.any():
        ss, sn, ns, nn = (weights @ shared).T
        (n_a, _), (n_b, _) = sizes
        k = weights.sum(axis=1)
        cross = ss - centered[1] * sn - centered[0] * ns + centered[0] * centered[1] * nn
        with np.errstate(divide="ignore", invalid="ignore"):
            variance -= 2 * k / (k - 1) * cross / (n_a * n_b)
    return value, np.sqrt(np.maximum(variance, 0.0))
