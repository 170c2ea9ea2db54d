"""The list of what was asked for: each line can be taken away, and each step undone."""

from __future__ import annotations

import streamlit as st

from apps.case_lookup.asking import (
    asked_state,
    redo,
    remove_refinement,
    trail,
    undo,
)
from apps.case_lookup.formatting import condition_text
from apps.case_lookup.html import escaped, tag
from apps.case_lookup.query_state import Refinement, RefinementKind
from apps.case_lookup.texts import TEXTS

__all__ = ["refinement_text", "show_refinements"]

_LONGEST = 80


def refinement_text(one: Refinement) -> str:
    """Put one line of the query into words."""
    texts, kind = TEXTS.query, one.kind
    if kind is RefinementKind.FILTER and one.condition is not None:
        return condition_text(one.condition)
    with_value = {
        RefinementKind.WORDS: texts.words,
        RefinementKind.SIMILAR: TEXTS.sidebar.similar_to,
        RefinementKind.LIKE: texts.like,
        RefinementKind.UNLIKE: texts.unlike,
        RefinementKind.LEFT_OUT: lambda name: texts.left_out(TEXTS.words.term_name(name)),
        RefinementKind.WEIGHT: texts.weight,
    }
    if kind in with_value:
        return with_value[kind](_shortened(one.value))
    plain = {
        RefinementKind.IMAGE: TEXTS.results.query_image,
        RefinementKind.REGION: texts.region,
        RefinementKind.ONE_PER_PATIENT: texts.one_per_patient,
    }
    return plain[kind]


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def show_refinements() -> None:
    """Draw the list, with Undo and Redo; nothing if nothing was ever asked for."""
    state, steps, texts = asked_state(), trail(), TEXTS.query
    lines = state.refinements
    if not lines and not steps.can_undo and not steps.can_redo:
        return
    with st.container(key="refinements", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(tag("h2", texts.asked_for, class_="rr-label"))
        for position, line in enumerate(lines):
            st.button(
                escaped(texts.removable(refinement_text(line)), "markdown"),
                key=f"refinement-{position}",
                help=TEXTS.query.remove,
                on_click=remove_refinement,
                args=(line,),
            )
        st.button(
            TEXTS.query.undo,
            key="undo",
            icon=":material/undo:",
            on_click=undo,
            disabled=not steps.can_undo,
        )
        st.button(
            TEXTS.query.redo,
            key="redo",
            icon=":material/redo:",
            on_click=redo,
            disabled=not steps.can_redo,
        )
    if st.session_state.get("unread"):
        st.html(tag("p", texts.unread, class_="rr-novel", role="status"))
    if state.image and st.session_state.get("dropped") is None:
        st.html(tag("p", texts.gone_image, class_="rr-novel", role="status"))
    if state.typed and not state.words:
        st.html(tag("p", texts.gone_words, class_="rr-novel", role="status"))
