"""The board's page: each number from the JSON, nothing withheld shown, nothing asked of the net."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.report_cases import make_report, numbers_of
from support.report_reader import Page, shown

from evaluation.report import render
from evaluation.report.number_format import KINDS
from evaluation.report.texts import VERDICTS
from evaluation.stats import protect
from medembed.errors import InputError


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return make_report(3)


@pytest.fixture(scope="module")
def page(report: dict[str, Any]) -> Page:
    return shown(report)


def test_every_figure_stands_in_the_json(report: dict[str, Any], page: Page) -> None:
    known = numbers_of(report)
    figures = [(float(value), text) for value, text, tally in page.figures if not tally]
    assert len(figures) > 300
    assert {value for value, _ in figures} <= known
    for value, text in figures:
        assert text in {write(value) for write in KINDS.values()}, (value, text)


def test_a_changed_number_changes_the_page(report: dict[str, Any]) -> None:
    other = copy.deepcopy(report)
    row = other["outcomes"]["table"][0]
    row["gap"] = -0.0777
    assert ("-0.0777", "−7.8", False) in shown(other).figures
    assert ("-0.0777", "−7.8", False) not in shown(report).figures


def test_tallies_count_the_rows_by_verdict(report: dict[str, Any], page: Page) -> None:
    rows = report["outcomes"]["table"]
    for verdict, words in (
        ("exceeds", "Gap found"), ("inconclusive", "Cannot tell"), ("within", "Within margin"),
    ):  # fmt: skip
        count = sum(row["verdict"] == verdict for row in rows)
        assert re.search(
            rf'{words}</dt><dd><data class="tally" value="{count}">', render(report)
        ), words
    tallies = {float(value) for value, _, tally in page.figures if tally}
    assert len(rows) in tallies


def test_digits_outside_figures_are_names_words_of_the_method_or_of_the_report(
    report: dict[str, Any], page: Page
) -> None:
    own = {"1", "0.5", "11", "50", "2024"}  # a fair share, chance, the minimum, CLAIM's year
    items = {"3c", "4", "5a", "10", "11", "12e", "14", "17", "18c", "20b", "23a", "25", "26"}
    items |= {"1", "2", "3"}  # FUTURE-AI Fairness
    strings = " ".join(re.findall(r'"((?:[^"\\]|\\.)*)"', json.dumps(report, ensure_ascii=False)))
    for found in re.findall(r"[0-9][0-9a-e.,+−-]*", page.text):
        word = found.strip(".,")
        assert word in own or word in items or word in strings, found


def test_it_asks_nothing_of_the_network_and_runs_no_script(page: Page) -> None:
    for tag, attrs in page.opened:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "srcset", "data", "action", "poster", "xlink:href"):
            assert name not in attrs
        assert not attrs.get("href", "#") or str(attrs.get("href", "#")).startswith("#")
    html = render(make_report(3))
    assert "://" not in html
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html


def test_every_link_leads_somewhere(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.opened if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {str(attrs["href"])[1:] for tag, attrs in page.opened if tag == "a"}
    assert links <= set(ids)
    assert len(links) > 10


def test_tables_have_captions_and_named_columns(page: Page) -> None:
    tags = [tag for tag, _ in page.opened]
    assert tags.count("table") == tags.count("caption") > 8
    for tag, attrs in page.opened:
        if tag == "th":
            assert attrs.get("scope")
        if tag == "svg" and "class" in attrs and "at" not in str(attrs["class"]):
            assert attrs.get("aria-hidden") == "true"  # the figures stand beside it in words


def test_hostile_names_stay_text() -> None:
    attack = "<script>alert(1)</script>\"' onload=x <img src=//evil.example/x> {{ 7*7 }} ]]>"
    report = make_report(1)
    for row in report["outcomes"]["table"]:
        row["group"] = attack if row["group"] == "F" else row["group"]
        row["reason"] = attack
    report["describe_outcomes"]["mrr"] |= {"title": attack, "harm": attack}
    report["title"] = report["question"] = attack
    report["missing"]["absent"] = [attack]
    report["outcomes"]["notes"] = [attack]
    report["gate"]["reasons"] = [attack]
    report["stamp"]["versions"][attack] = attack
    report["protocol"]["strata"] = [attack]
    for name in ("exposure", "leakage", "counterfactual", "modality_gap", "label_quality"):
        for row in report[name]["rows"]:
            for key in ("group", "attribute", "swap", "space", "measure", "verdict"):
                if key in row:
                    row[key] = attack
    page = shown(report)
    assert {"script", "img"}.isdisjoint(tag for tag, _ in page.opened)
    assert not any(name.startswith("on") for _, attrs in page.opened for name in attrs)
    assert page.text.count("<script>alert(1)</script>") > 8
    assert "49" not in re.findall(r"\b49\b", page.text)


def test_a_suppressed_group_shows_only_that_it_is_small() -> None:
    secret = {
        "n_patients": 7, "n_queries": 23, "n_events": 9, "estimate": 0.391304, "ci_low": 0.171717,
        "ci_high": 0.646464, "gap": -0.313131, "gap_ci_low": -0.515151, "gap_ci_high": -0.111119,
        "gap_naive": -0.292929, "p_adjusted": 0.012121, "rest_estimate": 0.70404,
        "design_effect": 1.234321,
    }  # fmt: skip
    report = make_report(4)
    for row in report["outcomes"]["table"]:
        row.update(secret if row["group"] == "d" else {})
    for name in ("exposure", "leakage", "modality_gap", "label_quality"):
        report[name]["rows"].append(
            {"attribute": "race", "group": "d", "verdict": "exceeds", "n_patients": 7}
            | dict.fromkeys(
                ("share_archive", "exposure", "ratio", "ratio_given_relevance", "auc", "estimate",
                 "gap", "difference", "ci_low", "ci_high"), 0.391304)
        )  # fmt: skip
    report["missing"]["unknown"].append({"attribute": "x", "n_patients": 7, "share": 0.391304})
    for row in report["instrument"]["detectable"]:
        if row["group"] == "d":
            row["smallest_gap"] = 0.391304
    with pytest.raises(InputError, match="protect"):
        render(report)
    html = render(protect(report))
    page = Page(html)
    hidden = {value for value in secret.values() if isinstance(value, float)}
    assert not hidden & {float(value) for value, _, tally in page.figures if not tally}
    for value in ("0.391304", "39.1", "−31.3"):
        assert value not in html
    assert page.text.count("fewer than 11 patients") >= 4


def test_a_count_hidden_as_a_partner_is_not_called_small() -> None:
    report = make_report(4)
    for row in report["outcomes"]["table"]:
        if row["group"] == "c":
            row["n_patients"] = None
    text = shown(report).text
    assert "Group C number of patients withheld" in text
    assert "Group C fewer than" not in text


def test_the_answer_names_the_harmed_group_and_the_harm(page: Page) -> None:
    text = page.text
    assert "Gaps were found. Results are worse for: Female" in text
    assert "the radiologist decides with less to compare" in text
    assert text.index("Gaps were found") < text.index("The other parts of this audit")


def test_a_gap_in_the_groups_favour_is_told_from_one_to_its_harm() -> None:
    report = make_report(2, gaps={("sex", "F"): 0.12})
    text = shown(report).text
    assert "Results are better for Female than for everyone else" in text
    assert "Gaps in a group’s favor" in text
    assert "Results are worse" not in text


def test_for_an_error_rate_more_is_worse() -> None:
    report = make_report(2, gaps={("sex", "F"): -0.12})
    rows = report["outcomes"]["table"]
    missed = [row for row in rows if row["outcome"] == "missed_effusion" and row["group"] == "F"]
    assert missed[0]["gap"] > 0
    report["outcomes"]["table"] = missed
    text = shown(report).text
    assert "Results are worse for: Female" in text
    assert "higher than for everyone else" in text


def test_a_declared_question_without_a_result_is_not_forgotten(page: Page) -> None:
    assert (
        "Site, Relevant case among the first ten: declared, but the audit holds no such"
        in page.text
    )


def test_naive_and_adjusted_stand_side_by_side(report: dict[str, Any], page: Page) -> None:
    naive = {row["gap_naive"] for row in report["outcomes"]["table"] if row["gap_naive"]}
    assert naive <= {float(value) for value, _, tally in page.figures if not tally}
    second = [attrs for tag, attrs in page.opened if tag == "g" and attrs.get("class") == "second"]
    assert len(second) >= len(naive)


def test_the_same_report_gives_the_same_page(report: dict[str, Any], page: Page) -> None:
    assert render(copy.deepcopy(report)) == render(report)


def test_rendering_leaves_the_report_as_it_was(report: dict[str, Any]) -> None:
    before = json.dumps(report)
    render(report)
    assert json.dumps(report) == before


def test_the_fixture_is_as_a_real_audit_would_be(report: dict[str, Any]) -> None:
    for row in report["outcomes"]["table"]:
        if row["gap"] is not None:
            assert row["gap_ci_low"] <= row["gap"] <= row["gap_ci_high"]
    assert {row["verdict"] for row in report["outcomes"]["table"]} == {
        "exceeds", "differs", "inconclusive", "within", "not_assessable",
    }  # fmt: skip


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_has_the_contrast_that_wcag_asks_in_light_and_in_dark() -> None:
    import evaluation.report as package

    css = (Path(package.__file__).parent / "templates" / "style.css").read_text()
    roots = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)[:2]
    assert len(roots) == 2
    for block in roots:
        colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for ground in ("paper", "raised"):
            for ink in ("ink", "quiet", "link", "exceeds", "within", "doubt", "none"):
                assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground)
            assert contrast(colour["rule"], colour[ground]) >= 3  # the line of no gap
        assert contrast(colour["quiet"], colour["band"]) >= 4.5
        for tone in ("exceeds", "within", "doubt", "none"):
            assert contrast(colour[tone], colour[f"{tone}-soft"]) >= 4.5, tone


def test_each_verdict_has_the_color_of_what_it_means() -> None:
    import evaluation.report as package

    css = (Path(package.__file__).parent / "templates" / "style.css").read_text()
    tones: dict[str, str] = {}
    for names, tone in re.findall(r"^(\.v-[^{]*) \{ --tone: var\(--([a-z]+)\)", css, flags=re.M):
        tones |= dict.fromkeys(re.findall(r"\.v-([a-z_]+)", names), tone)
    harm = dict.fromkeys(("exceeds", "differs", "worse"), "exceeds")
    good = dict.fromkeys(("within", "improved"), "within")
    open_ = dict.fromkeys(("inconclusive", "no_change_shown"), "doubt")
    assert tones == harm | good | open_ | dict.fromkeys(("not_assessable", "other"), "none")
    assert set(tones) == {*VERDICTS, "other"}
