"""A review session on the page: who reads, the overview, or one case.

The address has the session, the position and, without logins, the reader: a reload or another
browser shows the same. What was written is in the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from apps.access import Permission
from apps.case_lookup.faults import show_error
from apps.case_lookup.html import escaped, notice, tag
from apps.case_lookup.review_access import cases_of_person, may, reader_name, set_reader
from apps.case_lookup.review_address import go_to, leave_review
from apps.case_lookup.review_case import show_review_case
from apps.case_lookup.review_overview import show_overview
from apps.case_lookup.texts import TEXTS
from medembed.errors import MedEmbedError, ReviewError
from medembed.reviews import ReviewSession, ReviewStore, SessionState

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession

__all__ = ["show_review"]


def show_review(session: LibrarySession, link: str) -> None:
    """Draw a review session.

    Parameters
    ----------
    session : LibrarySession
    link : str
        From the page's address, so it may be anything.
    """
    texts, store = TEXTS.review, ReviewStore(session.library)
    if not may(Permission.REVIEW):
        _nothing(texts.not_allowed, texts.not_allowed_hint)
        return
    try:
        review = store.session(link)
    except ReviewError:
        _nothing(texts.not_found, texts.not_found_hint)
        return
    reader = reader_name()
    if not reader:
        _ask_for_name(store, review)
        return
    seen = set(cases_of_person(session.library, review.case_ids))
    places = [case for case in review.cases if case.case_id in seen]
    if not places:
        _nothing(texts.no_cases, texts.no_cases_hint)
        return
    at = st.query_params.get("at", "")
    place = next((case for case in places if str(case.position) == at), None)
    error = st.session_state.pop("review_error", None)
    with st.container(key="review-error"):  # also without one: else what follows would be made
        if error is not None:  # anew when one comes or goes, and lose what is being typed
            show_error(error)
    try:
        if place is None:
            show_overview(session, store, review, places, reader)
        else:
            show_review_case(session, store, review, places, place, reader)
    except MedEmbedError as error:  # a case was erased, the library cannot be written, …
        show_error(error)
        st.button(TEXTS.review.to_overview, on_click=go_to, args=(None,))


def _nothing(line: str, more: str) -> None:
    st.html(notice(line, more))
    st.button(TEXTS.review.leave, on_click=leave_review)


def _ask_for_name(store: ReviewStore, review: ReviewSession) -> None:
    """Ask who reads: impressions are kept by reader."""
    texts = TEXTS.review
    st.html(tag("h1", review.name, class_="rr-review-name"))
    with st.form("review-who", border=False), st.container(width=480):
        st.text_input(
            TEXTS.review.your_name,
            key="review_reader",
            help=TEXTS.review.your_name_help,
            autocomplete="off",
        )
        st.form_submit_button(
            escaped(texts.begin, "markdown"),
            type="primary",
            on_click=_take_name,
            args=(store, review),
        )
    st.button(TEXTS.review.leave, on_click=leave_review)


def _take_name(store: ReviewStore, review: ReviewSession) -> None:
    """Read under this name: from the first case, or where this reader stopped before."""
    set_reader(st.session_state.get("review_reader", ""))
    reader = reader_name()
    if reader and review.state is SessionState.OPEN and not store.readings(review.link, reader):
        go_to(review.cases[0].position)
