"""Means beside hidden counts: so coarse that they do not tell the counts.

A mean times the queries that it is of is a sum, and sums add up as counts do: two groups of known
sum and together of known size, with a mean each, have sizes that anybody can work out. A mean of
0.613 has 31 queries below it, or 62. So a mean of a group whose size is hidden is given in steps
that the mean of a group so large takes without a gap, and the steps grow, up to no figure at all,
until linear programs that know all means find no small cell (:func:`settle`), nor integer
programs, since a group has no half a patient.

References
----------
Hundepool et al., *Statistical Disclosure Control*, 2012, ch. 4 and 5 (magnitude tables, rounding).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, isnan, nan
from typing import Any

from evaluation.stats.attacker_ip import swappable, told_by_whole_numbers
from evaluation.stats.attacker_lp import (
    Bounds,
    Limit,
    Relation,
    exposed_cells,
    split,
    touched,
)
from evaluation.stats.verdict import Minimum

__all__ = [
    "BLANK", "EXACT", "FINE", "ROUNDED", "Mean", "coarsen", "rounded", "set_gap", "settle",
    "step_of",
]  # fmt: skip

EXACT, FINE, ROUNDED, COARSE, BLANK = range(5)
"""Levels of a mean: as it is; in steps that a size nearly known, or its least, takes without a gap;
in tenths; not at all."""

_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_TENTHS = 0.1


def step_of(level: int, precision: str, n: int, minimum: Minimum) -> float:
    """Give the step of a mean in units of its range.

    Parameters
    ----------
    level : int
    precision : {"low", "usual"}
    n : int
        Queries of the group; how many of them were measured is at least half as many.
    minimum : Minimum

    Returns
    -------
    float
        0 where it is exact, NaN where it is blank.

    Examples
    --------
    >>> step_of(ROUNDED, "usual", 70, Minimum()), step_of(ROUNDED, "low", 20, Minimum())
    (0.02, 0.1)
    """
    if level == EXACT:
        return 0.0
    if level == BLANK:
        return nan
    least = minimum.precise if precision == "usual" else minimum.reported
    if level == FINE:
        least = max(n // 2, least)
    step = next((step for step in _STEPS if step * least >= 1), _STEPS[-1])
    return max(step, _TENTHS) if level == COARSE else step


@dataclass(frozen=True)
class Mean:
    """What a mean that is shown tells: a sum of values lies near its multiple of a size.

    Parameters
    ----------
    sums : dict of cell to float
        Whose values are summed: the group's, or all less the group's.
    sizes : dict of cell to float
        Alike, their queries.
    value, half : float
        The mean in its range from 0 to 1, and half a step.
    """

    sums: Mapping[Hashable, float]
    sizes: Mapping[Hashable, float]
    value: float
    half: float

    def limits(self) -> list[Limit]:
        """Both ends."""
        high, low = self.value + self.half, self.value - self.half
        return [
            Limit({**self.sums, **{c: -sign * high for c, sign in self.sizes.items()}}, -inf, 0.0),
            Limit({**self.sums, **{c: -sign * low for c, sign in self.sizes.items()}}, 0.0, inf),
        ]


def rounded(value: float, step: float, way: Callable[[float], int] = round) -> float:
    """Round to a multiple of a step; 0 leaves the value as it is.

    Examples
    --------
    >>> rounded(0.75, 0.1), rounded(0.75, 0.1, floor), rounded(0.75, 0)
    (0.8, 0.7, 0.75)
    """
    return round(way(round(value / step, 6)) * step, 9) if step else value


def coarsen(row: dict[str, Any], names: Iterable[str], step: float, unit: float = 1.0) -> None:
    """Round a row's figures to a step, ends of intervals outwards; drop them where it is NaN.

    Parameters
    ----------
    row : dict
    names : iterable of str
        Fields that end in ``low`` are rounded down, in ``high`` up.
    step : float
        As :func:`step_of` gives it.
    unit : float
        What the figures are measured in.
    """
    for name in names:
        value = row.get(name)
        if value is None or isnan(value) or step == 0:
            continue
        if isnan(step):
            row[name] = nan
            continue
        way = floor if name.endswith("low") else ceil if name.endswith("high") else round
        row[name] = rounded(value / unit, step, way) * unit


def set_gap(row: dict[str, Any], name: str, gap: float) -> None:
    """Put the difference of two rounded means in, which tells no more than they do.

    Parameters
    ----------
    row : dict
    name : str
        Of the gap; the ends of its interval are moved so that they hold it.
    gap : float
    """
    row[name] = round(gap, 9)
    for end, outer in (("ci_low", min), ("ci_high", max)):
        value = row.get(f"{name}_{end}")
        if value is not None and not isnan(value):
            row[f"{name}_{end}"] = outer(value, row[name])


def settle(
    levels: Mapping[Hashable, int],
    told: Callable[[Mapping[Hashable, int]], tuple[Collection[Hashable], list[Limit]]],
    near: Callable[[Hashable], Collection[Hashable]],
    counts: Mapping[Hashable, int | float],
    relations: Sequence[Relation],
    bounds: Bounds,
    fractions: Collection[Hashable] = (),
    place_of: Callable[[Hashable], tuple[Hashable, Hashable]] = lambda cell: (cell, ""),
) -> dict[Hashable, int]:
    """Make means coarser until nobody can work out a small cell from them.

    Parameters
    ----------
    levels : mapping of mean to level
        Those to begin with.
    told : callable
        Given levels, the cells that are hidden and the limits that the means set.
    near : callable
        Given a small cell, the means that stand in a sum with it.
    counts, relations
        As in :func:`evaluation.stats.suppress`; sums of values are cells like counts.
    bounds : Bounds
    fractions : collection of cells
        Sums of values that need not be whole numbers.
    place_of : callable
        A cell's group, and what it is of its group: see
        :func:`evaluation.stats.attacker_ip.swappable`.

    Returns
    -------
    dict of mean to level
        None is lower than it was.

    Notes
    -----
    Coarser become the means that stand in a sum with a cell that can be told; where all of these
    are blank, all there are. What no mean can help against is left to the choice of counts.
    """
    found = dict(levels)
    wanted = set(bounds.few)
    while wanted:
        hidden, limits = told(found)
        systems = [s for s in split(counts, relations, hidden, limits) if wanted & set(s.names)]
        left = [
            (wanted & set(system.names)) - swappable(system, bounds, place_of) for system in systems
        ]
        sought = list(zip(systems, left, strict=True))
        exposed = [
            cell for system, cells in sought for cell in exposed_cells(system, cells, bounds, 1.0)
        ] or [
            cell
            for system, cells in sought
            for cell in told_by_whole_numbers(system, cells, bounds, fractions)
        ]
        if not exposed and wanted != set(bounds.few):
            wanted = set(bounds.few)  # once more, of all of them
            continue
        close = {mean for cell in exposed for mean in near(cell) if mean in found}
        choices = (
            {mean for mean in close if EXACT < found[mean] < BLANK},
            {mean for mean in found if EXACT < found[mean] < BLANK},
            {mean for mean in close if found[mean] < BLANK},
            {mean for mean in found if found[mean] < BLANK},
        )
        raised = next(filter(None, choices), set()) if exposed else set()
        if not raised:
            break
        wanted = touched(systems, exposed) & set(bounds.few)
        found |= {mean: found[mean] + 1 for mean in raised}
    return found
