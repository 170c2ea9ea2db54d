"""The few numbers of the latest audit that a library keeps: nothing that the report hides."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from support.archives import archive, protocol

from evaluation.latest_audit import LatestAudit, keep_latest, read_latest
from evaluation.library_audit import audit_library
from medembed.library import CaseLibrary


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    return archive(tmp_path_factory.mktemp("kept") / "library", harmed="F")


@pytest.fixture(scope="module")
def report(library: CaseLibrary) -> dict[str, Any]:
    return audit_library(library, protocol())


def test_what_is_kept_is_what_the_report_shows(
    library: CaseLibrary, report: dict[str, Any]
) -> None:
    file = keep_latest(library.path, report)
    assert file is not None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = read_latest(library.path)
    assert kept == LatestAudit.of(report)
    assert kept.model == report["stamp"]["model"]
    for side, outcome in kept.outcomes.items():
        assert outcome.title == report["describe_outcomes"][outcome.name]["title"]
        women = kept.of_group("sex", "F", side)
        row = next(
            row
            for row in report["outcomes"]["table"]
            if (row["attribute"], row["group"], row["outcome"], row["comparison"])
            == ("sex", "F", outcome.name, "rest")
        )
        assert women is not None
        assert (women.estimate, women.low, women.high, women.rest, women.verdict) == tuple(
            row[name] for name in ("estimate", "ci_low", "ci_high", "rest_estimate", "verdict")
        )
    assert kept.of_group("sex", "nobody", "image") is None
    assert not [one for one in kept.groups if "*" in one.attribute], "no crossings"


def test_a_withheld_group_has_no_number(report: dict[str, Any]) -> None:
    row = next(row for row in report["outcomes"]["table"] if row["comparison"] == "rest")
    small = {**row, "group": "few", "precision": "suppressed", "estimate": 0.123}
    table = [*report["outcomes"]["table"], small]
    summary = LatestAudit.of({**report, "outcomes": {**report["outcomes"], "table": table}})
    few = [one for one in summary.groups if one.group == "few"]
    assert [(one.estimate, one.n_patients, one.verdict) for one in few] == [
        (None, None, "not_assessable")
    ]
    assert "0.123" not in repr(summary)


def test_an_audit_of_training_cases_is_not_kept(tmp_path: Path, report: dict[str, Any]) -> None:
    trained = {**report, "stamp": {**report["stamp"], "split": "train"}}
    assert keep_latest(tmp_path, trained) is None
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_cannot_be_written_to_keeps_none(
    tmp_path: Path, report: dict[str, Any]
) -> None:
    (tmp_path / "audit").write_text("in the way")
    assert keep_latest(tmp_path, report) is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 2}', '{"version": 1}', '{"version": 1, "groups": 3}'],
)
def test_a_file_that_is_no_summary_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "latest.json").write_text(content)
    assert read_latest(tmp_path) is None
    assert read_latest(tmp_path / "nowhere") is None


def test_the_file_is_plain_json_of_a_few_kilobytes(
    library: CaseLibrary, report: dict[str, Any]
) -> None:
    file = keep_latest(library.path, report)
    assert file is not None
    held = json.loads(file.read_text())
    assert held["version"] == 1
    assert file.stat().st_size < 50_000
    assert set(held["groups"][0]) == {
        *("attribute", "group", "side", "verdict", "n_patients"),
        *("estimate", "low", "high", "rest", "gap"),
    }
