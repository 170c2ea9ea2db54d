"""The page of one case: image at full size, report, and links to related cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from apps.case_lookup.faults import errors_on_one_line
from apps.case_lookup.formatting import (
    chips,
    date_text,
    finding_text,
    marked_note,
    modality_text,
    patient_text,
)
from apps.case_lookup.html import Markup, escaped, join, notice, tag
from apps.case_lookup.sidebar import close_case, open_case, search_similar
from apps.case_lookup.texts import TEXTS
from apps.pixels import QUERY_IMAGES, Visitor, address_of_case, address_of_query
from apps.viewer import Layer, Panel, Picture, viewer
from medembed.cases import Case, Finding
from medembed.errors import LibraryError, MedEmbedError

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession, SearchRequest

__all__ = ["case_panel", "mount_viewer", "show_case"]

_MOST_STUDIES = 12
_MOST_LAYERS = 24


def show_case(
    session: LibrarySession, case_id: str, request: SearchRequest, visitor: Visitor | None = None
) -> None:
    """Draw the case, or one line if the library has no such case.

    Parameters
    ----------
    session : LibrarySession
    case_id : str
        From the page's address, so it may be anything.
    request : SearchRequest
        The current query; its image is shown beside the case's.
    visitor : Visitor, optional
        Who looks at it; by default, the single user of this machine.
    """
    who = visitor or Visitor()
    texts = TEXTS.case
    back = texts.to_search if request.is_empty else texts.to_results
    try:
        case = session.library.case(case_id) if who.may_see(case_id) else None
    except MedEmbedError:
        case = None
    if case is None:
        st.html(notice(texts.not_found, texts.not_found_hint))
        st.button(escaped(back, "markdown"), on_click=close_case)
        return
    if st.session_state.get("opened") != case_id:
        who.opened(case_id)
        st.session_state["opened"] = case_id
    hits = _Hits.around(case_id)
    with st.container(key="case-bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.button(escaped(back, "markdown"), icon=":material/arrow_back:", on_click=close_case)
        if hits.rank:
            _step_buttons(hits)
        st.html(_title(case))
        st.button(
            TEXTS.case.find_similar, type="primary", on_click=search_similar, args=(case.case_id,)
        )
    with st.container(key="case"):
        image, report = st.columns([2, 1], gap="medium")
        with image, st.container(key="viewer"), errors_on_one_line():
            _viewer(session, case, request, hits, who)
        with report:
            _report(session, case, who)


def _step_buttons(hits: _Hits) -> None:
    """Draw the way to the previous and the next hit; the viewer has keys for it."""
    with st.container(key="steps", horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            TEXTS.case.previous_hit,
            on_click=hits.step,
            args=(-1,),
            disabled=hits.previous is None,
        )
        st.html(tag("span", TEXTS.case.hit_of(hits.rank, hits.of), class_="rr-quiet"))
        st.button(TEXTS.case.next_hit, on_click=hits.step, args=(1,), disabled=hits.next is None)


def _title(case: Case) -> Markup:
    return tag(
        "div",
        tag("strong", patient_text(case)),
        tag("span", modality_text(case)),
        tag("span", date_text(case)),
        tag("span", TEXTS.results.case(case.case_id), class_="rr-quiet"),
        class_="rr-line",
    )


def _viewer(
    session: LibrarySession, case: Case, request: SearchRequest, hits: _Hits, who: Visitor
) -> None:
    """Mount the viewer: the query, if it has an image, beside the case."""
    panels = [case_panel(session, case, TEXTS.case.this_case, who)]
    query = _query_panel(session, case, request, who)
    if query is not None:
        panels.insert(0, query)
    mount_viewer(panels, hits)


def mount_viewer(panels: Sequence[Panel], hits: _Hits | None = None) -> None:
    """Mount the viewer, with the still pictures that are shown until it has started."""
    hits = hits or _Hits()
    st.html(tag("div", *(_still(panel) for panel in panels), class_="rr-still"))
    viewer(
        panels,
        key="pictures",
        texts=TEXTS.viewer,
        steps=(hits.previous is not None, hits.next is not None),
        on_step=hits.step,
    )


def _still(panel: Panel) -> Markup:
    picture = panel.pictures[0]
    # lazy: not fetched while the style sheet hides it, that is, while the viewer runs
    image = tag("img", src=f"{picture.address}/still", alt=panel.alt, loading="lazy")
    return tag("figure", image, tag("figcaption", panel.label))


def case_panel(
    session: LibrarySession, case: Case, label: str, who: Visitor | None = None
) -> Panel:
    """Describe a case: its pictures, and earlier studies to lay over them."""
    who = who or Visitor()
    layers = [
        Layer(address_of_case(other.case_id, position), _layer_label(other, position))
        for other in _other_studies(session, case, who)
        for position in range(len(other.scans))
        if other.modality == case.modality
    ]
    return Panel(
        "case",
        label,
        alt=escaped(f"{modality_text(case)}, {patient_text(case)}", "text"),
        pictures=[
            Picture(address_of_case(case.case_id, position), _image_label(case, position))
            for position in range(len(case.scans))
        ],
        layers=layers[:_MOST_LAYERS],
    )


def _query_panel(
    session: LibrarySession, case: Case, request: SearchRequest, who: Visitor
) -> Panel | None:
    """Describe the image that was searched for: dropped on the page, or another case's."""
    texts = TEXTS.results
    if request.scan is not None:
        run = get_script_run_ctx()
        session_id = run.session_id if run is not None else ""
        token = QUERY_IMAGES.offer(request.scan, session_id, request.dropped, who.name)
        alt = texts.query_alt(texts.query_image)
        return Panel("query", texts.query_image, alt, [Picture(address_of_query(token))])
    if request.case_id in ("", case.case_id) or not who.may_see(request.case_id):
        return None
    try:
        similar_to = session.library.case(request.case_id)
    except LibraryError:  # erased since
        return None
    panel = case_panel(session, similar_to, texts.query, who)
    return replace(panel, name="query", alt=texts.query_alt(panel.alt))


def _image_label(case: Case, position: int) -> str:
    view = escaped(case.scans[position].view, "text")
    return f"{position + 1}" if view == "unknown" else f"{position + 1} {view}"


def _layer_label(case: Case, position: int) -> str:
    label = escaped(f"{date_text(case)} {modality_text(case)}", "text")
    return label if len(case.scans) == 1 else f"{label} {_image_label(case, position)}"


@dataclass(frozen=True)
class _Hits:
    """The results that a case belongs to, and those before and after it.

    Parameters
    ----------
    rank : int
        From 1; 0 if the case is not among the results.
    of : int
    previous, next : str or None
        Case ids.
    """

    rank: int = 0
    of: int = 0
    previous: str | None = None
    next: str | None = None

    @staticmethod
    def around(case_id: str) -> _Hits:
        """Find a case in the visitor's results."""
        outcome = st.session_state.get("outcome")
        ids = [] if outcome is None else [hit.case_id for hit in outcome.result.hits]
        if case_id not in ids:
            return _Hits()
        at = ids.index(case_id)
        return _Hits(
            at + 1,
            len(ids),
            ids[at - 1] if at > 0 else None,
            ids[at + 1] if at + 1 < len(ids) else None,
        )

    def step(self, by: int) -> None:
        """Open the case before or after; nothing happens at the ends."""
        target = self.previous if by < 0 else self.next
        if target is not None:
            open_case(target)


def _report(session: LibrarySession, case: Case, who: Visitor) -> None:
    texts = TEXTS.case
    parts: list[Markup] = [
        tag("p", texts.findings, class_="rr-label"),
        tag("div", chips(case.findings), class_="rr-chips"),
    ]
    parts += _not_present(case)
    parts.append(tag("p", texts.report, class_="rr-label"))
    if case.note is None:
        parts.append(tag("p", texts.no_report, class_="rr-quiet"))
    else:
        parts.append(marked_note(case.note))
    st.html(join(*parts))
    _show_other_studies(_other_studies(session, case, who))
    st.html(join(tag("p", texts.study, class_="rr-label"), _facts(case)))


def _not_present(case: Case) -> list[Markup]:
    """List what the report calls uncertain or absent, a line each."""
    if case.note is None:
        return []
    lines: list[Markup] = []
    for status, line in (("uncertain", TEXTS.case.uncertain), ("absent", TEXTS.case.absent)):
        named = dict.fromkeys(
            finding_text(Finding(a.label, a.side))
            for a in case.note.assertions
            if a.status == status and not a.historical
        )
        if named:
            lines.append(tag("p", line(", ".join(named)), class_="rr-quiet"))
    return lines


def _facts(case: Case) -> Markup:
    texts, date = TEXTS.case, date_text(case)
    facts = {
        texts.case: case.case_id,
        texts.patient: case.patient_id,
        texts.date: texts.date_shifted(date) if case.date_shift_days else date,
        texts.site: case.site,
        texts.scanner: case.scanner,
        texts.n_images: str(len(case.scans)),
        **{_attribute_text(name): value for name, value in case.attributes.items()},
    }
    shown = {name: value for name, value in facts.items() if value and value != "unknown"}
    return tag(
        "dl",
        *(join(tag("dt", name), tag("dd", value)) for name, value in shown.items()),
        class_="rr-facts",
    )


def _attribute_text(name: str) -> str:
    return TEXTS.case.attributes.get(name) or name.replace("_", " ").capitalize()


def _other_studies(session: LibrarySession, case: Case, who: Visitor) -> list[Case]:
    """List the patient's other studies that this person may see."""
    others = [other for other in session.other_studies(case) if who.may_see(other.case_id)]
    return others[:_MOST_STUDIES]


def _show_other_studies(others: list[Case]) -> None:
    if not others:
        return
    st.html(tag("p", TEXTS.case.other_studies, class_="rr-label"))
    with st.container(key="studies", gap="small"):
        for position, other in enumerate(others):
            named = ", ".join(map(finding_text, other.findings)) or TEXTS.words.no_finding
            st.button(
                escaped(f"{date_text(other)} · {modality_text(other)} · {named}", "markdown"),
                key=f"study-{position}",
                on_click=open_case,
                args=(other.case_id,),
                width="stretch",
            )
