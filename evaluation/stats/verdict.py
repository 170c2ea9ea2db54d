"""From a gap to a verdict, by an equivalence margin that was declared beforehand.

"No significant difference" is no evidence of equal quality: a small archive shows none however
large the harm. A verdict therefore has to be earned on either side:

=================  ================================================================================
``within``         the 1 - 2 alpha interval lies inside the margin (two one-sided tests)
``exceeds``        a gap is established (adjusted p at most alpha) and ``within`` is not
``inconclusive``   neither: the archive is too small to tell
``not_assessable`` no number that could be tested
=================  ================================================================================

A gap that is established but shown to be smaller than the margin is ``within``: that is what the
margin is for.

References
----------
Schuirmann, J. Pharmacokinet. Biopharm. 15:657, 1987 (two one-sided tests); Wellek, *Testing
Statistical Hypotheses of Equivalence and Noninferiority*, 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Literal

from medembed.errors import InputError

__all__ = ["Decision", "Minimum", "Precision", "Verdict", "decide", "gate"]

Verdict = Literal["within", "exceeds", "inconclusive", "not_assessable"]
Precision = Literal["usual", "low", "suppressed"]


@dataclass(frozen=True)
class Minimum:
    """Patients that a group needs.

    Parameters
    ----------
    reported : int
        With fewer the group is suppressed (CMS: no cell of 1 to 10).
    precise : int
        With fewer its figures are labelled as of low precision.
    """

    reported: int = 11
    precise: int = 50

    def precision(self, n_patients: int) -> Precision:
        """Say what a group of that size may be used for.

        Examples
        --------
        >>> Minimum().precision(10), Minimum().precision(11), Minimum().precision(50)
        ('suppressed', 'low', 'usual')
        """
        if n_patients < self.reported:
            return "suppressed"
        return "low" if n_patients < self.precise else "usual"

    def ends(self, n_patients: int) -> tuple[float, float | None]:
        """Least and largest size, None for no end, that the word for a group's precision tells.

        Examples
        --------
        >>> Minimum().ends(3), Minimum().ends(20), Minimum().ends(60)
        ((1.0, 10.0), (11.0, 49.0), (50.0, None))
        """
        if n_patients >= self.precise:
            return float(self.precise), None
        low, high = (
            (1, self.reported) if n_patients < self.reported else (self.reported, self.precise)
        )
        return float(low), float(high - 1)


@dataclass(frozen=True)
class Decision:
    """A verdict and the reason for it in words.

    Parameters
    ----------
    verdict : {"within", "exceeds", "inconclusive", "not_assessable"}
    reason : str
    """

    verdict: Verdict
    reason: str


def decide(
    gap: float | None,
    interval: tuple[float, float] | None,
    p_adjusted: float | None,
    *,
    margin: float = 0.05,
    alpha: float = 0.05,
) -> Decision:
    """Give the verdict on a gap.

    Parameters
    ----------
    gap : float or None
        None or NaN where it could not be measured.
    interval : (low, high) or None
        At the level ``1 - 2 alpha`` (90% for 0.05), holding the gap.
    p_adjusted : float or None
        Of the hypothesis of no gap, adjusted within its family; None or NaN where it could not be
        tested, which leaves ``exceeds`` out of reach.
    margin : float
        Largest gap, either way, that the hospital declared to be of no consequence.
    alpha : float

    Raises
    ------
    InputError
        Where margin or alpha make no sense or the interval does not hold the gap.

    Examples
    --------
    >>> decide(0.01, (-0.01, 0.03), 0.4).verdict
    'within'
    >>> decide(0.08, (0.04, 0.12), 0.001).verdict
    'exceeds'
    >>> decide(0.08, (-0.02, 0.18), 0.6).verdict
    'inconclusive'
    >>> decide(None, None, None).verdict
    'not_assessable'
    """
    if not margin > 0 or not 0 < alpha < 0.5:
        raise InputError("a margin has to be above 0 and alpha between 0 and 0.5")
    if gap is None or isnan(gap):
        return Decision("not_assessable", "the gap could not be measured")
    if interval is None or isnan(interval[0]) or isnan(interval[1]):
        return Decision("not_assessable", "the gap has no interval")
    if not interval[0] <= gap <= interval[1]:
        raise InputError("an interval that does not hold its gap")
    level = f"{100 * (1 - 2 * alpha):g}%"
    if -margin < interval[0] and interval[1] < margin:
        return Decision("within", f"the {level} interval lies within the margin of {margin:g}")
    if p_adjusted is not None and not isnan(p_adjusted) and p_adjusted <= alpha:
        return Decision(
            "exceeds", f"a gap is established and may be as large as the margin of {margin:g}"
        )
    return Decision("inconclusive", f"neither a gap nor one below {margin:g} could be established")


def gate(decisions: list[tuple[Verdict, bool]]) -> bool:
    """Whether an audit passes: for a pipeline that has to stop or go on.

    Parameters
    ----------
    decisions : list of (verdict, primary)
        Of all hypotheses; primary ones were declared beforehand.

    Returns
    -------
    bool
        False where any verdict is ``exceeds``, where a primary one is ``not_assessable``, or where
        there is no primary one at all: it fails closed.

    Examples
    --------
    >>> gate([("within", True), ("inconclusive", False)])
    True
    >>> gate([("not_assessable", True)]), gate([("within", False)])
    (False, False)
    """
    if not any(primary for _, primary in decisions):
        return False
    return not any(
        verdict == "exceeds" or (verdict == "not_assessable" and primary)
        for verdict, primary in decisions
    )
