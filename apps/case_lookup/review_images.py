"""The images of a case under review, with the reading room's viewer and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.case_page import case_panel, mount_viewer
from apps.case_lookup.texts import TEXTS

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession
    from medembed.cases import Case

__all__ = ["show_images"]


def show_images(session: LibrarySession, case: Case) -> None:
    """Draw the images of a case: no report, no finding, no other study."""
    panel = replace(case_panel(session, case, TEXTS.case.this_case), layers=())
    with st.container(key="viewer"):
        mount_viewer([panel])
