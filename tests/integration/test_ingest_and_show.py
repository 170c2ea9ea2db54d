from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.example_files import write_csv, write_dicom, write_png

from medembed.cli import run


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def medembed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["medembed", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            run()
        said = capsys.readouterr()
        return Outcome(int(left.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def as_json(medembed: Callable[..., Outcome]) -> Callable[..., dict[str, Any]]:
    def call(*arguments: object) -> dict[str, Any]:
        done = medembed(*arguments, "--json")
        assert done.code == 0, done.err
        answer: dict[str, Any] = json.loads(done.out)
        return answer

    return call


def test_a_table_and_a_folder_go_into_one_library_and_are_shown(
    tmp_path: Path, medembed: Callable[..., Outcome], as_json: Callable[..., dict[str, Any]]
) -> None:
    library = tmp_path / "lib"
    write_png(tmp_path / "t" / "a.png", 1)
    write_csv(
        tmp_path / "t" / "cases.csv",
        [
            {"case_id": "a", "patient_id": "1", "image_path": "a.png", "sex": "F", "ward": "7"},
            {"case_id": "b", "patient_id": "2", "image_path": "none.png"},
        ],
    )
    write_dicom(tmp_path / "d" / "1.dcm", 1)
    notes = write_csv(tmp_path / "n.csv", [{"accession": "ACC00001", "note": "Left effusion."}])
    answer = as_json("ingest", library, tmp_path / "t", "--keep-columns", "ward")
    assert (answer["added"], answer["refused"], answer["refused_by_code"]) == (
        1, 1, {"not-found": 1},
    )  # fmt: skip
    assert answer["refusals"][0]["where"] == "cases.csv row 3"
    answer = as_json("ingest", library, tmp_path / "d", "--notes", notes)
    assert (answer["added"], answer["cases"]) == (1, 2)
    shown = as_json("show", library)
    assert (shown["cases"], shown["patients"], shown["notes"]) == (2, 2, 1)
    assert shown["counts"]["finding"] == {"effusion": 1}
    assert shown["attributes"] == ["ward"]
    assert (shown["models"], shown["active_model"], shown["vectors"]) == ([], None, [])
    told = medembed("show", library)
    assert told.code == 0
    assert "2 cases of 2 patients" in told.out
    assert set(as_json("show", "sources")["sources"]) >= {"table", "dicom"}
    assert "image toy" in as_json("show", "encoders")["encoders"]
    nothing = {
        "models": [],
        "active_model": None,
        "pending_model": None,
        "previous_model": None,
        "model_history": [],
    }
    assert as_json("show", "models", library) == nothing
    assert shown["counts"]["kind"], "what kinds of image there are to filter by"
    assert "read with vocabulary" in told.out


def test_mistakes_end_with_one_line_and_exit_code_2(
    tmp_path: Path, medembed: Callable[..., Outcome]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("x")
    source = write_dicom(tmp_path / "d" / "1.dcm", 1).parent
    calls: list[tuple[object, ...]] = [
        ("show", tmp_path / "none"),
        ("show", "models", tmp_path / "none"),
        ("ingest", tmp_path / "lib"),
        ("ingest", tmp_path / "lib", tmp_path / "none"),
        ("ingest", tmp_path / "lib", source, "--format", "nix"),
        ("ingest", tmp_path / "lib", source, "--notes", tmp_path / "none.csv"),
        ("ingest", tmp_path / "lib", source, "--format", "table"),
        ("ingest", tmp_path / "full", source),
    ]
    for call in calls:
        done = medembed(*call)
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1), call
    assert not (tmp_path / "lib").exists()  # nothing is made for a call that cannot work


def test_help_has_an_example(medembed: Callable[..., Outcome]) -> None:
    for verb in ("ingest", "show"):
        done = medembed(verb, "--help")
        assert done.code == 0
        assert f"medembed {verb}" in done.out.split("Example")[1]
