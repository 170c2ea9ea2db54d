"""What stays in sight on the page and what is folded: everything folded is counted in sight."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from support.report_cases import make_report
from support.report_reader import VOID, shown

from evaluation.report import render

SECTIONS = ("zero_shot", "exposure", "leakage", "counterfactual", "modality_gap", "label_quality")


class Folds(HTMLParser):
    """Verdicts of table rows, in sight and folded, and what the lines in front of folds count."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, str]] = []
        self.in_sight: list[str] = []
        self.folded: list[str] = []
        self.counts: list[int] = []
        self.by_verdict: dict[str, int] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        away = any(name == "details" for name, _ in self.stack)
        if "badge" in own.get("class", "") and ("td", "c-verdict") in self.stack:
            (self.folded if away else self.in_sight).append(own["class"].removeprefix("badge v-"))
        if tag == "data" and ("summary", "") in self.stack:
            around = self.stack[-1][1]
            if around == "what":
                self.counts.append(int(own["value"]))
            elif around.startswith("nw v-"):
                verdict = around.removeprefix("nw v-")
                self.by_verdict[verdict] = self.by_verdict.get(verdict, 0) + int(own["value"])
        if tag not in VOID:
            self.stack.append((tag, own.get("class", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self.stack.pop()


def verdicts_of(report: dict[str, Any]) -> list[str]:
    rows = [row for name in SECTIONS for row in (report[name] or {"rows": []})["rows"]]
    return sorted(row["verdict"] for row in rows + report["outcomes"]["table"])


def test_every_row_is_in_sight_or_folded_and_what_is_folded_is_counted_by_verdict() -> None:
    report = make_report(3)
    report["mitigation"] = None
    for row in report["zero_shot"]["rows"][-4:]:
        row |= {"verdict": "exceeds", "gap": 0.2}
    folds = Folds(render(report))
    assert sorted(folds.in_sight + folds.folded) == verdicts_of(report)
    assert folds.by_verdict == {name: folds.folded.count(name) for name in set(folds.folded)}
    assert folds.folded.count("within") > 10


def test_a_cap_cuts_off_no_established_row() -> None:
    report = make_report(3)
    quiet = next(row for row in report["leakage"]["rows"] if row["verdict"] != "exceeds")
    loud = next(row for row in report["leakage"]["rows"] if row["verdict"] == "exceeds")
    before = Folds(render(report)).folded
    report["leakage"]["rows"] += [dict(quiet) for _ in range(190)] + [dict(loud) for _ in range(60)]
    folds = Folds(render(report))
    assert folds.folded.count("exceeds") == before.count("exceeds") + 60
    assert 254 in folds.counts  # those that only the JSON holds are counted too
    assert len(folds.folded) < len(before) + 110


def test_the_declared_outcome_is_drawn_first_and_open_with_all_groups_asked_after() -> None:
    report = make_report(3)
    report["protocol"]["primary"] = [{"attribute": "sex", "outcome": "missed_effusion"}]
    for row in report["outcomes"]["table"]:
        row["primary"] = row["outcome"] == "missed_effusion" and row["attribute"] == "sex"
        row["verdict"] = "within" if row["gap"] is not None else "not_assessable"
    text = shown(report).text
    drawn = text[text.index("Any gap was shown to be smaller") :]
    opened, folded = (
        drawn.index("Pleural effusion missed declared"),
        drawn.index("more comparisons"),
    )
    assert opened < folded
    for group in ("Female", "Male", "Sex unknown"):
        assert opened < drawn.index(f" {group} declared") < folded


def test_a_gap_that_nothing_explains_is_in_the_answer() -> None:
    report = make_report(3)
    row = next(r for r in report["outcomes"]["table"] if r["group"] == "20-39")
    row |= {"verdict": "not_assessable", "verdict_naive": "exceeds", "gap": None}
    text = shown(report).text
    answer = text[: text.index("The other parts of this audit")]
    assert "whether the mix of cases explains it: Age 20-39" in answer
    assert "Like cannot be compared with like here, so nothing explains it away" in text
    assert "The recorded mix of cases explains the unadjusted gap" not in text
