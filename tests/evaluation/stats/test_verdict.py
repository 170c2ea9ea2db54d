"""Verdicts by margin: what earns which, and that the gate fails closed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.stats import Minimum, decide, gate
from medembed.errors import InputError


@pytest.mark.parametrize(
    ("gap", "interval", "p", "verdict"),
    [
        (0.0, (-0.049, 0.049), 1.0, "within"),
        (0.0, (-0.05, 0.05), 1.0, "inconclusive"),  # the margin itself is not inside
        (0.02, (0.01, 0.03), 0.001, "within"),  # established, and shown to be small
        (0.05, (0.03, 0.07), 0.001, "exceeds"),
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
    margin=st.floats(0.01, 0.5),
)
def test_within_never_hides_an_interval_beyond_the_margin(gap, below, above, p, margin) -> None:
    found = decide(gap, (gap - below, gap + above), p, margin=margin)
    if found.verdict == "within":
        assert abs(gap - below) < margin
        assert abs(gap + above) < margin
    if found.verdict == "exceeds":
        assert p is not None
        assert p <= 0.05
    assert found.reason


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError):
        decide(0.1, (0.2, 0.3), 0.5)
    with pytest.raises(InputError):
        decide(0.1, (0.0, 0.3), 0.5, margin=0)
    with pytest.raises(InputError):
        decide(0.1, (0.0, 0.3), 0.5, alpha=0.6)


def test_the_gate_fails_closed() -> None:
    assert gate([("within", True), ("not_assessable", False), ("inconclusive", True)])
    assert not gate([("within", True), ("exceeds", False)])
    assert not gate([("not_assessable", True)])
    assert not gate([])


def test_sizes_are_those_that_were_declared() -> None:
    assert [Minimum(5, 20).precision(n) for n in (4, 5, 19, 20)] == [
        "suppressed",
        "low",
        "low",
        "usual",
    ]
