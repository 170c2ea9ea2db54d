"""The first sheet: what was found with its size, who is affected most, what could not be told."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from support.report_cases import make_report
from support.report_reader import Page, shown

from evaluation.report import render

ROW: dict[str, Any] = {
    "attribute": "sex", "group": "F", "outcome": "hit", "comparison": "rest", "primary": True,
    "n_patients": 400, "n_queries": 900, "precision": "usual", "estimate": 0.64, "ci_low": 0.6,
    "ci_high": 0.68, "rest_estimate": 0.7, "gap": -0.06, "gap_ci_low": -0.11,
    "gap_ci_high": -0.01, "p_adjusted": 0.021, "verdict": "exceeds",
}  # fmt: skip
TWIN = ROW | {
    "group": "M", "primary": False, "n_patients": 437, "n_queries": 999, "estimate": 0.7,
    "ci_low": 0.66, "ci_high": 0.74, "rest_estimate": 0.64, "gap": 0.06, "gap_ci_low": 0.01,
    "gap_ci_high": 0.11,
}  # fmt: skip


def report_of(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "protocol": {
            "margin": 0.05, "alpha": 0.05,
            "primary": [{"attribute": "sex", "group": "F", "outcome": "hit"}],
        },
        "outcomes": {"table": [copy.deepcopy(row) for row in rows]},
        "describe_outcomes": {
            "hit": {"title": "Own report found", "unit": "proportion", "higher_is_better": True}
        },
    } | more  # fmt: skip


def answer_of(report: dict[str, Any]) -> str:
    """Words and numbers of the first section, in their order."""
    html = render(report)
    part = html[html.index('<section id="answer"') : html.index('<section id="groups"')]
    page = Page(part)
    assert not page.stack
    part = re.sub(r"</(dt|li|p|div|h\d)>", " ", part)
    return " ".join(re.sub(r"<[^>]+>", "", part).split())


def test_an_attribute_with_two_groups_is_one_comparison_and_both_groups_are_shown() -> None:
    page = shown(report_of(ROW, TWIN))
    assert page.text.count("Female against Male") == 1
    assert "Male against Female" not in page.text
    answer = answer_of(report_of(ROW, TWIN))
    assert "Of 1 comparison." in answer
    values = {float(value) for value, _, tally in page.figures if not tally}
    assert {400.0, 437.0, 900.0, 999.0, 0.64, 0.7, 0.66, 0.74} <= values


def test_two_groups_that_are_not_each_others_rest_are_two_comparisons() -> None:
    assert "Of 2 comparisons" in answer_of(report_of(ROW, TWIN | {"gap": 0.05}))


@pytest.mark.parametrize(("group", "words"), [("F", "lower than for Male"), ("M", "higher than")])
def test_a_declared_question_is_answered_from_its_own_side(group: str, words: str) -> None:
    report = report_of(ROW, TWIN)
    report["protocol"]["primary"][0]["group"] = group
    name = {"F": "Female", "M": "Male"}[group]
    assert f"{name}, Own report found: 6.0 points {words}" in answer_of(report)
    assert "Results are worse for: Female." in answer_of(report)  # the harmed one, whoever is asked


def test_the_harmed_group_of_two_is_named_for_an_error_rate_too() -> None:
    report = report_of(ROW, TWIN)
    report["describe_outcomes"]["hit"]["higher_is_better"] = False
    assert "Results are worse for: Male." in answer_of(report)


def test_doubt_says_how_much_and_which_gap_would_be_noticed() -> None:
    wide = {"verdict": "inconclusive", "gap": -0.03, "gap_ci_low": -0.2, "gap_ci_high": 0.14}
    rows = [
        ROW | wide | {"attribute": "site", "group": f"S{i}", "primary": False} for i in range(3)
    ]
    smallest = [
        {"attribute": "site", "group": f"S{i}", "outcome": "hit", "smallest_gap": size}
        for i, size in enumerate((0.11, 0.204, None))
    ]
    report = report_of(*rows, instrument={"detectable": smallest})
    answer = answer_of(report)
    assert "We could not tell for 3 of 3 comparisons." in answer
    assert "would notice gaps of about 20 points" in answer  # the middle of .11, .204 and none
    del report["instrument"]
    assert "a gap is known to within about 17 points either way" in answer_of(report)


def test_the_worst_group_and_the_worst_intersection_are_named() -> None:
    report = make_report(3)
    answer = answer_of(report)
    found = {"exceeds", "differs"}
    rows = [row for row in report["outcomes"]["table"] if row["verdict"] in found]
    crossed = [row for row in rows if "*" in row["attribute"] and row["gap"] < 0]
    worst = min(crossed, key=lambda row: row["gap"])
    race, _ = worst["group"].split("*")
    who = answer[answer.index("Who is affected most") : answer.index("The questions declared")]
    assert f"Intersection Group {race.upper()}, Female, Relevant case" in who
    assert f"{-100 * worst['gap']:.1f} points lower" in who
    assert "Group Age 80+, Relevant case among the first ten: " in who


def test_an_established_gap_is_worse_than_a_larger_one_that_is_not() -> None:
    other = ROW | {"attribute": "site", "group": "A1", "gap": -0.3, "verdict": "inconclusive",
                   "gap_ci_low": -0.7, "gap_ci_high": 0.1, "primary": False}  # fmt: skip
    answer = answer_of(report_of(ROW, other))
    assert "Group Female, Own report found" in answer


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "The verdict was reached before rounding"),
        ({"inner_low": -0.0412, "inner_high": 0.02}, "90% interval, which decides: −4.1 to +2.0"),
    ],
)
def test_within_beside_an_interval_beyond_the_margin_is_explained(
    more: dict[str, float], words: str
) -> None:
    beyond = {"verdict": "within", "gap": -0.011, "gap_ci_low": -0.052, "gap_ci_high": 0.03}
    assert words in answer_of(report_of(ROW | beyond | more))
    narrow = beyond | {"gap_ci_low": -0.049}
    assert "is decided by" not in answer_of(report_of(ROW | narrow))


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({"passed": True, "reasons": []}, "Release check: passed"),
        ({"passed": False, "reasons": []}, "Release check: failed"),
        ({"passed": False, "answer": "undecided"}, "Release check: undecided, so not passed"),
    ],
)
def test_the_gate_has_three_answers(gate: dict[str, Any], words: str) -> None:
    assert words in answer_of(report_of(ROW, gate=gate))


def test_a_verdict_that_is_not_known_is_shown_by_its_name() -> None:
    assert "Shown elsewhere" in answer_of(report_of(ROW | {"verdict": "shown_elsewhere"}))
    assert "Gaps were found" in answer_of(report_of(ROW | {"verdict": "differs"}))


FIELDS = {
    "outcomes": (
        "n_patients", "n_queries", "n_events", "design_effect", "estimate", "ci_low", "ci_high",
        "gap", "gap_ci_low", "gap_ci_high", "p_adjusted", "gap_naive", "gap_naive_ci_low",
        "gap_naive_ci_high",
    ),
    "zero_shot": (
        "n_patients", "n_events", "estimate", "ci_low", "ci_high", "gap", "gap_ci_low",
        "gap_ci_high", "p_adjusted",
    ),
    "exposure": (
        "n_patients", "share_archive", "exposure", "ratio", "ratio_given_relevance", "ci_low",
        "ci_high", "null_low", "null_high", "p_adjusted",
    ),
    "counterfactual": ("n_queries", "effect", "ci_low", "ci_high", "placebo", "p_adjusted"),
    "leakage": ("n_patients", "auc", "ci_low", "ci_high", "null_mean", "p"),
    "modality_gap": (
        "n_patients", "gap", "ci_low", "ci_high", "difference", "difference_ci_low",
        "difference_ci_high", "p_adjusted",
    ),
    "label_quality": ("n_patients", "estimate", "ci_low", "ci_high", "gap", "p_adjusted"),
    "mitigation": ("n_patients", "before", "after", "change", "ci_low", "ci_high"),
}  # fmt: skip
"""What the page has always shown of a row."""


def test_every_number_of_a_row_is_on_the_page_in_sight_or_folded() -> None:
    report = make_report(3)
    values = {float(value) for value, _, tally in shown(report).figures if not tally}
    for name, fields in FIELDS.items():
        rows = report[name]["table" if name == "outcomes" else "rows"]
        for row in rows:
            for key in fields:
                assert row.get(key) is None or float(row[key]) in values, (name, key)


NOT_COMPARED = ("gap", "gap_ci_low", "gap_ci_high", "p_adjusted", "rest_estimate", "verdict")
REFERENCE = TWIN | dict.fromkeys(NOT_COMPARED) | {"comparison": "reference"}
"""The other group of two, as an audit gives it that makes one comparison of them."""


def test_a_reference_group_is_part_of_the_other_ones_comparison() -> None:
    unknown = ROW | {"group": "unknown", "gap": 0.02, "verdict": "inconclusive", "primary": False}
    page = shown(report_of(ROW, REFERENCE, unknown))
    assert page.text.count("Female against Male") == 1
    assert "No number can be given for" not in page.text
    answer = answer_of(report_of(ROW, REFERENCE, unknown))
    assert "Of 2 comparisons." in answer
    assert "Female, Own report found: 6.0 points lower than for Male" in answer
    values = {float(value) for value, _, tally in page.figures if not tally}
    assert {437.0, 999.0, 0.7, 0.66, 0.74} <= values


def test_harm_to_the_reference_group_is_named_as_its_own() -> None:
    report = report_of(ROW | {"gap": 0.06, "gap_ci_low": 0.01, "gap_ci_high": 0.11}, REFERENCE)
    answer = answer_of(report)
    assert "Results are worse for: Male." in answer
    assert "Group Male, Own report found: 6.0 points lower than for Female" in answer
    assert "(95% interval −11.0 to −1.0; 437 patients)" in answer
    assert "Female, Own report found: 6.0 points higher than for Male" in answer  # as declared


def test_what_has_to_be_read_beside_a_verdict_is_beside_it() -> None:
    row = ROW | {
        "flags": "heterogeneous;later_one", "ratio": 1.43, "ratio_ci_low": 1.1,
        "ratio_ci_high": 1.9, "ratio_of": "misses", "gap_missing_low": -0.13,
        "gap_missing_high": -0.02,
    }  # fmt: skip
    report = report_of(row)
    assert "not the same in all strata" in answer_of(report)
    assert "later one" in answer_of(report)
    page = shown(report)
    assert "ratio of misses" in page.text
    values = {float(value) for value, _, tally in page.figures if not tally}
    assert {1.43, 1.1, 1.9, -0.13, -0.02} <= values


def test_a_comparison_with_a_chosen_group_names_it_and_counts() -> None:
    own = {"attribute": "race", "comparison": "against:c", "primary": False}
    ends = {"gap": 0.07, "gap_ci_low": 0.02, "gap_ci_high": 0.12}
    rows = [ROW | own | {"group": "a"}, ROW | own | {"group": "b"} | ends]
    report = report_of(*rows, REFERENCE | {"attribute": "race", "group": "c"})
    report["protocol"]["primary"] = [{"attribute": "race", "group": "b", "outcome": "hit"}]
    answer = answer_of(report)
    assert "Of 2 comparisons." in answer
    assert "Results are worse for: C and A." in answer
    assert "B, Own report found: 7.0 points higher than for C" in answer
    unknown = report_of(ROW | own | ends | {"group": "unknown"})
    assert "better for Race unknown than for those that they are" in answer_of(unknown)
    text = shown(report).text
    assert "A against C" in text
    assert "C against B" in text  # from the side of the group that does worse
    assert "Other contrasts" not in text
    assert "each group against everyone else, or against the group that the row names" in text
    assert text.count("Where the protocol names a reference group") == 2
    assert "Where the protocol names a reference group" not in shown(report_of(ROW, TWIN)).text
