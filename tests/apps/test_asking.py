"""The query follows the reader and the address: refinements, undo, Back, reload, marks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from apps.case_lookup import asking, query_picture, query_widgets
from medembed.library import CaseLibrary
from medembed.model.dual_encoder import DualEncoder
from tests.apps.acting import (
    PAGE,
    button,
    drop,
    html,
    key_of,
    press,
    ranked,
    search,
    without_css,
)


def address(room: AppTest) -> dict[str, list[str]]:
    return {
        name: [values] if isinstance(values, str) else list(values)
        for name, values in room.query_params.items()
    }


def at(small_library: Path, monkeypatch: pytest.MonkeyPatch, **parts: Any) -> AppTest:
    """A new visit of this address."""
    monkeypatch.setenv("MEDEMBED_LIBRARY", str(small_library))
    room = AppTest.from_file(PAGE, default_timeout=30)
    for name, value in parts.items():
        room.query_params[name] = value
    return room.run()


def go(room: AppTest, parts: dict[str, list[str]]) -> AppTest:
    """As the browser's Back and Forward do."""
    room.query_params.clear()
    for name, values in parts.items():
        room.query_params[name] = values
    return room.run()


def lines(room: AppTest) -> list[str]:
    """The list of what was asked for."""
    shown = [b for b in room.button if b.key and b.key.startswith("refinement-")]
    return [b.label.replace("\\", "").replace("\u2060", "").removesuffix(" ×") for b in shown]


def ids(room: AppTest) -> list[str]:
    return [hit.case_id for hit in room.session_state["outcome"].result.hits]


@pytest.fixture
def encodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts and scans were encoded, call by call."""
    counted: list[int] = []
    for name in ("encode_notes", "encode_scans"):
        real = getattr(DualEncoder, name)

        def counting(self: DualEncoder, given: Any, real: Any = real, **more: Any) -> Any:
            counted.append(len(given))
            return real(self, given, **more)

        monkeypatch.setattr(DualEncoder, name, counting)
    return counted


# the list and the steps --------------------------------------------------------------------


def test_more_and_less_like_this_keep_the_query_and_add_to_it(room: AppTest) -> None:
    search(room, "right effusion")
    first = ids(room)
    room.button(key="more-1").click().run()
    assert lines(room) == ["“right effusion”", f"More like case {first[0]}"]
    assert first[0] not in ids(room)
    assert room.text_input(key="text").value == "right effusion"
    second = ids(room)
    room.button(key="less-2").click().run()
    assert lines(room)[1:] == [
        f"More like case {first[0]}",
        f"Less like case {second[1]}",
    ]
    assert second[1] not in ids(room)
    assert not room.exception


def test_three_refinements_are_undone_and_redone_one_by_one(room: AppTest) -> None:
    search(room, "right effusion")
    seen = [ids(room)]
    room.button(key="more-1").click().run()
    seen.append(ids(room))
    room.slider(key="f_age").set_value((42, 100)).run()
    seen.append(ids(room))
    room.get("button_group")[0].set_value(["DX"]).run()
    seen.append(ids(room))
    assert len(lines(room)) == 4
    for before in reversed(seen[:-1]):
        press(room, "Undo")
        assert ids(room) == before
    assert lines(room) == ["“right effusion”"]
    assert room.slider(key=key_of(room, "f_age")).value == (0, 100)
    for after in seen[1:]:
        press(room, "Redo")
        assert ids(room) == after
    assert room.slider(key=key_of(room, "f_age")).value == (42, 100)
    assert button(room, "Redo").disabled  # type: ignore[attr-defined]


def test_any_line_can_be_taken_out(room: AppTest) -> None:
    search(room, "right effusion in a woman")
    press(room, "sex F ×")
    room.slider(key="f_age").set_value((42, 90)).run()
    room.toggle(key="one").set_value(True).run()
    assert lines(room) == [
        "“right effusion in a woman”",
        "Not counted: sex F",
        "age ≥ 42",
        "age ≤ 90",
        "One case per patient",
    ]
    room.button(key="refinement-2").click().run()
    assert "age ≥ 42" not in lines(room)
    assert room.slider(key=key_of(room, "f_age")).value == (0, 90)
    room.button(key="refinement-1").click().run()
    assert button(room, "sex F ×")
    room.button(key="refinement-0").click().run()
    assert room.text_input(key=key_of(room, "text")).value == ""
    assert lines(room) == ["age ≤ 90", "One case per patient"]
    assert "Find the most similar past cases" in html(room)
    press(room, "Undo")
    assert ranked(room), "even of an emptied query"


def test_one_case_per_patient_shows_each_patient_once(room: AppTest) -> None:
    search(room, "effusion")
    assert len({hit.case.patient_id for hit in room.session_state["outcome"].result}) < 10
    room.toggle(key="one").set_value(True).run()
    hits = room.session_state["outcome"].result.hits
    assert len({hit.case.patient_id for hit in hits}) == len(hits) == 7


# the address -------------------------------------------------------------------------------


def test_every_step_is_in_the_address_and_a_new_visit_of_it_shows_the_same(
    room: AppTest, small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(room, "right effusion")
    room.button(key="more-2").click().run()
    room.button(key="less-1").click().run()
    room.slider(key="f_age").set_value((42, 100)).run()
    room.multiselect(key="f_finding").set_value(["effusion:right"]).run()
    room.slider(key="k").set_value(5).run()
    assert set(address(room)) == {"words", "like", "unlike", "age", "finding", "k"}
    again = at(small_library, monkeypatch, **address(room))
    assert ids(again) == ids(room)
    assert lines(again) == lines(room)
    assert address(again) == address(room)
    assert again.slider(key="k").value == 5
    assert button(again, "Undo").disabled, "a visit begins with what it was opened with"  # type: ignore[attr-defined]


def test_back_and_forward_step_through_the_states(room: AppTest) -> None:
    addresses, seen = [], []
    for step in range(3):
        if step == 0:
            search(room, "right effusion")
        elif step == 1:
            room.button(key="more-1").click().run()
        else:
            room.slider(key="f_age").set_value((42, 100)).run()
        addresses.append(address(room))
        seen.append(ids(room))
    for step in (1, 0, 1, 2):
        go(room, addresses[step])
        assert ids(room) == seen[step]
        assert address(room) == addresses[step], "going there adds no step"
    go(room, addresses[0])
    assert room.slider(key=key_of(room, "f_age")).value == (0, 100)
    press(room, "Redo")
    assert address(room) == addresses[1]
    go(room, {})
    assert "Find the most similar past cases" in html(room)
    assert room.text_input(key=key_of(room, "text")).value == ""


def test_what_the_browser_sends_of_a_widget_set_since_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It acts before it has heard of the new value, and sends the old one once more."""
    acts: list[str] = []
    monkeypatch.setattr(query_widgets.st, "session_state", kept := {"f_sex": ["F"]})
    before = query_widgets.as_widget("f_sex", lambda: acts.append("before"))
    query_widgets.show_value("f_sex", ["F"])
    assert query_widgets.widget_key("f_sex") == "f_sex", "nothing new to show"
    query_widgets.show_value("f_sex", [])
    now = query_widgets.as_widget("f_sex", lambda: acts.append("now"))
    assert kept[now["key"]] == []
    assert now["key"] != before["key"]
    before["on_change"]()
    assert acts == []
    now["on_change"]()
    assert acts == ["now"]


def test_an_action_wins_over_the_address_that_it_came_with(room: AppTest) -> None:
    """The browser sends an action with the address of before, if it has not got the new one."""
    search(room, "right effusion")
    before = address(room)
    room.button(key="more-1").click().run()
    marked = lines(room)
    room.query_params.clear()
    for name, values in before.items():
        room.query_params[name] = values
    room.slider(key="f_age").set_value((42, 100)).run()
    assert lines(room) == [*marked, "age ≥ 42"]
    assert "like" in address(room)


def test_an_open_case_keeps_the_query_in_the_address(room: AppTest) -> None:
    search(room, "right effusion")
    press(room, "Open case 2")
    assert set(address(room)) == {"words", "case"}
    press(room, "Back to results")
    assert set(address(room)) == {"words"}


def test_parts_of_other_pages_stay_in_the_address(
    small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = at(small_library, monkeypatch, reader="R-1")
    search(room, "right effusion")
    assert address(room) == {"reader": ["R-1"], "words": ["right effusion"]}


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ({"sex": "X"}, []),
        ({"finding": "nothing:up"}, []),
        ({"modality": ["CT", "<script>"]}, ["modality CT"]),
        ({"age": "x", "k": "1e9"}, []),
    ],
)
def test_parts_of_an_address_that_fit_nothing_here_are_left_out_and_said(
    small_library: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, Any], left: list[str]
) -> None:
    room = at(small_library, monkeypatch, words="effusion", **parts)
    assert not room.exception
    assert not room.error
    assert "could not be used here and was left out" in html(room)
    assert lines(room) == ["“effusion”", *left]
    assert "<script>" not in html(room)
    search(room, "right effusion")
    assert "could not be used here" not in html(room)


def test_a_link_to_an_erased_case_is_one_line_and_the_line_can_be_taken_out(
    small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = at(small_library, monkeypatch, words="effusion", like="C-9999")
    assert not room.exception
    assert len(room.error) == 1
    room.button(key="refinement-1").click().run()
    assert not room.error
    assert ranked(room)


# images and words that do not stand in the address ---------------------------------------------


def test_an_image_stands_in_the_address_as_a_token_and_another_browser_is_told(
    room: AppTest, small_library: Path, radiograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(room, ("Planted_Name.dcm", radiograph))
    room.slider(key="f_age").set_value((42, 100)).run()
    parts = address(room)
    assert set(parts) == {"image", "age"}
    assert "lanted" not in repr(parts)
    monkeypatch.setattr(asking, "session_id", lambda: "another session")
    monkeypatch.setattr(asking, "browser_key", lambda: "another browser")
    other = at(small_library, monkeypatch, **parts)
    assert "Drop it again; everything else was kept." in html(other)
    assert not ranked(other), "hits of what is left would answer another question"
    assert lines(other) == ["Your image", "age ≥ 42"]
    drop(other, ("x.dcm", radiograph))
    assert ids(other) == ids(room)
    assert address(other)["image"] != parts["image"]


def test_the_same_browser_gets_the_image_back_after_a_reload(
    room: AppTest, small_library: Path, radiograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "browser_key", lambda: "browser")
    drop(room, ("x.dcm", radiograph))
    search(room, "effusion")
    monkeypatch.setattr(asking, "session_id", lambda: "the session after the reload")
    again = at(small_library, monkeypatch, **address(room))
    assert ids(again) == ids(room)
    assert 'alt="Query: Your image"' in html(again)
    press(again, "Clear")
    gone = at(small_library, monkeypatch, **address(room))
    assert "Drop it again" in html(gone), "Clear removes it at once"


def test_undo_brings_an_image_back_that_was_taken_out(room: AppTest, radiograph: bytes) -> None:
    drop(room, ("x.dcm", radiograph))
    found = ids(room)
    room.button(key="refinement-0").click().run()
    assert "Find the most similar past cases" in html(room)
    assert room.session_state["dropped"] is None
    press(room, "Undo")
    assert ids(room) == found


def test_words_that_may_name_a_patient_do_not_stand_in_the_address(
    room: AppTest, small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "browser_key", lambda: "browser")
    search(room, "Jane Doe, right effusion")
    parts = address(room)
    assert set(parts) == {"typed"}
    assert ranked(room)
    again = at(small_library, monkeypatch, **parts)
    assert again.text_input(key="text").value == "Jane Doe, right effusion"
    assert ids(again) == ids(room)
    monkeypatch.setattr(asking, "session_id", lambda: "another session")
    monkeypatch.setattr(asking, "browser_key", lambda: "another browser")
    other = at(small_library, monkeypatch, **parts)
    assert "Type them again; everything else was kept." in html(other)
    assert "Doe" not in without_css(other)
    search(other, "right effusion")
    assert address(other) == {"words": ["right effusion"]}
    named = at(small_library, monkeypatch, words="Jane Doe, right effusion")
    assert set(address(named)) == {"typed"}, "as an address that somebody wrote"


# encoding ----------------------------------------------------------------------------------


def test_a_filter_change_never_encodes_again(
    room: AppTest, radiograph: bytes, encodes: list[int]
) -> None:
    drop(room, ("x.dcm", radiograph))
    search(room, "right effusion without pneumothorax")
    once = sum(encodes)
    assert once
    found = ids(room)
    room.slider(key="f_age").set_value((42, 100)).run()
    assert ids(room) != found
    room.get("button_group")[0].set_value(["DX"]).run()
    room.multiselect(key="f_finding").set_value(["effusion:right"]).run()
    room.toggle(key="one").set_value(True).run()
    room.slider(key="k").set_value(20).run()
    press(room, "Undo")
    press(room, "Clear filters")
    press(room, "Search")
    room.button(key="more-1").click().run()
    room.slider(key="share").set_value(30).run()
    assert sum(encodes) == once
    search(room, "left effusion")
    assert sum(encodes) == once + 1


def test_a_library_that_grew_is_asked_again_without_encoding(
    room: AppTest, small_library: Path, encodes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    search(room, "right effusion")
    once = sum(encodes)
    monkeypatch.setattr(CaseLibrary, "select", lambda self, ids: [])
    press(room, "Search")
    assert sum(encodes) == once


def test_the_picture_of_a_query_is_drawn_once_and_freed_with_it(
    room: AppTest, radiograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[object] = []
    real = query_picture.draw_picture

    def counting(*given: Any, **named: Any) -> Any:
        drawn.append(given)
        return real(*given, **named)

    monkeypatch.setattr(query_picture, "draw_picture", counting)
    drop(room, ("x.dcm", radiograph))
    shown = html(room)
    room.slider(key="f_age").set_value((42, 100)).run()
    assert len(drawn) == 1, "of the picture beside the hits and the one to mark a region on"
    assert 'class="rr-query"' in shown
    assert 'class="rr-query"' in html(room)
    press(room, "Clear")
    assert "query-pictures" not in room.session_state


def test_the_picture_of_a_case_goes_when_the_page_no_longer_shows_it(
    small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = at(small_library, monkeypatch, similar="C-0001", words="effusion")
    assert room.session_state["query-pictures"].drawn
    own = next(at for at, line in enumerate(lines(room)) if "C-0001" in line)
    room.button(key=f"refinement-{own}").click().run()
    assert lines(room) == ["“effusion”"]
    assert "query-pictures" not in room.session_state
