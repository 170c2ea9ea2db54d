r"""Bootstrap-t intervals of all groups and gaps of an audit from one set of draws of patients.

For means that are no proportions (MRR, nDCG): the spread of
:math:`t^* = (\hat\theta^* - \hat\theta) / s^*` over the draws takes the place of Student's
distribution, which corrects for skewness where plain percentiles do not. The sums of all groups
under a draw's weights are products of matrices (:mod:`evaluation.stats.cluster_sums`).

A draw's own error is its linearised one; the covariance of two sides that share patients is left
out of both the error and that of each draw, which their ratio allows: patients are drawn with all
their queries.

References
----------
Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, §12.5; Hall, *The Bootstrap and
Edgeworth Expansion*, 1992, §3.5; Field and Welsh, *Bootstrapping clustered data*, JRSS B 69:369,
2007; Rao and Wu, *Resampling inference with complex survey data*, JASA 83:231, 1988 (drawing
primary units, domains estimated within each draw).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.stats.bootstrap import drawn_patients
from evaluation.stats.cluster_sums import (
    Cells,
    cells_of,
    columns_of,
    contrast_with_rest,
    leaving_columns,
    side,
)
from medembed.errors import InputError

__all__ = ["DrawnEnds", "bootstrap_t_groups", "bootstrap_t_means"]

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
_KEPT = 30_000_000
_FLAT = 1e-15
_BY_CELL = ("owner", "group", "s", "n", "squares")


@dataclass(frozen=True)
class DrawnEnds:
    """Interval ends, NaN where there are none.

    Parameters
    ----------
    mean, gap : float64 arrays of shape (n_levels, 2, n_groups, n_outcomes)
        Of each group's mean less the pooled one (the centre of its cells), and of its gap to the
        rest.
    pair : float64 array of shape (n_levels, 2, n_pairs, n_outcomes)
    """

    mean: Array
    gap: Array
    pair: Array


_Key = tuple[int, int, bool]
"""Attribute, group, and whether the side is the group's rest."""


_Contrast = tuple[_Key, _Key | None, Array, int]
"""One side, or two; and where its ends go: an array (n_levels, 2, n, n_outcomes), its place."""


def bootstrap_t_groups(
    attributes: Sequence[Cells],
    groups: Sequence[Ints],
    pairs: Sequence[Ints],
    *,
    repetitions: int = 2000,
    levels: tuple[float, ...] = (0.95, 0.90),
    seed: int = 0,
) -> list[DrawnEnds]:
    """Draw patients and give the intervals of chosen groups, their gaps and pairs of groups.

    Parameters
    ----------
    attributes : sequence of Cells
        Of the same patients and outcomes.
    groups : sequence of int arrays
        For each attribute its groups that are wanted; others stay NaN.
    pairs : sequence of int arrays of shape (n_pairs, 2)
    repetitions, levels, seed
        An InputError with fewer than 200 repetitions.
    """
    if repetitions < 200:
        raise InputError("a bootstrap-t interval from fewer than 200 draws")
    m = len(attributes[0].centre) if attributes else 0
    found = [
        DrawnEnds(*(np.full((len(levels), 2, n, m), np.nan) for n in (c.n_groups, c.n_groups, p)))
        for c, p in zip(attributes, map(len, pairs), strict=True)
    ]
    if not m:
        return found
    wanted = [
        contrast
        for number, its in enumerate(zip(found, groups, pairs, strict=True))
        for contrast in _contrasts(number, *its)
    ]
    # As many contrasts at a time as fit into memory; the draws are the same each time.
    most = max(2, _KEPT // (repetitions * m))
    for start in range(0, len(wanted), most):
        _fill(attributes, wanted[start : start + most], repetitions, levels, seed)
    return found


def bootstrap_t_means(
    values: Array,
    owner: Ints,
    *,
    repetitions: int = 2000,
    levels: tuple[float, ...] = (0.95, 0.90),
    seed: int = 0,
) -> tuple[Array, Array, Array]:
    """Mean of each outcome over all queries, its error over patients, and its interval ends.

    Parameters
    ----------
    values : float64 array of shape (n_queries, n_outcomes)
        NaN where not measured.
    owner : int array of shape (n_queries,)
        Numbers of patients; those without a query are not drawn.

    Returns
    -------
    mean, error : float64 arrays of shape (n_outcomes,)
    ends : float64 array of shape (n_levels, 2, n_outcomes)
        NaN where there are none.
    """
    names, place = np.unique(owner, return_inverse=True)
    cells = cells_of(
        values, place, len(names), np.zeros(len(place), dtype=np.int64), 1, exclusive=True
    )
    everyone = contrast_with_rest(cells).first
    drawn = bootstrap_t_groups(
        [cells], [np.zeros(1, dtype=np.int64)], [np.empty((0, 2), dtype=np.int64)],
        repetitions=repetitions, levels=levels, seed=seed,
    )[0]  # fmt: skip
    return everyone.mean[0], np.sqrt(everyone.variance()[0]), drawn.mean[:, :, 0] + cells.centre


def _contrasts(number: int, out: DrawnEnds, groups: Ints, pairs: Ints) -> Iterator[_Contrast]:
    for group in groups.tolist():
        yield (number, group, False), None, out.mean, group
        yield (number, group, False), (number, group, True), out.gap, group
    for row, (one, two) in enumerate(pairs.tolist()):
        yield (number, one, False), (number, two, False), out.pair, row


def _fill(
    attributes: Sequence[Cells],
    contrasts: list[_Contrast],
    repetitions: int,
    levels: tuple[float, ...],
    seed: int,
) -> None:
    """Put the ends of the contrasts where they go."""
    sides = _Sides(attributes, contrasts)
    n_patients = len(attributes[0].whole_n)
    # Drawn weight 1 for everyone gives the estimates.
    (estimate,), (error,) = sides.estimates(np.ones((n_patients, 1)))
    draws = drawn_patients(n_patients, repetitions, seed)
    blocks = [_studentised(estimate, *sides.estimates(weights)) for weights in draws]
    t = np.sort(np.concatenate(blocks), axis=0)
    for number, level in enumerate(levels):
        ends = _ends(estimate, error, t, level)
        for at, (_, _, out, row) in enumerate(contrasts):
            out[number, :, row] = ends[:, at]


class _Sides:
    """Columns of all sides that contrasts name, ready to be summed under any weights."""

    def __init__(self, attributes: Sequence[Cells], contrasts: list[_Contrast]) -> None:
        pairs = [contrast[:2] for contrast in contrasts]
        self.keys = sorted({key for pair in pairs for key in pair if key is not None})
        at: dict[_Key | None, int] = {key: number for number, key in enumerate(self.keys)}
        at[None] = len(self.keys)
        self.first, self.second = np.array([[at[key] for key in pair] for pair in pairs]).T
        self.n_outcomes = len(attributes[0].centre)
        kept, self.spread = _distinct(attributes)

        def take(columns: Array) -> Array:
            """Columns (rows, 6, n_outcomes) to the distinct ones, rows last."""
            return np.ascontiguousarray(columns.reshape(len(columns), -1)[:, kept].T)

        # Attributes whose groups are all known have one whole.
        self.whole_of = [-1 if c.known.all() else n for n, c in enumerate(attributes)]
        self.wholes: dict[int, Array] = {}
        for name, cells in zip(self.whole_of, attributes, strict=True):
            if name not in self.wholes:
                self.wholes[name] = take(columns_of(cells.whole_s, cells.whole_n))
        self.columns: dict[tuple[int, int], tuple[Ints, Array, Array | None]] = {}
        for number, group in dict.fromkeys(key[:2] for key in self.keys):
            part = _of_group(attributes[number], group)
            own = take(columns_of(part.s, part.n))
            leaving = None
            if (number, group, True) in at:
                same = part.exclusive and part.known[group]
                leaving = own if same else take(leaving_columns(part))
            self.columns[number, group] = part.owner, own, leaving

    def estimates(self, weights: Array) -> tuple[Array, Array]:
        """Estimates and errors (n_draws, n_contrasts, n_outcomes) under (n_patients, n_draws)."""
        totals = {name: (whole @ weights).T for name, whole in self.wholes.items()}
        sums: dict[_Key, Array] = {}
        for (number, group), (owner, columns, leaving) in self.columns.items():
            its = weights[owner]
            own = sums[number, group, False] = (columns @ its).T
            if leaving is not None:
                less = own if leaving is columns else (leaving @ its).T
                sums[number, group, True] = totals[self.whole_of[number]] - less
        table = np.stack([sums[key] for key in self.keys], axis=1)[..., self.spread]
        of = side(table.reshape(*table.shape[:2], 6, self.n_outcomes), np.zeros(self.n_outcomes))
        nothing = np.zeros((len(table), 1, self.n_outcomes))
        shift, v = (np.concatenate([x, nothing], axis=1) for x in (of.shift, of.variance()))
        return (
            shift[:, self.first] - shift[:, self.second],
            np.sqrt(v[:, self.first] + v[:, self.second]),
        )


def _of_group(cells: Cells, group: int) -> Cells:
    start, end = np.searchsorted(cells.group, [group, group + 1]).tolist()
    parts = {name: getattr(cells, name)[start:end] for name in _BY_CELL}
    return replace(cells, **parts)


def _distinct(attributes: Sequence[Cells]) -> tuple[Ints, Ints]:
    """Columns to keep of the (6, n_outcomes) of a side, and the place of each among them.

    Outcomes with the same measured queries share n, nn and k.
    """
    m = attributes[0].whole_n.shape[1]
    sizes = [attributes[0].whole_n]
    sizes += [c.n for c in attributes if not (c.exclusive and c.known.all())]
    like = [  # the first outcome with the same sizes throughout
        next(a for a in range(b + 1) if all(np.array_equal(n[:, a], n[:, b]) for n in sizes))
        for b in range(m)
    ]
    # In the order of columns_of: s, n, ss, sn, nn, k.
    shared = (False, True, False, False, True, True)
    full = [
        kind * m + (like[b] if same else b) for kind, same in enumerate(shared) for b in range(m)
    ]
    kept, spread = np.unique(np.array(full), return_inverse=True)
    return kept, spread.ravel()


def _studentised(truth: Array, estimate: Array, error: Array) -> Array:
    with np.errstate(invalid="ignore"):  # infinite less infinite is NaN, as is a missing group
        shift = estimate - truth
    # A draw without the group, or with one patient of it, bounds nothing: infinite on its side.
    shift = np.where(np.isnan(shift), np.inf, shift)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > _FLAT, shift / error, np.copysign(np.inf, shift))
    return np.where(np.abs(shift) <= _FLAT, 0.0, t)


def _ends(estimate: Array, error: Array, t: Array, level: float) -> Array:
    """Ends (2, n, n_outcomes) of the shift; NaN where infinite or without variation."""
    last, half = len(t) - 1, (1 - level) / 2
    lower, upper = t[int(np.floor(half * last))], t[int(np.ceil((1 - half) * last))]
    usable = np.isfinite(lower) & np.isfinite(upper) & np.isfinite(error) & (error > _FLAT)
    with np.errstate(invalid="ignore"):
        ends = np.stack([estimate - upper * error, estimate - lower * error])
    return np.where(usable, ends, np.nan)
