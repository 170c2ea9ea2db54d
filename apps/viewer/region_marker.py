"""A picture on which a reader marks a box by dragging."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from apps.viewer.registered import registered

__all__ = ["REGION", "Ends", "region_marker"]

REGION = Path(__file__).parent / "region"
"""The component; it is served as it is written."""

Ends = tuple[float, float, float, float]
"""Top, left, bottom and right of a box, as fractions of the picture."""


def region_marker(
    picture: str, alt: str, box: Ends, *, key: str, on_mark: Callable[[Ends], None]
) -> None:
    """Show a picture with a box on it, which dragging replaces.

    Parameters
    ----------
    picture : str
        Its address.
    alt : str
        What it shows, for a screen reader.
    box : Ends
    key : str
        Streamlit's key of the component.
    on_mark : callable
        Called with the box that was drawn.
    """
    import streamlit as st

    def marked() -> None:
        ends = _ends(getattr(st.session_state.get(key), "marked", None))
        if ends is not None:
            on_mark(ends)

    registered("region", REGION, "region.js")(
        key=key,
        data={"picture": picture, "alt": alt, "box": list(box)},
        on_marked_change=marked,
    )


def _ends(given: object) -> Ends | None:
    """Read what the browser sent; None if it is no box."""
    if not isinstance(given, list) or len(given) != 4:
        return None
    if not all(isinstance(end, int | float) and math.isfinite(end) for end in given):
        return None
    top, left, bottom, right = (min(1.0, max(0.0, float(end))) for end in given)
    return (top, left, bottom, right) if top < bottom and left < right else None
