"""Forest plots as inline SVG: one small drawing per table row, all on one axis.

Positions along the axis are percentages, so that a drawing fits a wide page, a telephone and paper
without being stretched; markers keep their size. Colours come from the page's style sheet by class.
Shape, not colour, tells the two estimates apart: a filled diamond is adjusted, a hollow circle is
not. An arrow head says that an interval goes on beyond the axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, isfinite

from evaluation.report.number_format import Kind

__all__ = ["Axis", "Interval", "axis_svg", "gap_axis", "row_svg", "span_axis"]

_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """The stretch of values that a table's drawings share.

    Parameters
    ----------
    low, high : float
    ticks : tuple of float
    kind : str
        How a tick is written: :func:`evaluation.report.number_format.figure`.
    """

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


@dataclass(frozen=True)
class Interval:
    """A point and its interval, as far as they are known.

    Parameters
    ----------
    point, low, high : float or None
    """

    point: float | None
    low: float | None
    high: float | None

    @property
    def known(self) -> bool:
        """Whether there is anything to draw."""
        return self.point is not None


def gap_axis(
    intervals: Iterable[Interval], margin: float | None, kind: Kind = "points", most: float = 1.0
) -> Axis:
    """Choose an axis around no gap, that one wild interval can't blow up.

    It reaches as far as nine tenths of the intervals and all points do, and twice the margin at
    least; what goes further is drawn with an arrow head.

    Parameters
    ----------
    intervals : iterable of Interval
    margin : float or None
    kind : str
    most : float
        Largest gap there can be.

    Returns
    -------
    Axis

    Examples
    --------
    >>> gap_axis([Interval(-0.07, -0.10, -0.04)], 0.05).ticks
    (-0.1, -0.05, 0.0, 0.05, 0.1)
    """
    drawn = [interval for interval in intervals if interval.known]
    ends = sorted(
        max(abs(low), abs(high))
        for low, high in ((item.low, item.high) for item in drawn)
        if low is not None and high is not None
    )
    reach = ends[min(len(ends) - 1, int(0.9 * len(ends)))] if ends else 0.0
    reach = max([reach, *(abs(item.point) for item in drawn if item.point is not None)])
    reach = max(reach, 2 * (margin or 0.0))
    reach = reach if reach > 1e-6 else 0.1
    step = _step(2 * reach, 7)
    edge = min(most, step * ceil(reach / step - 1e-9))
    count = floor(edge / step + 1e-9)
    ticks = tuple(round(step * place, 6) for place in range(-count, count + 1))
    return Axis(-edge, edge, ticks, kind)


def span_axis(values: Iterable[float | None], kind: Kind, always: Sequence[float] = ()) -> Axis:
    """Choose an axis that holds all the values.

    Parameters
    ----------
    values : iterable of float or None
    kind : str
    always : sequence of float
        Values that the axis has to hold besides, such as chance.

    Returns
    -------
    Axis

    Examples
    --------
    >>> span_axis([0.52, 0.71], "ratio", always=(0.5,)).ticks
    (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
    """
    known = [value for value in (*values, *always) if value is not None and isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low < 1e-6:
        low, high = low - 0.05, high + 0.05
    step = _step(high - low, 6)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    ticks = tuple(round(step * place, 6) for place in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks, kind)


def _step(width: float, most_ticks: int) -> float:
    for step in _STEPS:
        if width / step <= most_ticks - 1 + 1e-9:
            return step
    return width / (most_ticks - 1)


def row_svg(
    axis: Axis,
    main: Interval,
    second: Interval | None = None,
    *,
    band: tuple[float, float] | None = None,
    reference: float | None = 0.0,
    tone: str = "",
) -> str:
    """Draw one row: the band, the line of no difference, and one or two intervals.

    Parameters
    ----------
    axis : Axis
    main : Interval
        A filled diamond on a thick line.
    second : Interval, optional
        Beneath it, a hollow circle on a thin line.
    band : (low, high), optional
        The margin, or what chance alone gives.
    reference : float, optional
        Where there is no difference.
    tone : {"", "exceeds", "within", "inconclusive", "not_assessable"}
        Class of the main interval.

    Returns
    -------
    str
        An ``svg`` element that only numbers and the given class went into.
    """
    both = second is not None and second.known
    height = 44 if both else 32
    parts = [f'<svg class="forest" width="100%" height="{height}" aria-hidden="true">']
    if band is not None and all(isfinite(edge) for edge in band):
        left, right = axis.at(band[0]), axis.at(band[1])
        parts.append(
            f'<rect class="band" x="{left}%" y="0" width="{round(right - left, 2)}%" '
            'height="100%"/>'
        )
    if reference is not None:
        place = axis.at(reference)
        parts.append(f'<line class="zero" x1="{place}%" x2="{place}%" y1="0" y2="100%"/>')
    if main.known:
        parts.append(_whisker(axis, main, 15 if both else 16, f"main {tone}".strip()))
    else:
        parts.append(f'<text class="hollow" x="50%" y="{19 if both else 20}">no figure</text>')
    if both and second is not None:
        parts.append(_whisker(axis, second, 33, "second"))
    return "".join([*parts, "</svg>"])


def _whisker(axis: Axis, interval: Interval, y: int, name: str) -> str:
    low, high, point = interval.low, interval.high, interval.point
    parts = [f'<g class="{name}">']
    if low is not None and high is not None:
        parts.append(f'<line x1="{axis.at(low)}%" x2="{axis.at(high)}%" y1="{y}" y2="{y}"/>')
        for end, beyond, head in (
            (low, low < axis.low, "M6-4 0 0 6 4"),
            (high, high > axis.high, "M-6-4 0 0-6 4"),
        ):
            shape = head if beyond else "M0-4V4"
            parts.append(f'<svg class="at" x="{axis.at(end)}%" y="{y}"><path d="{shape}"/></svg>')
    if point is not None:
        mark = (
            '<circle r="3.6"/>'
            if name == "second"
            else '<path class="mark" d="M0-6.5 6.5 0 0 6.5-6.5 0z"/>'
        )
        parts.append(f'<svg class="at" x="{axis.at(point)}%" y="{y}">{mark}</svg>')
    return "".join([*parts, "</g>"])


def axis_svg(axis: Axis) -> str:
    """Draw the axis with its ticks, for the head of a column of drawings.

    Parameters
    ----------
    axis : Axis

    Returns
    -------
    str
    """
    parts = ['<svg class="forest axis" width="100%" height="24" aria-hidden="true">']
    every = 1 if len(axis.ticks) <= 5 else 2
    named = next((tick for tick in (0.0, 1.0, 0.5) if tick in axis.ticks), axis.ticks[0])
    start = axis.ticks.index(named) % every  # no gap, a fair share, or chance is always named
    for place, tick in enumerate(axis.ticks):
        at = axis.at(tick)
        parts.append(f'<line class="tick" x1="{at}%" x2="{at}%" y1="18" y2="24"/>')
        if place % every == start:
            parts.append(f'<text x="{at}%" y="13" text-anchor="middle">{_tick(tick, axis)}</text>')
    return "".join([*parts, "</svg>"])


def _tick(value: float, axis: Axis) -> str:
    """Write a tick with as many digits as the step between ticks needs."""
    if value == 0 and axis.kind != "percent":
        return "0"
    scale = 100 if axis.kind in {"points", "percent"} else 1
    step = min((b - a for a, b in pairwise(axis.ticks)), default=0.05) * scale
    digits = next((d for d in range(4) if abs(step * 10**d - round(step * 10**d)) < 1e-6), 4)
    text = f"{abs(value) * scale:.{digits}f}"
    sign = "−" if value < 0 else ""
    if axis.kind in {"points", "signed"} and value > 0:
        sign = "+"
    return sign + text + ("%" if axis.kind == "percent" else "")
