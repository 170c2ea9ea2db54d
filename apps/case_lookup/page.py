"""The script that Streamlit runs for each visit: ``medembed app LIBRARY`` starts it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from apps.case_lookup.case_page import show_case
from apps.case_lookup.faults import one_line, show_error
from apps.case_lookup.results import (
    Found,
    answers_to,
    show_found,
    show_welcome,
)
from apps.case_lookup.session import Desk, Question
from apps.case_lookup.sidebar import ask
from apps.case_lookup.visits import HEADER, enter
from medembed.errors import LibraryError, MedEmbedError

_CSS = Path(__file__).with_name("room.css")


@st.cache_resource(show_spinner=False, on_release=Desk.close)
def open_desk(path: str) -> Desk:
    """Open the library once for all visitors; its model loads in the background."""
    return Desk(Path(path))


def _answer(desk: Desk, question: Question) -> Found:
    """What the question finds; the last answer is given again while it holds.

    It holds while the question stays and none of its cases has been erased.
    """
    state = st.session_state
    found: Found | None = state.get("found")
    if found is not None and found.question.mark == question.mark and desk.holds(found.result):
        return found
    waiting = "Searching" if desk.is_ready else "Loading the model, once after the start"
    with st.spinner(waiting):
        started = time.perf_counter()
        result = desk.search(question)
        seconds = time.perf_counter() - started
    found = Found(question, result, seconds)
    state["found"] = found
    return found


def _room(desk: Desk) -> None:
    question, dropped = ask(desk)
    st.html(answers_to(question))
    case_id = st.query_params.get("case", "")
    if case_id:
        show_case(desk, case_id, question)
    elif question.is_empty:
        show_welcome(desk)
    else:
        try:
            found = _answer(desk, question)
        except MedEmbedError as error:
            show_error(error)
        else:
            show_found(desk, found, dropped)


def main() -> None:
    """Draw the page; a fault is one line that holds no patient's value."""
    st.set_page_config(page_title="MedEmbed", layout="wide", initial_sidebar_state=300)
    st.html(_CSS)
    run = get_script_run_ctx()
    if run is not None:
        enter(st.context.headers.get(HEADER), run.session_id)
    with one_line():
        path = os.environ.get("MEDEMBED_LIBRARY", "")
        if not path:
            raise LibraryError("no library was named", hint="start with: medembed app LIBRARY")
        _room(open_desk(path))


if __name__ == "__main__":  # Streamlit runs it so; a worker of the reader, imported again, does not
    main()
