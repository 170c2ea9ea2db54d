"""The results: the query beside the ranked cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.answer_lines import answer_markup, filters_markup
from apps.case_lookup.asking import (
    ignore_term,
    remove_filter,
    search_again,
    search_text,
    use_all_terms,
)
from apps.case_lookup.dropped import DroppedImage
from apps.case_lookup.faults import error_line
from apps.case_lookup.formatting import condition_text
from apps.case_lookup.hit_cards import show_hits
from apps.case_lookup.html import Markup, escaped, join, notice, tag
from apps.case_lookup.own_cases import show_own_cases
from apps.case_lookup.query_picture import Box, forget_pictures, query_picture
from apps.case_lookup.region_picker import draw_region_picker
from apps.case_lookup.search_outcome import SearchOutcome
from apps.case_lookup.search_request import SearchRequest
from apps.case_lookup.sidebar import example_queries
from apps.case_lookup.texts import TEXTS
from medembed.cases import Case
from medembed.errors import MedEmbedError, ScanError
from medembed.scans import Scan

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession

__all__ = ["SearchOutcome", "show_outcome", "show_welcome", "undim_style"]


def show_welcome(session: LibrarySession) -> None:
    """Show a first-time visitor what the page does, with queries to try."""
    texts, count = TEXTS.welcome, len(session.library)
    with st.container(key="welcome", gap="small"):
        st.html(join(tag("h1", texts.title), tag("p", texts.introduction(count))))
        queries = example_queries(session)
        if count and queries:
            st.html(tag("p", texts.examples, class_="rr-label"))
            with st.container(horizontal=True, gap="small"):
                for position, query in enumerate(queries):
                    label = escaped(query, "markdown")
                    key = f"example-{position}"
                    st.button(label, key=key, on_click=search_text, args=(query,))
        if count and session.not_ready:
            st.html(notice(texts.not_ready, session.not_ready))
        if not count:
            st.html(notice(texts.no_cases, texts.no_cases_hint))


def undim_style(request: SearchRequest) -> Markup:
    """Make the style that undims only the results of this request.

    It is drawn right after the sidebar, before the search. From then on the results of any other
    request are dimmed and marked as out of date, even if the search fails or is stopped.
    """
    outcome = f".st-key-outcome-{request.digest}" * 2  # doubled to outweigh the general rule
    return Markup(
        f"<style>{outcome} .st-key-answer {{ opacity: 1; }}"
        f"{outcome} .st-key-changed {{ visibility: hidden; }}</style>"
    )


def show_outcome(
    session: LibrarySession, outcome: SearchOutcome, dropped: DroppedImage | None
) -> None:
    """Draw the query and the ranked cases; a query without an image takes no column."""
    with st.container(key=f"outcome-{outcome.request.digest}"):
        with st.container(key="changed", horizontal=True, vertical_alignment="center"):
            st.html(tag("p", TEXTS.results.changed, role="status"))
            st.button(TEXTS.results.search_again, on_click=search_again)
        with st.container(key="answer"):
            _show_query_and_cases(session, outcome, dropped)


def _show_query_and_cases(
    session: LibrarySession, outcome: SearchOutcome, dropped: DroppedImage | None
) -> None:
    request = outcome.request
    case = _query_case(session, request)
    if request.scan is None and case is None:
        forget_pictures()
        if request.text:
            st.html(tag("p", request.text, class_="rr-asked"))
        _show_cases(session, outcome, dropped, case)
        return
    beside, main = st.columns([1, 2.6], gap="medium")
    with beside, st.container(key="query"):
        _show_query(session, request, dropped, case)
    with main:
        _show_cases(session, outcome, dropped, case)


def _query_case(session: LibrarySession, request: SearchRequest) -> Case | None:
    try:
        return session.library.case(request.case_id) if request.case_id else None
    except MedEmbedError:  # erased since the search
        return None


def _show_cases(
    session: LibrarySession,
    outcome: SearchOutcome,
    dropped: DroppedImage | None,
    case: Case | None,
) -> None:
    result = outcome.result
    st.html(filters_markup(outcome.request))
    _show_terms(outcome)
    show_own_cases(session, outcome, case)
    if not result.hits:
        _show_no_match(session, outcome)
        return
    st.html(answer_markup(session, outcome, dropped, case))
    show_hits(session, result)


def _show_terms(outcome: SearchOutcome) -> None:
    """List what the text was read as; a click leaves one of them out."""
    terms, texts = outcome.result.terms, TEXTS.results
    if not terms.terms and not terms.ignored:
        return
    with st.container(key="terms", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(tag("p", texts.read_as if terms.terms else texts.read_as_nothing))
        for position, term in enumerate(terms.terms):
            st.button(
                escaped(texts.term(TEXTS.words.terms(term)), "markdown"),
                key=f"term-{position}",
                help=TEXTS.results.ignore_term,
                on_click=ignore_term,
                args=(str(term),),
            )
        if terms.ignored:
            st.button(TEXTS.results.use_all_terms, key="all-terms", on_click=use_all_terms)


def _show_query(
    session: LibrarySession,
    request: SearchRequest,
    dropped: DroppedImage | None,
    case: Case | None,
) -> None:
    texts = TEXTS.results
    parts: list[Markup] = [tag("p", texts.query, class_="rr-label")]
    scan: Scan | None = dropped.scan if dropped else None
    title = texts.query_image
    if scan is None and case is not None:
        title = texts.case(case.case_id)
        try:
            scan = session.scan(case)
        except ScanError as error:
            parts.append(tag("p", f"{error_line(error)}.", class_="rr-quiet"))
    if scan is not None:
        picture = query_picture(scan, Box.parse(request.region))
        alt = texts.query_alt(title)
        parts.append(tag("img", src=picture, alt=alt, class_="rr-query"))
        parts.append(tag("p", title, class_="rr-quiet"))
    if request.text:
        parts.append(tag("p", request.text, class_="rr-words"))
    if request.is_mixed:
        share = round(100 * request.image_weight)
        parts.append(tag("p", texts.weights(share, 100 - share), class_="rr-quiet"))
    st.html(join(*parts))
    if scan is None:
        forget_pictures()
    else:
        draw_region_picker(scan, request.region)


def _show_no_match(session: LibrarySession, outcome: SearchOutcome) -> None:
    """State that no case matches, and what removing each filter would give."""
    where, texts = outcome.request.where, TEXTS.results
    if not where:
        st.html(notice(texts.no_vectors, texts.no_vectors_hint))
        return
    st.html(notice(texts.no_match, texts.and_.join(condition_text(c) for c in where)))
    helpful = [(condition, n) for condition, n in session.counts_without_each(where) if n]
    for position, (condition, n) in enumerate(helpful):
        st.button(
            escaped(texts.without(condition_text(condition), n), "markdown"),
            key=f"remove-{position}",
            on_click=remove_filter,
            args=(condition,),
        )
    if not helpful:
        st.html(tag("p", texts.remove_more, class_="rr-quiet"))
