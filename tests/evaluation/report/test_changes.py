"""What the page says of mitigations, of another model and of an earlier audit."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from support.report_cases import numbers_of
from support.report_changes import MODEL, OTHER_MODEL, make_changed_report
from support.report_reader import Page, shown

from evaluation.report import model_card


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return make_changed_report()


@pytest.fixture(scope="module")
def page(report: dict[str, Any]) -> Page:
    return shown(report)


MITIGATION, MODELS = "Each mitigation is measured", "Both models answer the same queries"
DRIFT, TRUST = "Two published audits hold no patients", "The audit was itself audited"


def part(page: Page, start: str, end: str) -> str:
    text = page.text[page.text.index(start) :]
    return text[: text.index(end)]


def test_the_advice_comes_first_and_with_reasons_in_plain_names(
    report: dict[str, Any], page: Page
) -> None:
    advice = {one["name"]: one["recommended"] for one in report["mitigation"]["summary"]}
    assert advice == {"Fair reranking": False, "Group-balanced batches": True}
    text = part(page, MITIGATION, MODELS)
    assert text.index("Recommended: Group-balanced batches.") < text.index("Before, after")
    balanced, reranked = text.index("Group-balanced batches ✓"), text.index("Fair reranking ✕")
    assert balanced < reranked
    refused = text[reranked : text.index("Worse than before", reranked)]
    assert "A loss of more than 0.05: " in refused
    assert "Age 20-39, Relevant case among the first ten" in refused
    assert "age_band 20-39" not in text


def test_every_loss_is_in_sight(report: dict[str, Any], page: Page) -> None:
    figures = {float(value) for value, _, tally in page.figures if not tally}
    for row in report["mitigation"]["rows"]:
        if row["change"] is None:
            continue
        loss = -row["change"] if row["higher_is_better"] else row["change"]
        assert loss <= 0 or row["change"] in figures
    text = part(page, "Fair reranking ✕", MODELS)
    assert (
        "Worse than before, established or not, each with its largest loss: Age 20-39 points "
        "(Pleural effusion missed, established)" in text
    )
    assert text.index("Worse than before") < text.index("Group Before, after")


def test_a_rise_of_missed_findings_is_a_loss(report: dict[str, Any], page: Page) -> None:
    row = next(
        r for r in report["comparison"]["rows"]
        if r["group"] == "20-39" and r["outcome"] == "missed_effusion"
    )  # fmt: skip
    assert row["change"] > 0
    text = part(page, MODELS, DRIFT)
    losses = text[text.index("Worse than before") : text.index("Group Before, after")]
    assert "Age 20-39 points (Pleural effusion missed, established" in losses


def test_it_says_which_model_was_before_and_which_after(page: Page) -> None:
    text = part(page, MODELS, DRIFT)
    assert f"Before model {OTHER_MODEL} After model {MODEL} , the one this report is about" in text
    assert text.index("▲ worse") < text.index("Group Before, after")


def test_a_model_that_is_not_the_reports_own_is_not_called_so(report: dict[str, Any]) -> None:
    other = copy.deepcopy(report)
    other["stamp"]["model"] = "another"
    assert "the one this report is about" not in shown(other).text


def test_being_worse_than_before_is_said_in_the_answer(page: Page) -> None:
    answer = page.text[: page.text.index("What this page does not show")]
    assert "Change from another model : results established to be worse than before" in answer
    assert "Mitigations tried : mitigation is recommended" in answer


def test_new_gaps_since_an_earlier_audit_are_counted_first(
    report: dict[str, Any], page: Page
) -> None:
    turned = [row for row in report["drift"]["rows"] if row["turn"] != "same"]
    assert {row["turn"] for row in turned} >= {"new", "no_longer_shown"}
    text = part(page, DRIFT, TRUST)
    assert text.index("New gap:") < text.index("Unchanged:") < text.index("verdicts that changed")
    assert f"The earlier audit: 2025-03-04, model {OTHER_MODEL}" in text


def test_a_small_group_keeps_its_place_in_the_attempt_and_loses_its_numbers(
    report: dict[str, Any], page: Page
) -> None:
    rare = [row for row in report["mitigation"]["rows"] if row["group"] == "rare"]
    assert rare
    assert all(row["before"] is None for row in rare)
    assert "Unnamed" not in page.text
    assert "Rare Relevant case among the first ten" in page.text


def test_every_figure_of_the_changes_stands_in_the_json(report: dict[str, Any], page: Page) -> None:
    figures = {float(value) for value, _, tally in page.figures if not tally}
    assert figures <= numbers_of(report)


def test_the_model_card_says_what_is_recommended_and_why_not(report: dict[str, Any]) -> None:
    card = model_card(report)
    assert "### Group-balanced batches: recommended" in card
    refused = card[card.index("### Fair reranking: not recommended") :]
    assert "A loss of more than 0.05: " in refused.split("###")[1]
