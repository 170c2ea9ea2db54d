"""Verdicts by margin: what earns which, and that a release check passes only on what was shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.stats import Minimum, decide, gate
from evaluation.stats.verdict import REASONS, Answer, RatioClaim, Reason, Verdict
from medembed.errors import InputError


@pytest.mark.parametrize(
    ("gap", "interval", "p", "verdict"),
    [
        (0.0, (-0.049, 0.049), 1.0, "within"),
        (0.0, (-0.05, 0.05), 1.0, "inconclusive"),  # the margin itself is not inside
        (0.02, (0.01, 0.03), 0.001, "within"),  # established, and shown to be small
        (0.05, (0.03, 0.07), 0.001, "differs"),  # established; larger than .05 was not shown
        (0.03, (0.01, 0.05), 0.001, "differs"),
        (0.10, (0.05, 0.15), 0.001, "differs"),  # the margin itself is not beyond
        (0.10, (0.051, 0.15), 0.001, "exceeds"),
        (-0.2, (-0.3, -0.1), 0.05, "exceeds"),
        (-0.2, (-0.3, -0.1), 0.0501, "inconclusive"),
        (0.2, (-0.1, 0.5), 0.3, "inconclusive"),
        (0.0, (-0.01, 0.01), None, "within"),
        (0.3, (0.2, 0.4), np.nan, "inconclusive"),
        (np.nan, (0.0, 0.1), 0.01, "not_assessable"),
        (0.1, None, 0.01, "not_assessable"),
        (0.1, (np.nan, 0.2), 0.01, "not_assessable"),
    ],
)
def test_each_verdict_is_earned(gap, interval, p, verdict) -> None:
    assert decide(gap, interval, p).verdict == verdict


@given(
    gap=st.floats(-1, 1),
    below=st.floats(0, 1),
    above=st.floats(0, 1),
    p=st.one_of(st.none(), st.floats(0, 1)),
    p_claim=st.floats(0, 1),
    margin=st.floats(0.01, 0.5),
    ratio=st.one_of(st.none(), st.tuples(st.booleans(), st.booleans())),
)
def test_a_verdict_claims_no_more_than_its_interval(
    gap, below, above, p, p_claim, margin, ratio
) -> None:
    low, high = gap - below, gap + above
    claim = None if ratio is None else RatioClaim(2.0, *ratio)
    found = decide(
        gap, (low, high), p, margin=margin, p_within=p_claim, p_exceeds=p_claim, ratio=claim
    )
    if found.verdict == Verdict.WITHIN:
        assert -margin < low
        assert high < margin
        assert p_claim <= 0.05
        assert claim is None or claim.inside
    if found.verdict in (Verdict.EXCEEDS, Verdict.DIFFERS):
        assert p is not None
        assert p <= 0.05
    if found.verdict == Verdict.EXCEEDS:
        assert low > margin or high < -margin or (claim is not None and claim.beyond)
        assert p_claim <= 0.05
    assert found.reason


def test_a_claim_that_its_family_does_not_bear_is_not_made() -> None:
    assert decide(0.0, (-0.04, 0.04), 0.9, p_within=0.06).verdict == "inconclusive"
    assert decide(0.1, (0.06, 0.14), 0.001, p_exceeds=0.06).code == Reason.MAY_BE_LARGER
    assert decide(0.02, (0.01, 0.03), 0.001, p_within=0.06).code == Reason.NOT_SHOWN_INSIDE


def test_a_ratio_names_a_rare_harm_that_points_hide() -> None:
    few_points = {"gap": 0.03, "interval": (0.02, 0.04), "p_adjusted": 0.001}
    assert decide(**few_points).verdict == "within"
    beyond = decide(**few_points, ratio=RatioClaim(2.0, False, True))
    assert (beyond.verdict, beyond.code) == ("exceeds", "beyond_ratio")
    open_end = decide(**few_points, ratio=RatioClaim(2.0, False, False))
    assert (open_end.verdict, open_end.code) == ("differs", "ratio_may_be_larger")
    both = decide(**few_points, ratio=RatioClaim(2.0, True, False))
    assert both.verdict == "within"
    assert both.reason.endswith("and neither rate is more than 2 times the other")
    unclear = decide(0.0, (-0.2, 0.2), 1.0, ratio=RatioClaim(2.0, False, False))
    assert unclear.reason.endswith("or rates of which one is more than 2 times the other")
    assert "times" not in decide(0.0, (-0.2, 0.2), 1.0).reason


def test_each_reason_has_words() -> None:
    fields = {"margin": 0.05, "ratio": 2.0, "least": 11, "units": "patients"}
    assert set(REASONS) == set(Reason)
    for words in REASONS.values():
        assert "{" not in words.format(**fields)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError):
        decide(0.1, (0.2, 0.3), 0.5)
    with pytest.raises(InputError):
        decide(0.1, (0.0, 0.3), 0.5, margin=0)
    with pytest.raises(InputError):
        decide(0.1, (0.0, 0.3), 0.5, alpha=0.6)


@pytest.mark.parametrize(
    ("decisions", "answer"),
    [
        ([("within", True), ("not_assessable", False), ("inconclusive", False)], Answer.PASSED),
        ([("within", True), ("within", True)], Answer.PASSED),
        ([("within", True), ("inconclusive", True)], Answer.UNDECIDED),
        ([("within", True), ("differs", False)], Answer.UNDECIDED),
        ([("not_assessable", True)], Answer.UNDECIDED),
        ([("within", False)], Answer.UNDECIDED),
        ([], Answer.UNDECIDED),
        ([("within", True), ("exceeds", False)], Answer.FAILED),
        ([("exceeds", False)], Answer.FAILED),
    ],
)
def test_a_release_check_passes_only_on_what_was_shown(decisions, answer) -> None:
    assert gate(decisions) == answer


def test_sizes_are_those_that_were_declared() -> None:
    assert [Minimum(5, 20).precision(n) for n in (4, 5, 19, 20)] == [
        "suppressed",
        "low",
        "low",
        "usual",
    ]
