"""Every comparison of an audit as arrays: estimates, gaps, intervals and tests of all groups."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.table_input import LEAST_CLUSTERS, Grouping, Queries
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
Ints = NDArray[np.int64]
_MOST_PAIRS = 20_000
_FLAT = 1e-24
_CARRIED = 25.0


@dataclass(frozen=True)
class Measure:
    """Each group's own figures, shape (n_groups, n_outcomes); n, k and events count unweighted."""

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
    comparison : {"rest", "largest", "pair"}
    first, second : int arrays of shape (n_rows,)
        Groups; -1 for the rest, which is ``grouping.rest`` without the group.
    measure : Measure
        Of all groups of the attribute.
    means : float64 array of shape (2, n_rows, n_outcomes)
        Of the group and of the other side; the two of adjusted figures are at the same mix.
    other_k
        Patients of the other side.
    ends : float64 array of shape (2, 2, n_rows, n_outcomes)
        At the levels ``1 - alpha`` and ``1 - 2 alpha``, low and high; NaN where there are none.
    limits : float64 array of shape (2, 2, n_rows, n_outcomes)
        Low and high of the group's and of the other side's proportion, at ``1 - alpha``; NaN for
        scores.
    correlation
        Of the two proportions, through units with queries on both sides.
    carried
        Sampling units of the side that has fewer; of adjusted figures those that carry as much.
    dominated : bool array of shape (2, n_rows, n_outcomes)
        Sides of which a few units hold most queries, whose errors nothing can tell.
    few : bool array
        Whether a side has too few clusters for its error, where clusters are drawn.
    tested : bool array
        Whether both sides have as many patients as may be reported, and none is dominated.
    pooled : Pooled
        The whole archive's outcomes.
    overlap, p_heterogeneity
        Of adjusted figures: share of the group's queries in strata of the other side, and p of one
        and the same gap in all strata, not adjusted.
    """

    grouping: Grouping
    comparison: str
    first: Ints
    second: Ints
    cells: Cells
    measure: Measure
    means: Array
    other_k: Array
    gap: Array
    p: Array
    ends: Array
    limits: Array
    correlation: Array
    carried: Array
    dominated: NDArray[np.bool_]
    few: NDArray[np.bool_]
    tested: NDArray[np.bool_]
    pooled: Pooled
    overlap: Array | None = None
    p_heterogeneity: Array | None = None

    @property
    def other_mean(self) -> Array:
        """Mean of the other side."""
        return np.asarray(self.means[1])


@dataclass(frozen=True)
class _Attribute:
    """What the comparisons of one attribute are made from.

    ``count`` and ``squares`` (n_groups, n_outcomes) are queries and their squared weights.
    """

    grouping: Grouping
    cells: Cells
    of_patients: Contrast
    count: Array
    squares: Array

    def beside(self, table: Array, second: Ints) -> Array:
        """Sums of the groups ``second``; of all groups' rests where that is -1."""
        if (second >= 0).all():
            return np.asarray(table[second])
        inside = np.where(self.grouping.rest[:, None], table, 0.0)
        return np.asarray(inside.sum(axis=0) - inside)


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
    least = (minimum.reported, 0 if queries.unit is queries.owner else LEAST_CLUSTERS)
    scores = np.flatnonzero([kind == "score" for kind in queries.kinds])
    values = queries.values
    sums = patient_sums(values, queries.unit, queries.n_units)
    pooled = pooled_likeness(centred_on(values, sums[0]), sums[1], sums[2])
    if queries.weight is not None:
        sums = patient_sums(values, queries.unit, queries.n_units, queries.weight)
        measured = (~np.isnan(values)).astype(np.float64)
        counted = (measured, measured * queries.weight[:, None] ** 2, np.nan_to_num(values))
    blocks: list[Block] = []
    for grouping in queries.groupings:
        n_groups = len(grouping.names)
        cells = cells_of(
            values, queries.unit, queries.n_units, grouping.of_query, n_groups, sums=sums,
            exclusive=not grouping.varies, known=grouping.rest, weight=queries.weight,
        )  # fmt: skip
        whole = contrast_with_rest(cells)
        of_patients = whole
        if queries.unit is not queries.owner:
            of_patients = contrast_with_rest(
                cells_of(
                    values, queries.owner, queries.n_patients, grouping.of_query, n_groups,
                    exclusive=False, known=grouping.rest,
                )
            )  # fmt: skip
        count = squares = whole.first.n
        events = whole.first.s + np.nan_to_num(whole.first.centre) * count
        if queries.weight is not None:
            count, squares, events = (add_up(grouping.of_query, x, n_groups) for x in counted)
        part = _Attribute(grouping, cells, of_patients, count, squares)
        measure = _measure(part, whole.first, events, levels[0])
        every = np.arange(n_groups)
        sides = [("rest", every, np.full(n_groups, -1), whole)]
        patients = queries.patients_of(grouping)
        for name, first, second in _others(contrasts, patients, minimum, grouping):
            sides.append((name, first, second, two_sides(cells, first, second, whole.first)))
        blocks += [_block(part, measure, *side, pooled, levels, least) for side in sides]
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
    contrasts: str, patients: Ints, minimum: Minimum, grouping: Grouping
) -> list[tuple[str, Ints, Ints]]:
    if contrasts == "rest" or len(patients) < 2:
        return []
    largest = int(np.argmax(np.where(grouping.known, patients, -1)))
    others = np.array([g for g in range(len(patients)) if g != largest])
    found = [("largest", others, np.full(len(others), largest))]
    if contrasts == "all":
        shown = np.flatnonzero(patients >= minimum.reported)
        first, second = (shown[side] for side in np.triu_indices(len(shown), 1))
        if len(first) > _MOST_PAIRS:
            many = f"{len(first)} pairs of groups"
            raise InputError(many, where=grouping.attribute, hint='use contrasts="largest"')
        found.append(("pair", first, second))
    return found


def _effective(side: Side, count: Array, squares: Array) -> tuple[Array, Array]:
    """Queries and units of one weight that would tell as much (Kish); without weights their number.

    A unit is taken to lose as much by its weights as a query does.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        n = side.n**2 / squares
        return n, side.k * (n / count)


def _measure(part: _Attribute, own: Side, events: Array, level: float) -> Measure:
    cells, count = part.cells, part.count
    mean, v = own.mean, own.variance()
    n, k = _effective(own, count, part.squares)
    low, high, _ = binomial_ends(np.clip(mean, 0.0, 1.0), n, k, v, level=level)
    squares = add_up(cells.group, cells.squares, cells.n_groups)
    shift = own.shift
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = count / own.n  # weights of mean 1 within the group
        total = np.maximum(squares - own.n * shift**2, 0.0) * scale
        flat = total <= _FLAT * np.maximum(1.0, mean**2) * count
        design = np.where(flat, np.nan, v / (total / (count - 1) / count))
        residual = cells.s - shift[cells.group] * cells.n
        each = np.where(cells.n > 0, residual**2 / cells.n, 0.0)
        between = add_up(cells.group, each, cells.n_groups) * scale
        msb = between / (own.k - 1)
        msw = np.maximum(0.0, total - between) / (count - own.k)
        usual = (count - own.nn * scale**2 / count) / (own.k - 1)
        icc = np.where(flat | (count <= own.k), np.nan, (msb - msw) / (msb + (usual - 1) * msw))
    icc = np.where(own.k < 2, np.nan, icc)
    return Measure(mean, low, high, count, part.of_patients.first.k, events, design, icc)


def _block(
    part: _Attribute,
    measure: Measure,
    comparison: str,
    first: Ints,
    second: Ints,
    contrast: Contrast,
    pooled: Pooled,
    levels: tuple[float, ...],
    least: tuple[int, int],
) -> Block:
    """Score tests, and the intervals of proportions."""
    one, two = contrast.first, contrast.second
    heft = [(x[first], part.beside(x, second)) for x in (part.count, part.squares)]
    (n, k), (other_n, other_k) = (
        _effective(side, *own)
        for side, own in zip((one, two), zip(*heft, strict=True), strict=True)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (one.s + two.s) / (one.n + two.n)
        squares, other = (
            np.maximum(
                side.variance(centre),
                pooled.least(its_n, its_squares / side.n**2, side.nn / side.n**2),
            )
            * ((its_k - 1) / its_k)
            for side, its_n, its_k, its_squares in (
                (one, n, k, heft[1][0]), (two, other_n, other_k, heft[1][1])
            )
        )  # fmt: skip
        ss, sn, ns, nn = contrast.shared
        cross = (ss - centre * (sn + ns) + centre**2 * nn) / (one.n * two.n)
        gap = one.shift - two.shift
        t, df = score_statistic(
            gap, squares, other, np.where(nn > 0, cross, 0.0), k, other_k, contrast.k
        )
        v, w = one.variance(), two.variance()
        # The plain correlation of the two sums, which join_ends takes.
        bare = np.sqrt(v * (one.k - 1) / one.k * w * (two.k - 1) / two.k)
        shared = ss - two.shift * sn - one.shift * ns + one.shift * two.shift * nn
        r = np.where((nn > 0) & (bare > 0), shared / (one.n * two.n) / bare, 0.0)
        r = np.clip(np.nan_to_num(r), -1.0, 1.0)
    ends = np.empty((len(levels), 2, *gap.shape))
    limits = np.empty((2, 2, *gap.shape))
    for number, level in enumerate(levels):
        p, q = np.clip(one.mean, 0.0, 1.0), np.clip(two.mean, 0.0, 1.0)
        low, high, _ = binomial_ends(p, n, k, v, level=level)
        other_low, other_high, _ = binomial_ends(q, other_n, other_k, w, level=level)
        with np.errstate(invalid="ignore"):
            joined = join_ends(p, low, high, q, other_low, other_high, r)
        ends[number] = np.clip(np.stack(joined), -1.0, 1.0)
        if not number:
            limits[:] = (low, high), (other_low, other_high)
    dominated = is_dominated(np.stack([one.effective_k, two.effective_k]), np.stack([one.k, two.k]))
    if comparison == "rest":
        patients = part.of_patients.first.k, part.of_patients.second.k
    else:
        patients = part.of_patients.first.k[first], part.of_patients.first.k[second]
    few = np.minimum(one.k, two.k) < least[1]
    enough = (np.minimum(*patients) >= least[0]) & ~few
    return Block(
        part.grouping, comparison, first, second, part.cells, measure,
        np.stack([one.mean, two.mean]), patients[1], gap, two_sided(t, df), ends, limits, r,
        np.minimum(one.k, two.k), dominated, few,
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
    scores: Ints,
    levels: tuple[float, ...],
    minimum: Minimum,
    repetitions: int,
    seed: int,
) -> None:
    """Put bootstrap-t intervals in place of those of proportions."""
    rests = [block for block in blocks if block.comparison == "rest"]
    others = [block for block in blocks if block.comparison != "rest"]
    parts, groups, pairs = [], [], []
    its = [[b for b in others if b.grouping is block.grouping] for block in rests]
    for block, own in zip(rests, its, strict=True):
        chosen = {
            name: getattr(block.cells, name)[..., scores]
            for name in ("s", "n", "squares", "whole_s", "whole_n", "centre")
        }
        parts.append(replace(block.cells, **chosen))
        wanted = block.measure.k[:, scores] >= minimum.reported
        groups.append(np.flatnonzero(wanted.any(axis=1)))
        both = [np.stack([b.first, b.second], axis=1)[_any_tested(b, scores)] for b in own]
        pairs.append(np.concatenate([np.empty((0, 2), dtype=np.int64), *both]))
    drawn = bootstrap_t_groups(
        parts, groups, pairs, repetitions=repetitions, levels=levels, seed=seed
    )
    for block, own, found in zip(rests, its, drawn, strict=True):
        centre = block.cells.centre[scores]
        block.measure.low[:, scores] = found.mean[0, 0] + centre
        block.measure.high[:, scores] = found.mean[0, 1] + centre
        block.ends[..., scores] = found.gap
        start = 0
        for other in own:
            rows = np.flatnonzero(_any_tested(other, scores))
            other.ends[..., scores] = np.nan
            other.ends[:, :, rows[:, None], scores] = found.pair[:, :, start : start + len(rows)]
            start += len(rows)


def _any_tested(block: Block, scores: Ints) -> NDArray[np.bool_]:
    return np.asarray(block.tested[:, scores].any(axis=1))
