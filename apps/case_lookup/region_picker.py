"""Mark a region of the query's image, by dragging or with sliders, and search by it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from PIL import Image, ImageDraw

from apps.case_lookup.asking import search_region
from apps.case_lookup.faults import errors_on_one_line
from apps.case_lookup.html import escaped, tag
from apps.case_lookup.rendering import DisplaySettings, data_uri, n_slices, presets, render
from apps.case_lookup.texts import TEXTS
from apps.viewer import Ends, region_marker
from medembed.scans import Scan

__all__ = ["Box", "draw_region_picker", "query_picture"]

_COLOR = (217, 166, 80)
_LONGEST = 900
_MIDDLE = (25, 75)


@dataclass(frozen=True)
class Box:
    """A region as an address writes it.

    Parameters
    ----------
    top, left, bottom, right : float
        Fractions of the image.
    slice_number : int or None
        Of a volume, from 1.
    """

    top: float
    left: float
    bottom: float
    right: float
    slice_number: int | None = None

    @classmethod
    def parse(cls, text: str) -> Box | None:
        """Read a region; None for an empty text, or one that is no region."""
        try:
            ends = [float(part) for part in text.split(",") if "=" not in part]
            named = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
            number = int(named["slice"]) if "slice" in named else None
        except ValueError:
            return None
        return cls(ends[0], ends[1], ends[2], ends[3], number) if len(ends) == 4 else None

    def __str__(self) -> str:
        ends = (self.top, self.left, self.bottom, self.right)
        on_slice = "" if self.slice_number is None else f",slice={self.slice_number}"
        return ",".join(f"{end:.3g}" for end in ends) + on_slice


def query_picture(scan: Scan, box: Box | None, *, outlined: bool = True) -> Image.Image:
    """Render the query's image with its region, if there is one.

    Parameters
    ----------
    scan : Scan
    box : Box or None
        The slice of its region is shown; else the middle one.
    outlined : bool
        Whether the region is drawn.
    """
    window = next(iter(presets(scan).values()))
    index = n_slices(scan) // 2
    if box is not None and box.slice_number is not None:
        index = box.slice_number - 1
    image = render(scan, DisplaySettings(window, index), _LONGEST)
    if box is None or not outlined:
        return image
    image = image.convert("RGB")
    right, bottom = image.width - 1, image.height - 1
    corners = (box.left * right, box.top * bottom, box.right * right, box.bottom * bottom)
    ImageDraw.Draw(image).rectangle(corners, outline=_COLOR, width=max(1, image.width // 200))
    return image


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
                data_uri(query_picture(scan, at, outlined=False)),
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
