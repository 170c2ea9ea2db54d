"""The script that Streamlit runs for each visit; ``medembed app LIBRARY`` starts the server."""

from __future__ import annotations

import time

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from apps.access import Permission, Person
from apps.case_lookup.case_page import show_case
from apps.case_lookup.faults import errors_on_one_line, show_error
from apps.case_lookup.frame import draw_frame, draw_language_choice
from apps.case_lookup.refinement_list import show_refinements
from apps.case_lookup.results import SearchOutcome, show_outcome, show_welcome, undim_style
from apps.case_lookup.review_create import list_reviews, offer_review
from apps.case_lookup.review_page import show_review
from apps.case_lookup.search_request import SearchRequest
from apps.case_lookup.seen import note_result, visitor_of
from apps.case_lookup.session import LibrarySession
from apps.case_lookup.shared_session import served_session
from apps.case_lookup.sidebar import draw_sidebar
from apps.case_lookup.signed_in import person_on_page, show_signed_in
from apps.case_lookup.texts import TEXTS
from apps.case_lookup.visits import HEADER, register_page
from medembed.errors import MedEmbedError


def _search(session: LibrarySession, request: SearchRequest, person: Person) -> SearchOutcome:
    """Search, or give the last outcome if the request is the same and no case was erased."""
    state = st.session_state
    last: SearchOutcome | None = state.get("outcome")
    is_same = last is not None and last.request.digest == request.digest
    if last is not None and is_same and session.still_has(last.result):
        return last
    waiting = TEXTS.results.searching if session.is_ready else TEXTS.results.loading_model
    with st.spinner(waiting):
        started = time.perf_counter()
        result = session.search(request)
        seconds = time.perf_counter() - started
    note_result(session.library, person, result)
    state["outcome"] = outcome = SearchOutcome(request, result, seconds)
    return outcome


def _draw(session: LibrarySession, person: Person) -> None:
    if link := st.query_params.get("review", ""):
        show_review(session, link)
        draw_language_choice()
        return
    request, dropped = draw_sidebar(session)
    with st.sidebar:
        draw_language_choice()
    show_signed_in(person)
    st.html(undim_style(request))
    case_id = st.query_params.get("case", "")
    if case_id:
        show_case(session, case_id, request, visitor_of(session, person))
        return
    show_refinements()
    if request.is_incomplete:
        return  # the hits of what is left would answer another question
    if request.is_empty:
        show_welcome(session)
        list_reviews(session)
    else:
        try:
            outcome = _search(session, request, person)
        except MedEmbedError as error:
            show_error(error)
        else:
            show_outcome(session, outcome, dropped)
            offer_review(session, outcome)


def main() -> None:
    """Draw the page; an error is one line without a patient's value."""
    st.set_page_config(page_title="MedEmbed", layout="wide", initial_sidebar_state=300)
    draw_frame()
    run = get_script_run_ctx()
    if run is not None:
        register_page(st.context.headers.get(HEADER), run.session_id)
    with errors_on_one_line():
        person = person_on_page()
        person.require(Permission.SEARCH)
        _draw(served_session().for_person(person), person)


if __name__ == "__main__":  # as Streamlit runs it; a decoding worker that imports it does not
    main()
