"""Review sessions on the page, run by Streamlit's AppTest on a small real library."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from support.reviewed import Clock, read_case

from medembed.library import CaseLibrary
from medembed.reviews import (
    Impression,
    Mark,
    ReadingState,
    ReviewCase,
    ReviewQuery,
    ReviewSession,
    ReviewStore,
)
from tests.apps.acting import PAGE, html, press, ranked, search, without_css
from tests.apps.nasty import NASTY

# what a report, a finding, a score or a query of the small library would show
COVERED = ("effusion", "pneumothorax", "nodule", "IMPRESSION", "follow-up", "rr-chip", "rr-score",
           "number", "Result", "C-0000", "C-0001", "P-0000")  # fmt: skip


@pytest.fixture
def place(small_library: Path, tmp_path: Path) -> Path:
    """A copy: these tests write."""
    return Path(shutil.copytree(small_library, tmp_path / "library"))


@pytest.fixture
def library(place: Path) -> Iterator[CaseLibrary]:
    with CaseLibrary.open(place) as library:
        yield library


@pytest.fixture
def board(library: CaseLibrary) -> ReviewSession:
    query = ReviewQuery(("text",), ("effusion:right",), rank=1, score=0.9)
    cases = [ReviewCase("C-0001", query), ReviewCase("C-0000"), ReviewCase("C-0003")]
    return ReviewStore(library).create("Tumor board", "Anna", cases)


def open_room(place: Path, **address: str) -> AppTest:
    os.environ["MEDEMBED_LIBRARY"] = str(place)
    room = AppTest.from_file(PAGE, default_timeout=30)
    for name, value in address.items():
        room.query_params[name] = value
    room.run()
    assert not room.exception
    return room


def at(
    place: Path, board: ReviewSession, position: int | None = None, reader: str = "Ben"
) -> AppTest:
    address = {"review": board.link, "reader": reader}
    return open_room(place, **address, **({} if position is None else {"at": str(position)}))


def write(room: AppTest, text: str = "", findings: tuple[str, ...] = ()) -> AppTest:
    if text:
        room.text_area[0].set_value(text)
    if findings:
        box = next(m for m in room.multiselect if "findings" in (m.key or ""))
        box.set_value(list(findings))
    return room.run()


def address(room: AppTest, name: str) -> str:
    """A part of the page's address: AppTest gives a list before a run and a text after it."""
    value = room.query_params[name]
    return value if isinstance(value, str) else value[0]


def shown(room: AppTest) -> str:
    """All that was sent to the browser as text: our HTML, labels, options."""
    parts = [without_css(room)]
    parts += [button.label for button in room.button]
    parts += [area.value or "" for area in room.text_area]
    parts += [error.value for error in room.error]
    return "\n".join(parts)


# making one


def test_a_session_is_made_of_the_results_and_opens(place: Path, library: CaseLibrary) -> None:
    room = open_room(place)
    search(room, "right pleural effusion")
    assert ranked(room)
    room.text_input(key="review_name").set_value("Board <b>1</b>")
    room.text_input(key="review_creator").set_value("Anna")
    room.multiselect(key="review_ranks").set_value([1, 2, 4])
    room.checkbox(key="review_shuffle").set_value(False)
    press(room, "Start session")
    assert not room.exception
    (made,) = ReviewStore(library).sessions()
    assert address(room, "review") == made.link
    assert address(room, "reader") == "Anna"
    assert (made.name, made.creator, len(made.cases)) == ("Board <b>1</b>", "Anna", 3)
    query = made.cases[0].query
    assert query is not None
    assert (query.parts, query.rank) == (("text",), 1)
    assert "right pleural effusion" not in query.stored(), "no typed words"
    assert "Board &lt;b&gt;1&lt;/b&gt;" in html(room)
    assert made.link in room.code[0].value
    press(room, "Back to search")
    assert "review" not in room.query_params


def test_a_session_without_a_name_is_asked_for_one(place: Path, library: CaseLibrary) -> None:
    room = open_room(place)
    search(room, "right pleural effusion")
    press(room, "Start session")
    assert "a session needs a name" in room.error[0].value
    assert ReviewStore(library).sessions() == []
    assert ranked(room), "the results are still there"


def test_a_case_is_marked_before_it_is_read_and_stands_on_the_overview(
    place: Path, board: ReviewSession, library: CaseLibrary
) -> None:
    room = at(place, board, 1)
    room.checkbox(key=f"mark-shortlisted-{board.link}-1").check().run()
    press(room, "Overview")
    assert "Tumor board shortlist: 1 case" in html(room)
    assert "Finished 0 of 3 cases" in html(room)
    assert "effusion" not in shown(room), "the report is still covered"
    other = at(place, board, reader="Anna")
    assert "Tumor board shortlist" not in html(other), "what others marked comes after reading"
    press(room, "Make a session of the shortlist")
    assert ReviewStore(library).session(address(room, "review")).case_ids == ("C-0001",)


def test_sessions_are_listed_on_the_first_page(place: Path, board: ReviewSession) -> None:
    room = open_room(place)
    press(room, "Tumor board (3 cases)")
    assert address(room, "review") == board.link
    assert "Your name or initials" in {field.label for field in room.text_input}
    room.text_input(key="review_reader").set_value("  Ben  ")
    press(room, "Begin")
    assert address(room, "reader") == "Ben"
    assert address(room, "at") == "1", "a new reader begins at once"
    press(room, "Overview")
    assert "Finished 0 of 3 cases" in html(room)


@pytest.mark.parametrize("link", ["x", "<b>", "1' OR '1'='1", "ü" * 22])
def test_a_link_to_nothing_says_so(place: Path, link: str) -> None:
    room = open_room(place, review=link, reader="Ben", at="1")
    assert "Review session not found" in html(room)
    press(room, "Back to search")
    assert "Find the most similar past cases" in html(room)


@pytest.mark.parametrize("position", ["0", "99", "-1", "x", ""])
def test_a_position_that_is_none_shows_the_overview(
    place: Path, board: ReviewSession, position: str
) -> None:
    room = open_room(place, review=board.link, reader="Ben", at=position)
    assert "Finished 0 of 3 cases" in html(room)


# blind


def test_a_blind_case_shows_its_image_and_nothing_that_somebody_found(
    place: Path, board: ReviewSession
) -> None:
    room = at(place, board, 1)
    text = shown(room)
    assert "41 y F" in text
    assert "pixels/case/" in text
    plain = re.sub(r"pixels/case/[^\"]+", "", text)  # the id of a case leads to its image
    for word in COVERED:
        assert word not in plain, word
    assert "Case 1 of 3" in text


def test_reveal_needs_an_impression(
    place: Path, board: ReviewSession, library: CaseLibrary
) -> None:
    room = at(place, board, 1)
    press(room, "Reveal")
    assert "first impression needs a text or a finding" in room.error[0].value
    assert "number 1" not in shown(room)
    reading = ReviewStore(library).reading(board.link, "C-0001", "Ben")
    assert reading is not None
    assert reading.state is ReadingState.OPENED
    press(room, "Reveal")
    assert len(room.error) == 1, "said once for each try"


def test_the_way_from_blind_to_finished(
    place: Path, board: ReviewSession, library: CaseLibrary
) -> None:
    store = ReviewStore(library)
    room = at(place, board, 1)
    write(room, "Effusion on the right.", ("effusion:right",))
    kept = store.reading(board.link, "C-0001", "Ben")
    assert kept is not None
    assert kept.impression == Impression("Effusion on the right.", ("effusion:right",)), "at once"
    assert "Saved" in html(room)
    press(room, "Reveal")
    assert not room.error
    assert "number 1" in html(room)
    assert "rr-chip" in html(room)
    assert "In this session by query by text" in html(room)
    assert room.text_area[0].value == "Effusion on the right."
    assert len(room.text_area) == 1, "the first impression can no longer be edited"
    write(room, "Effusion, and a mass.", ("effusion:right", "mass"))
    room.checkbox(key=f"mark-shortlisted-{board.link}-1").check().run()
    press(room, "Finish case")
    done = store.reading(board.link, "C-0001", "Ben")
    assert done is not None
    assert done.is_finished
    assert done.impression == Impression("Effusion on the right.", ("effusion:right",))
    assert done.revision == Impression("Effusion, and a mass.", ("effusion:right", "mass"))
    assert done.marks == {Mark.SHORTLIST}
    assert "Final impression (revised)" in html(room)
    press(room, "Next case")
    assert address(room, "at") == "2"


def test_another_browser_resumes_exactly(
    place: Path, board: ReviewSession, library: CaseLibrary
) -> None:
    room = at(place, board, 2)
    write(room, "Half a thought", ("nodule",))
    again = at(place, board, 2)
    assert again.text_area[0].value == "Half a thought"
    assert ["nodule"] in [m.value for m in again.multiselect]
    press(again, "Reveal")
    third = at(place, board, 2)
    assert "Half a thought" in html(third)
    assert third.text_area[0].label == "Final impression"
    assert "Finish case" in {b.label for b in third.button}
    overview = at(place, board)
    assert "Continue with case 1" in {b.label for b in overview.button}


def test_a_pause_covers_the_case(place: Path, board: ReviewSession) -> None:
    room = at(place, board, 1)
    press(room, "Pause")
    assert "pixels/case/" not in html(room)
    assert "Paused" in html(room)
    press(room, "Continue")
    assert "pixels/case/" in html(room)


def test_every_step_and_move_of_another_reader_stays_apart(
    place: Path, board: ReviewSession, library: CaseLibrary
) -> None:
    read_case(ReviewStore(library), Clock(), board.link, "C-0001", "Cleo", Impression("Cleo says"))
    room = at(place, board, 1)
    assert "Cleo" not in shown(room)
    write(room, "Mine")
    press(room, "Reveal")
    assert "Cleo says" not in shown(room)
    press(room, "Finish case")
    assert "Cleo says" in shown(room)


# the overview


def test_agreement_and_exports_appear_once_a_case_is_finished(
    place: Path, board: ReviewSession, library: CaseLibrary
) -> None:
    store, clock = ReviewStore(library), Clock()
    for case_id in board.case_ids:
        read_case(store, clock, board.link, case_id, "Cleo", Impression("", ("mass",)))
    room = at(place, board)
    assert "once you have finished" in html(room)
    assert "Cleo" not in shown(room)
    read_case(store, clock, board.link, "C-0001", "Ben", Impression("", ("nodule",)))
    room = at(place, board)
    assert {e.label.replace("\\", "") for e in room.expander} >= {
        "Revisions and times",
        "Ben and Cleo: first impressions",
        "Ben and Cleo: final impressions",
    }
    assert "1 case read by both" in html(room)
    assert "Disagreements (1)" in html(room)
    assert "Export 1 case" in html(room)


def test_a_closed_session_shows_everything_and_takes_nothing(
    place: Path, board: ReviewSession, library: CaseLibrary
) -> None:
    store = ReviewStore(library)
    read_case(store, Clock(), board.link, "C-0001", "Cleo", Impression("Cleo says"))
    room = at(place, board, reader="Anna")
    press(room, "Close the session")
    assert "This session is closed" in html(room)
    assert "Export 3 cases" in html(room)
    case = at(place, board, 2)
    assert "this session is closed" in case.error[0].value
    assert "number 0" not in shown(case)
    assert "Close the session" not in {b.label for b in at(place, board).button}, "its creator may"


@pytest.mark.parametrize("kind", ["PDF", "CSV", "DICOM SR", "DICOM key objects", "Teaching file"])
def test_each_export_can_be_downloaded(
    place: Path, board: ReviewSession, library: CaseLibrary, kind: str
) -> None:
    store = ReviewStore(library)
    read_case(store, Clock(), board.link, "C-0001", "Ben", Impression("Mine", ("mass",)))
    for mark in Mark:
        store.mark(board.link, "C-0001", "Ben", mark)
    room = at(place, board)
    next(b for b in room.button if b.label == kind and (b.key or "").startswith("r-export")).click()
    room.run()
    assert not room.exception
    assert not room.error
    downloads = [d.proto.label.replace("\\", "") for d in room.get("download_button")]
    assert len(downloads) == 1
    assert downloads[0].startswith("Download ")


def test_a_shortlist_becomes_a_session(
    place: Path, board: ReviewSession, library: CaseLibrary
) -> None:
    store = ReviewStore(library)
    read_case(store, Clock(), board.link, "C-0003", "Ben", Impression("Mine", ("mass",)))
    store.mark(board.link, "C-0003", "Ben", Mark.SHORTLIST)
    room = at(place, board)
    assert "Tumor board shortlist: 1 case" in html(room)
    press(room, "Make a session of the shortlist")
    made = store.sessions()[0]
    assert (made.name, made.creator) == ("Tumor board: shortlist", "Ben")
    assert made.case_ids == ("C-0003",)
    assert address(room, "review") == made.link


def test_an_erased_case_leaves_the_session_and_its_page(
    place: Path, board: ReviewSession, library: CaseLibrary
) -> None:
    library.erase("P-0000")  # C-0000 and C-0001
    room = at(place, board, 1)
    assert "Finished 0 of 1 case" in html(room)
    library.erase("P-0001")
    assert "Review session not found" in html(at(place, board))


# texts


def test_names_and_impressions_are_shown_as_text(place: Path, library: CaseLibrary) -> None:
    store = ReviewStore(library)
    link = store.create(NASTY[:150], "<i>x</i>", [ReviewCase("C-0001")]).link
    read_case(store, Clock(), link, "C-0001", "<b>Ben</b>", Impression(NASTY, ("mass",)))
    read_case(store, Clock(), link, "C-0001", "*Cleo*", Impression(NASTY))
    for address in ({"at": "1"}, {}):
        room = open_room(place, review=link, reader="<b>Ben</b>", **address)
        page = html(room)
        for markup in ("<script", 'onerror="', "<b>Ben", "<i>x", "\u202e"):
            assert markup not in without_css(room), markup
        assert "&lt;script&gt;" in page
        for label in [b.label for b in room.button]:
            assert "**bold**" not in label
