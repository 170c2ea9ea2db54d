"""The reading room's page, run by Streamlit's AppTest on a small real library."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import apps.case_lookup.page as page_module
from apps.case_lookup.desk import Desk
from medembed.cases import Case
from medembed.errors import ScanError
from medembed.library import CaseLibrary
from medembed.scans import read_scan

PAGE = page_module.__file__
PLANTED = ("Planted", "PLANTED", "Name.dcm", "1.2.826")


@pytest.fixture
def room(small_library: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MEDEMBED_LIBRARY", str(small_library))
    return AppTest.from_file(PAGE, default_timeout=30).run()


def html(room: AppTest) -> str:
    return "\n".join(element.proto.body for element in room.html)


def without_css(room: AppTest) -> str:
    return re.sub(r"<style>.*?</style>", "", html(room), flags=re.DOTALL)


def button(room: AppTest, label: str) -> object:
    return next(b for b in room.button if b.label.replace("\\", "").startswith(label))


def press(room: AppTest, label: str) -> AppTest:
    return button(room, label).click().run()  # type: ignore[attr-defined]


def ask(room: AppTest, words: str) -> AppTest:
    return room.text_input(key="words").set_value(words).run()


def drop(room: AppTest, *files: tuple[str, bytes]) -> AppTest:
    uploads = [(name, content, "application/octet-stream") for name, content in files]
    return room.get("file_uploader")[0].set_value(uploads).run()


def ranked(room: AppTest) -> list[str]:
    return re.findall(r'class="rr-rank">(\d+)<', html(room))


def scores(room: AppTest) -> list[float]:
    return [float(x) for x in re.findall(r"<b>(-?\d\.\d\d)</b>", html(room))]


def in_force(room: AppTest) -> list[str]:
    """The filters that the result says it was made with."""
    line = re.findall(r'class="rr-force">(.*?)</p>', html(room))
    return re.findall(r'class="rr-chip">(.*?)<', line[0]) if line else []


def open_case(small_library: Path, case_id: str) -> AppTest:
    os.environ["MEDEMBED_LIBRARY"] = str(small_library)
    room = AppTest.from_file(PAGE, default_timeout=30)
    room.query_params["case"] = case_id
    return room.run()


@pytest.fixture
def case_page(small_library: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MEDEMBED_LIBRARY", str(small_library))
    return open_case(small_library, "C-0004")


# first visit -------------------------------------------------------------------------------


def test_first_visit_says_what_this_is_and_offers_the_librarys_own_findings(room: AppTest) -> None:
    assert not room.exception
    assert "Find the most similar past cases" in html(room)
    assert "14 cases" in html(room)
    assert "not for diagnosis" in html(room)
    assert button(room, "right effusion")


def test_an_example_asks_its_words(room: AppTest) -> None:
    press(room, "right effusion")
    assert room.text_input(key="words").value == "right effusion"
    assert ranked(room)


# asking ------------------------------------------------------------------------------------


def test_words_find_cases(room: AppTest) -> None:
    ask(room, "right pleural effusion")
    assert not room.exception
    assert ranked(room) == [str(n) for n in range(1, 11)]
    assert scores(room) == sorted(scores(room), reverse=True)
    assert "left effusion" in html(room)
    assert "right effusion" in html(room)


def test_a_dropped_dicom_finds_the_cases_with_its_bright_quadrant(
    room: AppTest, radiograph: bytes
) -> None:
    drop(room, ("Planted_Name.dcm", radiograph))
    assert not room.exception
    ages = [int(x) for x in re.findall(r"<strong>(\d+) y", without_css(room))]
    # case n is 40 + n years old, and 41 % 4 == n % 4 shares the quadrant
    assert {(age - 40) % 4 for age in ages[:3]} == {1}
    assert 'alt="Query: dropped image"' in html(room)


def test_words_and_image_bring_out_the_weight(room: AppTest, radiograph: bytes) -> None:
    assert [s.key for s in room.slider if s.key == "share"] == []
    drop(room, ("a.dcm", radiograph))
    assert [s.key for s in room.slider if s.key == "share"] == []
    ask(room, "effusion")
    both = scores(room)
    room.slider(key="share").set_value(100).run()
    assert scores(room) != both
    assert "Image 100 %, words 0 %" in html(room)


def test_the_patient_of_a_dropped_file_does_not_answer_for_itself(
    room: AppTest, small_library: Path
) -> None:
    with CaseLibrary.open(small_library) as library:
        content = library.scan_files(library.case("C-0004"))[0][0].read_bytes()
    room.slider(key="k").set_value(50).run()
    drop(room, ("x", content))
    assert "own patient was left out" in html(room)
    assert len(ranked(room)) == 12  # of 14, cases 4 and 5 are of one patient
    assert "44 y" not in without_css(room)
    assert "45 y" not in without_css(room)


def test_a_case_that_is_the_dropped_image_is_set_apart_with_a_way_to_it(
    room: AppTest, small_library: Path
) -> None:
    with CaseLibrary.open(small_library) as library:
        content = library.scan_files(library.case("C-0004"))[0][0].read_bytes()
    drop(room, ("x", content))
    assert "This image is in the library," in html(room)
    assert html(room).count("C-0004") == 0, "named by its button alone"
    press(room, "case C-0004")
    assert room.query_params["case"] == ["C-0004"] or room.query_params["case"] == "C-0004"


def test_an_image_that_no_case_is_sets_nothing_apart(room: AppTest, radiograph: bytes) -> None:
    drop(room, ("x", radiograph))
    assert "is in the library" not in html(room)
    assert not [b for b in room.button if b.key and b.key.startswith("own-")]


def test_what_cannot_be_judged_new_is_said_and_not_taken_for_familiar(room: AppTest) -> None:
    ask(room, "effusion")
    assert "No novelty check" in html(room)
    assert "Nothing like it here" not in html(room)


def test_a_whole_series_can_be_dropped(room: AppTest, small_library: Path) -> None:
    with CaseLibrary.open(small_library) as library:
        files = library.scan_files(library.case("C-0013"))[0]
        drop(room, *((f"{n}", file.read_bytes()) for n, file in enumerate(files)))
    assert not room.error
    assert ranked(room)


def test_bad_file_is_one_line_and_nothing_is_lost(room: AppTest) -> None:
    ask(room, "right pleural effusion")
    before = scores(room)
    drop(room, ("Planted_Name.dcm", b"no scan at all"))
    assert len(room.error) == 1
    line = room.error[0].value
    assert line.startswith("This file cannot be used:")
    assert "\n" not in line
    assert not any(word in line for word in PLANTED)
    assert scores(room) == before


def test_clear_brings_the_first_page_back(room: AppTest, radiograph: bytes) -> None:
    drop(room, ("a.dcm", radiograph))
    ask(room, "effusion")
    press(room, "Clear")
    assert "Find the most similar past cases" in html(room)


# filters -----------------------------------------------------------------------------------


def test_filters_hold(room: AppTest) -> None:
    ask(room, "effusion")
    room.multiselect(key="f_finding").set_value(["effusion:right"]).run()
    assert "left effusion" not in without_css(room)
    room.slider(key="f_age").set_value((45, 60)).run()
    ages = [int(x) for x in re.findall(r"<strong>(\d+) y", without_css(room))]
    assert ages
    assert min(ages) >= 45
    assert all(age % 2 for age in ages)
    assert "Only 5 cases match" in html(room)
    assert in_force(room) == ["right effusion", "age 45 and above", "age 60 and below"]


def test_filters_without_match_say_which(room: AppTest) -> None:
    ask(room, "effusion")
    room.slider(key="f_age").set_value((50, 100)).run()
    room.get("button_group")[0].set_value(["CT"]).run()
    room.multiselect(key="f_finding").set_value(["effusion:left"]).run()
    assert "No case matches all filters" in html(room)
    assert button(room, "Without “modality CT”: 2 cases")
    assert button(room, "Without “left effusion”: 1 case")
    press(room, "Without “modality CT”")
    assert len(ranked(room)) == 2
    press(room, "Clear filters")
    assert len(ranked(room)) == 10


# a case ------------------------------------------------------------------------------------


def test_opening_a_case_keeps_the_results(room: AppTest) -> None:
    ask(room, "right pleural effusion")
    found = html(room)
    press(room, "Open case 2")
    assert re.fullmatch(r"C-00\d\d", str(room.query_params["case"]))
    assert 'class="rr-stage"' in html(room)
    press(room, "Back to the results")
    assert html(room) == found
    assert "case" not in room.query_params


def test_the_report_is_whole_and_says_what_it_asserts(case_page: AppTest) -> None:
    body = html(case_page)
    assert "effusion<small>present, left</small>" in body
    assert "pneumothorax<small>absent</small>" in body
    assert "nodule<small>uncertain</small>" in body
    assert "Absent: pneumothorax" in body
    assert body.count("It has been stable over many weeks of follow-up.") == 8
    assert "&lt;b&gt;a " in body  # the note's own markup stays text
    assert "P-0002" in body


def test_a_case_without_report_says_so(small_library: Path) -> None:
    assert "no report for this case" in html(open_case(small_library, "C-0003"))


def test_presets_set_the_sliders_and_the_sliders_leave_the_preset(
    small_library: Path,
) -> None:
    room = open_case(small_library, "C-0013")
    preset = next(g for g in room.get("button_group") if "Lung" in g.options)
    preset.set_value("Lung").run()
    name = "C-0013-0"
    assert room.slider(key=f"center-{name}").value == -600
    assert room.slider(key=f"width-{name}").value == 1500
    assert "center -600, width 1500" in html(room)
    room.slider(key=f"center-{name}").set_value(-500.0).run()
    assert room.session_state[f"preset-{name}"] is None
    assert "center -500, width 1500" in html(room)


def test_the_slice_slider_walks_the_volume(small_library: Path) -> None:
    room = open_case(small_library, "C-0013")
    assert "slice 3 of 5" in html(room)
    before = html(room)
    room.slider(key="slice-C-0013-0").set_value(5).run()
    assert "slice 5 of 5" in html(room)
    assert html(room) != before


def test_other_studies_of_the_patient_are_one_press_away(case_page: AppTest) -> None:
    press(case_page, "2020-01-06")
    assert case_page.query_params["case"] == "C-0005"


def test_find_similar_leaves_the_case_itself_out(case_page: AppTest) -> None:
    press(case_page, "Find similar")
    assert "case" not in case_page.query_params
    assert 'alt="Query: case C-0004"' in html(case_page)
    assert "44 y" not in without_css(case_page)
    assert ranked(case_page)


@pytest.mark.parametrize("name", ["nobody", "<script>alert(1)</script>", "../../etc/passwd"])
def test_an_address_without_a_case_is_one_line(small_library: Path, name: str) -> None:
    room = open_case(small_library, name)
    assert not room.exception
    assert "This library has no such case" in html(room)
    assert name not in html(room)


# what must not happen ----------------------------------------------------------------------


def test_pictures_travel_in_the_page_and_not_at_an_open_address(room: AppTest) -> None:
    ask(room, "effusion")
    assert html(room).count('src="data:image/jpeg;base64,') == 10
    assert not room.get("imgs")
    assert "/media/" not in html(room)


def test_nothing_of_an_uploads_name_or_header_is_shown_or_logged(
    room: AppTest, radiograph: bytes, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    drop(room, ("Planted_Name.dcm", radiograph))
    ask(room, "effusion")
    shown = without_css(room) + repr(room.query_params)
    said = "\n".join(record.getMessage() for record in caplog.records)
    for word in PLANTED:
        assert word not in shown
        assert word not in said


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


def test_a_fault_of_ours_is_one_line_without_its_message(
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


def test_a_fault_while_an_image_is_drawn_is_one_line_without_its_message(
    small_library: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It happens in a fragment, which Streamlit runs and catches by itself."""

    def broken(*_: object) -> None:
        raise RuntimeError("Planted^Name")

    monkeypatch.setattr("apps.case_lookup.case_page.render", broken)
    room = open_case(small_library, "C-0001")
    assert not room.exception
    assert len(room.error) == 1
    assert "RuntimeError" in room.error[0].value
    assert "Planted" not in room.error[0].value + caplog.text
    assert "effusion<small>present" in html(room), "the rest of the page stays"


def test_the_name_of_a_librarys_file_is_not_shown_with_what_is_wrong_with_it(
    small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ScanError("the file is cut off", where="/archive/DOE^JANE_1950.dcm", hint="copy it")

    room = open_case(small_library, "C-0001")
    press(room, "Find similar")
    monkeypatch.setattr("apps.case_lookup.desk.Desk.scan", broken)
    press(room, "Search")
    assert "the file is cut off" in html(room)
    assert "JANE" not in html(room) + "".join(error.value for error in room.error)


def test_a_list_with_a_case_that_has_left_the_library_is_asked_for_again(
    room: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(room, "effusion")
    asked: list[object] = []
    search, select = Desk.search, CaseLibrary.select
    monkeypatch.setattr(Desk, "search", lambda *a: asked.append(a) or search(*a))
    room.run()
    assert asked == []

    def without(self: CaseLibrary, case_ids: list[str]) -> list[Case]:
        return [case for case in select(self, case_ids) if case.case_id != "C-0009"]

    monkeypatch.setattr(CaseLibrary, "select", without)
    room.run()
    assert len(asked) == 1
    assert "49 y" not in without_css(room)


def test_clear_lets_go_of_the_image_and_of_what_it_found(room: AppTest, radiograph: bytes) -> None:
    drop(room, ("a.dcm", radiograph))
    assert room.session_state["found"].question.scan is not None
    press(room, "Clear")
    assert room.session_state["dropped"] is None
    assert "found" not in room.session_state


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
    room = ask(_start(tmp_path / "bare", monkeypatch), "effusion")
    assert not room.exception
    assert [e.value.count("\n") for e in room.error] == [0]
    assert "model" in room.error[0].value


def test_an_image_that_has_gone_is_said_and_the_rest_stays(
    small_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    st.cache_resource.clear()  # another desk may hold the image in memory
    desk_scan = "apps.case_lookup.desk.CaseLibrary.scan_files"
    monkeypatch.setattr(desk_scan, lambda self, case: [(tmp_path / "gone.dcm",)] * 9)
    room = open_case(small_library, "C-0006")
    assert "This image cannot be shown" in room.error[0].value
    assert "effusion<small>present" in html(room)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    before = os.environ.get("MEDEMBED_LIBRARY")
    yield
    if before is None:
        os.environ.pop("MEDEMBED_LIBRARY", None)


def test_thumbnails_are_derived_and_kept_in_the_library(room: AppTest, small_library: Path) -> None:
    ask(room, "effusion")
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
