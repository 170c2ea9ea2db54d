"""Every comparison of an audit as arrays: estimates, gaps, intervals and tests of all groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.table_input import Grouping, Queries
from evaluation.stats import Minimum
from evaluation.stats.bootstrap_t import bootstrap_t_groups
from evaluation.stats.cluster_sums import (
    Cells,
    Contrast,
    Side,
    add_up,
    cells_of,
    centred_on,
    contrast_with_rest,
    patient_sums,
    two_sides,
)
from evaluation.stats.proportions import binomial_ends, join_ends
from evaluation.stats.score_test import score_statistic, two_sided
from evaluation.stats.variance_floor import Pooled, pooled_likeness
from medembed.errors import InputError

__all__ = ["Block", "Measure", "compare", "is_dominated"]

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]
_MOST_PAIRS = 20_000
_FLAT = 1e-24
_CARRIED = 25.0


@dataclass(frozen=True)
class Measure:
    """Each group's own figures; arrays of shape (n_groups, n_outcomes).

    Parameters
    ----------
    mean, low, high, n, k, events, design_effect, icc : float64 arrays
    """

    mean: Array
    low: Array
    high: Array
    n: Array
    k: Array
    events: Array
    design_effect: Array
    icc: Array


@dataclass(frozen=True)
class Block:
    """Comparisons of one kind within one attribute; arrays of shape (n_rows, n_outcomes).

    Parameters
    ----------
    grouping : Grouping
    comparison : {"rest", "largest", "pair"}
    first, second : int arrays of shape (n_rows,)
        Groups; -1 for the rest: all other known groups.
    cells : Cells
    measure : Measure
        Of all groups of the attribute.
    other_mean, other_k : float64 arrays
    gap, p : float64 arrays
    ends : float64 array of shape (2, 2, n_rows, n_outcomes)
        At the levels ``1 - alpha`` and ``1 - 2 alpha``, low and high; NaN where there are none.
    limits : float64 array of shape (2, 2, n_rows, n_outcomes)
        Low and high of the group's and of the other side's proportion, at ``1 - alpha``.
    correlation : float64 array
        Of the two proportions, through patients with queries on both sides.
    dominated : bool array of shape (2, n_rows, n_outcomes)
        Sides of which a few patients hold most queries, whose errors nothing can tell.
    tested : bool array
        Whether both sides have as many patients as may be reported, and none is dominated.
    pooled : Pooled
        The whole archive's outcomes.
    """

    grouping: Grouping
    comparison: str
    first: Numbers
    second: Numbers
    cells: Cells
    measure: Measure
    other_mean: Array
    other_k: Array
    gap: Array
    p: Array
    ends: Array
    limits: Array
    correlation: Array
    dominated: NDArray[np.bool_]
    tested: NDArray[np.bool_]
    pooled: Pooled


def compare(
    queries: Queries,
    *,
    contrasts: str,
    minimum: Minimum,
    alpha: float,
    repetitions: int,
    seed: int,
) -> list[Block]:
    """Compare each group with the rest, and as asked with the largest group and in pairs.

    With 0 repetitions scores have no intervals.

    Raises
    ------
    InputError
        Where pairs are asked for of so many groups that they cannot be read.
    """
    levels = (1 - alpha, 1 - 2 * alpha)
    scores = np.flatnonzero([kind == "score" for kind in queries.kinds])
    sums = patient_sums(queries.values, queries.owner, queries.n_patients)
    pooled = pooled_likeness(centred_on(queries.values, sums[0]), sums[1], sums[2])
    blocks: list[Block] = []
    for grouping in queries.groupings:
        cells = cells_of(
            queries.values, queries.owner, queries.n_patients, grouping.of_query,
            len(grouping.names), sums=sums, exclusive=not grouping.varies, known=grouping.known,
        )  # fmt: skip
        contrast = contrast_with_rest(cells)
        measure = _measure(cells, contrast.first, levels[0])
        every = np.arange(len(grouping.names))
        rest = np.full(len(every), -1)
        blocks.append(
            _block(grouping, "rest", every, rest, cells, measure, contrast, pooled, levels, minimum)
        )
        patients = np.bincount(cells.group, minlength=cells.n_groups)
        for name, first, second in _others(contrasts, patients, minimum, grouping):
            contrast_of = two_sides(cells, first, second, contrast.first)
            blocks.append(
                _block(
                    grouping, name, first, second, cells, measure, contrast_of, pooled, levels,
                    minimum,
                )
            )  # fmt: skip
    for block in blocks:
        for filled in (block.measure.low, block.measure.high, block.ends, block.limits):
            filled[..., scores] = np.nan
    if len(scores) and repetitions:
        _draw_scores(blocks, scores, levels, minimum, repetitions, seed)
    for block in blocks:
        block.ends[:, :, block.dominated.any(axis=0)] = np.nan
        if block.comparison == "rest":
            for end in (block.measure.low, block.measure.high):
                end[block.dominated[0]] = np.nan
    return blocks


def _others(
    contrasts: str, patients: Numbers, minimum: Minimum, grouping: Grouping
) -> list[tuple[str, Numbers, Numbers]]:
    if contrasts == "rest" or len(patients) < 2:
        return []
    largest = int(np.argmax(np.where(grouping.known, patients, -1)))
    others = np.array([g for g in range(len(patients)) if g != largest])
    found = [("largest", others, np.full(len(others), largest))]
    if contrasts == "all":
        shown = np.flatnonzero(patients >= minimum.reported)
        first, second = (shown[side] for side in np.triu_indices(len(shown), 1))
        if len(first) > _MOST_PAIRS:
            raise InputError(
                f"{len(first)} pairs of groups",
                where=grouping.attribute,
                hint='use contrasts="largest"',
            )
        found.append(("pair", first, second))
    return found


def _measure(cells: Cells, own: Side, level: float) -> Measure:
    mean, v = own.mean, own.variance()
    low, high, _ = binomial_ends(np.clip(mean, 0.0, 1.0), own.n, own.k, v, level=level)
    squares = add_up(cells.group, cells.squares, cells.n_groups)
    shift = own.shift
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.maximum(squares - own.n * shift**2, 0.0)
        flat = total <= _FLAT * np.maximum(1.0, mean**2) * own.n
        design = np.where(flat, np.nan, v / (total / (own.n - 1) / own.n))
        residual = cells.s - shift[cells.group] * cells.n
        each = np.where(cells.n > 0, residual**2 / cells.n, 0.0)
        between = add_up(cells.group, each, cells.n_groups)
        msb = between / (own.k - 1)
        msw = np.maximum(0.0, total - between) / (own.n - own.k)
        usual = (own.n - own.nn / own.n) / (own.k - 1)
        icc = np.where(flat | (own.n <= own.k), np.nan, (msb - msw) / (msb + (usual - 1) * msw))
        events = own.s + np.nan_to_num(own.centre) * own.n
    return Measure(mean, low, high, own.n, own.k, events, design, np.where(own.k < 2, np.nan, icc))


def _block(
    grouping: Grouping,
    comparison: str,
    first: Numbers,
    second: Numbers,
    cells: Cells,
    measure: Measure,
    contrast: Contrast,
    pooled: Pooled,
    levels: tuple[float, ...],
    minimum: Minimum,
) -> Block:
    """Score tests, and the intervals of proportions."""
    one, two = contrast.first, contrast.second
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (one.s + two.s) / (one.n + two.n)
        squares, other = (
            np.maximum(side.variance(centre), pooled.least(side.n, 1 / side.n, side.nn / side.n**2))
            * ((side.k - 1) / side.k)
            for side in (one, two)
        )
        ss, sn, ns, nn = contrast.shared
        cross = (ss - centre * (sn + ns) + centre**2 * nn) / (one.n * two.n)
        gap = one.shift - two.shift
        t, df = score_statistic(
            gap, squares, other, np.where(nn > 0, cross, 0.0), one.k, two.k, contrast.k
        )
        v, w = one.variance(), two.variance()
        # The plain correlation of the two sums: as evaluation.stats.gap_interval has it.
        bare = np.sqrt(v * (one.k - 1) / one.k * w * (two.k - 1) / two.k)
        shared = ss - two.shift * sn - one.shift * ns + one.shift * two.shift * nn
        r = np.where((nn > 0) & (bare > 0), shared / (one.n * two.n) / bare, 0.0)
        r = np.clip(np.nan_to_num(r), -1.0, 1.0)
    ends = np.empty((len(levels), 2, *gap.shape))
    limits = np.empty((2, 2, *gap.shape))
    for number, level in enumerate(levels):
        p, q = np.clip(one.mean, 0.0, 1.0), np.clip(two.mean, 0.0, 1.0)
        low, high, _ = binomial_ends(p, one.n, one.k, v, level=level)
        other_low, other_high, _ = binomial_ends(q, two.n, two.k, w, level=level)
        with np.errstate(invalid="ignore"):
            joined = join_ends(p, low, high, q, other_low, other_high, r)
        ends[number] = np.clip(np.stack(joined), -1.0, 1.0)
        if not number:
            limits[:] = (low, high), (other_low, other_high)
    dominated = is_dominated(np.stack([one.effective_k, two.effective_k]), np.stack([one.k, two.k]))
    enough = (one.k >= minimum.reported) & (two.k >= minimum.reported)
    return Block(
        grouping, comparison, first, second, cells, measure, two.mean, two.k, gap,
        two_sided(t, df), ends, limits, r, dominated,
        np.asarray(enough & ~dominated.any(axis=0)), pooled,
    )  # fmt: skip


def is_dominated(effective: Array, patients: Array) -> NDArray[np.bool_]:
    r"""Whether a few patients hold most of a side's queries.

    A mean that rests on one patient varies as that patient does, which its own queries cannot tell.

    Parameters
    ----------
    effective, patients : float64 arrays of one shape
        Patients with equally many queries that would carry as much, and how many there are.

    Notes
    -----
    Simulated with one, two and four patients who hold a tenth to a half of a group's queries, 95%
    intervals covered 68 to 93% where :math:`k^* < 25` and :math:`k^* < k/2`, and 93 to 95%
    elsewhere. With the usual spread of queries a patient :math:`k^*` is about .6 k.

    Examples
    --------
    >>> is_dominated(np.array([4.0, 9.6, 60.0]), np.array([150.0, 15.0, 150.0]))
    array([ True, False, False])
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((effective < _CARRIED) & (effective < patients / 2))


def _draw_scores(
    blocks: list[Block],
    scores: Numbers,
    levels: tuple[float, ...],
    minimum: Minimum,
    repetitions: int,
    seed: int,
) -> None:
    """Put bootstrap-t intervals in place of those of proportions."""
    rests = [block for block in blocks if block.comparison == "rest"]
    others = [block for block in blocks if block.comparison != "rest"]
    parts, groups, pairs = [], [], []
    for block in rests:
        parts.append(_of_outcomes(block.cells, scores))
        wanted = block.measure.k[:, scores] >= minimum.reported
        groups.append(np.flatnonzero(wanted.any(axis=1)))
        its = [b for b in others if b.grouping is block.grouping]
        pairs.append(
            np.concatenate(
                [np.empty((0, 2), dtype=np.int64)]
                + [np.stack([b.first, b.second], axis=1)[_any_tested(b, scores)] for b in its]
            )
        )
    drawn = bootstrap_t_groups(
        parts, groups, pairs, repetitions=repetitions, levels=levels, seed=seed
    )
    for block, found in zip(rests, drawn, strict=True):
        centre = block.cells.centre[scores]
        block.measure.low[:, scores] = found.mean[0, 0] + centre
        block.measure.high[:, scores] = found.mean[0, 1] + centre
        block.ends[..., scores] = found.gap
        start = 0
        for other in (b for b in others if b.grouping is block.grouping):
            rows = np.flatnonzero(_any_tested(other, scores))
            other.ends[..., scores] = np.nan
            other.ends[:, :, rows[:, None], scores] = found.pair[:, :, start : start + len(rows)]
            start += len(rows)


def _any_tested(block: Block, scores: Numbers) -> NDArray[np.bool_]:
    return np.asarray(block.tested[:, scores].any(axis=1))


def _of_outcomes(cells: Cells, chosen: Numbers) -> Cells:
    return Cells(
        cells.owner, cells.group, cells.s[:, chosen], cells.n[:, chosen],
        cells.squares[:, chosen], cells.whole_s[:, chosen], cells.whole_n[:, chosen],
        cells.n_groups, cells.centre[chosen], cells.exclusive, cells.known,
    )  # fmt: skip
