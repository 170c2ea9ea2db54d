"""The open library of this process: one for all visitors and for all routes."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from apps.case_lookup.session import LibrarySession
from apps.case_lookup.texts import TEXTS
from medembed.errors import LibraryError

__all__ = ["open_session", "served_session"]


@st.cache_resource(show_spinner=False, on_release=LibrarySession.close)
def open_session(path: str) -> LibrarySession:
    """Open the library once for all visitors; its model loads in the background.

    It is not in the page's script: Streamlit runs that under the name ``__main__``, so that a route
    would open the library, its model and its caches a second time.
    """
    return LibrarySession(Path(path))


def served_session() -> LibrarySession:
    """Give the open library that this process serves.

    Raises
    ------
    LibraryError
        If none was given.
    """
    path = os.environ.get("MEDEMBED_LIBRARY", "")
    if not path:
        raise LibraryError(TEXTS.faults.no_library, hint=TEXTS.faults.no_library_hint)
    return open_session(path)
