"""The picture of the query's image, with the region that is marked on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import ref

import streamlit as st
from PIL import Image, ImageDraw

from apps.case_lookup.rendering import DisplaySettings, data_uri, n_slices, presets, render
from medembed.scans import Scan

__all__ = ["Box", "draw_picture", "forget_pictures", "query_picture"]

_COLOR = (217, 166, 80)
_LONGEST = 900
_KEPT = "query-pictures"
_MOST_KEPT = 8


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


def draw_picture(scan: Scan, box: Box | None, *, outlined: bool = True) -> Image.Image:
    """Draw the query's image with its region, if there is one.

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


@dataclass
class _Pictures:
    scan: ref[Scan]
    drawn: dict[tuple[str, bool], str] = field(default_factory=dict)


def query_picture(scan: Scan, box: Box | None, *, outlined: bool = True) -> str:
    """Return the picture's data URI; each picture of a visit's image is drawn once.

    The arguments are those of :func:`draw_picture`.
    """
    kept: _Pictures | None = st.session_state.get(_KEPT)
    if kept is None or kept.scan() is not scan:
        kept = st.session_state[_KEPT] = _Pictures(ref(scan))
    key = (str(box or ""), outlined or box is None)
    if key not in kept.drawn:
        if len(kept.drawn) >= _MOST_KEPT:  # a slider leads through the slices of a volume
            del kept.drawn[next(iter(kept.drawn))]
        kept.drawn[key] = data_uri(draw_picture(scan, box, outlined=outlined))
    return kept.drawn[key]


def forget_pictures() -> None:
    """Free the pictures of this visit's image."""
    st.session_state.pop(_KEPT, None)
