"""The query's own case and patient, apart from the hits: they are no strangers to the reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.asking import open_case
from apps.case_lookup.formatting import date_text, finding_text, modality_text
from apps.case_lookup.html import escaped, tag
from apps.case_lookup.texts import TEXTS
from medembed.cases import Case

if TYPE_CHECKING:
    from apps.case_lookup.search_outcome import SearchOutcome
    from apps.case_lookup.session import LibrarySession

__all__ = ["show_own_cases", "study_text"]

_MOST = 5


def study_text(case: Case) -> str:
    """Name a study by its date, modality and findings."""
    named = ", ".join(map(finding_text, case.findings)) or TEXTS.words.no_finding
    return f"{date_text(case)} · {modality_text(case)} · {named}"


def show_own_cases(session: LibrarySession, outcome: SearchOutcome, case: Case | None) -> None:
    """List the cases that hold the query's image, and the patient's other studies.

    Parameters
    ----------
    session : LibrarySession
    outcome : SearchOutcome
    case : Case or None
        The query, if it is a case of the library.
    """
    request, texts = outcome.request, TEXTS.results
    own = sorted({*outcome.result.own_cases, *request.own_cases})
    patients = {*request.own_patients}
    patients |= {one.patient_id for one in session.select(own).values()} if own else set()
    patients |= {case.patient_id} if case is not None else set()
    known = {*own, request.case_id}
    others = [one for one in session.studies_of(sorted(patients)) if one.case_id not in known]
    if own:
        line = texts.also_in_library if request.case_id else texts.in_library
        with st.container(key="own", horizontal=True, vertical_alignment="center", gap="small"):
            st.html(tag("p", line, role="status"))
            for position, case_id in enumerate(own[:_MOST]):
                label = escaped(texts.case(case_id), "markdown")
                st.button(label, key=f"own-{position}", on_click=open_case, args=(case_id,))
    if others:
        with st.container(
            key="own-studies", horizontal=True, vertical_alignment="center", gap="small"
        ):
            st.html(tag("p", TEXTS.query.own_studies(len(others)), role="status"))
            for position, one in enumerate(others[:_MOST]):
                st.button(
                    escaped(study_text(one), "markdown"),
                    key=f"own-study-{position}",
                    on_click=open_case,
                    args=(one.case_id,),
                )
