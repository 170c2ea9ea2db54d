"""How a number of the audit is written for a reader; one that is missing has no text.

Nothing is computed here: each function takes one value of the report and gives its text, so that
what is missing can't be mistaken for a zero.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["KINDS", "Kind", "figure", "in_steps", "kind_of"]

Kind = str
"""A key of :data:`KINDS`."""
MINUS = "\N{MINUS SIGN}"


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


def figure(value: float | None, kind: Kind) -> str | None:
    """Write a number of that kind: shares and gaps are given as fractions of 1.

    Examples
    --------
    >>> figure(0.621, "percent"), figure(-0.0723, "points"), figure(1438, "count")
    ('62.1%', '−7.2', '1,438')
    >>> figure(0.0004, "p"), figure(0.012, "p"), figure(None, "count")
    ('< 0.001', '= 0.012', None)
    """
    return None if value is None else KINDS[kind](value)


_BY_UNIT = {"level": ("percent", "score"), "gap": ("points", "signed"), "size": ("size", "away")}


def kind_of(what: str, unit: str, step: float | None = None) -> Kind:
    """Choose how a level, a gap, or a gap's size is written: of proportions, or scores from 0 to 1.

    Examples
    --------
    >>> kind_of("gap", "proportion"), kind_of("level", "score", step=0.1)
    ('points', 'score_1')
    """
    return in_steps(_BY_UNIT[what][unit != "proportion"], step)


def in_steps(kind: Kind, step: float | None) -> Kind:
    """Choose how a number of that kind is written that is rounded to steps: with fewer decimals.

    Examples
    --------
    >>> in_steps("score", 0.1), in_steps("points", 0.02), in_steps("signed", 0.005)
    ('score_1', 'points_0', 'signed')
    """
    if step is None or step < 0.01:
        return kind
    decimals = (0, 2) if step < 0.1 else (0, 1)
    return next((f"{kind}_{n}" for n in decimals if f"{kind}_{n}" in KINDS), kind)
