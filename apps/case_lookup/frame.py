"""What stands around every view: the language, the list of keys, texts for scripts and styles."""

from __future__ import annotations

import json

import streamlit as st

from apps.case_lookup.html import Markup, escaped, join, tag
from apps.case_lookup.texts import TEXTS, Language, begin_run, choose, current_language
from apps.case_lookup.texts.page import LANGUAGE_NAMES

__all__ = ["draw_frame", "draw_language_choice"]

_CHOICE = "language-choice"
# how the keys of the pickers begin whose choices are words of ours
_PICKERS = ("f_", "series-", "first-findings-", "final-findings-", "review_ranks")


def draw_frame() -> None:
    """Decide on the language, and draw what the scripts and the style sheet need of it.

    The page's script calls this before it draws anything else.
    """
    begin_run()
    with st.container(key="frame"):
        st.html(_words_of_the_style_sheet())
        st.html(_for_the_scripts())
        st.html(_list_of_keys())


def draw_language_choice() -> None:
    """Draw the choice of language, and show that there is a list of keys."""
    st.session_state[_CHOICE] = current_language()
    with st.container(key="language", horizontal=True, gap="small"):
        st.segmented_control(
            TEXTS.page.language,
            list(Language),
            key=_CHOICE,
            required=True,
            format_func=lambda language: escaped(LANGUAGE_NAMES[language], "markdown"),
            on_change=_take_choice,
            label_visibility="collapsed",
        )
        st.button(TEXTS.page.keys_button, key="show-keys", type="tertiary")


def _take_choice() -> None:
    state = st.session_state
    choose(Language(state[_CHOICE]))
    # Streamlit names what is chosen by its words, which are about to change: set again, it stays
    for key in [str(key) for key in state]:
        if key.startswith(_PICKERS):
            state[key] = state[key]


def _words_of_the_style_sheet() -> Markup:
    """Give the style sheet our texts for what Streamlit writes on the page.

    Streamlit's dialog for a lost connection, for example, asks whether the user is connected to
    the internet.
    """
    page, faults = TEXTS.page, TEXTS.faults
    words = {
        "lost": faults.lost,
        "lost-hint": faults.lost_hint,
        "upload": page.upload,
        "upload-drop": page.upload_drop,
        "drop": page.drop,
        "press-enter": page.press_enter,
        "skip": page.skip,
    }
    given = " ".join(f"--rr-{name}: {_css_string(text)};" for name, text in words.items())
    return Markup(f"<style>:root {{ {given} }}</style>")


def _css_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _for_the_scripts() -> Markup:
    """Give accessible.js the language and the names that Streamlit leaves out or writes itself."""
    page = TEXTS.page
    return tag(
        "div",
        class_="rr-script-texts",
        hidden="hidden",
        lang=current_language().value,
        data_skip=page.skip,
        data_upload=page.upload,
        data_remove=page.remove,
        data_clear_all=page.clear_all,
        data_sidebar_open=page.sidebar_open,
        data_sidebar_close=page.sidebar_close,
        data_sidebar=page.sidebar,
        data_choices=page.choices,
        data_chosen=page.chosen,
        data_choose_date=page.choose_date,
        data_help=page.help,
    )


def _list_of_keys() -> Markup:
    """Make the dialog that ``?`` opens; keyboard.js shows it and works its buttons."""
    page = TEXTS.page
    rows = [
        join(tag("dt", *_keys(names)), tag("dd", effect))
        for names, effect in zip(page.key_names, page.key_effects, strict=True)
    ]
    return tag(
        "dialog",
        tag("h2", page.keys, id="rr-keys-title"),
        tag("dl", *rows),
        tag("p", page.keys_typing, class_="rr-quiet"),
        tag(
            "div",
            tag("button", page.close, class_="rr-keys-close", type="button"),
            tag("button", page.keys_off, class_="rr-keys-off", type="button"),
            tag("button", page.keys_on, class_="rr-keys-on", type="button"),
            class_="rr-keys-buttons",
        ),
        class_="rr-keys",
        aria_labelledby="rr-keys-title",
    )


def _keys(names: str) -> list[Markup]:
    """Draw ``"↓ j"`` as two keys, and ``"Alt+←"`` as two that are pressed together."""
    drawn: list[Markup] = []
    for name in names.split():
        parts = [tag("kbd", part) for part in name.split("+")]
        drawn.append(join(*(join(part, " + ") for part in parts[:-1]), parts[-1], " "))
    return drawn
