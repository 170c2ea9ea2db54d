"""The page says no more than the verdicts allow, whatever it is given."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.report_cases import make_report, numbers_of
from support.report_reader import Page, shown

from evaluation.report import render
from evaluation.stats import protect
from medembed.errors import InputError


def only(verdict: str, count: int = 4) -> dict[str, Any]:
    report = make_report(6)
    rows = [row for row in report["outcomes"]["table"] if row["n_patients"]][:count]
    for row in rows:
        row["verdict"] = row["verdict_naive"] = verdict
    report["outcomes"]["table"] = rows
    report["zero_shot"] = None
    return report


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("within", "No gap larger than points was found in any group that could be assessed"),
        ("inconclusive", "No gap was established, but a gap of points or more cannot be ruled out"),
        ("not_assessable", "This audit gives no answer: no group could be assessed"),
    ],
)
def test_the_headline_says_no_more_than_the_verdicts(verdict: str, words: str) -> None:
    assert words in shown(only(verdict)).text


def test_one_doubt_takes_the_all_clear_away() -> None:
    report = only("within")
    report["outcomes"]["table"][1]["verdict"] = "inconclusive"
    assert "was found in any group that could be assessed" not in shown(report).text


def test_a_missed_finding_takes_the_all_clear_away() -> None:
    report = only("within")
    report["zero_shot"] = make_report(6)["zero_shot"]
    for row in report["zero_shot"]["rows"]:
        row["verdict"] = "exceeds"
    text = shown(report).text
    assert "was found in any group that could be assessed" not in text
    assert "comparisons of named findings, missed or falsely raised" in text


def test_a_verdict_that_depends_on_adjusting_is_said() -> None:
    report = make_report(3)
    row = next(r for r in report["outcomes"]["table"] if r["group"] == "20-39")
    row["verdict"], row["verdict_naive"] = "within", "exceeds"
    assert "explained by the mix of cases as far as it was recorded" in shown(report).text


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"version": 1, "outcomes": None, "leakage": {"why": "no vectors of this model"}},
        {"outcomes": {"table": [], "settings": {}, "cells": []}},
        {"outcomes": {"table": [{}]}, "instrument": {}, "missing": {}, "gate": {}},
        {
            "outcomes": {
                "table": [{"attribute": "a*b", "group": "x", "outcome": "o", "gap": math.nan}]
            }
        },
        {"exposure": {"rows": [{}]}, "leakage": {"rows": [{}]}, "zero_shot": {"rows": [{}]}},
        {
            "mitigation": {"rows": [{}]},
            "comparison": {"rows": [{}]},
            "counterfactual": {"rows": [{}]},
        },
        {"label_quality": {"rows": [{}]}, "modality_gap": {"rows": [{}]}, "stamp": {}},
        {
            "instrument": {"false_alarm_rate": 0.04, "detectable": [{}]},
            "protocol": {"margin": 0.05},
        },
    ],
)
def test_degenerate_reports_render_without_inventing_a_number(report: dict[str, Any]) -> None:
    page = shown(report)
    allowed = numbers_of(report)
    assert all(float(value) in allowed for value, _, tally in page.figures if not tally)
    assert "Not done" in page.text


def test_the_reason_why_a_part_was_not_done_is_said() -> None:
    text = shown(
        {"leakage": {"why": "no vectors of this model"}, "why": {"exposure": "no hits"}}
    ).text
    assert "Not done. no vectors of this model" in text
    assert "Not done. no hits" in text


def test_ten_thousand_groups_leave_a_page_that_says_what_it_left_out() -> None:
    report = make_report(0)
    row = next(r for r in report["outcomes"]["table"] if r["verdict"] == "within")
    loud = next(r for r in report["outcomes"]["table"] if r["verdict"] == "exceeds")
    rows = [row | {"group": f"g{i}", "attribute": "site"} for i in range(10_000)]
    rows[7_777] = loud | {"group": "g7777", "attribute": "site", "outcome": row["outcome"]}
    report["outcomes"]["table"] = rows
    html = render(report)
    assert len(html) < 600_000
    assert "Site g7777" in html  # what matters most is not cut off
    assert 'value="9940"' in html


numbers = st.one_of(
    st.none(), st.floats(-2, 2), st.just(math.nan), st.just(math.inf), st.integers(-5, 10**7)
)
names = st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["unknown", "a*b", "sex", "F"]))
rows_of_anything = st.lists(
    st.fixed_dictionaries(
        {"attribute": names, "group": names, "outcome": names},
        optional=dict.fromkeys(
            ("n_patients", "estimate", "ci_low", "ci_high", "gap", "gap_ci_low", "gap_ci_high",
             "gap_naive", "p_adjusted", "ratio", "null_low", "null_high", "auc", "effect",
             "change", "difference", "n_events", "ratio_given_relevance"),
            numbers,
        )
        | {
            "verdict": st.sampled_from(["within", "exceeds", "inconclusive", None]),
            "precision": st.sampled_from(["usual", "low", "suppressed"]),
            "comparison": st.sampled_from(["rest", "largest", "pair:x"]),
            "measure": st.sampled_from(["FNR", "AUC", "other"]),
        },
    ),
    max_size=4,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=rows_of_anything, margin=st.one_of(st.none(), st.floats(0.001, 0.5)))
def test_any_rows_give_a_whole_page(rows: list[dict[str, Any]], margin: float | None) -> None:
    report: dict[str, Any] = {"protocol": {"margin": margin}, "outcomes": {"table": rows}}
    for name in (
        "exposure", "leakage", "counterfactual", "modality_gap", "label_quality", "zero_shot",
        "mitigation", "comparison",
    ):  # fmt: skip
        report[name] = {"rows": rows}
    html = render(protect(report))
    page = Page(html)
    assert not page.stack
    assert all(math.isfinite(float(value)) for value, _, _ in page.figures)
    assert not re.search(r'="-?(nan|inf)%?"', html)


@pytest.mark.parametrize("report", [[], None, "x", {"version": 2}])
def test_what_is_no_report_of_this_version_is_refused(report: Any) -> None:
    with pytest.raises(InputError):
        render(report)
