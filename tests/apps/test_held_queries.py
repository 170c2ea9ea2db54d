"""What an address names by a token: whose it is, how long it is there, what may be written out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from apps.access import Person
from apps.case_lookup import held_queries
from apps.case_lookup.dropped import DroppedImage
from apps.case_lookup.held_queries import KEPT_SECONDS, HeldQueries, may_stand_in_address
from medembed.library import CaseLibrary
from medembed.scans import Scan


class Pages:
    """Which pages are open, and the time."""

    def __init__(self) -> None:
        self.open = {"S"}
        self.now = 1000.0
        self.held = HeldQueries(lambda session: session in self.open, lambda: self.now)


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    monkeypatch.setattr(HeldQueries, "_start_sweeping", lambda _: None)
    return Pages()


def image(size: int = 4) -> DroppedImage:
    return DroppedImage(("1",), Scan(np.zeros((size, size), np.float32)))


def test_a_token_gives_its_image_back_to_the_browser_that_has_it(pages: Pages) -> None:
    dropped = image()
    token = pages.held.keep(dropped, "browser", "S")
    assert pages.held.take(token, "browser", "another session") is dropped
    assert pages.held.take(token, "other browser", "T") is None
    assert pages.held.take(token, "", "T") is None, "no browser is not any browser"
    assert pages.held.take(token[:-1], "browser", "S") is None
    assert len(token) >= 20


def test_without_a_cookie_only_the_session_itself_gets_it_back(pages: Pages) -> None:
    token = pages.held.keep("words", "", "S")
    assert pages.held.take(token, "", "S") == "words"
    assert pages.held.take(token, "", "T") is None


def test_pixels_are_handed_out_only_while_the_page_that_has_the_image_is_open(
    pages: Pages,
) -> None:
    token = pages.held.keep(image(), "browser", "S")
    assert pages.held.has(token, "S")
    assert not pages.held.has(token, "T"), "a session that never took it"
    pages.open.clear()
    assert not pages.held.has(token, "S")
    pages.open = {"S"}
    pages.held.forget("S")
    assert not pages.held.has(token, "S")


def test_who_signs_in_after_another_at_one_browser_has_another_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

    cookies: dict[str, str] = {}
    monkeypatch.setattr("streamlit.context", SimpleNamespace(cookies=cookies))
    people = [Person("anna"), Person("anna"), Person("ben")]
    monkeypatch.setattr(held_queries, "person_on_page", lambda: people.pop(0))
    assert held_queries.browser_key() == ""
    cookies["_streamlit_xsrf"] = generate_xsrf_token_string()
    first, again, other = (held_queries.browser_key() for _ in range(3))
    assert first == again
    assert first not in ("", other)


def test_it_stays_while_a_page_is_open_and_ten_minutes_after(pages: Pages) -> None:
    token = pages.held.keep(image(), "browser", "S")
    pages.now += 5 * 3600
    assert pages.held.sweep() == 1
    pages.open.clear()
    pages.now += KEPT_SECONDS
    assert pages.held.sweep() == 1
    pages.now += 1
    assert pages.held.sweep() == 0
    assert pages.held.take(token, "browser", "S") is None
    assert KEPT_SECONDS + 2 * held_queries._SWEEP_SECONDS <= 600


def test_a_reload_in_time_keeps_it_for_as_long_as_that_page_is_open(pages: Pages) -> None:
    token = pages.held.keep(image(), "browser", "S")
    pages.open = set()
    pages.now += 300
    pages.held.sweep()
    pages.open = {"T"}
    assert pages.held.take(token, "browser", "T")
    pages.now += 7200
    assert pages.held.sweep() == 1


def test_clear_removes_at_once_what_its_page_used_and_nothing_else(pages: Pages) -> None:
    mine = pages.held.keep(image(), "browser", "S")
    others = pages.held.keep(image(), "other", "T")
    pages.held.forget("S")
    assert pages.held.take(mine, "browser", "S") is None
    assert pages.held.take(others, "other", "T")


def test_a_browser_that_drops_much_keeps_what_it_used_last(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_queries, "_MOST_BYTES", 3 * 4 * 100)
    tokens = [pages.held.keep(image(10), "browser", "S") for _ in range(3)]
    assert pages.held.take(tokens[0], "browser", "S")
    tokens.append(pages.held.keep(image(10), "browser", "S"))
    kept = [pages.held.take(token, "browser", "S") is not None for token in tokens]
    assert kept == [True, False, True, True]
    large = pages.held.keep(image(100), "browser", "S")
    assert pages.held.take(large, "browser", "S"), "the newest stays, however large"
    assert pages.held.take(tokens[0], "browser", "S") is None


@pytest.mark.parametrize(
    "words",
    ["right effusion", "effusion without pneumothorax", "no nodule", "number 12", "large mass"],
)
def test_words_of_findings_and_reports_may_stand_in_an_address(
    small_library: Path, words: str
) -> None:
    with CaseLibrary.open(small_library) as library:
        assert may_stand_in_address(library, words)


@pytest.mark.parametrize(
    "words",
    [
        *("Doe, Jane: effusion", "effusion in Mr. Miller", "MRN 12345678", "effusion 03.04.1950"),
        *("effusion " * 40, "right effusion, Ng", "胸水"),
    ],
)
def test_names_numbers_dates_and_whole_reports_may_not(small_library: Path, words: str) -> None:
    with CaseLibrary.open(small_library) as library:
        assert not may_stand_in_address(library, words)
