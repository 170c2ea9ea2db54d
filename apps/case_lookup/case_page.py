"""The page of one case: its image at full size, its report, and where to go from here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.faults import one_line
from apps.case_lookup.formatting import chips, finding_words, kind, marked_note, when, who
from apps.case_lookup.html import Markup, escaped, join, notice, tag
from apps.case_lookup.rendering import (
    Look,
    data_uri,
    n_slices,
    plane,
    presets,
    render,
    value_range,
)
from apps.case_lookup.sidebar import close_case, look_like, open_case
from medembed.cases import Case, Finding
from medembed.errors import MedEmbedError, ScanError
from medembed.scans import Scan, VoiLut, Window

if TYPE_CHECKING:
    from apps.case_lookup.session import Desk, Question

__all__ = ["show_case"]


def show_case(desk: Desk, case_id: str, question: Question) -> None:
    """Draw the case, or one line where there is none of that name.

    Parameters
    ----------
    desk : Desk
    case_id : str
        As the page's address has it: anything.
    question : Question
        What was asked before; its image can be laid beside the case's.
    """
    back = "Back to the search" if question.is_empty else "Back to the results"
    try:
        case = desk.library.case(case_id)
    except MedEmbedError:
        st.html(
            notice(
                "This library has no such case", "Check the link. The case may have been erased."
            )
        )
        st.button(back, on_click=close_case)
        return
    with st.container(key="case-bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.button(back, icon=":material/arrow_back:", on_click=close_case)
        st.html(_title(case))
        st.button(
            "Find similar to this case", type="primary", on_click=look_like, args=(case.case_id,)
        )
    image, report = st.columns([1.45, 1], gap="medium")
    with image, st.container(key="viewer"):
        _viewer(desk, case, question.scan)
    with report:
        _report(desk, case)


def _title(case: Case) -> Markup:
    return tag(
        "div",
        tag("strong", who(case)),
        tag("span", kind(case)),
        tag("span", when(case)),
        tag("span", f"case {case.case_id}", class_="rr-quiet"),
        class_="rr-line",
    )


@st.fragment
def _viewer(desk: Desk, case: Case, query: Scan | None) -> None:
    """The image with its window and slice; moving a slider redraws this part only."""
    with one_line():
        _view(desk, case, query)


def _view(desk: Desk, case: Case, query: Scan | None) -> None:
    position = 0
    if len(case.scans) > 1:
        with st.container(key="images"):
            position = st.segmented_control(
                "Images of this study",
                range(len(case.scans)),
                default=0,
                required=True,
                key=f"image-{case.case_id}",
                format_func=lambda i: escaped(_image_words(case, i), "markdown"),
                label_visibility="collapsed",
            )
    try:
        scan = desk.scan(case, position)
    except ScanError as error:
        st.error(f"This image cannot be shown: {escaped(error.what, 'markdown')}.")
        return
    look, compare = _controls(scan, f"{case.case_id}-{position}", query is not None)
    pictures = [_picture(scan, look, f"{kind(case)}, {who(case)}")]
    if query is not None and compare:
        window = next(iter(presets(query).values()))
        pictures.insert(0, _picture(query, Look(window, n_slices(query) // 2), "query"))
    st.html(tag("div", *pictures, class_="rr-stage"))
    st.html(tag("p", _caption(scan, look), class_="rr-quiet"))


def _image_words(case: Case, position: int) -> str:
    view = case.scans[position].view
    return f"{position + 1}" if view == "unknown" else f"{position + 1} {view}"


def _picture(scan: Scan, look: Look, name: str) -> Markup:
    return tag(
        "figure",
        tag("img", src=data_uri(render(scan, look)), alt=name),
        tag("figcaption", "query" if name == "query" else "this case"),
    )


def _controls(scan: Scan, name: str, has_query: bool) -> tuple[Look, bool]:
    """The controls over the image: how it is looked at, and whether the query lies beside it."""
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
            "Window",
            list(offered),
            key=keys["preset"],
            on_change=take_preset,
            label_visibility="collapsed",
        )
        invert = st.toggle("Invert", key=keys["invert"])
        if has_query:
            compare = st.toggle("Query beside it", key="compare")
    columns = st.columns(3 if scan.is_volume else 2, gap="medium")
    unit = ", HU" if scan.units == "HU" else ""
    center = columns[0].slider(
        f"Center{unit}",
        low,
        high,
        step=step,
        key=keys["center"],
        on_change=leave_preset,
        format="%.0f",
    )
    width = columns[1].slider(
        f"Width{unit}",
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
        slice_index = columns[2].slider("Slice", 1, n_slices(scan), key=keys["slice"]) - 1
    chosen = state.get(keys["preset"])
    # the sliders cannot hold a preset that reaches beyond the data: the preset itself is drawn
    window = offered[chosen] if chosen in offered else Window(center, width)
    return Look(window, slice_index, invert), compare


def _caption(scan: Scan, look: Look) -> str:
    rows, columns = plane(scan, look.slice_index).shape
    parts = [f"{columns} × {rows} pixels"]
    if scan.spacing_mm is not None:
        parts.append(" × ".join(f"{mm:.2f}" for mm in reversed(scan.spacing_mm)) + " mm")
    if scan.is_volume:
        parts.append(f"slice {look.slice_index + 1} of {n_slices(scan)}")
    if isinstance(look.window, Window):
        parts.append(f"center {_whole(look.window.center)}, width {_whole(look.window.width)}")
    else:
        parts.append("the file's own table of grey levels")
    parts.append("rows and columns as in the file")
    return " · ".join(parts)


def _whole(value: float) -> int:
    """Round halves up, as the sliders do."""
    return math.floor(value + 0.5)


def _report(desk: Desk, case: Case) -> None:
    parts: list[Markup] = [
        tag("p", "Findings", class_="rr-label"),
        tag("div", chips(case.findings), class_="rr-chips"),
    ]
    parts += _also(case)
    parts.append(tag("p", "Report", class_="rr-label"))
    if case.note is None:
        parts.append(tag("p", "There is no report for this case.", class_="rr-quiet"))
    else:
        parts.append(marked_note(case.note))
    st.html(join(*parts))
    _other_studies(desk, case)
    st.html(join(tag("p", "Study", class_="rr-label"), _facts(case)))


def _also(case: Case) -> list[Markup]:
    """What the report denies or leaves open, in a line each."""
    if case.note is None:
        return []
    lines: list[Markup] = []
    for status, label in (("uncertain", "Uncertain"), ("absent", "Absent")):
        named = dict.fromkeys(
            finding_words(Finding(a.label, a.side))
            for a in case.note.assertions
            if a.status == status and not a.historical
        )
        if named:
            lines.append(tag("p", f"{label}: {', '.join(named)}", class_="rr-quiet"))
    return lines


def _facts(case: Case) -> Markup:
    facts = {
        "Case": case.case_id,
        "Patient": case.patient_id,
        "Date": when(case) + (" (moved, intervals kept)" if case.date_shift_days else ""),
        "Site": case.site,
        "Scanner": case.scanner,
        "Images": str(len(case.scans)),
        **{name.replace("_", " ").capitalize(): v for name, v in case.attributes.items()},
    }
    shown = {name: value for name, value in facts.items() if value and value != "unknown"}
    return tag(
        "dl",
        *(join(tag("dt", name), tag("dd", value)) for name, value in shown.items()),
        class_="rr-facts",
    )


def _other_studies(desk: Desk, case: Case) -> None:
    others = desk.other_studies(case)
    if not others:
        return
    st.html(tag("p", "Other studies of this patient", class_="rr-label"))
    with st.container(key="studies", gap="small"):
        for position, other in enumerate(others[:12]):
            named = ", ".join(finding_words(f) for f in other.findings) or "no finding recorded"
            st.button(
                escaped(f"{when(other)} · {kind(other)} · {named}", "markdown"),
                key=f"study-{position}",
                on_click=open_case,
                args=(other.case_id,),
                width="stretch",
            )
