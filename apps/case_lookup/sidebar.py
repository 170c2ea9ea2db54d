"""The sidebar: the query and its filters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.dropped import DroppedImage
from apps.case_lookup.formatting import finding_text, value_text
from apps.case_lookup.html import Markup, escaped, tag
from apps.case_lookup.session import SearchRequest
from apps.case_lookup.texts import ENGLISH, TEXTS
from apps.case_lookup.visits import forget_uploads
from medembed.cases import Finding
from medembed.library import Condition

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession

__all__ = [
    "clear_query",
    "close_case",
    "draw_sidebar",
    "example_queries",
    "ignore_term",
    "open_case",
    "remove_filter",
    "search_again",
    "search_similar",
    "search_text",
    "use_all_terms",
]

AGES = (0, 100)
_MOST_BUTTONS = 6  # more values become a list instead of a row of buttons


def open_case(case_id: str) -> None:
    """Go to a case's page; the results are kept."""
    st.query_params["case"] = case_id


def close_case() -> None:
    """Go back to the results."""
    st.query_params.pop("case", None)


def search_text(text: str) -> None:
    """Search for this text."""
    st.session_state["text"] = text
    close_case()


def search_similar(case_id: str) -> None:
    """Search for cases similar to this one, in place of any dropped image and text."""
    clear_query()
    st.session_state["similar_to"] = case_id


def clear_query() -> None:
    """Clear image, text and case; keep the filters."""
    st.session_state["text"] = ""
    st.session_state["similar_to"] = ""
    _forget_image()
    close_case()


def remove_filter(condition: Condition) -> None:
    """Reset the widget of one condition to "any"."""
    state = st.session_state
    if condition.field == "age":
        state["f_age"] = AGES
    elif condition.field == "date":
        state["f_date_from" if condition.op == ">=" else "f_date_to"] = None
    elif condition.field == "finding":
        kept = [name for name in state.get("f_finding", []) if name not in condition.values]
        state["f_finding"] = kept
    else:
        state[f"f_{condition.field}"] = []


def search_again() -> None:
    """Repeat the search even if the query is unchanged: cases may have been added."""
    st.session_state.pop("outcome", None)
    close_case()


def ignore_term(text: str, name: str) -> None:
    """Leave out one thing that this text was read as."""
    kept = _ignored(text)
    st.session_state["ignored"] = (text, (*kept, name))


def use_all_terms() -> None:
    """Let everything count again that the text was read as."""
    st.session_state.pop("ignored", None)


def _ignored(text: str) -> tuple[str, ...]:
    """Terms left out of this text; another text starts with all."""
    of_text, names = st.session_state.get("ignored", ("", ()))
    return names if of_text == text else ()


def clear_filters() -> None:
    """Reset every filter to "any"."""
    for key in ("modality", "view", "sex", "finding", "site"):
        st.session_state[f"f_{key}"] = []
    st.session_state["f_age"] = AGES
    st.session_state["f_date_from"] = st.session_state["f_date_to"] = None


def _forget_image() -> None:
    dropped: DroppedImage | None = st.session_state.get("dropped")
    forget_uploads(dropped.key if dropped else ())
    st.session_state.pop("outcome", None)  # it holds the decoded image
    st.session_state["drop_round"] = st.session_state.get("drop_round", 0) + 1
    st.session_state["dropped"] = None


def draw_sidebar(session: LibrarySession) -> tuple[SearchRequest, DroppedImage | None]:
    """Draw the sidebar and read the query from it.

    Returns
    -------
    request : SearchRequest
    dropped : DroppedImage or None
        The dropped image, also if it was refused.
    """
    state, texts = st.session_state, TEXTS.sidebar
    state.setdefault("drop_round", 0)
    state.setdefault("similar_to", "")
    with st.sidebar:
        st.html(_head(session))
        with st.container(key="ask", gap="small"):
            dropped = _draw_drop_zone(session)
            text = st.text_input(
                TEXTS.sidebar.text,
                key="text",
                autocomplete="off",  # otherwise the browser stores what was typed
                placeholder=TEXTS.sidebar.text_placeholder,
                on_change=close_case,
            ).strip()
            scan = dropped.scan if dropped else None
            if scan is not None:
                state["similar_to"] = ""
            if state["similar_to"]:
                st.html(tag("p", texts.similar_to(state["similar_to"]), class_="rr-like"))
            share = 50
            if text and (scan is not None or state["similar_to"]):
                share = st.slider(
                    TEXTS.sidebar.image_weight,
                    0,
                    100,
                    50,
                    10,
                    key="share",
                    format=TEXTS.sidebar.percent_format,
                )
            left, right = st.columns([3, 1.4], gap="small")
            left.button(
                TEXTS.sidebar.search, type="primary", width="stretch", on_click=search_again
            )
            right.button(TEXTS.sidebar.clear, width="stretch", on_click=clear_query)
        with st.container(key="filters", gap="small"):
            where, k = _draw_filters(session)
        st.html(tag("p", texts.disclaimer, class_="rr-foot"))
    request = SearchRequest(
        text=text,
        scan=scan,
        dropped=dropped.key if dropped else (),
        case_id=state["similar_to"],
        image_weight=share / 100,
        where=where,
        own_cases=dropped.cases if dropped else (),
        own_patients=dropped.patients if dropped else (),
        k=k,
        ignore=_ignored(text),
    )
    return request, dropped


def _head(session: LibrarySession) -> Markup:
    library = TEXTS.sidebar.library(session.path.resolve().name, len(session.library))
    return tag("div", tag("strong", "MedEmbed"), tag("span", library), class_="rr-head")


def _draw_drop_zone(session: LibrarySession) -> DroppedImage | None:
    """Take dropped files; new ones are decoded once."""
    state = st.session_state
    uploads = st.file_uploader(
        TEXTS.sidebar.image,
        key=f"drop-{state['drop_round']}",
        accept_multiple_files=True,
        help=TEXTS.sidebar.image_help,
        on_change=close_case,
    )
    if not uploads:
        if state.get("dropped") is not None:
            state["dropped"] = None
            state.pop("outcome", None)  # it holds the decoded image
        return None
    key = tuple(upload.file_id for upload in uploads)
    dropped: DroppedImage | None = state.get("dropped")
    if dropped is None or dropped.key != key:
        with st.spinner(TEXTS.sidebar.reading_image):
            dropped = session.read_dropped(uploads)
        state["dropped"] = dropped
    if dropped.refusal:
        line = TEXTS.sidebar.unusable_files(len(key), dropped.refusal)
        st.error(escaped(line, "markdown"))
    return dropped


def _draw_filters(session: LibrarySession) -> tuple[tuple[Condition, ...], int]:
    """Draw the filters; give the conditions set and the number of results to show."""
    where: list[Condition] = []
    texts = TEXTS.sidebar
    for field, label in (("modality", texts.modality), ("view", texts.view), ("sex", texts.sex)):
        where += _one_of(field, _choose(label, field, session.value_counts(field)))
    findings = session.findings()
    if findings:
        chosen = st.multiselect(
            TEXTS.sidebar.findings,
            findings,
            key="f_finding",
            format_func=lambda name: escaped(finding_text(Finding.parse(name)), "text"),
            placeholder=TEXTS.sidebar.any_value,
            select_all=False,  # no case has every finding
        )
        where += [Condition("finding", "=", (name,)) for name in chosen]
    low, high = st.slider(TEXTS.sidebar.age, *AGES, AGES, key="f_age")
    where += [Condition("age", ">=", (float(low),))] if low > AGES[0] else []
    where += [Condition("age", "<=", (float(high),))] if high < AGES[1] else []
    with st.expander(TEXTS.sidebar.more_filters):
        where += _draw_dates()
        where += _one_of("site", _choose(texts.site, "site", session.value_counts("site")))
        k = st.slider(TEXTS.sidebar.n_results, 5, 50, 10, 5, key="k")
    if where:
        st.button(TEXTS.sidebar.clear_filters, on_click=clear_filters)
    return tuple(where), int(k)


def _choose(label: str, field: str, counts: Mapping[str, int]) -> list[str]:
    """Let the user pick any number of values; hidden if there is only one."""
    if len(counts) < 2:
        return []
    key = f"f_{field}"
    if len(counts) > _MOST_BUTTONS:
        return st.multiselect(
            label,
            list(counts),
            key=key,
            format_func=lambda value: escaped(value_text(field, value), "text"),
            placeholder=TEXTS.sidebar.any_value,
            select_all=False,
        )
    return st.pills(
        label,
        list(counts),
        key=key,
        format_func=lambda value: escaped(value_text(field, value), "markdown"),
        selection_mode="multi",
    )


def _one_of(field: str, chosen: list[str]) -> list[Condition]:
    return [Condition(field, "in", tuple(chosen))] if chosen else []


def _draw_dates() -> list[Condition]:
    first, last = date(1900, 1, 1), date(2199, 12, 31)
    start = st.date_input(
        TEXTS.sidebar.date_from,
        None,
        first,
        last,
        key="f_date_from",
        format=TEXTS.sidebar.date_format,
    )
    end = st.date_input(
        TEXTS.sidebar.date_to,
        None,
        first,
        last,
        key="f_date_to",
        format=TEXTS.sidebar.date_format,
    )
    where = [Condition("date", ">=", (start.isoformat(),))] if start else []
    return where + ([Condition("date", "<=", (end.isoformat(),))] if end else [])


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
