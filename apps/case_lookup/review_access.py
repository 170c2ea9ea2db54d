"""Who reads: the person who has signed in, or in single-user mode a name that is typed once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import streamlit as st

from apps.access import Permission
from apps.access.presence import has_logins
from apps.access.rows import visible_cases
from apps.case_lookup.signed_in import person_on_page

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["cases_of_person", "may", "reader_name", "set_reader"]


def reader_name() -> str:
    """Name of the reader; empty if it is not known yet.

    Without logins it stands in the address, so that a link resumes in another browser.
    """
    if has_logins():
        return person_on_page().name
    return " ".join(st.query_params.get("reader", "").split())


def set_reader(name: str) -> None:
    """Put the name that was typed into the address."""
    if name.strip():
        st.query_params["reader"] = " ".join(name.split())


def may(permission: Permission) -> bool:
    """Whether the person has a permission; everyone has all in single-user mode."""
    return person_on_page().may(permission)


def cases_of_person(library: CaseLibrary, case_ids: Iterable[str]) -> list[str]:
    """Keep the cases that this person may see, in their order."""
    return visible_cases(library, person_on_page(), case_ids)
