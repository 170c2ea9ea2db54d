"""What stays in sight on the page and what is folded: nothing that weighs is out of sight."""

from __future__ import annotations

from html.parser import HTMLParser

from support.report_cases import make_report
from support.report_reader import VOID, shown

from evaluation.report import render


class Folds(HTMLParser):
    """Verdicts of table rows, in sight and folded, and the numbers that summaries count."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, str]] = []
        self.in_sight: list[str] = []
        self.folded: list[str] = []
        self.counts: list[int] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        away = any(name == "details" for name, _ in self.stack)
        if "badge" in own.get("class", "") and ("td", "c-verdict") in self.stack:
            (self.folded if away else self.in_sight).append(own["class"].removeprefix("badge v-"))
        if tag == "data" and ("span", "what") in self.stack:
            self.counts.append(int(own["value"]))
        if tag not in VOID:
            self.stack.append((tag, own.get("class", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self.stack.pop()


def test_no_established_gap_is_folded_away() -> None:
    report = make_report(3)
    for row in report["zero_shot"]["rows"][-4:]:
        row |= {"verdict": "exceeds", "gap": 0.2}
    folds = Folds(render(report))
    sections = ("zero_shot", "exposure", "leakage", "counterfactual", "label_quality")
    rows = [row for name in sections for row in report[name]["rows"]]
    rows += report["outcomes"]["table"]
    assert folds.in_sight.count("exceeds") == sum(row["verdict"] == "exceeds" for row in rows)
    assert "exceeds" not in folds.folded
    assert folds.folded.count("within") > 10


def test_a_cap_cuts_off_no_established_row() -> None:
    report = make_report(3)
    quiet = next(row for row in report["leakage"]["rows"] if row["verdict"] != "exceeds")
    loud = next(row for row in report["leakage"]["rows"] if row["verdict"] == "exceeds")
    before = Folds(render(report)).in_sight.count("exceeds")
    report["leakage"]["rows"] += [dict(quiet) for _ in range(90)] + [dict(loud) for _ in range(60)]
    folds = Folds(render(report))
    assert folds.in_sight.count("exceeds") == before + 60
    assert 91 in folds.counts  # those that stand in the JSON only are counted too


def test_a_folded_line_counts_what_is_behind_it() -> None:
    report = make_report(3)
    for name in ("zero_shot", "exposure", "leakage", "counterfactual", "modality_gap"):
        report[name] = None
    report["label_quality"] = report["mitigation"] = None
    rows = report["outcomes"]["table"]
    folds = Folds(render(report))
    assert sorted(folds.in_sight + folds.folded) == sorted(row["verdict"] for row in rows)
    by_outcome = folds.counts[: len(report["describe_outcomes"])]
    assert sum(by_outcome) == len(folds.folded)


def test_the_declared_outcome_is_drawn_first_and_open_with_all_groups_asked_after() -> None:
    report = make_report(3)
    report["protocol"]["primary"] = [{"attribute": "sex", "outcome": "missed_effusion"}]
    for row in report["outcomes"]["table"]:
        row["primary"] = row["outcome"] == "missed_effusion" and row["attribute"] == "sex"
        row["verdict"] = "within" if row["gap"] is not None else "not_assessable"
    text = shown(report).text
    drawn = text[text.index("With and without comparing") :]
    opened, folded = drawn.index("Pleural effusion missed declared"), drawn.index("comparisons:")
    assert opened < folded
    for group in ("Female", "Male", "Sex unknown"):
        assert opened < drawn.index(f" {group} declared") < folded


def test_a_gap_that_nothing_explains_is_in_the_answer() -> None:
    report = make_report(3)
    row = next(r for r in report["outcomes"]["table"] if r["group"] == "20-39")
    row |= {"verdict": "not_assessable", "verdict_naive": "exceeds", "gap": None}
    text = shown(report).text
    answer = text[: text.index("How to read the drawings")]
    assert "a gap stands for Age 20-39" in answer
    assert "Like cannot be compared with like here, so nothing explains it away" in text
    assert "explained by the mix of cases as far as it was recorded" not in text
