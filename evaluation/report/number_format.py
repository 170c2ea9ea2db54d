"""How a number of the audit is written down for a reader, and how one that is missing is.

Nothing is computed here: each function takes one value of the report and gives its text. A value
that is missing (None, NaN, infinite, or no number at all) has no text, so that it can't be mistaken
for a zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

__all__ = ["KINDS", "Kind", "figure", "finite", "gap_kind", "in_steps", "level_kind"]

Kind = str
"""A key of :data:`KINDS`."""
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


def _fixed(
    digits: int, scale: int = 1, *, sign: bool = False, size: bool = False, unit: str = ""
) -> Callable[[float], str]:
    """Make a writer of that many decimals: with its sign always, or of the size alone."""

    def write(value: float) -> str:
        text = f"{abs(scale * value):,.{digits}f}"
        if size or float(text.replace(",", "")) == 0:  # no "−0.0"
            return text + unit
        return (MINUS if value < 0 else "+" if sign else "") + text + unit

    return write


def _p(value: float) -> str:
    if value < 0.001:
        return "< 0.001"
    return f"= {value:.3f}" if value < 0.1 else f"= {value:.2f}"


KINDS: dict[Kind, Callable[[float], str]] = {
    "count": _fixed(0),
    "ratio": _fixed(2),
    "share": lambda value: f"{100 * value:g}%",
    "margin": lambda value: f"{100 * value:g}",
    "plain": lambda value: f"{value:g}",
    "p": _p,
}
for _digits, _end in ((1, ""), (0, "_0")):
    KINDS["percent" + _end] = _fixed(_digits, 100, unit="%")
    KINDS["points" + _end] = _fixed(_digits, 100, sign=True)
    KINDS["size" + _end] = _fixed(_digits, 100, size=True)
for _digits, _end in ((3, ""), (2, "_2"), (1, "_1")):
    KINDS["score" + _end] = _fixed(_digits)
    KINDS["signed" + _end] = _fixed(_digits, sign=True)
    KINDS["away" + _end] = _fixed(_digits, size=True)
"""How each kind is written. ``points`` and ``signed`` are differences with their sign, ``size`` and
``away`` the same without it; a digit at the end gives the decimals of numbers rounded to steps."""


def figure(value: Any, kind: Kind) -> str | None:
    """Write a number of that kind.

    Parameters
    ----------
    value : number or None
        As in the report: shares and gaps as fractions of 1.
    kind : str
        One of :data:`KINDS`.

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
    """Choose how a number of that kind is written that is rounded to steps: with fewer decimals.

    Examples
    --------
    >>> in_steps("score", 0.1), in_steps("points", 0.02), in_steps("signed", 0.005)
    ('score_1', 'points_0', 'signed')
    """
    step = finite(step) or 0.0
    if step < 0.01:
        return kind
    decimals = (0, 2) if step < 0.1 else (0, 1)
    return next((f"{kind}_{n}" for n in decimals if f"{kind}_{n}" in KINDS), kind)
