"""Who reads: the person who has signed in, or in single-user mode a name that is typed once."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["cases_of_person", "has_logins", "may", "reader_name", "set_reader"]


def _presence() -> Any:
    """The module that knows who is signed in; None if this installation has no logins."""
    if find_spec("apps.access") is None or find_spec("apps.access.presence") is None:
        return None
    return import_module("apps.access.presence")


def _person() -> Any:
    presence = _presence()
    if presence is None or not presence.has_logins():
        return None
    return presence.person_of_handle(st.context.headers.get(presence.HANDLE_NAME))


def has_logins() -> bool:
    """Whether people sign in: then nobody can read under another name."""
    return _person() is not None


def reader_name() -> str:
    """Name of the reader; empty if it is not known yet.

    Without logins it stands in the address, so that a link resumes in another browser.
    """
    person = _person()
    if person is not None:
        return str(person.name)
    return " ".join(st.query_params.get("reader", "").split())


def set_reader(name: str) -> None:
    """Put the name that was typed into the address."""
    if name.strip():
        st.query_params["reader"] = " ".join(name.split())


def may(permission: str) -> bool:
    """Whether the person may ``"review"`` or ``"export"``; everyone may in single-user mode."""
    person = _person()
    if person is None:
        return True
    permissions = import_module("apps.access.people").Permission
    return bool(person.may(permissions(permission)))


def cases_of_person(library: CaseLibrary, case_ids: Iterable[str]) -> list[str]:
    """Keep the cases that this person may see, in their order."""
    person = _person()
    if person is None:
        return list(case_ids)
    rows = import_module("apps.access.rows")
    return [str(case_id) for case_id in rows.visible_cases(library, person, case_ids)]
