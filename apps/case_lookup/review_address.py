"""The part of the page's address that a review session has: session, position, reader."""

from __future__ import annotations

import streamlit as st

__all__ = ["enter_review", "go_to", "leave_review", "note_error"]


def enter_review(link: str, reader: str = "") -> None:
    """Go to a review session; a reader who has not signed in is named in the address."""
    st.query_params["review"] = link
    st.query_params.pop("at", None)
    if reader:
        st.query_params["reader"] = reader


def go_to(position: int | None) -> None:
    """Open the case at this position, or the overview."""
    if position is None:
        st.query_params.pop("at", None)
    else:
        st.query_params["at"] = str(position)


def leave_review() -> None:
    """Go back to the search."""
    st.session_state.pop("review_export", None)  # it holds the bytes of an export
    for name in ("review", "at", "reader"):
        st.query_params.pop(name, None)


def note_error(error: Exception) -> None:
    """Keep the error of a callback; the run that follows shows it."""
    st.session_state["review_error"] = error
