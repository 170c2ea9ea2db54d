"""A query's state: into the address and back, line by line, step by step."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.case_lookup.query_state import KEYS, Filters, QueryState, RefinementKind
from apps.case_lookup.search_request import SearchRequest
from apps.case_lookup.trail import Trail

NAMES = st.lists(
    st.text(min_size=1, max_size=20).map(str.strip).filter(bool), unique=True, max_size=3
).map(tuple)
FILTERS = st.builds(
    Filters,
    modality=NAMES,
    view=NAMES,
    sex=NAMES,
    site=NAMES,
    finding=NAMES,
    age=st.tuples(st.integers(0, 50), st.integers(51, 100)),
    date_from=st.none() | st.dates(date(1900, 1, 1), date(2199, 12, 31)),
    date_to=st.none() | st.dates(date(1900, 1, 1), date(2199, 12, 31)),
)
STATES = st.builds(
    QueryState,
    words=st.text(max_size=40).map(str.strip),
    image=st.sampled_from(["", "token"]),
    like=NAMES,
    filters=FILTERS,
    k=st.sampled_from([5, 10, 50]),
    one_per_patient=st.booleans(),
)
FULL = QueryState(
    words="effusion without pneumothorax",
    image="token",
    region="0.1,0.2,0.5,0.6,slice=3",
    like=("C-1", "C-2"),
    unlike=("C-3",),
    leave=("sex F",),
    share=30,
    filters=Filters(
        modality=("CR", "DX"), finding=("effusion:left",), age=(40, 90), date_to=date(2020, 1, 2)
    ),
    k=20,
    one_per_patient=True,
)


def again(state: QueryState) -> tuple[QueryState, bool]:
    """Through a real address and back."""
    address = urlencode(state.to_address(), doseq=True)
    return QueryState.from_address(parse_qs(address, keep_blank_values=True))


@given(STATES)
def test_a_state_comes_back_from_its_address(state: QueryState) -> None:
    assert again(state) == (state, True)


def test_everything_that_can_be_asked_for_stands_in_the_address() -> None:
    assert again(FULL) == (FULL, True)
    case = QueryState(similar="C-9", region="0,0,1,0.5", filters=Filters(site=("a, b", "c=d&e")))
    assert again(case) == (case, True)
    assert set(FULL.to_address()) | set(case.to_address()) <= KEYS
    assert QueryState().to_address() == {}


def test_words_with_a_token_do_not_stand_in_the_address() -> None:
    state = QueryState(words="Doe, Jane", typed="token")
    assert state.to_address() == {"typed": ["token"]}
    assert again(state) == (QueryState(typed="token"), True)
    assert not QueryState(typed="token").is_empty


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        *(("k", value) for value in ("7", "many", "-5", "1000")),
        *(("age", value) for value in ("90-20", "x", "5", "0-400")),
        *(("from", value) for value in ("2020-13-01", "yesterday")),
        *(("region", value) for value in ("1,2", "0.5,0,0.5,1", "0,0,nan,1", "0,0,2,1")),
        ("weight", "33"),
        ("words", "x" * 20_001),
        ("similar", "x" * 201),
    ],
)
def test_a_part_of_an_address_that_makes_no_sense_is_left_out_and_said(
    part: str, wrong: str
) -> None:
    rest = {"image": ["token"]} if part == "region" else {}
    state, is_whole = QueryState.from_address({part: [wrong], "sex": ["F"], **rest})
    assert not is_whole
    assert state == QueryState(image="".join(rest.get("image", [])), filters=Filters(sex=("F",)))


def test_a_case_cannot_be_wanted_and_unwanted() -> None:
    state, _ = QueryState.from_address({"like": ["C-1"], "unlike": ["C-1", "C-2"]})
    assert (state.like, state.unlike) == (("C-1",), ("C-2",))
    turned = state.marking("C-1", more=False)
    assert (turned.like, turned.unlike) == ((), ("C-2", "C-1"))


def test_each_line_can_be_taken_away_and_only_it() -> None:
    lines = FULL.refinements
    assert {line.kind for line in lines} == set(RefinementKind) - {RefinementKind.SIMILAR}
    for line in lines:
        left = FULL.without(line).refinements
        gone = set(lines) - set(left)
        if line.kind is RefinementKind.IMAGE:  # its region and weight go with it
            assert {g.kind for g in gone} == {
                RefinementKind.IMAGE,
                RefinementKind.REGION,
                RefinementKind.WEIGHT,
            }
        elif line.kind is RefinementKind.WORDS:
            assert {g.kind for g in gone} == {
                RefinementKind.WORDS,
                RefinementKind.LEFT_OUT,
                RefinementKind.WEIGHT,
            }
        else:
            assert gone == {line}


@given(STATES)
def test_taking_every_line_away_leaves_nothing(state: QueryState) -> None:
    while state.refinements:
        state = state.without(state.refinements[0])
    assert state == QueryState(k=state.k)


def test_marking_keeps_the_query() -> None:
    state = FULL.marking("C-7", more=True)
    assert replace(state, like=FULL.like) == FULL
    assert state.like == ("C-1", "C-2", "C-7")


def test_too_many_marks_are_not_taken() -> None:
    state = QueryState(words="x")
    for number in range(80):
        state = state.marking(f"C-{number}", more=number % 2 == 0)
    assert len(state.like) + len(state.unlike) == 50


def test_another_text_counts_with_all_of_its_terms() -> None:
    assert FULL.saying("mass").leave == ()


def test_a_state_whose_image_or_words_are_gone_is_incomplete() -> None:
    assert SearchRequest.of(QueryState(image="t"), None).is_incomplete
    assert SearchRequest.of(QueryState(typed="t"), None).is_incomplete
    assert not SearchRequest.of(QueryState(words="x", typed="t"), None).is_incomplete
    assert not SearchRequest.of(QueryState(), None).is_incomplete


# the trail ---------------------------------------------------------------------------------


def words(*texts: str) -> Trail:
    trail = Trail()
    for text in texts:
        trail = trail.visit(QueryState(words=text))
    return trail


def test_undo_and_redo_lead_along_the_trail() -> None:
    trail = words("a", "b", "c")
    back = trail.undone()
    assert back.present.words == "b"
    assert back.redone() == trail
    assert back.undone().undone().undone().undone().present == QueryState()
    assert not Trail().can_undo
    assert not trail.can_redo


def test_the_browsers_back_and_forward_lead_along_it_too() -> None:
    trail = words("a", "b", "c").go_to(QueryState(words="a"))
    assert trail.present.words == "a"
    assert trail.redone().present.words == "b"
    assert trail.go_to(QueryState(words="c")) == words("a", "b", "c")
    assert trail.go_to(QueryState(words="new")).states[-1].words == "new"
    twice = words("a", "b", "a", "c", "d")
    assert twice.go_to(QueryState(words="a")).at == 3, "the nearest"


def test_what_a_reader_does_is_a_new_step_even_if_it_was_asked_before() -> None:
    trail = words("a", "b", "a")
    assert [state.words for state in trail.states] == ["", "a", "b", "a"]
    assert trail.undone().present.words == "b"


def test_something_new_after_an_undo_forgets_what_was_undone() -> None:
    trail = words("a", "b").undone().visit(QueryState(words="x"))
    assert not trail.can_redo
    assert [state.words for state in trail.states] == ["", "a", "x"]


def test_the_same_again_is_no_step() -> None:
    assert words("a", "a", "a") == words("a")


def test_a_long_trail_keeps_its_end() -> None:
    trail = words(*map(str, range(500)))
    assert len(trail.states) == 100
    assert trail.present.words == "499"
