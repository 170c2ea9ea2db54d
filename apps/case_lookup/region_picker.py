"""Mark a region of the query's image, by dragging or with sliders, and search by it."""

from __future__ import annotations

import streamlit as st

from apps.case_lookup.asking import search_region
from apps.case_lookup.faults import errors_on_one_line
from apps.case_lookup.html import escaped, tag
from apps.case_lookup.query_picture import Box, query_picture
from apps.case_lookup.rendering import n_slices
from apps.case_lookup.texts import TEXTS
from apps.viewer import Ends, region_marker
from medembed.scans import Scan

__all__ = ["draw_region_picker"]

_MIDDLE = (25, 75)


def draw_region_picker(scan: Scan, region: str) -> None:
    """Offer to mark a region of the query's image."""
    with st.expander(TEXTS.query.mark_region, expanded=bool(region)):
        _picker(scan, region)


@st.fragment
def _picker(scan: Scan, region: str) -> None:
    """Draw the sliders and the region on the image; moving one redraws only this part."""
    with errors_on_one_line():
        box = Box.parse(region)
        texts = TEXTS.query
        ends = ((box.top, box.bottom), (box.left, box.right)) if box else (None, None)
        st.html(tag("p", texts.drag_region, class_="rr-quiet"))
        place = st.container()
        rows_key, columns_key = f"region-rows-{region}", f"region-columns-{region}"
        rows = _range(texts.top_to_bottom, rows_key, ends[0])
        columns = _range(texts.left_to_right, columns_key, ends[1])
        number = None
        if scan.is_volume and n_slices(scan) > 1:
            st.session_state.setdefault("region-slice", n_slices(scan) // 2 + 1)
            number = st.slider(TEXTS.query.slice_, 1, n_slices(scan), key="region-slice")
        marked = Box(rows[0], columns[0], rows[1], columns[1], number)

        def drawn(box: Ends) -> None:
            top, left, bottom, right = (round(100 * end) for end in box)
            st.session_state[rows_key] = (top, max(top + 1, bottom))
            st.session_state[columns_key] = (left, max(left + 1, right))

        at = None if number is None else Box(0, 0, 1, 1, number)
        with place:
            region_marker(
                query_picture(scan, at, outlined=False),
                texts.region,
                (marked.top, marked.left, marked.bottom, marked.right),
                key="region-marker",
                on_mark=drawn,
            )
        is_empty = rows[0] >= rows[1] or columns[0] >= columns[1]
        if st.button(
            TEXTS.query.search_region,
            key="search-region",
            type="primary",
            width="stretch",
            disabled=is_empty,
            on_click=search_region,
            args=(str(marked),),
        ):
            st.rerun()  # the whole page, since the button is in a part of it


def _range(label: str, key: str, ends: tuple[float, float] | None) -> tuple[float, float]:
    shown = _MIDDLE if ends is None else (round(100 * ends[0]), round(100 * ends[1]))
    st.session_state.setdefault(key, shown)
    low, high = st.slider(
        escaped(label, "markdown"), 0, 100, key=key, format=TEXTS.sidebar.percent_format
    )
    return low / 100, high / 100
