"""Axes of forest plots, which all drawings of a table share; ``forest.html.j2`` draws on them.

Places along an axis are percentages, so that a drawing fits a wide page, a telephone and paper
without being stretched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor

from evaluation.report.model import Interval
from evaluation.report.number_format import MINUS, Kind

__all__ = ["Axis", "gap_axis", "span_axis"]

_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """The stretch of values that a table's drawings share; ``kind`` says how ticks are written."""

    low: float
    high: float
    ticks: tuple[float, ...]
    kind: Kind

    def at(self, value: float) -> float:
        """Give the place of a value in percent of the width, held within the axis.

        Examples
        --------
        >>> Axis(-0.1, 0.1, (0.0,), "points").at(0.05)
        75.0
        """
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    def named(self) -> list[tuple[float, str]]:
        """Give each tick its place, and its text or "" where there is no room for one."""
        every = 1 if len(self.ticks) <= 5 else 2
        first = next((tick for tick in (0.0, 1.0, 0.5) if tick in self.ticks), self.ticks[0])
        start = self.ticks.index(first)  # no gap, a fair share, or chance is always named
        return [
            (self.at(tick), "" if (place - start) % every else self._text(tick))
            for place, tick in enumerate(self.ticks)
        ]

    def _text(self, value: float) -> str:
        """Write a tick with as many digits as the step between ticks needs."""
        if value == 0 and self.kind != "percent":
            return "0"
        scale = 100 if self.kind in {"points", "percent"} else 1
        step = scale * (self.ticks[1] - self.ticks[0]) if len(self.ticks) > 1 else 0.05 * scale
        digits = next((d for d in range(4) if abs(step * 10**d - round(step * 10**d)) < 1e-6), 4)
        sign = "+" if self.kind in {"points", "signed"} else ""
        unit = "%" if self.kind == "percent" else ""
        return (MINUS if value < 0 else sign) + f"{abs(value) * scale:.{digits}f}" + unit


def gap_axis(intervals: Iterable[Interval], margin: float | None, kind: Kind = "points") -> Axis:
    """Choose an axis around no gap, that one wild interval can't blow up.

    It reaches as far as nine tenths of the intervals and all points do, twice the margin at least,
    and 1 at most; what goes further is drawn with an arrow head.

    Examples
    --------
    >>> gap_axis([Interval(-0.07, -0.10, -0.04)], 0.05).ticks
    (-0.1, -0.05, 0.0, 0.05, 0.1)
    """
    drawn = [one for one in intervals if one.point is not None]
    ends = sorted(
        max(abs(one.low), abs(one.high))
        for one in drawn
        if one.low is not None and one.high is not None
    )
    reach = ends[min(len(ends) - 1, int(0.9 * len(ends)))] if ends else 0.0
    reach = max(reach, 2 * (margin or 0.0), *(abs(one.point or 0.0) for one in drawn))
    reach = reach if reach > 1e-6 else 0.1
    step = _step(2 * reach, 7)
    edge = min(1.0, step * ceil(reach / step - 1e-9))
    count = floor(edge / step + 1e-9)
    return Axis(-edge, edge, tuple(round(step * n, 6) for n in range(-count, count + 1)), kind)


def span_axis(values: Iterable[float | None], kind: Kind, always: Sequence[float] = ()) -> Axis:
    """Choose an axis that holds all the values, and those of ``always`` such as chance.

    Examples
    --------
    >>> span_axis([0.52, 0.71], "ratio", always=(0.5,)).ticks
    (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
    """
    known = [value for value in (*values, *always) if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low < 1e-6:
        low, high = low - 0.05, high + 0.05
    step = _step(high - low, 6)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    ticks = tuple(round(step * n, 6) for n in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks, kind)


def _step(width: float, most_ticks: int) -> float:
    fitting = (step for step in _STEPS if width / step <= most_ticks - 1 + 1e-9)
    return next(fitting, width / (most_ticks - 1))
