"""The sidebar: what is asked, and under which conditions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.dropped import Dropped
from apps.case_lookup.formatting import finding_words, thousands
from apps.case_lookup.html import Markup, escaped, tag
from apps.case_lookup.session import Question
from apps.case_lookup.visits import forget
from medembed.cases import Finding
from medembed.library import Condition

if TYPE_CHECKING:
    from apps.case_lookup.session import Desk

__all__ = [
    "ask",
    "clear_all",
    "close_case",
    "examples",
    "look_like",
    "open_case",
    "relax",
    "search_again",
    "use",
]

AGES = (0, 100)
NOT_FOR_DIAGNOSIS = "For research and teaching. Not a medical device, not for diagnosis."
_MANY = 6  # more values than this are a list to choose from instead of buttons in a row


def open_case(case_id: str) -> None:
    """Go to a case's page; what was found is kept."""
    st.query_params["case"] = case_id


def close_case() -> None:
    """Go back to what was found."""
    st.query_params.pop("case", None)


def use(words: str) -> None:
    """Ask with these words."""
    st.session_state["words"] = words
    close_case()


def look_like(case_id: str) -> None:
    """Ask for cases like this one, in place of a dropped file and words."""
    st.session_state["like"] = case_id
    st.session_state["words"] = ""
    _forget_file()
    close_case()


def clear_all() -> None:
    """Back to the first page, filters kept."""
    st.session_state["words"] = ""
    st.session_state["like"] = ""
    _forget_file()
    close_case()


def relax(condition: Condition) -> None:
    """Drop one condition: bring its widget back to "any"."""
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
    """Ask the library again, also if the question is still the same: cases may have come in."""
    st.session_state.pop("found", None)
    close_case()


def clear_filters() -> None:
    """Bring every filter back to "any"."""
    for key in ("modality", "view", "sex", "finding", "site"):
        st.session_state[f"f_{key}"] = []
    st.session_state["f_age"] = AGES
    st.session_state["f_date_from"] = st.session_state["f_date_to"] = None


def _forget_file() -> None:
    dropped: Dropped | None = st.session_state.get("dropped")
    forget(dropped.key if dropped else ())
    st.session_state.pop("found", None)  # it holds the decoded image
    st.session_state["drop_round"] = st.session_state.get("drop_round", 0) + 1
    st.session_state["dropped"] = None


def _forget_like() -> None:
    st.session_state["like"] = ""


def ask(desk: Desk) -> tuple[Question, Dropped | None]:
    """Draw the sidebar and give what it asks.

    Returns
    -------
    question : Question
    dropped : Dropped or None
        The dropped file, also where it was refused.
    """
    state = st.session_state
    state.setdefault("drop_round", 0)
    state.setdefault("like", "")
    with st.sidebar:
        st.html(_head(desk))
        with st.container(key="ask", gap="small"):
            dropped = _file(desk)
            words = st.text_input(
                "Words",
                key="words",
                autocomplete="off",  # a browser keeps what was typed
                placeholder="right effusion, basal atelectasis",
                on_change=close_case,
            ).strip()
            if state["like"]:
                st.html(tag("p", f"Like case {state['like']}", class_="rr-like"))
            scan = dropped.scan if dropped else None
            if scan is not None and state["like"]:
                _forget_like()
            share = 50
            if words and (scan is not None or state["like"]):
                share = st.slider(
                    "Weight of the image", 0, 100, 50, 10, key="share", format="%d %%"
                )
            left, right = st.columns([3, 1.4], gap="small")
            left.button("Search", type="primary", width="stretch", on_click=search_again)
            right.button("Clear", width="stretch", on_click=clear_all)
        with st.container(key="filters", gap="small"):
            where, k = _filters(desk)
        st.html(tag("p", NOT_FOR_DIAGNOSIS, class_="rr-foot"))
    question = Question(
        words=words,
        scan=scan,
        dropped=dropped.key if dropped else (),
        case_id=state["like"],
        image_weight=share / 100,
        where=where,
        own_cases=dropped.cases if dropped else (),
        own_patients=dropped.patients if dropped else (),
        k=k,
    )
    return question, dropped


def _head(desk: Desk) -> Markup:
    return tag(
        "div",
        tag("strong", "MedEmbed"),
        tag("span", f"{desk.path.resolve().name} · {thousands(len(desk.library))} cases"),
        class_="rr-head",
    )


def _file(desk: Desk) -> Dropped | None:
    """The drop zone; a new file is decoded once."""
    state = st.session_state
    uploads = st.file_uploader(
        "Image: drop it here",
        key=f"drop-{state['drop_round']}",
        accept_multiple_files=True,
        help="A DICOM, PNG, JPEG or NIfTI file, or all files of one series.",
        on_change=close_case,
    )
    if not uploads:
        if state.get("dropped") is not None:
            state["dropped"] = None
            state.pop("found", None)  # it holds the decoded image
        return None
    key = tuple(upload.file_id for upload in uploads)
    known: Dropped | None = state.get("dropped")
    if known is None or known.key != key:
        with st.spinner("Reading the image"):
            known = desk.read_dropped(uploads)
        state["dropped"] = known
    if known.refusal:
        what = "This file" if len(key) == 1 else "These files"
        st.error(f"{what} cannot be used: {escaped(known.refusal, 'markdown')}.")
    return known


def _filters(desk: Desk) -> tuple[tuple[Condition, ...], int]:
    """The conditions that hold, and how many cases to show."""
    where: list[Condition] = []
    for field, label in (("modality", "Modality"), ("view", "View"), ("sex", "Sex")):
        where += _among(field, _choice(label, field, desk.vocabulary(field)))
    findings = desk.findings()
    if findings:
        chosen = st.multiselect(
            "Findings (all must be present)",
            findings,
            key="f_finding",
            format_func=lambda name: escaped(finding_words(Finding.parse(name)), "text"),
            placeholder="any",
        )
        where += [Condition("finding", "=", (name,)) for name in chosen]
    low, high = st.slider("Age in years", *AGES, AGES, key="f_age")
    where += [Condition("age", ">=", (float(low),))] if low > AGES[0] else []
    where += [Condition("age", "<=", (float(high),))] if high < AGES[1] else []
    with st.expander("Date, site, number of cases"):
        where += _dates()
        where += _among("site", _choice("Site", "site", desk.vocabulary("site")))
        k = st.slider("Cases to show", 5, 50, 10, 5, key="k")
    if where:
        st.button("Clear filters", on_click=clear_filters)
    return tuple(where), int(k)


def _choice(label: str, field: str, counts: Mapping[str, int]) -> list[str]:
    """Let the user pick any number of values; nothing is shown if there is nothing to pick."""
    if len(counts) < 2:
        return []
    key = f"f_{field}"
    if len(counts) > _MANY:
        return st.multiselect(
            label,
            list(counts),
            key=key,
            format_func=lambda value: escaped(value, "text"),
            placeholder="any",
        )
    return st.pills(
        label,
        list(counts),
        key=key,
        format_func=lambda value: escaped(value, "markdown"),
        selection_mode="multi",
    )


def _among(field: str, chosen: list[str]) -> list[Condition]:
    return [Condition(field, "in", tuple(chosen))] if chosen else []


def _dates() -> list[Condition]:
    left, right = st.columns(2, gap="small")
    first, last = date(1900, 1, 1), date(2199, 12, 31)
    start = left.date_input("From", None, first, last, key="f_date_from", format="YYYY-MM-DD")
    end = right.date_input("To", None, first, last, key="f_date_to", format="YYYY-MM-DD")
    where = [Condition("date", ">=", (start.isoformat(),))] if start else []
    return where + ([Condition("date", "<=", (end.isoformat(),))] if end else [])


def examples(desk: Desk, number: int = 3) -> list[str]:
    """Queries that this library can answer: its most frequent findings, sides in turn."""
    words: list[str] = []
    for label in list(desk.vocabulary("finding"))[:number]:
        side = "right" if len(words) % 2 == 0 else "left"
        sided = f"{label}:{side}"
        words.append(finding_words(Finding.parse(sided if sided in desk.findings() else label)))
    return words
