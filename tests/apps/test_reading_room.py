"""The reading room's page, run by Streamlit's AppTest on a small real library."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from medembed.library import CaseLibrary
from tests.apps.acting import (
    button,
    drop,
    filters_shown,
    html,
    key_of,
    open_case,
    press,
    ranked,
    scores,
    search,
    without_css,
)

PLANTED = ("Planted", "PLANTED", "Name.dcm", "1.2.826")


@pytest.fixture
def case_page(small_library: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MEDEMBED_LIBRARY", str(small_library))
    return open_case(small_library, "C-0004")


# first visit -------------------------------------------------------------------------------


def test_first_visit_explains_the_page_and_suggests_the_librarys_findings(room: AppTest) -> None:
    assert not room.exception
    assert "Find the most similar past cases" in html(room)
    assert "14 cases" in html(room)
    assert "not for diagnosis" in html(room)
    assert button(room, "right effusion")


def test_an_example_searches_for_its_text(room: AppTest) -> None:
    press(room, "right effusion")
    assert room.text_input(key=key_of(room, "text")).value == "right effusion"
    assert ranked(room)


# asking ------------------------------------------------------------------------------------


def test_text_finds_cases(room: AppTest) -> None:
    search(room, "right pleural effusion")
    assert not room.exception
    by_rank = dict(zip(map(int, ranked(room)), scores(room), strict=True))
    assert sorted(by_rank) == [*range(1, 11)]
    assert [by_rank[n] for n in range(1, 11)] == sorted(by_rank.values(), reverse=True)
    assert "left effusion" in html(room)
    assert "right effusion" in html(room)


def test_what_the_words_were_read_as_can_be_left_out_and_taken_back(room: AppTest) -> None:
    search(room, "right pleural effusion in a woman")
    assert button(room, "effusion, right ×")
    press(room, "sex F ×")
    assert not room.exception
    assert "sex F ×" not in {b.label for b in room.button}
    press(room, "Use all words")
    assert button(room, "sex F ×")
    search(room, "pneumothorax in a woman")  # another text starts with all of its terms
    assert button(room, "sex F ×")


def test_a_dropped_dicom_finds_the_cases_with_its_bright_quadrant(
    room: AppTest, radiograph: bytes
) -> None:
    drop(room, ("Planted_Name.dcm", radiograph))
    assert not room.exception
    ages = [int(x) for x in re.findall(r"<strong>(\d+) y", without_css(room))]
    ages = [age for _, age in sorted(zip(map(int, ranked(room)), ages, strict=True))]
    # case n is 40 + n years old, and 41 % 4 == n % 4 shares the quadrant
    assert {(age - 40) % 4 for age in ages[:3]} == {1}
    assert 'alt="Query: Your image"' in html(room)


def test_text_and_image_show_the_weight(room: AppTest, radiograph: bytes) -> None:
    assert [s.key for s in room.slider if s.key == "share"] == []
    drop(room, ("a.dcm", radiograph))
    assert [s.key for s in room.slider if s.key == "share"] == []
    search(room, "effusion")
    both = scores(room)
    room.slider(key="share").set_value(100).run()
    assert scores(room) != both
    assert "Image 100%, text 0%" in html(room)


def test_the_patient_of_a_dropped_file_is_excluded(room: AppTest, small_library: Path) -> None:
    with CaseLibrary.open(small_library) as library:
        content = library.scan_files(library.case("C-0004"))[0][0].read_bytes()
    room.slider(key="k").set_value(50).run()
    drop(room, ("x", content))
    assert "same patient excluded" in html(room)
    assert len(ranked(room)) == 12  # of 14, cases 4 and 5 are of one patient
    assert "44 y" not in without_css(room)
    assert "45 y" not in without_css(room)


def test_the_case_of_the_dropped_image_is_linked_apart_from_the_results(
    room: AppTest, small_library: Path
) -> None:
    with CaseLibrary.open(small_library) as library:
        content = library.scan_files(library.case("C-0004"))[0][0].read_bytes()
    drop(room, ("x", content))
    assert "This image is already in the library" in html(room)
    assert html(room).count("C-0004") == 0, "named by its button alone"
    press(room, "Case C-0004")
    assert room.query_params["case"] == ["C-0004"] or room.query_params["case"] == "C-0004"


def test_an_unknown_image_links_no_case(room: AppTest, radiograph: bytes) -> None:
    drop(room, ("x", radiograph))
    assert "already in the library" not in html(room)
    assert not [b for b in room.button if b.key and b.key.startswith("own-")]


def test_an_unchecked_novelty_is_reported_as_unchecked(room: AppTest) -> None:
    search(room, "effusion")
    assert "No novelty check" in html(room)
    assert "Nothing like this" not in html(room)


def test_a_whole_series_can_be_dropped(room: AppTest, small_library: Path) -> None:
    with CaseLibrary.open(small_library) as library:
        files = library.scan_files(library.case("C-0013"))[0]
        drop(room, *((f"{n}", file.read_bytes()) for n, file in enumerate(files)))
    assert not room.error
    assert ranked(room)


def test_bad_file_is_one_line_and_nothing_is_lost(room: AppTest) -> None:
    search(room, "right pleural effusion")
    before = scores(room)
    drop(room, ("Planted_Name.dcm", b"no scan at all"))
    assert len(room.error) == 1
    line = room.error[0].value
    assert line.replace("\\", "").startswith("Cannot use this file:")
    assert "\n" not in line
    assert not any(word in line for word in PLANTED)
    assert scores(room) == before


def test_clear_returns_to_the_first_page(room: AppTest, radiograph: bytes) -> None:
    drop(room, ("a.dcm", radiograph))
    search(room, "effusion")
    press(room, "Clear")
    assert "Find the most similar past cases" in html(room)


# filters -----------------------------------------------------------------------------------


def test_every_result_meets_the_filters(room: AppTest) -> None:
    search(room, "effusion")
    room.multiselect(key="f_finding").set_value(["effusion:right"]).run()
    assert "left effusion" not in without_css(room)
    room.slider(key="f_age").set_value((45, 60)).run()
    ages = [int(x) for x in re.findall(r"<strong>(\d+) y", without_css(room))]
    assert ages
    assert min(ages) >= 45
    assert all(age % 2 for age in ages)
    assert "All 5 matching cases" in html(room)
    assert filters_shown(room) == ["right effusion", "age ≥ 45", "age ≤ 60"]


def test_filters_without_match_offer_which_to_remove(room: AppTest) -> None:
    search(room, "effusion")
    room.slider(key="f_age").set_value((50, 100)).run()
    room.get("button_group")[0].set_value(["CT"]).run()
    room.multiselect(key="f_finding").set_value(["effusion:left"]).run()
    assert "No case matches all filters" in html(room)
    assert button(room, "Remove “modality CT” (2 cases)")
    assert button(room, "Remove “left effusion” (1 case)")
    press(room, "Remove “modality CT”")
    assert len(ranked(room)) == 2
    press(room, "Clear filters")
    assert len(ranked(room)) == 10


# a case ------------------------------------------------------------------------------------


def test_opening_a_case_keeps_the_results(room: AppTest) -> None:
    search(room, "right pleural effusion")
    found = html(room)
    press(room, "Open case 2")
    assert re.fullmatch(r"C-00\d\d", str(room.query_params["case"]))
    assert 'class="rr-still"' in html(room)
    press(room, "Back to results")
    assert html(room) == found
    assert "case" not in room.query_params


def test_the_report_is_complete_with_its_assertions_marked(case_page: AppTest) -> None:
    body = html(case_page)
    assert "effusion<small>present, left</small>" in body
    assert "pneumothorax<small>absent</small>" in body
    assert "nodule<small>uncertain</small>" in body
    assert "Absent: pneumothorax" in body
    assert body.count("It has been stable over many weeks of follow-up.") == 8
    assert "&lt;b&gt;a " in body  # the note's own markup stays text
    assert "P-0002" in body


def test_a_case_without_report_says_so(small_library: Path) -> None:
    assert "has no report" in html(open_case(small_library, "C-0003"))


def test_no_pixel_travels_through_the_script(case_page: AppTest) -> None:
    body = html(case_page)
    assert "data:image" not in body
    assert 'src="pixels/case/C-0004/image/0/still"' in body


def test_an_image_that_was_dropped_stands_beside_the_case(room: AppTest, radiograph: bytes) -> None:
    drop(room, ("a.dcm", radiograph))
    press(room, "Open case 1")
    stills = re.findall(r'src="pixels/(.*?)/still"', html(room))
    assert len(stills) == 2
    assert re.fullmatch(r"query/[\w-]{43}", stills[0])
    assert stills[1] == f"case/{room.query_params['case']}/image/0"


def test_the_next_hit_is_one_click_away_and_the_results_stay(room: AppTest) -> None:
    search(room, "effusion")
    found = [hit.case_id for hit in room.session_state["outcome"].result.hits]
    press(room, "Open case 1")
    assert "Hit 1 of 10" in html(room)
    assert button(room, "Previous hit").disabled  # type: ignore[attr-defined]
    press(room, "Next hit")
    assert room.query_params["case"] == found[1]
    assert "Hit 2 of 10" in html(room)
    press(room, "Previous hit")
    assert room.query_params["case"] == found[0]
    press(room, "Back to results")
    assert len(ranked(room)) == 10


def test_a_case_from_elsewhere_has_no_next_hit(case_page: AppTest) -> None:
    assert "Hit " not in without_css(case_page)
    assert not [b for b in case_page.button if b.label.startswith("Next")]


def test_other_studies_of_the_patient_are_one_click_away(case_page: AppTest) -> None:
    press(case_page, "2020-01-06")
    assert case_page.query_params["case"] == "C-0005"


def test_find_similar_excludes_the_case_itself(case_page: AppTest) -> None:
    press(case_page, "Find similar")
    assert "case" not in case_page.query_params
    assert 'alt="Query: Case C-0004"' in html(case_page)
    assert "44 y" not in without_css(case_page)
    assert ranked(case_page)


@pytest.mark.parametrize("name", ["nobody", "<script>alert(1)</script>", "../../etc/passwd"])
def test_an_address_of_no_case_is_one_line(small_library: Path, name: str) -> None:
    room = open_case(small_library, name)
    assert not room.exception
    assert "Case not found" in html(room)
    assert name not in html(room)
