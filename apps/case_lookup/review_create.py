"""Make a review session from the present results, and list those there are."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import streamlit as st

from apps.access import Permission
from apps.access.presence import has_logins
from apps.case_lookup.faults import show_error
from apps.case_lookup.html import escaped, tag
from apps.case_lookup.review_access import may, reader_name
from apps.case_lookup.review_address import enter_review, note_error
from apps.case_lookup.texts import TEXTS
from apps.review.journaling import ReviewAction, record
from medembed.errors import MedEmbedError
from medembed.reviews import ReviewCase, ReviewQuery, ReviewStore

if TYPE_CHECKING:
    from apps.case_lookup.results import SearchOutcome
    from apps.case_lookup.session import LibrarySession

__all__ = ["list_reviews", "offer_review"]

_MOST_LISTED = 8


def list_reviews(session: LibrarySession) -> None:
    """List the sessions that this person made or reads in; without logins, all of them."""
    if not may(Permission.REVIEW):
        return
    person = reader_name() if has_logins() else None
    found = ReviewStore(session.library).sessions(person)
    if not found:
        return
    st.html(tag("p", TEXTS.review.sessions, class_="rr-label"))
    with st.container(horizontal=True, gap="small", key="reviews"):
        for review in found[:_MOST_LISTED]:
            label = TEXTS.review.session(review.name, len(review.cases))
            st.button(
                escaped(label, "markdown"),
                key=f"review-{review.link}",
                on_click=enter_review,
                args=(review.link,),
            )


def offer_review(session: LibrarySession, outcome: SearchOutcome) -> None:
    """Offer to make a session of the results that are shown."""
    hits = outcome.result.hits
    texts = TEXTS.review
    if not hits or not may(Permission.REVIEW):
        return
    if error := st.session_state.pop("review_error", None):
        show_error(error)
    with st.expander(TEXTS.review.offer), st.form("review-new", border=False):
        st.html(tag("p", texts.offer_help, class_="rr-quiet"))
        st.text_input(
            TEXTS.review.name, key="review_name", help=TEXTS.review.name_help, autocomplete="off"
        )
        if not has_logins():
            st.text_input(
                TEXTS.review.your_name,
                key="review_creator",
                help=TEXTS.review.your_name_help,
                autocomplete="off",
            )
        st.multiselect(
            TEXTS.review.which_cases,
            [hit.rank for hit in hits],
            [hit.rank for hit in hits],
            key="review_ranks",
            format_func=lambda rank: escaped(texts.result(rank), "text"),
            select_all=False,  # all are chosen to begin with
        )
        st.checkbox(
            TEXTS.review.shuffle, True, key="review_shuffle", help=TEXTS.review.shuffle_help
        )
        st.form_submit_button(texts.make, on_click=_make, args=(session, outcome))


def _make(session: LibrarySession, outcome: SearchOutcome) -> None:
    state = st.session_state
    creator = reader_name() if has_logins() else state.get("review_creator", "")
    ranks = list(state.get("review_ranks", ()))
    if state.get("review_shuffle"):
        secrets.SystemRandom().shuffle(ranks)
    queries = {hit.rank: (hit.case_id, _query(outcome, hit.rank, hit.score))
               for hit in outcome.result.hits}  # fmt: skip
    try:
        cases = [ReviewCase(*queries[rank]) for rank in ranks if rank in queries]
        record(
            session.library,
            ReviewAction.REVIEW,
            actor=creator.strip() or "local",
            cases=[case.case_id for case in cases],
        )
        made = ReviewStore(session.library).create(state.get("review_name", ""), creator, cases)
    except MedEmbedError as error:
        note_error(error)
        return
    enter_review(made.link, "" if has_logins() else " ".join(creator.split()))


def _query(outcome: SearchOutcome, rank: int, score: float) -> ReviewQuery:
    """What led to a hit, without the words that were typed."""
    request = outcome.request
    parts = (
        ("text", bool(request.text)),
        ("image", request.scan is not None),
        ("case", bool(request.case_id)),
    )
    return ReviewQuery(
        parts=tuple(part for part, given in parts if given),
        terms=tuple(str(term) for term in outcome.result.terms.terms),
        where=request.where,
        case_id=request.case_id,
        rank=rank,
        score=round(float(score), 4),
    )
