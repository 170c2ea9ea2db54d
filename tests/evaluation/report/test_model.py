"""The report's records: nothing is lost on the way from JSON and back, and nothing is made up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.report_cases import make_report
from support.report_changes import make_changed_report

from evaluation.report.model import Report, Row
from evaluation.stats import protect
from evaluation.stats.verdict import Answer, Verdict
from medembed.errors import InputError


@pytest.mark.parametrize("report", [make_report(3), make_changed_report(), {}, {"missing": None}])
def test_json_is_the_same_text_after_reading_and_writing(report: dict[str, Any]) -> None:
    again = Report.from_json(report).to_json()
    if report:
        assert json.dumps(again) == json.dumps(report)
    assert Report.from_json(again).to_json() == again


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["outcomes", "gate", "stamp", "exposure", "drift", "protocol", "new", "why"])


@settings(max_examples=60, deadline=None)
@given(report=st.dictionaries(keys, values, max_size=5))
def test_any_object_is_read_without_a_crash(report: dict[str, Any]) -> None:
    read = Report.from_json(report)
    json.dumps(read.to_json())
    assert set(read.to_json()) == set(report) if report else True
    assert read.gate.decision in Answer


def test_keys_that_a_later_version_adds_are_kept() -> None:
    row = {"attribute": "sex", "group": "F", "outcome": "hit", "weight": [1, 2], "gap": None}
    report = {"outcomes": {"table": [row], "k": 5}, "stamp": {"site": "x"}}
    assert Report.from_json(report).to_json() == report


def test_a_report_that_shows_a_small_group_is_refused() -> None:
    report = make_report(3)
    report["leakage"]["rows"].append({"attribute": "race", "group": "d", "n_patients": 7})
    with pytest.raises(InputError, match="too few patients"):
        Report.from_json(report)
    assert Report.from_json(protect(report)).leakage.rows[-1].is_suppressed


def test_a_verdict_keeps_its_own_text_and_none_is_not_assessable() -> None:
    assert Row.model_validate({"verdict": "differs"}).verdict == Verdict.DIFFERS
    assert Row.model_validate({"verdict": "not_heard_of"}).verdict == "not_heard_of"
    assert Row.model_validate({}).verdict == Verdict.NOT_ASSESSABLE
    assert Row.model_validate({"verdict": None}).verdict == Verdict.NOT_ASSESSABLE


@pytest.mark.parametrize(
    ("gate", "decision"),
    [
        ({"passed": True}, "passed"),
        ({"passed": False}, "failed"),
        ({"passed": False, "answer": "undecided"}, "undecided"),
        ({"passed": True, "answer": "failed"}, "failed"),
        ({}, "failed"),
    ],
)
def test_the_gates_answer_is_its_own_or_that_of_passed(gate: dict[str, Any], decision: str) -> None:
    assert Report.from_json({"gate": gate}).gate.decision == decision


def test_what_is_no_finite_number_is_none() -> None:
    row = Row.model_validate({"gap": float("nan"), "estimate": True, "n_patients": "7"})
    assert (row.gap, row.estimate, row.n_patients, row.icc) == (None, None, None, None)


def test_a_number_that_no_report_has_is_a_mistake_of_ours() -> None:
    with pytest.raises(AttributeError, match="gapp"):
        Row.model_validate({"gapp": 0.1}).gapp  # noqa: B018
