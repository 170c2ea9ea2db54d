r"""Bootstrap-t intervals of all groups and gaps of an audit from one set of draws of patients.

For means that are no proportions (MRR, nDCG): each draw of patients gives an estimate and its own
error; the spread of :math:`t^* = (\hat\theta^* - \hat\theta) / s^*` takes the place of Student's
distribution, which corrects for skewness where plain percentiles do not.

Each draw weighs every patient of the archive; the moments of all groups under these weights are
products of matrices (:mod:`evaluation.stats.cluster_sums`), so that a million queries are touched
once, and not again for each draw. A draw's own error is its linearised one; the covariance of two
sides that share patients is left out of both the error and that of each draw, which their ratio
allows: patients are drawn with all their queries.

References
----------
Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, §12.5; Hall, *The Bootstrap and
Edgeworth Expansion*, 1992, §3.5; Field and Welsh, *Bootstrapping clustered data*, JRSS B 69:369,
2007; Rao and Wu, *Resampling inference with complex survey data*, JASA 83:231, 1988 (drawing
primary units, domains estimated within each draw).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.stats.cluster_sums import (
    Cells,
    Side,
    cells_of,
    columns_of,
    contrast_with_rest,
    leaving_columns,
    side,
)
from medembed.errors import InputError

__all__ = ["DrawnEnds", "bootstrap_t_groups", "bootstrap_t_means"]

Array = NDArray[np.float64]
_CELLS = 4_000_000
_KEPT = 30_000_000
_FLAT = 1e-15


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


@dataclass(frozen=True)
class _Task:
    """Some groups of one attribute, or some pairs, that fit into memory together."""

    number: int
    groups: NDArray[np.int64]
    pairs: NDArray[np.int64]


def bootstrap_t_groups(
    attributes: Sequence[Cells],
    groups: Sequence[NDArray[np.int64]],
    pairs: Sequence[NDArray[np.int64]],
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
    repetitions : int
        At least 200.
    levels : tuple of float
    seed : int

    Returns
    -------
    list of DrawnEnds
        One for each attribute.

    Raises
    ------
    InputError
        Too few repetitions.
    """
    if repetitions < 200:
        raise InputError("a bootstrap-t interval from fewer than 200 draws")
    found = [
        DrawnEnds(
            np.full((len(levels), 2, c.n_groups, len(c.centre)), np.nan),
            np.full((len(levels), 2, c.n_groups, len(c.centre)), np.nan),
            np.full((len(levels), 2, len(p), len(c.centre)), np.nan),
        )
        for c, p in zip(attributes, pairs, strict=True)
    ]
    if not attributes or not len(attributes[0].centre):
        return found
    for tasks in _passes(attributes, groups, pairs, repetitions):
        kept = _draw(attributes, pairs, tasks, repetitions, seed)
        for task, (mean, gap, pair) in zip(tasks, kept, strict=True):
            out = found[task.number]
            for number, level in enumerate(levels):
                if mean is not None and gap is not None:
                    out.mean[number][:, task.groups] = _ends(*mean, level)
                    out.gap[number][:, task.groups] = _ends(*gap, level)
                if pair is not None:
                    out.pair[number][:, task.pairs] = _ends(*pair, level)
    return found


def bootstrap_t_means(
    values: Array,
    owner: NDArray[np.int64],
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
    repetitions, levels, seed

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


def _passes(
    attributes: Sequence[Cells],
    groups: Sequence[NDArray[np.int64]],
    pairs: Sequence[NDArray[np.int64]],
    repetitions: int,
) -> Iterator[list[_Task]]:
    """Tasks whose draws fit into memory together; several passes where not all do."""
    none = np.empty(0, dtype=np.int64)
    room = max(2, _KEPT // (repetitions * max(1, len(attributes[0].centre))))
    tasks: list[_Task] = []
    held = 0
    for number in range(len(attributes)):
        jobs = [(part, none, 2 * len(part)) for part in _split(groups[number], room // 2)]
        jobs += [
            (none, part, len(part))
            for part in _split(np.arange(len(pairs[number]), dtype=np.int64), room)
        ]
        for some_groups, some_pairs, size in jobs:
            if tasks and held + size > room:
                yield tasks
                tasks, held = [], 0
            tasks.append(_Task(number, some_groups, some_pairs))
            held += size
    if tasks:
        yield tasks


def _split(items: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
    return [items[start : start + most] for start in range(0, len(items), most)]


_Drawn = tuple[Array, Array, Array] | None


def _draw(
    attributes: Sequence[Cells],
    pairs: Sequence[NDArray[np.int64]],
    tasks: list[_Task],
    repetitions: int,
    seed: int,
) -> list[tuple[_Drawn, _Drawn, _Drawn]]:
    """For each task (estimate, error, t of each draw) of means, gaps and pairs."""
    first = attributes[0]
    n_patients = len(first.whole_n)
    compact = _compact(attributes)
    whole = [compact.take(columns_of(c.whole_s, c.whole_n)) for c in attributes]
    # Each task's groups, and for pairs all groups that they name.
    needed = [
        task.groups if len(task.groups) else np.unique(pairs[task.number][task.pairs])
        for task in tasks
    ]
    places = _places(attributes, tasks, needed, compact)
    # Drawn weight 1 for everyone gives the estimates.
    truth = _sides(np.ones((n_patients, 1)), attributes, tasks, needed, places, whole, compact)
    points = [_values(s, pairs, t, g) for s, t, g in zip(truth, tasks, needed, strict=True)]
    kept: list[list[list[Array]]] = [[[], [], []] for _ in tasks]
    for weights in _weights(n_patients, repetitions, seed):
        drawn = _sides(weights, attributes, tasks, needed, places, whole, compact)
        for number, task in enumerate(tasks):
            values = _values(drawn[number], pairs, task, needed[number])
            for kind, (point, value) in enumerate(zip(points[number], values, strict=True)):
                if point is not None and value is not None:
                    kept[number][kind].append(_studentised(point, value))
    out: list[tuple[_Drawn, _Drawn, _Drawn]] = []
    for number in range(len(tasks)):
        parts: list[_Drawn] = []
        for kind, point in enumerate(points[number]):
            if point is None:
                parts.append(None)
            else:
                t = np.sort(np.concatenate(kept[number][kind]), axis=0)
                parts.append((point[0][0], point[1][0], t))
        out.append((parts[0], parts[1], parts[2]))
    return out


@dataclass(frozen=True)
class _Compact:
    """Columns without those that several outcomes share: sizes of the same measured queries."""

    kept: NDArray[np.int64]
    spread: NDArray[np.int64]
    n_outcomes: int

    def take(self, columns: Array) -> Array:
        """Columns (rows, 6, n_outcomes) to those kept, rows last."""
        return np.ascontiguousarray(columns.reshape(len(columns), -1)[:, self.kept].T)

    def sides(self, sums: Array, centre: Array) -> Side:
        """Sums (n_draws, n_groups, kept) to a side."""
        return side(sums[..., self.spread].reshape(*sums.shape[:-1], 6, self.n_outcomes), centre)


def _compact(attributes: Sequence[Cells]) -> _Compact:
    m = attributes[0].whole_n.shape[1]
    sizes = [attributes[0].whole_n, *(c.n for c in attributes if not c.exclusive)]
    sizes += [c.n for c in attributes if c.exclusive and not c.known.all()]
    like = [  # the first outcome with the same sizes throughout
        next(a for a in range(b + 1) if all(np.array_equal(n[:, a], n[:, b]) for n in sizes))
        for b in range(m)
    ]
    # In the order of columns_of: s, n, ss, sn, nn, k; of n, nn and k the shared are dropped.
    full = [
        kind * m + (like[number] if kind in {1, 4, 5} else number)
        for kind in range(6)
        for number in range(m)
    ]
    kept, spread = np.unique(np.array(full), return_inverse=True)
    return _Compact(kept, spread.ravel(), m)


_Place = tuple[NDArray[np.int64], Array, Array]


def _places(
    attributes: Sequence[Cells],
    tasks: list[_Task],
    needed: list[NDArray[np.int64]],
    compact: _Compact,
) -> dict[tuple[int, int], _Place]:
    """Owners, own columns and leaving columns of each wanted group of each attribute."""
    found: dict[tuple[int, int], _Place] = {}
    for task, groups in zip(tasks, needed, strict=True):
        cells = attributes[task.number]
        start = np.searchsorted(cells.group, groups, "left")
        end = np.searchsorted(cells.group, groups, "right")
        for group, a, b in zip(groups.tolist(), start.tolist(), end.tolist(), strict=True):
            if (task.number, group) in found:
                continue
            part = Cells(
                cells.owner[a:b], cells.group[a:b], cells.s[a:b], cells.n[a:b],
                cells.squares[a:b], cells.whole_s, cells.whole_n, cells.n_groups, cells.centre,
                cells.exclusive, cells.known,
            )  # fmt: skip
            own = compact.take(columns_of(part.s, part.n))
            same = cells.exclusive and cells.known[group]
            leaving = own if same else compact.take(leaving_columns(part))
            found[task.number, group] = (part.owner, own, leaving)
    return found


def _weights(n_patients: int, repetitions: int, seed: int) -> Iterator[Array]:
    """Blocks (n_patients, n_draws): how often each patient was drawn."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // n_patients)
    for start in range(0, repetitions, step):
        size = min(step, repetitions - start)
        drawn = rng.integers(0, n_patients, size=(size, n_patients))
        drawn *= size
        drawn += np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n_patients)
        yield counts.reshape(n_patients, size).astype(np.float64)


def _sides(
    weights: Array,
    attributes: Sequence[Cells],
    tasks: list[_Task],
    needed: list[NDArray[np.int64]],
    places: dict[tuple[int, int], _Place],
    whole: list[Array],
    compact: _Compact,
) -> list[tuple[Side, Side]]:
    """Each task's groups and their rests under the weights (n_patients, n_draws)."""
    draws, width = weights.shape[1], len(whole[0])
    # All known, attributes have one whole.
    complete = [number for number, cells in enumerate(attributes) if cells.known.all()]
    shared = (whole[complete[0]] @ weights).T if complete else None
    totals = [
        shared if shared is not None and number in complete else (one @ weights).T
        for number, one in enumerate(whole)
    ]
    sums: dict[tuple[int, int], tuple[Array, Array]] = {}
    for key, (owner, columns, leaving) in places.items():
        its = weights[owner]
        own = (columns @ its).T
        left = own if columns is leaving else (leaving @ its).T
        sums[key] = own, totals[key[0]] - left
    found = []
    for task, groups in zip(tasks, needed, strict=True):
        centre = attributes[task.number].centre
        own, rest = np.empty((2, draws, len(groups), width))
        for number, group in enumerate(groups.tolist()):
            own[:, number], rest[:, number] = sums[task.number, group]
        found.append((compact.sides(own, centre), compact.sides(rest, centre)))
    return found


_Value = tuple[Array, Array] | None


def _values(
    sides: tuple[Side, Side],
    pairs: Sequence[NDArray[np.int64]],
    task: _Task,
    groups: NDArray[np.int64],
) -> tuple[_Value, _Value, _Value]:
    """Estimate and error (n_draws, n_groups or n_pairs, n_outcomes) of means, gaps, pairs."""
    own, rest = sides
    mean, v = own.shift, own.variance()
    if not len(task.pairs):
        gap = mean - rest.shift
        return (mean, np.sqrt(v)), (gap, np.sqrt(v + rest.variance())), None
    one, two = np.searchsorted(groups, pairs[task.number][task.pairs]).T
    return None, None, (mean[:, one] - mean[:, two], np.sqrt(v[:, one] + v[:, two]))


def _studentised(point: tuple[Array, Array], drawn: tuple[Array, Array]) -> Array:
    with np.errstate(invalid="ignore"):  # infinite less infinite is NaN, as is a missing group
        shift, error = drawn[0] - point[0], drawn[1]
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
