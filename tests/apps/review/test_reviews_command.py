"""``medembed reviews``: lists, measures, exports, and errors in one line."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from apps.review.command import reviews
from medembed.reviews import ReviewStore
from tests.apps.review.conftest import Reviewed


def run(reviewed: Reviewed, session: str | None = None, **options: Any) -> None:
    reviews(reviewed.library.path, session, **options)


def test_it_lists_the_sessions(reviewed: Reviewed, capsys: pytest.CaptureFixture[str]) -> None:
    run(reviewed)
    line = capsys.readouterr().out
    assert line.startswith(f"{reviewed.link}  Tumor board: 3 cases, 2 readers, 3 finished readings")
    run(reviewed, as_json=True)
    (one,) = json.loads(capsys.readouterr().out)["sessions"]
    assert (one["link"], one["n_cases"], one["n_finished"]) == (reviewed.link, 3, 3)


@pytest.mark.parametrize("by", ["link", "name"])
def test_it_prints_the_measures(
    reviewed: Reviewed, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(reviewed, reviewed.link if by == "link" else "Tumor board")
    out = capsys.readouterr().out
    assert "Revised after the reveal: 1 of 3, 33% (95% interval" in out
    assert "Anna and Ben Ärzte, first impressions (blind), 1 case read by both" in out
    assert "disagreement, case C-0000: effusion (right), support device / no finding" in out


def test_json_has_all_readings_and_measures(
    reviewed: Reviewed, capsys: pytest.CaptureFixture[str]
) -> None:
    run(reviewed, "Tumor board", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [r["state"] for r in found["readings"]].count("finished") == 3
    assert found["measures"]["everyone"]["revised"]["count"] == 1
    assert found["measures"]["agreements"][0]["readers"] == ["Anna", "Ben Ärzte"]
    assert found["files"] == []


def test_it_exports_to_a_new_folder_that_only_its_owner_reads(
    reviewed: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "board"
    flags = dict.fromkeys(("pdf", "csv", "sr", "ko", "teaching"), True)
    run(reviewed, "Tumor board", out=out, as_json=True, **flags)
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["files"]) == sorted(file.name for file in out.iterdir())
    assert len(found["files"]) == 3 + 4 + 2
    assert found["left_out"] == ["C-0004"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in out.iterdir()} == {0o600}
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert [p.name for p in out.parent.iterdir()] == ["board"], "no draft is left"


@pytest.mark.parametrize(
    ("session", "options", "line"),
    [
        ("nothing", {}, "no such review session"),
        (None, {"pdf": True}, "which session?"),
        ("Tumor board", {"pdf": True}, "--out"),
        ("Tumor board", {"out": Path("new")}, "at least one format"),
        ("Tumor board", {"with_reports": True}, "belongs to an export"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    reviewed: Reviewed,
    session: str | None,
    options: dict[str, Any],
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(reviewed, session, **options)
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert line in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_folder_with_files_is_left_alone(
    reviewed: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit):
        run(reviewed, "Tumor board", pdf=True, out=tmp_path / "kept")
    assert "not empty" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["mine.txt"]


def test_two_sessions_of_one_name_need_the_link(
    reviewed: Reviewed, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ReviewStore(reviewed.library)
    store.create("Tumor board", "Anna", [store.session(reviewed.link).cases[0]])
    with pytest.raises(SystemExit):
        run(reviewed, "Tumor board")
    assert "2 review sessions have this name" in capsys.readouterr().err


def test_a_library_without_a_session_says_where_they_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from medembed.library import CaseLibrary

    CaseLibrary.create(tmp_path / "library").close()
    reviews(tmp_path / "library", None)
    assert "medembed app" in capsys.readouterr().out
