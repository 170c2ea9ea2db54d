"""Who is at the page: the person behind a run of the script, and the way to sign out."""

from __future__ import annotations

import streamlit as st

from apps.access import Person, person_of_handle
from apps.access.presence import HANDLE_NAME, has_logins
from apps.case_lookup.html import Markup, tag
from apps.case_lookup.texts import TEXTS

__all__ = ["person_on_page", "show_signed_in", "signed_in_line"]


def person_on_page() -> Person:
    """Give the person whose run of the script this is; without logins the local one."""
    return person_of_handle(st.context.headers.get(HANDLE_NAME))


def show_signed_in(person: Person) -> None:
    """Show who is signed in, and a link to sign out; nothing without logins."""
    if has_logins():
        with st.sidebar:
            st.html(signed_in_line(person))


def signed_in_line(person: Person) -> Markup:
    """Give the line with the person's name and the link."""
    texts = TEXTS.signed_in
    return tag(
        "p",
        tag("span", texts.as_person(person.shown)),
        " ",
        tag("a", texts.sign_out, href="/access/logout", target="_self"),
        class_="rr-quiet rr-person",
    )
