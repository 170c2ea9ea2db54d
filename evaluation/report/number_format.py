"""How a number of the audit is written down for a reader, and how one that is missing is.

Nothing is computed here: each function takes one value of the report and gives its text. A value
that is missing (None, NaN, infinite, or no number at all) has no text, so that it can't be mistaken
for a zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

__all__ = ["KINDS", "Kind", "figure", "finite", "gap_kind", "in_steps", "level_kind", "plural"]

Kind = Literal[
    "count",
    "percent",
    "share",
    "points",
    "size",
    "margin",
    "score",
    "away",
    "signed",
    "plain",
    "ratio",
    "p",
    "percent_0",
    "points_0",
    "size_0",
    "score_2",
    "signed_2",
    "away_2",
    "score_1",
    "signed_1",
    "away_1",
]
"""``points`` and ``signed`` carry their sign; ``size``, ``margin`` and ``away`` do not. Those that
end in a digit are of figures that are given in steps, with so many decimals."""

MINUS = "\N{MINUS SIGN}"


def finite(value: Any) -> float | None:
    """Take a value as a number, or None where it is none that could be shown.

    Examples
    --------
    >>> finite(0.5), finite(float("nan")), finite(True), finite("0.5"), finite(None)
    (0.5, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _fixed(value: float, digits: int, *, sign: bool = False) -> str:
    text = f"{abs(value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:  # no "−0.0"
        return text
    if value < 0:
        return MINUS + text
    return ("+" if sign else "") + text


def _p(value: float) -> str:
    if value < 0.001:
        return "< 0.001"
    return f"= {value:.3f}" if value < 0.1 else f"= {value:.2f}"


KINDS: dict[Kind, Callable[[float], str]] = {
    "count": lambda value: _fixed(value, 0),
    "percent": lambda value: _fixed(100 * value, 1) + "%",
    "share": lambda value: f"{100 * value:g}%",
    "points": lambda value: _fixed(100 * value, 1, sign=True),
    "size": lambda value: _fixed(100 * abs(value), 1),
    "margin": lambda value: f"{100 * value:g}",
    "score": lambda value: _fixed(value, 3),
    "away": lambda value: _fixed(abs(value), 3),
    "signed": lambda value: _fixed(value, 3, sign=True),
    "plain": lambda value: f"{value:g}",
    "ratio": lambda value: _fixed(value, 2),
    "p": _p,
    "percent_0": lambda value: _fixed(100 * value, 0) + "%",
    "points_0": lambda value: _fixed(100 * value, 0, sign=True),
    "size_0": lambda value: _fixed(100 * abs(value), 0),
    "score_2": lambda value: _fixed(value, 2),
    "signed_2": lambda value: _fixed(value, 2, sign=True),
    "away_2": lambda value: _fixed(abs(value), 2),
    "score_1": lambda value: _fixed(value, 1),
    "signed_1": lambda value: _fixed(value, 1, sign=True),
    "away_1": lambda value: _fixed(abs(value), 1),
}
_IN_STEPS: dict[tuple[str, int], Kind] = {
    ("percent", 2): "percent_0", ("points", 2): "points_0", ("size", 2): "size_0",
    ("percent", 1): "percent_0", ("points", 1): "points_0", ("size", 1): "size_0",
    ("score", 2): "score_2", ("signed", 2): "signed_2", ("away", 2): "away_2",
    ("score", 1): "score_1", ("signed", 1): "signed_1", ("away", 1): "away_1",
}  # fmt: skip


def figure(value: Any, kind: Kind) -> str | None:
    """Write a number of that kind.

    Parameters
    ----------
    value : number or None
        As it stands in the report: shares and gaps as fractions of 1.
    kind : str
        One of :data:`Kind`: ``points`` are percentage points with their sign, ``size`` the same
        without it, ``margin`` those of a round figure; ``signed`` and ``away`` the same of scores.

    Returns
    -------
    str or None
        None where there is no number.

    Examples
    --------
    >>> figure(0.621, "percent"), figure(-0.0723, "points"), figure(1438, "count")
    ('62.1%', '−7.2', '1,438')
    >>> figure(0.0004, "p"), figure(0.012, "p"), figure(None, "count")
    ('< 0.001', '= 0.012', None)
    """
    number = finite(value)
    return None if number is None else KINDS[kind](number)


def level_kind(unit: str | None) -> Kind:
    """Choose how the level of an outcome is written: a share of queries, or a score from 0 to 1."""
    return "percent" if unit == "proportion" else "score"


def gap_kind(unit: str | None) -> Kind:
    """Choose how a difference of that outcome is written."""
    return "points" if unit == "proportion" else "signed"


def in_steps(kind: Kind, step: float | None) -> Kind:
    """Choose how a figure of that kind is written that is given in steps: with no more decimals.

    Examples
    --------
    >>> in_steps("score", 0.1), in_steps("points", 0.02), in_steps("signed", 0.005)
    ('score_1', 'points_0', 'signed')
    """
    step = finite(step)
    decimals = 3 if not step or step < 0.01 else 2 if step < 0.1 else 1
    return _IN_STEPS.get((kind, decimals), kind)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Give the noun that goes with a count.

    Examples
    --------
    >>> plural(1, "group"), plural(3, "group"), plural(0, "query", "queries")
    ('group', 'groups', 'queries')
    """
    return one if count == 1 else (many or one + "s")
