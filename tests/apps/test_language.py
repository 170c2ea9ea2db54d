"""The language of the page: whose it is, and that a choice changes nothing else."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from apps.case_lookup.index_page import adapted, preferred_language
from apps.case_lookup.texts import COOKIE, ENGLISH, GERMAN, Language
from tests.apps.acting import drop, filters_shown, html, open_case, press, ranked, search

INDEX = Path(streamlit.__file__).parent / "static" / "index.html"


def speak(room: AppTest, language: Language) -> AppTest:
    choice = next(group for group in room.get("button_group") if "Deutsch" in group.options)
    return choice.set_value(language).run()


def test_a_choice_changes_the_words_and_keeps_query_filters_and_results(room: AppTest) -> None:
    search(room, "right pleural effusion")
    room.multiselect(key="f_finding").set_value(["effusion:right"]).run()
    room.slider(key="f_age").set_value((40, 60)).run()
    room.date_input(key="f_date_from").set_value(date(2020, 1, 2)).run()
    room.slider(key="k").set_value(5).run()
    found = ranked(room)
    assert filters_shown(room) == ["right effusion", "age ≥ 40", "age ≤ 60", "from 2020-01-02"]
    speak(room, Language.GERMAN)
    assert not room.exception
    assert room.text_input(key="text").value == "right pleural effusion"
    assert room.text_input(key="text").label == GERMAN.sidebar.text
    assert filters_shown(room) == [
        "Pleuraerguss rechts",
        "Alter ≥ 40",
        "Alter ≤ 60",
        "ab 02.01.2020",
    ]
    assert ranked(room) == found
    assert room.slider(key="k").value == 5
    room.run()
    assert room.text_input(key="text").label == GERMAN.sidebar.text, "it stays"


def test_a_dropped_image_survives_a_change_of_language(room: AppTest, radiograph: bytes) -> None:
    drop(room, ("a.dcm", radiograph))
    assert ENGLISH.results.query_image in html(room)
    speak(room, Language.GERMAN)
    assert not room.error
    assert GERMAN.results.query_image in html(room)


def test_a_refused_file_is_explained_in_german(room: AppTest) -> None:
    speak(room, Language.GERMAN)
    drop(room, ("a.dcm", b"no scan at all"))
    assert room.error[0].value.replace("\\", "").startswith("Diese Datei ist nicht verwendbar: ke")


def test_a_case_is_german_but_its_report_stays_as_it_is(small_library: Path) -> None:
    room = speak(open_case(small_library, "C-0004"), Language.GERMAN)
    body = html(room)
    assert "effusion<small>vorhanden, links</small>" in body
    assert "pneumothorax<small>kein Nachweis</small>" in body
    assert "Kein Nachweis: Pneumothorax" in body
    assert "05.01.2020" in body
    assert "44 J. m" in body
    assert "It has been stable over many weeks of follow-up." in body
    press(room, GERMAN.case.find_similar)
    assert ranked(room)


def test_examples_are_searched_in_the_words_of_the_labels(room: AppTest) -> None:
    speak(room, Language.GERMAN)
    press(room, "right effusion")
    assert ranked(room)


# the page before the script runs -----------------------------------------------------------


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [
        ("", "de-DE,de;q=0.9,en;q=0.8", Language.GERMAN),
        ("", "en-US,en;q=0.9", Language.ENGLISH),
        ("", "fr, *;q=0.1", Language.ENGLISH),
        ("", "", Language.ENGLISH),
        ("de", "en-US", Language.GERMAN),
        ("en", "de-DE", Language.ENGLISH),
        ("<script>", "de", Language.GERMAN),
    ],
)
def test_the_first_page_is_in_the_language_chosen_before_or_the_browsers(
    cookie: str, accepted: str, language: Language
) -> None:
    assert preferred_language({COOKIE: cookie} if cookie else {}, accepted) is language


@pytest.mark.parametrize("language", list(Language))
def test_something_is_drawn_before_any_script_of_streamlit_has_run(language: Language) -> None:
    page = adapted(INDEX.read_text(encoding="utf-8"), language)
    texts = {Language.ENGLISH: ENGLISH, Language.GERMAN: GERMAN}[language].page
    assert f'<html lang="{language}">' in page
    root = page.index('<div id="root"><div class="rr-outline">')
    assert texts.loading in page[root:]
    assert 0 < page.index("room/room.css") < root, "the style comes before what it styles"
    assert page.index("<body>") < page.index("room/room.css"), "and after Streamlit's own"
    assert page.index("room/neutral_names.js") < page.index("static/js/index")
    assert texts.no_script in page
    assert "agent" not in page[page.index("<noscript>") : page.index("</noscript>")]
    assert "<title>MedEmbed</title>" in page
