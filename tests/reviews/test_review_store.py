"""A review goes forward one step at a time, and what was written stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support.example_cases import make_case
from support.reviewed import Clock, read_case, session_of, stay_open

from medembed.errors import InputError, LibraryError, ReviewError
from medembed.library import CaseLibrary, Condition
from medembed.reviews import (
    Impression,
    Mark,
    ReadingState,
    ReviewCase,
    ReviewQuery,
    ReviewSession,
    ReviewStore,
    SessionState,
)

ANNA, BEN = "Anna", "Ben"
EFFUSION = Impression("Small effusion.", ("effusion:right",))
NODULE = Impression("Nodule, no effusion.", ("nodule",))


@pytest.fixture
def library(tmp_path: Path) -> CaseLibrary:
    library = CaseLibrary.create(tmp_path / "library")
    library.add(make_case(i) for i in range(6))
    return library


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(library: CaseLibrary, clock: Clock) -> ReviewStore:
    return ReviewStore(library, clock)


@pytest.fixture
def board(store: ReviewStore, library: CaseLibrary) -> ReviewSession:
    return session_of(store, library, 4)


# sessions


def test_a_session_keeps_name_cases_order_and_query(
    store: ReviewStore, library: CaseLibrary
) -> None:
    query = ReviewQuery(
        ("text", "case"), ("effusion:right",), (Condition("sex", "in", ("F",)),), "case-5", 2, 0.81
    )
    made = store.create(
        "  Tumor \n board ", "Anna", [ReviewCase("case-3", query), ReviewCase("case-1")]
    )
    again = ReviewStore(library).session(made.link)
    assert again == made
    assert (again.name, again.creator, again.state) == ("Tumor board", "Anna", SessionState.OPEN)
    assert again.case_ids == ("case-3", "case-1")
    assert [case.position for case in again.cases] == [1, 2]
    assert again.cases[0].query == query
    assert again.cases[1].query is None
    assert store.sessions() == [again]


def test_a_link_cannot_be_guessed(store: ReviewStore, library: CaseLibrary) -> None:
    links = {session_of(store, library, 1).link for _ in range(20)}
    assert len(links) == 20
    assert {len(link) for link in links} == {22}  # 128 bits
    for wrong in ("", "1", next(iter(links))[:-1], "ü" * 22, "\ud800", "' OR 1=1"):
        with pytest.raises(ReviewError, match="no such review session"):
            store.session(wrong)


def test_a_query_keeps_nothing_that_names_a_patient(store: ReviewStore) -> None:
    query = ReviewQuery(
        ("text",),
        where=(Condition("patient", "=", ("P-1",)), Condition("accession", "=", ("7",)),
               Condition("view", "=", ("PA",))),
    )  # fmt: skip
    made = store.create("x", "Anna", [ReviewCase("case-0", query)])
    kept = store.session(made.link).cases[0].query
    assert kept is not None
    assert [condition.field for condition in kept.where] == ["view"]


@pytest.mark.parametrize(
    ("name", "creator", "ids", "match"),
    [
        (" ", "Anna", ["case-0"], "a session needs a name"),
        ("x", "\t", ["case-0"], "creator needs a name"),
        ("x", "Anna", [], "needs a case"),
        ("x", "Anna", ["case-0", "case-0"], "twice"),
        ("x", "Anna", ["case-0", "case-99"], "not in the library"),
        ("x" * 201, "Anna", ["case-0"], "more than 200 characters"),
        ("x", "Anna", [f"c{i}" for i in range(1001)], "at most 1,000 cases"),
    ],
)
def test_a_session_that_is_none_is_refused_and_leaves_nothing(
    store: ReviewStore, name: str, creator: str, ids: list[str], match: str
) -> None:
    with pytest.raises(ReviewError, match=match):
        store.create(name, creator, [ReviewCase(case_id) for case_id in ids])
    assert store.sessions() == []


def test_a_person_finds_the_sessions_made_or_read(
    store: ReviewStore, library: CaseLibrary, board: ReviewSession
) -> None:
    other = store.create("Other", ANNA, [ReviewCase("case-0")])
    store.open_case(board.link, "case-0", BEN)
    assert [one.name for one in store.sessions()] == ["Other", "Board"]
    assert store.sessions(ANNA) == [other]
    assert [one.name for one in store.sessions(BEN)] == ["Board"]
    assert store.sessions("Cleo") == []


# the steps


def test_the_way_of_a_reading(store: ReviewStore, clock: Clock, board: ReviewSession) -> None:
    at = board.link, "case-0", ANNA
    assert store.open_case(*at).state is ReadingState.OPENED
    clock.wait(20)
    first = store.write_impression(*at, EFFUSION)
    assert (first.state, first.impression) == (ReadingState.IMPRESSION, EFFUSION)
    assert first.impression_seconds == 20
    clock.wait(5)
    shown = store.reveal(*at)
    assert (shown.state, shown.reveal_seconds) == (ReadingState.REVEALED, 25)
    clock.wait(12)
    assert store.revise(*at, NODULE).revision == NODULE
    clock.wait(3)
    done = store.finish(*at)
    assert done.is_finished
    assert (done.impression, done.revision) == (EFFUSION, NODULE)
    assert (done.impression_seconds, done.reveal_seconds, done.end_seconds) == (20, 25, 40)
    assert done.is_revised
    assert done.has_revised_findings
    assert store.readings(board.link) == [done]
    assert store.reading(board.link, "case-0", BEN) is None


def test_without_a_revision_the_final_impression_is_the_first(
    store: ReviewStore, clock: Clock, board: ReviewSession
) -> None:
    done = read_case(store, clock, board.link, "case-0", ANNA, EFFUSION)
    assert done.revision == EFFUSION
    assert not done.is_revised


def test_another_wording_is_a_revision_but_not_of_the_findings(
    store: ReviewStore, clock: Clock, board: ReviewSession
) -> None:
    final = Impression("Large effusion.", ("effusion:right",))
    done = read_case(store, clock, board.link, "case-0", ANNA, EFFUSION, final)
    assert (done.is_revised, done.has_revised_findings) == (True, False)


def test_a_first_impression_changes_until_the_reveal_and_not_after(
    store: ReviewStore, clock: Clock, board: ReviewSession
) -> None:
    at = board.link, "case-0", ANNA
    stay_open(store, clock, *at, 10)
    store.write_impression(*at, EFFUSION)
    clock.wait(10)
    again = store.write_impression(*at, EFFUSION)
    assert again.impression_seconds == 10, "the same again takes no time"
    clock.wait(10)
    assert store.write_impression(*at, NODULE).impression_seconds == 30
    store.reveal(*at)
    with pytest.raises(ReviewError, match="stays as it is"):
        store.write_impression(*at, EFFUSION)
    assert store.write_impression(*at, NODULE).impression == NODULE, "a second click"
    kept = store.reading(*at)
    assert kept is not None
    assert kept.impression == NODULE


@pytest.mark.parametrize("step", ["reveal", "revise", "finish"])
def test_nothing_comes_before_the_first_impression(
    store: ReviewStore, board: ReviewSession, step: str
) -> None:
    at = board.link, "case-0", ANNA
    with pytest.raises(ReviewError, match="not opened"):
        store.reveal(*at)
    store.open_case(*at)
    with pytest.raises(ReviewError, match=r"no first impression yet|not revealed yet"):
        _do(store, step)(*at)
    with pytest.raises(ReviewError, match="needs a text or a finding"):
        store.write_impression(*at, Impression(" \n "))


def _do(store: ReviewStore, step: str) -> Callable[..., object]:
    if step == "revise":
        return lambda *at: store.revise(*at, EFFUSION)
    return {"reveal": store.reveal, "finish": store.finish}[step]


def test_a_step_done_twice_is_done_once(
    store: ReviewStore, clock: Clock, board: ReviewSession
) -> None:
    at = board.link, "case-0", ANNA
    done = read_case(store, clock, *at, EFFUSION)
    clock.wait(500)
    assert store.reveal(*at) == done
    assert store.finish(*at) == done
    with pytest.raises(ReviewError, match="finished"):
        store.revise(*at, NODULE)
    assert store.reading(*at) == done


def test_a_closed_session_takes_nothing_until_it_is_reopened(
    store: ReviewStore, clock: Clock, board: ReviewSession
) -> None:
    at = board.link, "case-0", ANNA
    store.open_case(*at)
    before = store.write_impression(*at, EFFUSION)
    store.close(board.link)
    clock.wait(9)
    assert store.session(board.link).state is SessionState.CLOSED
    assert store.open_case(*at) == before, "it can be looked at"
    for step in (
        lambda: store.open_case(board.link, "case-1", ANNA),
        lambda: store.reveal(*at),
        lambda: store.mark(*at, Mark.TEACHING),
    ):
        with pytest.raises(ReviewError, match="closed"):
            step()
    store.reopen(board.link)
    assert store.reveal(*at).reveal_seconds == 0.0


def test_marks_are_the_readers_own(store: ReviewStore, clock: Clock, board: ReviewSession) -> None:
    read_case(store, clock, board.link, "case-0", ANNA, EFFUSION)
    store.open_case(board.link, "case-0", BEN)
    assert store.mark(board.link, "case-0", ANNA, Mark.SHORTLIST).marks == {Mark.SHORTLIST}
    both = store.mark(board.link, "case-0", ANNA, Mark.TEACHING)
    assert both.marks == {Mark.SHORTLIST, Mark.TEACHING}
    assert store.mark(board.link, "case-0", ANNA, Mark.SHORTLIST, False).marks == {Mark.TEACHING}
    bens = store.reading(board.link, "case-0", BEN)
    assert bens is not None
    assert bens.marks == frozenset()


def test_a_case_of_another_session_is_not_in_this_one(
    store: ReviewStore, board: ReviewSession
) -> None:
    with pytest.raises(ReviewError, match="not in the session"):
        store.open_case(board.link, "case-5", ANNA)
    with pytest.raises(ReviewError, match="a reader needs a name"):
        store.open_case(board.link, "case-0", "  ")


# the file itself enforces the order


@pytest.mark.parametrize(
    ("sql", "match"),
    [
        ("UPDATE review_readings SET state = 'revealed', revealed_at = 'x', reveal_seconds = 1 "
         "WHERE case_row = 2", "next step"),
        ("UPDATE review_readings SET state = 'impression' WHERE case_row = 1", "next step"),
        ("UPDATE review_readings SET impression = 'other' WHERE case_row = 1", "stays as it was"),
        ("UPDATE review_readings SET impression_seconds = 1 WHERE case_row = 1", "stays as it was"),
        ("UPDATE review_readings SET revision = 'other' WHERE case_row = 3", "stays as it is"),
        ("UPDATE review_readings SET reader = 'Ben' WHERE case_row = 1", "keeps its reader"),
        ("UPDATE review_readings SET open_seconds = -1", "CHECK"),
        ("UPDATE review_readings SET shortlisted = 2", "CHECK"),
        ("UPDATE review_sessions SET state = 'half'", "CHECK"),
        ("INSERT INTO review_readings (session, case_row, reader, state, opened) "
         "VALUES (1, 4, 'x', 'impression', 'now')", "CHECK"),
        ("INSERT INTO review_readings (session, case_row, reader, state, opened, impression, "
         "findings, impression_at, impression_seconds) "
         "VALUES (1, 4, 'x', 'impression', 'now', '', '[]', 'now', 1)", "CHECK"),
        ("INSERT INTO review_readings (session, case_row, reader, state, opened) "
         "VALUES (1, 6, 'x', 'opened', 'now')", "FOREIGN KEY"),
    ],
)  # fmt: skip
def test_no_writer_can_break_the_order(
    store: ReviewStore, clock: Clock, board: ReviewSession, library: CaseLibrary, sql: str,
    match: str,
) -> None:  # fmt: skip
    stay_open(store, clock, board.link, "case-0", ANNA, 5)
    store.write_impression(board.link, "case-0", ANNA, EFFUSION)
    store.reveal(board.link, "case-0", ANNA)
    store.open_case(board.link, "case-1", ANNA)
    read_case(store, clock, board.link, "case-2", ANNA, EFFUSION)
    before = store.readings(board.link)
    broken = (sqlite3.IntegrityError, LibraryError)
    with pytest.raises(broken, match=match), library.database.write() as db:
        db.execute(sql)
    assert store.readings(board.link) == before


# time


def test_time_counts_only_while_the_case_is_open(
    store: ReviewStore, clock: Clock, board: ReviewSession
) -> None:
    at = board.link, "case-0", ANNA
    stay_open(store, clock, *at, 25)
    clock.wait(3600)  # the page was closed
    stay_open(store, clock, *at, 15)
    store.pause(*at)
    clock.wait(8)  # less than a lost page, but it was paused
    reading = store.open_case(*at)
    assert reading.open_seconds == 40


def test_a_reader_has_one_case_open_at_a_time(
    store: ReviewStore, clock: Clock, board: ReviewSession
) -> None:
    one, other = (board.link, "case-0", ANNA), (board.link, "case-1", ANNA)
    store.open_case(*one)
    clock.wait(5)
    store.open_case(*other)
    clock.wait(7)
    assert store.open_case(*one).open_seconds == 5, "the time at the other case is not its own"
    left = store.reading(*other)
    assert left is not None
    assert left.open_seconds == 7


def test_two_browsers_of_one_reader_count_the_time_once(
    store: ReviewStore, clock: Clock, board: ReviewSession
) -> None:
    at = board.link, "case-0", ANNA
    for _ in range(10):
        store.open_case(*at)
        clock.wait(2)
        store.open_case(*at)
        clock.wait(3)
    assert store.open_case(*at).open_seconds == 50


def test_a_clock_that_goes_back_takes_nothing_away(
    store: ReviewStore, clock: Clock, board: ReviewSession
) -> None:
    at = board.link, "case-0", ANNA
    stay_open(store, clock, *at, 10)
    clock.wait(-3600)
    assert store.open_case(*at).open_seconds == 10


def test_readers_have_their_own_time(
    store: ReviewStore, clock: Clock, board: ReviewSession
) -> None:
    store.open_case(board.link, "case-0", ANNA)
    clock.wait(4)
    store.open_case(board.link, "case-0", BEN)
    clock.wait(6)
    assert store.open_case(board.link, "case-0", ANNA).open_seconds == 10
    assert store.open_case(board.link, "case-0", BEN).open_seconds == 6


# texts


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "ü\u202e", "<b>", "=1+1", "x" * 20_000])
def test_any_text_comes_back(store: ReviewStore, board: ReviewSession, text: str) -> None:
    at = board.link, "case-0", ANNA
    store.open_case(*at)
    written = Impression(text)
    assert store.write_impression(*at, written).impression == written
    assert written.text == text.replace("\x00", "\ufffd").replace("\ud800", "?")


def test_an_impression_is_valid_or_not_at_all() -> None:
    assert Impression(findings=("Effusion:Right", "effusion:right")).findings == ("effusion:right",)
    assert Impression(findings=("no finding",)).labels == frozenset()
    assert not Impression(findings=("no finding",)).is_empty
    with pytest.raises(ReviewError, match="both chosen"):
        Impression(findings=("no finding", "nodule"))
    with pytest.raises(InputError):
        Impression(findings=("effusion:upper",))
    with pytest.raises(ReviewError, match="20,000"):
        Impression("x" * 20_001)
