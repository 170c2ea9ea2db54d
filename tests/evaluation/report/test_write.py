"""What a report leaves on disk, its drawings, and what the guidelines ask."""

from __future__ import annotations

import csv
import io
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from support.report_cases import make_report, numbers_of

import evaluation.report as package
from evaluation.report import model_card, outcomes_csv, write_report
from evaluation.report.axes import Axis, Interval, gap_axis, span_axis
from evaluation.report.markup import joined
from evaluation.report.model import Report
from evaluation.report.page import answered, environment
from evaluation.report.tables import Line
from evaluation.report.texts import GUIDELINES, PLACES, verdict_text
from evaluation.stats import protect
from medembed.errors import InputError


def test_four_files_are_written_and_again_byte_by_byte(tmp_path: Path) -> None:
    first = write_report(make_report(1), tmp_path / "a" / "b")
    second = write_report(make_report(1), tmp_path / "again")
    assert {path.name for path in first.values()} == {
        "audit.html", "audit.json", "audit.csv", "model-card.md",
    }  # fmt: skip
    for key, path in first.items():
        assert path.read_bytes() == second[key].read_bytes()


def test_the_json_gives_the_same_page_again(tmp_path: Path) -> None:
    files = write_report(make_report(1), tmp_path)
    again = write_report(json.loads(files["json"].read_text()), tmp_path / "again")
    assert again["html"].read_bytes() == files["html"].read_bytes()


def test_no_file_holds_a_suppressed_number_or_one_that_is_no_number(tmp_path: Path) -> None:
    report = make_report(1)
    for row in report["outcomes"]["table"]:
        if row["group"] == "d":
            row |= {"n_patients": 7, "estimate": 0.391304, "gap": float("nan")}
    report["outcomes"]["table"][0]["icc"] = float("nan")
    for path in write_report(protect(report), tmp_path).values():
        text = path.read_text()
        assert "0.391304" not in text
        assert "NaN" not in text
        assert not re.search(r"\bnan\b", text)
    kept = json.loads((tmp_path / "audit.json").read_text())["outcomes"]["table"]
    small = [row for row in kept if row["group"] == "d"]
    assert small
    assert all(row["n_patients"] is None and row["estimate"] is None for row in small)


def test_csv_holds_every_row_of_the_outcomes_and_its_numbers_in_full() -> None:
    report = make_report(2)
    rows = list(csv.DictReader(io.StringIO(outcomes_csv(report))))
    table = report["outcomes"]["table"]
    assert len(rows) == len(table)
    for row, own in zip(rows, table, strict=True):
        assert (row["group"], row["verdict"]) == (own["group"], own["verdict"])
        for name in ("gap", "estimate", "p_adjusted", "gap_naive"):
            assert row[name] == ("" if own[name] is None else repr(own[name]))


def test_a_group_that_is_a_formula_stays_text_in_a_spreadsheet() -> None:
    report = make_report(2)
    report["outcomes"]["table"][0]["group"] = '=HYPERLINK("//x","y")'
    rows = list(csv.DictReader(io.StringIO(outcomes_csv(report))))
    assert rows[0]["group"] == '\'=HYPERLINK("//x","y")'


def test_csv_of_nothing_has_its_header() -> None:
    assert outcomes_csv({}).startswith("attribute,group,outcome")
    assert outcomes_csv({}).count("\n") == 1


def test_model_card_names_gaps_stamp_and_what_the_hospital_has_to_add() -> None:
    card = model_card(make_report(3))
    for words in (
        "# Model card: Similar-case search", "Results are worse for: Female", "fewer than 11",
        "b1946ac9", "for the hospital to add", "not recommended", "Not done: Change from",
    ):  # fmt: skip
        assert words in card, words
    assert "undefined" not in card.lower()
    table = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {7}


def test_model_card_keeps_hostile_names_as_text() -> None:
    report = make_report(3)
    report["title"] = "x\n# Heading <b>`|"
    for row in report["outcomes"]["table"]:
        row["group"] = "a|b\n<i>[x](y)" if row["group"] == "M" else row["group"]
    card = model_card(report)
    assert "<i>" not in card
    assert "<b>" not in card
    assert "\n# Heading" not in card
    assert {
        line.count("|") - line.count("\\|") for line in card.splitlines() if line[:1] == "|"
    } == {7}


def test_model_card_of_nothing_says_so() -> None:
    assert "gives no answer" in model_card({})


def test_a_folder_that_cannot_be_made_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="can't be written"):
        write_report({}, tmp_path / "file" / "below")


def test_without_jinja_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(InputError, match="needs jinja2"):
        runpy.run_path(str(package.__file__))


def test_what_json_has_no_word_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="plain JSON"):
        write_report({"stamp": {"versions": {"numpy": object()}}}, tmp_path)


def row_svg(axis: Axis, spread: Interval, second: Interval | None = None, **more: Any) -> str:
    nothing, verdict = joined([]), verdict_text("exceeds")
    line = Line(name="", level=nothing, value=nothing, spread=spread, verdict=verdict,
                subs=nothing, second=second, **more)  # fmt: skip
    return str(environment().get_template("forest.html.j2").module.row(axis, line, 0.0))


def axis_svg(axis: Axis) -> str:
    return str(environment().get_template("forest.html.j2").module.ticks(axis))


def places(svg: str, name: str) -> list[float]:
    return [float(at) for at in re.findall(rf'{name}="(-?[0-9.]+)%"', svg)]


def test_a_row_is_drawn_where_its_numbers_are() -> None:
    axis = Axis(-0.2, 0.2, (-0.2, 0.0, 0.2), "points")
    svg = row_svg(axis, Interval(-0.1, -0.15, 0.0), Interval(0.1, 0.05, 0.2), band=(-0.05, 0.05))
    assert places(svg, "x1") == [50.0, 12.5, 62.5]  # no gap, adjusted low, naive low
    assert places(svg, "x2") == [50.0, 50.0, 100.0]
    assert 'x="37.5%" y="0" width="25.0%"' in svg  # the margin
    assert 'x="25.0%"' in svg  # the adjusted gap


def test_what_goes_beyond_the_axis_has_an_arrow_head() -> None:
    axis = Axis(-0.1, 0.1, (0.0,), "points")
    beyond = row_svg(axis, Interval(0.0, -0.5, 0.05))
    assert "M6-4 0 0 6 4" in beyond
    assert "M-6-4" not in beyond
    assert "M6-4 0 0 6 4" not in row_svg(axis, Interval(0.0, -0.05, 0.05))


def test_a_row_without_a_figure_draws_none() -> None:
    svg = row_svg(Axis(-0.1, 0.1, (0.0,), "points"), Interval(None, None, None))
    assert "no figure" in svg
    assert "mark" not in svg


@pytest.mark.parametrize("wild", [0.02, 0.3, 0.9])
def test_one_wild_interval_does_not_blow_up_the_axis(wild: float) -> None:
    usual = [Interval(0.01, -0.04, 0.06)] * 20
    axis = gap_axis([*usual, Interval(0.0, -wild, wild)], 0.05)
    assert axis.high <= 0.15
    assert axis.low == -axis.high
    assert 0.0 in axis.ticks
    assert len(axis.ticks) <= 7


def test_axes_hold_what_they_have_to() -> None:
    axis = span_axis([0.81, 1.13, None], "ratio", always=(1.0,))
    assert axis.low <= 0.81 < 1.13 <= axis.high
    assert 1.0 in axis.ticks
    assert span_axis([], "ratio").low < span_axis([], "ratio").high
    assert gap_axis([], None).low < 0 < gap_axis([], None).high


def test_no_gap_is_named_on_every_gap_axis() -> None:
    for reach in (0.004, 0.03, 0.11, 0.4, 1.0):
        svg = axis_svg(gap_axis([Interval(0.0, -reach, reach)], None))
        assert re.search(r'x="50\.0%"[^>]*>0(\.0+)?<', svg), reach


def test_each_item_of_a_guideline_leads_to_a_part_that_is_there() -> None:
    for items in GUIDELINES.values():
        for _, _, parts, place in items:
            assert bool(parts) == (place in PLACES)
    names = {guideline.split()[0] for guideline in GUIDELINES}
    assert names == {"TRIPOD+AI", "CLAIM", "STANDING", "FUTURE-AI"}


def test_an_item_is_answered_only_if_its_part_was_done() -> None:
    def states(report: dict[str, Any]) -> dict[str, str]:
        return {
            item["topic"]: item["state"] for item in answered(Report.from_json(report))["TRIPOD+AI"]
        }

    topic = "approaches to fairness and their reasons"
    assert states(make_report(1))[topic] == "answered"
    assert (
        states(make_report(1) | {"mitigation": {"why": "nothing was tried"}})[topic] == "not_done"
    )
    assert states(make_report(1))["ethical approval and consent"] == "hospital"


def test_the_card_shows_no_number_that_is_not_in_the_report() -> None:
    report = make_report(3)
    known = numbers_of(report) | {1 - 2 * report["protocol"]["alpha"]}
    card = model_card(report)
    table = [line for line in card.splitlines() if line.startswith("|")][2:]
    for line in table:
        for text in re.findall(r"[−+]?[0-9][0-9.,]*%?", line.split("|")[5]):
            value = float(text.replace("−", "-").replace(",", "").rstrip("%"))
            scale = 1 if re.search(r"\.\d{3}", text) else 100
            assert any(abs(value / scale - own) < 0.00051 for own in known), text
