"""From a gap to a verdict, by margins that were declared beforehand.

"No significant difference" is no evidence of equal quality: a small archive shows none however
large the harm. And a gap that is established need not be larger than the margin. A verdict claims
only what was shown:

=================  ================================================================================
``within``         the interval of the gap lies inside the margin
``exceeds``        the interval lies wholly beyond the margin, and a gap is established
``differs``        a gap is established (adjusted p at most alpha); its interval reaches both inside
                   and beyond the margin, so that it may be larger
``inconclusive``   neither a gap nor its absence was shown: the archive is too small to tell
``not_assessable`` no number that could be tested
=================  ================================================================================

A gap that is established but shown to be smaller than the margin is ``within``: that is what the
margin is for. A margin may be a ratio of rates as well, which tells rare harms apart: a miss of 4%
beside one of 1% is three points, and four times as often.

A release check has three answers. It passes only where every primary question was shown to be
within its margin; "cannot tell" does not pass.

References
----------
Schuirmann, J. Pharmacokinet. Biopharm. 15:657, 1987 (two one-sided tests); Wellek, *Testing
Statistical Hypotheses of Equivalence and Noninferiority*, 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isnan
from typing import Any, Literal

from medembed.errors import InputError

__all__ = [
    "AGAINST",
    "Answer",
    "Decision",
    "Minimum",
    "Precision",
    "RatioClaim",
    "Reason",
    "Verdict",
    "check_margins",
    "decide",
    "decides",
    "gate",
]

Precision = Literal["usual", "low", "suppressed"]
Interval = tuple[float, float]
AGAINST = "against:"
"""Begins the name of a comparison with a reference group that was declared."""


class Verdict(StrEnum):
    """What was shown of a gap."""

    WITHIN = "within"
    EXCEEDS = "exceeds"
    DIFFERS = "differs"
    INCONCLUSIVE = "inconclusive"
    NOT_ASSESSABLE = "not_assessable"


class Answer(StrEnum):
    """What a release check found."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


class Reason(StrEnum):
    """Why a verdict is what it is; the words are in :data:`REASONS`."""

    INSIDE = "inside"
    BEYOND = "beyond"
    BEYOND_RATIO = "beyond_ratio"
    MAY_BE_LARGER = "may_be_larger"
    RATIO_MAY_BE_LARGER = "ratio_may_be_larger"
    NOT_SHOWN_INSIDE = "not_shown_inside"
    TOO_FEW_TO_TELL = "too_few_to_tell"
    NO_GAP = "no_gap"
    NO_INTERVAL = "no_interval"
    NO_VARIATION = "no_variation"
    NOTHING_MEASURED = "nothing_measured"
    FEW_PATIENTS = "few_patients"
    NO_OTHER_GROUP = "no_other_group"
    FEW_OTHERS = "few_others"
    DOMINATED = "dominated"
    OTHERS_DOMINATED = "others_dominated"
    FEW_CLUSTERS = "few_clusters"
    FEW_SHARED_STRATA = "few_shared_strata"
    FEW_CARRY_THE_GAP = "few_carry_the_gap"
    NO_SUCH_GROUP = "no_such_group"
    MERGED = "merged"
    REFERENCE = "reference"


REASONS: dict[Reason, str] = {
    Reason.INSIDE: "the interval lies inside the margin of {margin:g}",
    Reason.BEYOND: "the interval lies wholly beyond the margin of {margin:g}",
    Reason.BEYOND_RATIO: "one rate is more than {ratio:g} times the other",
    Reason.MAY_BE_LARGER: "differs; may be larger than the margin of {margin:g}",
    Reason.RATIO_MAY_BE_LARGER: "differs; one rate may be more than {ratio:g} times the other",
    Reason.NOT_SHOWN_INSIDE: "differs; not shown to be inside the margin of {margin:g} after "
    "adjusting for the number of comparisons",
    Reason.TOO_FEW_TO_TELL: "too few patients to establish a gap, or to rule out one of "
    "{margin:g} or more",
    Reason.NO_GAP: "the gap could not be measured",
    Reason.NO_INTERVAL: "the gap has no interval",
    Reason.NO_VARIATION: "the outcome varies too little for an interval",
    Reason.NOTHING_MEASURED: "nothing was measured for this group",
    Reason.FEW_PATIENTS: "fewer than {least} patients",
    Reason.NO_OTHER_GROUP: "no other group to compare with",
    Reason.FEW_OTHERS: "fewer than {least} patients to compare with",
    Reason.DOMINATED: "one or a few {units} hold most of the group's queries",
    Reason.OTHERS_DOMINATED: "one or a few {units} hold most of the queries to compare with",
    Reason.FEW_CLUSTERS: "too few clusters on a side to tell how much they vary",
    Reason.FEW_SHARED_STRATA: "too few of the group's queries are in strata that the others share",
    Reason.FEW_CARRY_THE_GAP: "the adjusted gap would rest on fewer than {least} {units}",
    Reason.NO_SUCH_GROUP: "no query belongs to this group",
    Reason.MERGED: "the group is small and part of 'other (small groups)'",
    Reason.REFERENCE: "the group that the other one is compared with",
}


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
    """A verdict and why.

    Parameters
    ----------
    verdict : Verdict
    code : Reason
    fields : dict
        What the words of the reason hold.
    """

    verdict: Verdict
    code: Reason
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """The reason in words."""
        return REASONS[self.code].format(**self.fields)


@dataclass(frozen=True)
class RatioClaim:
    """What was shown of the ratio of two rates and of that of their complements.

    Parameters
    ----------
    margin : float
        Largest ratio, either way, that is of no consequence.
    inside, beyond : bool
        Whether both were shown to be smaller, or either to be larger.
    """

    margin: float
    inside: bool
    beyond: bool


def decide(
    gap: float | None,
    interval: Interval | None,
    p_adjusted: float | None,
    *,
    margin: float = 0.05,
    alpha: float = 0.05,
    p_within: float = 0.0,
    p_exceeds: float = 0.0,
    ratio: RatioClaim | None = None,
) -> Decision:
    """Give the verdict on a gap.

    Parameters
    ----------
    gap : float or None
        None or NaN where it could not be measured.
    interval : (low, high) or None
        Holding the gap: at the level ``1 - alpha`` as it is shown, or, for a single equivalence
        test, at ``1 - 2 alpha``.
    p_adjusted : float or None
        Of the hypothesis of no gap, adjusted within its family; None or NaN where it could not be
        tested, which leaves ``exceeds`` and ``differs`` out of reach.
    margin : float
        Largest gap, either way, that the hospital declared to be of no consequence.
    alpha : float
    p_within, p_exceeds : float
        Of the claims "inside" and "beyond", adjusted within their families; each has to be at most
        alpha. 0 for a single question.
    ratio : RatioClaim or None
        What was shown of the ratio of the rates; None asks nothing of it.

    Raises
    ------
    InputError
        Where margins or alpha make no sense or the interval does not hold the gap.

    Examples
    --------
    >>> decide(0.01, (-0.01, 0.03), 0.4).verdict.value
    'within'
    >>> decide(0.10, (0.06, 0.14), 0.001).verdict.value
    'exceeds'
    >>> decide(0.08, (0.04, 0.12), 0.001).reason
    'differs; may be larger than the margin of 0.05'
    >>> decide(0.08, (-0.02, 0.18), 0.6).verdict.value
    'inconclusive'
    >>> decide(None, None, None).verdict.value
    'not_assessable'
    """
    check_margins(margin, alpha)
    said: dict[str, Any] = {"margin": margin, "ratio": ratio.margin if ratio else 1.0}
    if gap is None or isnan(gap):
        return Decision(Verdict.NOT_ASSESSABLE, Reason.NO_GAP)
    if interval is None or isnan(interval[0]) or isnan(interval[1]):
        return Decision(Verdict.NOT_ASSESSABLE, Reason.NO_INTERVAL)
    if not interval[0] <= gap <= interval[1]:
        raise InputError("an interval that does not hold its gap")
    inside = -margin < interval[0] and interval[1] < margin
    beyond = interval[0] > margin or interval[1] < -margin
    alike = ratio is None or ratio.inside
    unlike = ratio is not None and ratio.beyond
    if inside and alike and p_within <= alpha:
        return Decision(Verdict.WITHIN, Reason.INSIDE, said)
    if p_adjusted is None or isnan(p_adjusted) or p_adjusted > alpha:
        return Decision(Verdict.INCONCLUSIVE, Reason.TOO_FEW_TO_TELL, said)
    if (beyond or unlike) and p_exceeds <= alpha:
        return Decision(Verdict.EXCEEDS, Reason.BEYOND if beyond else Reason.BEYOND_RATIO, said)
    reason = Reason.MAY_BE_LARGER
    if inside:
        reason = Reason.NOT_SHOWN_INSIDE if alike else Reason.RATIO_MAY_BE_LARGER
    return Decision(Verdict.DIFFERS, reason, said)


def check_margins(margin: float, alpha: float, ratio_margin: float | None = None) -> None:
    """Refuse margins and levels that make no sense.

    Raises
    ------
    InputError
    """
    if not 0 < margin < float("inf") or not 0 < alpha < 0.5:
        raise InputError("a margin has to be above 0 and alpha between 0 and 0.5")
    if ratio_margin is not None and not 1 < ratio_margin < float("inf"):
        raise InputError("a ratio as a margin has to be above 1", hint="2 for twice as often")


def decides(comparison: str) -> bool:
    """Whether the release check depends on a comparison: with the rest, or the reference instead.

    Examples
    --------
    >>> [decides(name) for name in ("rest", "against:White", "largest", "pair:F", "reference")]
    [True, True, False, False, False]
    """
    return comparison == "rest" or comparison.startswith(AGAINST)


def gate(decisions: Sequence[tuple[Verdict | str, bool]]) -> Answer:
    """Answer a release check, for a pipeline that has to stop or go on.

    Parameters
    ----------
    decisions : sequence of (verdict, primary)
        Of all hypotheses; primary ones were declared beforehand.

    Returns
    -------
    Answer
        ``failed`` where any gap exceeds the margin. ``passed`` where every primary question, one
        at least, was shown to be within and no other gap is established. Else ``undecided``.

    Examples
    --------
    >>> gate([("within", True), ("inconclusive", False)]).value
    'passed'
    >>> gate([("inconclusive", True)]).value, gate([("within", True), ("exceeds", False)]).value
    ('undecided', 'failed')
    >>> gate([("within", False)]).value
    'undecided'
    """
    if any(verdict == Verdict.EXCEEDS for verdict, _ in decisions):
        return Answer.FAILED
    named = [verdict for verdict, primary in decisions if primary]
    shown = named and all(verdict == Verdict.WITHIN for verdict in named)
    if shown and all(verdict != Verdict.DIFFERS for verdict, _ in decisions):
        return Answer.PASSED
    return Answer.UNDECIDED
