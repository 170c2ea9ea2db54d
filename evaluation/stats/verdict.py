"""From a gap to a verdict, by margins that were declared beforehand.

"No significant difference" is no evidence of equal quality: a small archive shows none however
large the harm. A verdict claims only what was shown; so does a release check, which passes only
if every primary question was shown to be within its margin.

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
from typing import Any, Literal, Self

from medembed.errors import InputError

__all__ = [
    "AGAINST", "REASONS", "Answer", "Decision", "Minimum", "Precision", "RatioClaim", "Reason",
    "Verdict", "check_margins", "decide", "decides", "gate",
]  # fmt: skip

Precision = Literal["usual", "low", "suppressed"]
Interval = tuple[float, float]
AGAINST = "against:"
"""Begins the name of a comparison with a reference group that was declared."""


class Verdict(StrEnum):
    """What was shown of a gap."""

    WITHIN = "within"
    """The interval lies inside the margin, even if a gap is established."""
    EXCEEDS = "exceeds"
    """The interval lies wholly beyond the margin, and a gap is established."""
    DIFFERS = "differs"
    """A gap is established (adjusted p at most alpha); it may be larger than the margin."""
    INCONCLUSIVE = "inconclusive"
    """Neither a gap nor its absence was shown: the archive is too small to tell."""
    NOT_ASSESSABLE = "not_assessable"
    """No number that could be tested."""


class Answer(StrEnum):
    """What a release check found."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


class Reason(StrEnum):
    """Why a verdict is what it is, or a row shows no number: a code and its words."""

    words: str

    INSIDE = "inside", "the interval lies inside the margin of {margin:g}"
    BEYOND = "beyond", "the interval lies wholly beyond the margin of {margin:g}"
    BEYOND_RATIO = "beyond_ratio", "one rate is more than {ratio:g} times the other"
    MAY_BE_LARGER = "may_be_larger", "differs; may be larger than the margin of {margin:g}"
    RATIO_MAY_BE_LARGER = (
        "ratio_may_be_larger",
        "differs; one rate may be more than {ratio:g} times the other",
    )
    NOT_SHOWN_INSIDE = (
        "not_shown_inside",
        "differs; not shown to be inside the margin of {margin:g} after adjusting for the number "
        "of comparisons",
    )
    TOO_FEW_TO_TELL = (
        "too_few_to_tell",
        "too few patients to establish a gap, or to rule out one of {margin:g} or more",
    )
    NO_GAP = "no_gap", "the gap could not be measured"
    NO_INTERVAL = "no_interval", "the gap has no interval"
    NO_VARIATION = "no_variation", "the outcome varies too little for an interval"
    NOTHING_MEASURED = "nothing_measured", "nothing was measured for this group"
    FEW = "few_patients", "fewer than {least} patients"
    FEW_RECORDS = (
        "few_records",
        "fewer than {least} patients have, or lack, the record that is counted",
    )
    NO_OTHER_GROUP = "no_other_group", "no other group to compare with"
    FEW_OTHERS = "few_others", "fewer than {least} patients to compare with"
    DOMINATED = "dominated", "one or a few {units} hold most of the group's queries"
    OTHERS_DOMINATED = (
        "others_dominated",
        "one or a few {units} hold most of the queries to compare with",
    )
    FEW_CLUSTERS = "few_clusters", "too few clusters on a side to tell how much they vary"
    FEW_SHARED_STRATA = (
        "few_shared_strata",
        "too few of the group's queries are in strata that the others share",
    )
    FEW_CARRY_THE_GAP = (
        "few_carry_the_gap",
        "the adjusted gap would rest on fewer than {least} {units}",
    )
    NO_SUCH_GROUP = "no_such_group", "no query belongs to this group"
    MERGED = "merged", "the group is small and part of 'other (small groups)'"
    REFERENCE = "reference", "the group that the other one is compared with"

    def __new__(cls, code: str, words: str) -> Self:
        """Make a code that carries its words."""
        member = str.__new__(cls, code)
        member._value_, member.words = code, words
        return member

    def text(self, minimum: Minimum) -> str:
        """Give the words of a reason that names the smallest size reported."""
        return self.words.format(least=minimum.reported)


REASONS = {reason: reason.words for reason in Reason}
_OF_RATIO = {
    Reason.INSIDE: ", and neither rate is more than {ratio:g} times the other",
    Reason.TOO_FEW_TO_TELL: ", or rates of which one is more than {ratio:g} times the other",
}


@dataclass(frozen=True)
class Minimum:
    """Patients that a group needs to be reported (CMS: no cell of 1 to 10) and to be precise."""

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


@dataclass(frozen=True)
class Decision:
    """A verdict and why; ``fields`` is what the words of the reason hold."""

    verdict: Verdict
    code: Reason
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """The reason in words; with a ratio as a margin, what it adds."""
        words = self.code.words
        if self.fields.get("ratio", 1.0) > 1.0:
            words += _OF_RATIO.get(self.code, "")
        return words.format(**self.fields)


@dataclass(frozen=True)
class RatioClaim:
    """What was shown of the ratio of two rates and of that of their complements.

    Whether both were shown to be inside the margin, the largest ratio, either way, that is of no
    consequence; or either to be beyond it.
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
    gap, interval, p_adjusted
        None or NaN if not measured. The interval is at the level ``1 - alpha`` as it is shown, or,
        for a single equivalence test, at ``1 - 2 alpha``; an InputError if it does not hold the
        gap. p is of no gap, adjusted within its family.
    margin : float
        Largest gap, either way, that the hospital declared to be of no consequence.
    alpha : float
    p_within, p_exceeds : float
        Of the claims "inside" and "beyond", adjusted within their families; each has to be at most
        alpha. 0 for a single question.
    ratio : RatioClaim or None
        Tells rare harms apart: a miss of 4% beside one of 1% is three points, and four times as
        often.

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
    """Refuse margins and levels that make no sense with an :class:`InputError`."""
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

    Given each hypothesis's verdict and whether it is primary, that is declared beforehand:
    ``failed`` if any gap exceeds the margin; ``passed`` if every primary question, one at least,
    was shown to be within and no other gap is established; else ``undecided``.

    Examples
    --------
    >>> gate([("within", True), ("inconclusive", False)]).value
    'passed'
    >>> gate([("inconclusive", True)]).value, gate([("within", True), ("exceeds", False)]).value
    ('undecided', 'failed')
    """
    if any(verdict == Verdict.EXCEEDS for verdict, _ in decisions):
        return Answer.FAILED
    named = [verdict for verdict, primary in decisions if primary]
    shown = named and all(verdict == Verdict.WITHIN for verdict in named)
    if shown and all(verdict != Verdict.DIFFERS for verdict, _ in decisions):
        return Answer.PASSED
    return Answer.UNDECIDED
