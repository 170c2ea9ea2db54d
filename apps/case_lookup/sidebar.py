"""The sidebar: the query and its filters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.asking import (
    acted,
    asked_state,
    clear_filters,
    clear_query,
    close_case,
    encoded_parts,
    follow_address,
    keep_image,
    open_case,
    search_again,
    search_similar,
    settle,
)
from apps.case_lookup.dropped import DroppedImage
from apps.case_lookup.formatting import finding_text, value_text
from apps.case_lookup.html import Markup, escaped, tag
from apps.case_lookup.query_picture import forget_pictures
from apps.case_lookup.query_state import AGES, MOST_HITS, USUAL_SHARE, QueryState
from apps.case_lookup.query_widgets import as_widget, show_value, widget_key
from apps.case_lookup.search_request import SearchRequest
from apps.case_lookup.texts import ENGLISH, TEXTS
from medembed.cases import Finding

if TYPE_CHECKING:
    from apps.case_lookup.dropped_series import FoundSeries
    from apps.case_lookup.session import LibrarySession

__all__ = ["close_case", "draw_sidebar", "example_queries", "open_case", "search_similar"]

_MOST_BUTTONS = 6  # more values become a list instead of a row of buttons


def draw_sidebar(session: LibrarySession) -> tuple[SearchRequest, DroppedImage | None]:
    """Draw the sidebar and read the query from it.

    Returns
    -------
    request : SearchRequest
    dropped : DroppedImage or None
        The dropped image, also if it was refused.
    """
    texts = TEXTS.sidebar
    follow_address()
    state = asked_state()
    with st.sidebar:
        st.html(_head(session))
        with st.container(key="ask", gap="small"):
            dropped, token = _draw_drop_zone(session, state)
            if token != state.image:
                state = state.of_image(token)
            words = st.text_input(
                TEXTS.sidebar.text,
                autocomplete="off",  # otherwise the browser stores what was typed
                placeholder=TEXTS.sidebar.text_placeholder,
                **as_widget("text", acted),
            ).strip()
            if words != state.words:
                state = replace(state, words=words)
            if state.similar:
                st.html(tag("p", texts.similar_to(state.similar), class_="rr-like"))
            if not state.is_mixed:
                state = replace(state, share=USUAL_SHARE)
            else:
                st.session_state.setdefault(widget_key("share"), state.share)
                share = st.slider(
                    TEXTS.sidebar.image_weight,
                    0,
                    100,
                    50,
                    10,
                    format=TEXTS.sidebar.percent_format,
                    **as_widget("share", acted),
                )
                state = replace(state, share=share)
            left, right = st.columns([3, 1.4], gap="small")
            left.button(
                TEXTS.sidebar.search, type="primary", width="stretch", on_click=search_again
            )
            right.button(TEXTS.sidebar.clear, width="stretch", on_click=clear_query)
        with st.container(key="filters", gap="small"):
            state = _draw_filters(session, state)
        st.html(tag("p", texts.disclaimer, class_="rr-foot"))
    state = settle(session, state)
    return SearchRequest.of(state, dropped, encoded_parts()), dropped


def _head(session: LibrarySession) -> Markup:
    library = TEXTS.sidebar.library(session.path.resolve().name, len(session.library))
    return tag("div", tag("strong", "MedEmbed"), tag("span", library), class_="rr-head")


def _draw_drop_zone(session: LibrarySession, state: QueryState) -> tuple[DroppedImage | None, str]:
    """Take dropped files; new ones are decoded once. Give the image and its token."""
    kept, texts = st.session_state, TEXTS.sidebar
    uploads = st.file_uploader(
        TEXTS.sidebar.image,
        accept_multiple_files=True,
        help=TEXTS.sidebar.image_help,
        **as_widget("drop", acted),
    )
    dropped: DroppedImage | None = kept.get("dropped")
    if not uploads:
        if dropped is not None and dropped.key:  # it was taken out of the drop zone
            kept["dropped"] = None
            kept.pop("outcome", None)  # it holds the decoded image
            forget_pictures()
            return None, ""
        return dropped, state.image  # of before a reload, or gone
    key = tuple(upload.file_id for upload in uploads)
    chosen = _chosen_series(dropped, key)
    if dropped is None or dropped.key != key or dropped.chosen != chosen:
        with st.spinner(TEXTS.sidebar.reading_image):
            dropped = keep_image(session.read_dropped(uploads, chosen))
        forget_pictures()
        kept["dropped"] = dropped
    if dropped.refusal:
        line = texts.unusable_files(len(key), dropped.refusal)
        st.error(escaped(line, "markdown"))
    if len(dropped.series) > 1:
        series = dropped.series
        st.selectbox(
            TEXTS.query.series,
            range(len(series)),
            key=_series_key(key),
            format_func=lambda i: escaped(_series_text(i, series[i]), "text"),
            on_change=acted,
        )
    return dropped, dropped.token


def _series_key(uploads: tuple[str, ...]) -> str:
    return f"series-{uploads[0]}-{len(uploads)}"


def _chosen_series(dropped: DroppedImage | None, uploads: tuple[str, ...]) -> int:
    """Which series of these uploads was chosen; the first of new ones."""
    if dropped is None or dropped.key != uploads:
        return 0
    return int(st.session_state.get(_series_key(uploads), dropped.chosen))


def _series_text(position: int, series: FoundSeries) -> str:
    known = [name for name in (series.modality, series.view) if name != "unknown"]
    return TEXTS.query.series_name(position + 1, " ".join(known), series.n_images)


def _draw_filters(session: LibrarySession, state: QueryState) -> QueryState:
    """Draw the filters; give the state with what they show."""
    texts, before = TEXTS.sidebar, state.filters
    chosen: dict[str, tuple[str, ...]] = {}
    for field, label in (("modality", texts.modality), ("view", texts.view), ("sex", texts.sex)):
        chosen[field] = _choose(label, field, session.value_counts(field))
    chosen["finding"] = _choose_findings(session.findings())
    low, high = st.slider(TEXTS.sidebar.age, *AGES, AGES, **as_widget("f_age", acted))
    with st.expander(TEXTS.sidebar.more_filters):
        date_from, date_to = _draw_dates()
        chosen["site"] = _choose(texts.site, "site", session.value_counts("site"))
        k = st.slider(TEXTS.sidebar.n_results, 5, MOST_HITS, 10, 5, **as_widget("k", acted))
        is_one = st.toggle(TEXTS.query.one_per_patient, **as_widget("one", acted))
    filters = replace(before, **chosen, age=(low, high), date_from=date_from, date_to=date_to)
    if filters.conditions:
        st.button(TEXTS.sidebar.clear_filters, on_click=clear_filters)
    return replace(state, filters=filters, k=int(k), one_per_patient=is_one)


def _choose_findings(findings: list[str]) -> tuple[str, ...]:
    if not findings:
        return ()
    _keep_known("f_finding", findings)
    return tuple(
        st.multiselect(
            TEXTS.sidebar.findings,
            findings,
            format_func=lambda name: escaped(finding_text(Finding.parse(name)), "text"),
            placeholder=TEXTS.sidebar.any_value,
            select_all=False,  # no case has every finding
            **as_widget("f_finding", acted),
        )
    )


def _keep_known(name: str, values: Collection[str]) -> None:
    """Drop chosen values that no case has (any more): Streamlit refuses to show them."""
    chosen = st.session_state.get(widget_key(name)) or []
    if any(value not in values for value in chosen):
        show_value(name, [value for value in chosen if value in values])
        st.session_state["unread"] = True


def _choose(label: str, field: str, counts: Mapping[str, int]) -> tuple[str, ...]:
    """Let the user pick any number of values; hidden if there is only one."""
    name = f"f_{field}"
    if len(counts) < 2:
        _keep_known(name, ())
        return ()
    _keep_known(name, counts)
    if len(counts) > _MOST_BUTTONS:
        return tuple(
            st.multiselect(
                label,
                list(counts),
                format_func=lambda value: escaped(value_text(field, value), "text"),
                placeholder=TEXTS.sidebar.any_value,
                select_all=False,
                **as_widget(name, acted),
            )
        )
    return tuple(
        st.pills(
            label,
            list(counts),
            format_func=lambda value: escaped(value_text(field, value), "markdown"),
            selection_mode="multi",
            **as_widget(name, acted),
        )
    )


def _draw_dates() -> tuple[date | None, date | None]:
    first, last = date(1900, 1, 1), date(2199, 12, 31)
    start = st.date_input(
        TEXTS.sidebar.date_from,
        None,
        first,
        last,
        format=TEXTS.sidebar.date_format,
        **as_widget("f_date_from", acted),
    )
    end = st.date_input(
        TEXTS.sidebar.date_to,
        None,
        first,
        last,
        format=TEXTS.sidebar.date_format,
        **as_widget("f_date_to", acted),
    )
    return start, end


def example_queries(session: LibrarySession, number: int = 3) -> list[str]:
    """Suggest the library's most frequent findings, right and left in turn.

    In English whatever the page's language is: they are searched for, and the labels are English.
    """
    queries: list[str] = []
    for label in list(session.value_counts("finding"))[:number]:
        side = "right" if len(queries) % 2 == 0 else "left"
        sided = f"{label}:{side}"
        findings = session.findings()
        named = Finding.parse(sided if sided in findings else label)
        queries.append(ENGLISH.words.finding(named.label, named.side))
    return queries
