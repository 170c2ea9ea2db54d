"""``audit --gate`` in a pipeline: 0 passes, 3 fails or cannot tell, 2 is a mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medembed.cli import build
from medembed.cli.command import EXIT_GATE
from medembed.library import CaseLibrary
from medembed.model.resolve import ModelChoice


def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: bool, *options: str
) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON and stderr of the verb over an audit whose gate is given."""
    report = {
        "gate": {
            "passed": passed,
            "answer": "passed" if passed else "undecided",
            "reasons": [] if passed else ["F, hit: primary question, not shown to be within"],
            "findings": [],
        },
        "stamp": {},
        "outcomes": {"table": []},
        "mitigation": None,
        "comparison": None,
        "drift": None,
    }
    monkeypatch.setattr("evaluation.library_audit.audit_library", lambda *_, **__: report)
    monkeypatch.setattr("evaluation.report.write_report", lambda *_: {})
    monkeypatch.setattr("medembed.model.resolve.choose_model", lambda *_: ModelChoice("f" * 64))
    CaseLibrary.create(tmp_path / "library").close()
    call = ["audit", str(tmp_path / "library"), "--out", str(tmp_path / "out"), "--json", *options]
    done = CliRunner().invoke(build(), call)
    return done.exit_code, json.loads(done.stdout), done.stderr


def test_a_gate_that_does_not_pass_exits_with_3_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, found, said = run(tmp_path, monkeypatch, False, "--gate")
    assert code == EXIT_GATE == 3
    assert found["gate"]["passed"] is False
    assert "release check: undecided: F, hit: primary question, not shown to be within" in said


def test_a_gate_that_passes_exits_with_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path, monkeypatch, True, "--gate")[0] == 0


def test_without_gate_the_audit_is_done_whatever_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, monkeypatch, False)[0] == 0


@pytest.mark.parametrize("mistake", ["--gaet", "--protocol=nowhere.yaml", "--before=nowhere"])
def test_a_mistake_beside_gate_is_no_verdict(tmp_path: Path, mistake: str) -> None:
    CaseLibrary.create(tmp_path / "library").close()
    call = ["audit", str(tmp_path / "library"), "--out", str(tmp_path / "out"), "--gate", mistake]
    assert CliRunner().invoke(build(), call).exit_code == 2
