"""The images of a case under review, with the reading room's viewer and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup import case_page

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession
    from medembed.cases import Case

__all__ = ["show_images"]


def show_images(session: LibrarySession, case: Case) -> None:
    """Draw the images of a case: no report, no finding, no other study."""
    with st.container(key="viewer"):
        case_page._viewer(session, case, None)
