"""The page of one case: image at full size, report, and links to related cases."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.faults import error_line, errors_on_one_line
from apps.case_lookup.formatting import (
    chips,
    date_text,
    finding_text,
    marked_note,
    modality_text,
    patient_text,
)
from apps.case_lookup.html import Markup, escaped, join, notice, tag
from apps.case_lookup.rendering import (
    DisplaySettings,
    data_uri,
    n_slices,
    plane,
    presets,
    render,
    value_range,
)
from apps.case_lookup.sidebar import close_case, open_case, search_similar
from apps.case_lookup.texts import TEXTS
from medembed.cases import Case, Finding
from medembed.errors import MedEmbedError, ScanError
from medembed.scans import Scan, VoiLut, Window

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession, SearchRequest

__all__ = ["show_case"]

_MOST_STUDIES = 12


def show_case(session: LibrarySession, case_id: str, request: SearchRequest) -> None:
    """Draw the case, or one line if the library has no such case.

    Parameters
    ----------
    session : LibrarySession
    case_id : str
        From the page's address, so it may be anything.
    request : SearchRequest
        The current query; its image can be shown beside the case's.
    """
    texts = TEXTS.case
    back = texts.to_search if request.is_empty else texts.to_results
    try:
        case = session.library.case(case_id)
    except MedEmbedError:
        st.html(notice(texts.not_found, texts.not_found_hint))
        st.button(escaped(back, "markdown"), on_click=close_case)
        return
    with st.container(key="case-bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.button(escaped(back, "markdown"), icon=":material/arrow_back:", on_click=close_case)
        st.html(_title(case))
        st.button(
            TEXTS.case.find_similar, type="primary", on_click=search_similar, args=(case.case_id,)
        )
    image, report = st.columns([1.45, 1], gap="medium")
    with image, st.container(key="viewer"):
        _viewer(session, case, request.scan)
    with report:
        _report(session, case)


def _title(case: Case) -> Markup:
    return tag(
        "div",
        tag("strong", patient_text(case)),
        tag("span", modality_text(case)),
        tag("span", date_text(case)),
        tag("span", TEXTS.results.case(case.case_id), class_="rr-quiet"),
        class_="rr-line",
    )


@st.fragment
def _viewer(session: LibrarySession, case: Case, query: Scan | None) -> None:
    """Draw the image with its controls; moving a slider redraws only this part."""
    with errors_on_one_line():
        _view(session, case, query)


def _view(session: LibrarySession, case: Case, query: Scan | None) -> None:
    position = 0
    if len(case.scans) > 1:
        with st.container(key="images"):
            position = st.segmented_control(
                TEXTS.case.images,
                range(len(case.scans)),
                default=0,
                required=True,
                key=f"image-{case.case_id}",
                format_func=lambda i: escaped(_image_label(case, i), "markdown"),
                label_visibility="collapsed",
            )
    try:
        scan = session.scan(case, position)
    except ScanError as error:
        st.error(escaped(TEXTS.case.image_unreadable(error_line(error)), "markdown"))
        return
    display, compare = _draw_controls(scan, f"{case.case_id}-{position}", query is not None)
    alt = f"{modality_text(case)}, {patient_text(case)}"
    figures = [_figure(scan, display, alt, TEXTS.case.this_case)]
    if query is not None and compare:
        window = next(iter(presets(query).values()))
        query_display = DisplaySettings(window, n_slices(query) // 2)
        label = TEXTS.results.query
        figures.insert(0, _figure(query, query_display, label, label))
    st.html(tag("div", *figures, class_="rr-stage"))
    st.html(tag("p", _caption(scan, display), class_="rr-quiet"))


def _image_label(case: Case, position: int) -> str:
    view = case.scans[position].view
    return f"{position + 1}" if view == "unknown" else f"{position + 1} {view}"


def _figure(scan: Scan, display: DisplaySettings, alt: str, caption: str) -> Markup:
    image = data_uri(render(scan, display))
    return tag("figure", tag("img", src=image, alt=alt), tag("figcaption", caption))


def _draw_controls(scan: Scan, name: str, has_query: bool) -> tuple[DisplaySettings, bool]:
    """Draw the controls; give the display settings and whether to show the query, too."""
    offered = presets(scan)
    keys = {what: f"{what}-{name}" for what in ("preset", "center", "width", "slice", "invert")}
    state = st.session_state
    low, high = value_range(scan)
    reach = high - low
    step = 1.0 if reach > 50 else reach / 100

    def limits(window: Window | VoiLut) -> tuple[float, float]:
        if isinstance(window, VoiLut):
            return (low + high) / 2, reach
        return min(max(window.center, low), high), min(max(window.width, step), 2 * reach)

    def take_preset() -> None:
        chosen = state.get(keys["preset"])
        if chosen in offered:
            state[keys["center"]], state[keys["width"]] = limits(offered[chosen])

    def leave_preset() -> None:
        state[keys["preset"]] = None

    if keys["center"] not in state:
        first = next(iter(offered))
        state[keys["preset"]] = first
        state[keys["center"]], state[keys["width"]] = limits(offered[first])
    compare = False
    with st.container(key="window", horizontal=True, vertical_alignment="center", gap="medium"):
        st.pills(
            TEXTS.case.window,
            list(offered),
            key=keys["preset"],
            on_change=take_preset,
            format_func=lambda preset: escaped(TEXTS.case.windows[preset], "markdown"),
            label_visibility="collapsed",
        )
        invert = st.toggle(TEXTS.case.invert, key=keys["invert"])
        if has_query:
            compare = st.toggle(TEXTS.case.compare, key="compare")
    columns = st.columns(3 if scan.is_volume else 2, gap="medium")
    is_hu = scan.units == "HU"
    center = columns[0].slider(
        TEXTS.case.center_hu if is_hu else TEXTS.case.center,
        low,
        high,
        step=step,
        key=keys["center"],
        on_change=leave_preset,
        format="%.0f",
    )
    width = columns[1].slider(
        TEXTS.case.width_hu if is_hu else TEXTS.case.width,
        step,
        2 * reach,
        step=step,
        key=keys["width"],
        on_change=leave_preset,
        format="%.0f",
    )
    slice_index = 0
    if scan.is_volume and n_slices(scan) > 1:
        state.setdefault(keys["slice"], n_slices(scan) // 2 + 1)
        slice_index = columns[2].slider(TEXTS.case.slice_, 1, n_slices(scan), key=keys["slice"]) - 1
    chosen = state.get(keys["preset"])
    # a preset may exceed the range of the sliders, so it is used as it is
    window = offered[chosen] if chosen in offered else Window(center, width)
    return DisplaySettings(window, slice_index, invert), compare


def _caption(scan: Scan, display: DisplaySettings) -> str:
    texts, window = TEXTS.case, display.window
    rows, columns = plane(scan, display.slice_index).shape
    parts = [texts.size(columns, rows)]
    if scan.spacing_mm is not None:
        parts.append(texts.spacing_mm(tuple(reversed(scan.spacing_mm))))
    if scan.is_volume:
        parts.append(texts.slice_of(display.slice_index + 1, n_slices(scan)))
    if isinstance(window, Window):
        parts.append(texts.window_values(_whole(window.center), _whole(window.width)))
    else:
        parts.append(texts.voi_lut)
    parts.append(texts.orientation)
    return " · ".join(parts)


def _whole(value: float) -> int:
    """Round half up, as the sliders do."""
    return math.floor(value + 0.5)


def _report(session: LibrarySession, case: Case) -> None:
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
    _other_studies(session, case)
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


def _other_studies(session: LibrarySession, case: Case) -> None:
    others = session.other_studies(case)
    if not others:
        return
    st.html(tag("p", TEXTS.case.other_studies, class_="rr-label"))
    with st.container(key="studies", gap="small"):
        for position, other in enumerate(others[:_MOST_STUDIES]):
            named = ", ".join(map(finding_text, other.findings)) or TEXTS.words.no_finding
            st.button(
                escaped(f"{date_text(other)} · {modality_text(other)} · {named}", "markdown"),
                key=f"study-{position}",
                on_click=open_case,
                args=(other.case_id,),
                width="stretch",
            )
