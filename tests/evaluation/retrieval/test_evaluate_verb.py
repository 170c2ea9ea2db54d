"""medembed evaluate: the table for a person, the object for a machine, and one line of error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.planted import plant

from evaluation.commands import evaluate
from medembed.library import CaseLibrary


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with plant(tmp_path_factory.mktemp("verb") / "library") as library:
        return library.path


def test_a_person_gets_intervals_controls_exclusions_and_sentences(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(folder)
    said = capsys.readouterr().out
    for words in (
        "60 cases of 30 patients",
        "score [95%]",
        "images shuffled",
        "findings shuffled",
        "60 x own patient, other case",
        "60 x the query itself",
        "by chance",
        "Only 30 patients",
    ):
        assert words in said


def test_a_machine_gets_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(folder, pool=40, seed=2, as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    payload = json.loads(out)
    assert payload["text_to_image"]["pool"] == 40
    assert payload["seed"] == 2


def test_the_user_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    CaseLibrary.create(tmp_path / "empty").close()
    with pytest.raises(SystemExit) as stop:
        evaluate(tmp_path / "empty")
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "medembed train LIBRARY" in said.err
