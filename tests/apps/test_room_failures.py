"""What must not happen on the page, and how it handles errors."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from apps.case_lookup.session import LibrarySession
from medembed.cases import Case
from medembed.errors import ScanError
from medembed.library import CaseLibrary
from medembed.scans import read_scan
from tests.apps.acting import (
    PAGE,
    drop,
    html,
    open_case,
    press,
    search,
    without_css,
)

PLANTED = ("Planted", "PLANTED", "Name.dcm", "1.2.826")


# what must not happen ----------------------------------------------------------------------


def test_images_travel_in_the_page_and_have_no_address(room: AppTest) -> None:
    search(room, "effusion")
    assert html(room).count('src="data:image/jpeg;base64,') == 10
    assert not room.get("imgs")
    assert "/media/" not in html(room)


def test_nothing_of_an_uploads_name_or_header_is_shown_or_logged(
    room: AppTest, radiograph: bytes, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    drop(room, ("Planted_Name.dcm", radiograph))
    search(room, "effusion")
    shown = without_css(room) + repr(room.query_params)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    for word in PLANTED:
        assert word not in shown
        assert word not in logged


def test_a_dropped_file_leaves_no_copy(
    room: AppTest, radiograph: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "drops"))
    (tmp_path / "drops").mkdir()
    modes: list[int] = []
    write = Path.write_bytes

    def watched(self: Path, content: bytes) -> int:
        done = write(self, content)
        modes.append(self.stat().st_mode & 0o777)
        assert "Planted" not in str(self)
        return done

    monkeypatch.setattr(Path, "write_bytes", watched)
    drop(room, ("Planted_Name.dcm", radiograph))
    assert not room.error
    assert modes == [0o600]
    assert list((tmp_path / "drops").iterdir()) == []


def test_an_internal_error_is_one_line_without_its_message(
    small_library: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: CaseLibrary, case_id: str) -> Case:
        raise RuntimeError("Planted^Name")

    monkeypatch.setenv("MEDEMBED_LIBRARY", str(small_library))
    monkeypatch.setattr(CaseLibrary, "case", broken)
    room = open_case(small_library, "C-0001")
    assert not room.exception
    assert len(room.error) == 1
    assert "RuntimeError" in room.error[0].value
    assert "Planted" not in room.error[0].value + caplog.text


def test_an_internal_error_in_the_viewer_is_one_line_without_its_message(
    small_library: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("Planted^Name")

    monkeypatch.setattr("apps.case_lookup.case_page.viewer", broken)
    room = open_case(small_library, "C-0001")
    assert not room.exception
    assert len(room.error) == 1
    assert "RuntimeError" in room.error[0].value
    assert "Planted" not in room.error[0].value + caplog.text
    assert "effusion<small>present" in html(room), "the rest of the page stays"


def test_an_error_does_not_show_the_name_of_the_librarys_file(
    small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ScanError("the file is cut off", where="/archive/DOE^JANE_1950.dcm", hint="copy it")

    room = open_case(small_library, "C-0001")
    press(room, "Find similar")
    monkeypatch.setattr("apps.case_lookup.session.LibrarySession.scan", broken)
    press(room, "Search")
    assert "the file is cut off" in html(room)
    assert "JANE" not in html(room) + "".join(error.value for error in room.error)


def test_results_with_an_erased_case_are_searched_again(
    room: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(room, "effusion")
    asked: list[object] = []
    library_search, select = LibrarySession.search, CaseLibrary.select
    monkeypatch.setattr(LibrarySession, "search", lambda *a: asked.append(a) or library_search(*a))
    room.run()
    assert asked == []

    def without(self: CaseLibrary, case_ids: list[str]) -> list[Case]:
        return [case for case in select(self, case_ids) if case.case_id != "C-0009"]

    monkeypatch.setattr(CaseLibrary, "select", without)
    room.run()
    assert len(asked) == 1
    assert "49 y" not in without_css(room)


def test_clear_frees_the_image_and_its_results(room: AppTest, radiograph: bytes) -> None:
    drop(room, ("a.dcm", radiograph))
    assert room.session_state["outcome"].request.scan is not None
    press(room, "Clear")
    assert room.session_state["dropped"] is None
    assert "outcome" not in room.session_state


# libraries that cannot be used -------------------------------------------------------------


def _start(path: Path | str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MEDEMBED_LIBRARY", str(path))
    return AppTest.from_file(PAGE, default_timeout=30).run()


def test_a_missing_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = _start(tmp_path / "none", monkeypatch)
    assert len(room.error) == 1
    assert not room.exception


def test_an_empty_library_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CaseLibrary.create(tmp_path / "empty").close()
    assert "has no cases yet" in html(_start(tmp_path / "empty", monkeypatch))


def test_a_library_without_the_models_vectors_is_one_line(
    small_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CaseLibrary.open(small_library) as full, CaseLibrary.create(tmp_path / "bare") as bare:
        bare.add(full.cases())
    room = search(_start(tmp_path / "bare", monkeypatch), "effusion")
    assert not room.exception
    assert [e.value.count("\n") for e in room.error] == [0]
    assert "model" in room.error[0].value


def test_a_missing_image_is_reported_and_the_rest_stays(
    small_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    st.cache_resource.clear()  # another session may have the image in memory
    scan_files = "apps.case_lookup.session.CaseLibrary.scan_files"
    monkeypatch.setattr(scan_files, lambda self, case: [(tmp_path / "gone.dcm",)] * 9)
    room = open_case(small_library, "C-0006")
    assert not room.exception  # the viewer says it: its pixels come by their own route
    assert "effusion<small>present" in html(room)


def test_thumbnails_are_derived_and_kept_in_the_library(room: AppTest, small_library: Path) -> None:
    search(room, "effusion")
    kept = sorted((small_library / "thumbnails").iterdir())
    assert kept
    assert all(re.fullmatch(r"[0-9a-f]{64}(-\d+)?\.png", file.name) for file in kept)
    first = html(room)
    for file in kept:
        file.unlink()
    press(room, "Search")
    assert re.sub(r"\d\.\d\d s<", "", html(room)) == re.sub(r"\d\.\d\d s<", "", first)


def test_read_scan_agrees_with_the_librarys_files(small_library: Path) -> None:
    with CaseLibrary.open(small_library) as library:
        files = library.scan_files(library.case("C-0013"))[0]
    assert read_scan(files).pixels.shape == (5, 32, 64)
