"""Declare the viewer's component, and mount it with what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from apps.viewer.registered import registered

__all__ = ["BUILT", "Layer", "Panel", "Picture", "ViewerTexts", "viewer"]

BUILT = Path(__file__).parent / "built"
"""The component as it is shipped: built from ``frontend``, which has the command."""


@dataclass(frozen=True)
class Picture:
    """One scan of a study.

    Parameters
    ----------
    address : str
        Of its pixels, relative to the page; see :mod:`apps.pixels`.
    label : str
        What tells it from the study's other scans.
    """

    address: str
    label: str = ""


@dataclass(frozen=True)
class Layer:
    """A study to lay over a panel's own: a prior of the same patient.

    Parameters
    ----------
    address, label : str
        As of a :class:`Picture`.
    """

    address: str
    label: str


@dataclass(frozen=True)
class Panel:
    """One study on the screen.

    Parameters
    ----------
    name : str
        Tells this panel from the others; it stays the same when the next hit takes its place.
    label : str
        Shown on the panel.
    alt : str
        What the panel shows, for a screen reader.
    pictures : sequence of Picture
        The study's scans; the first is shown.
    layers : sequence of Layer
        Priors that can be laid over it.
    """

    name: str
    label: str
    alt: str
    pictures: Sequence[Picture]
    layers: Sequence[Layer] = ()


@dataclass(frozen=True)
class ViewerTexts:
    """Every text of the viewer. A brace names what is put in: ``{n}``."""

    window: str
    windows: Mapping[str, str]  # by preset
    own_window: str
    invert: str
    rotate: str
    link: str
    link_help: str
    anchor: str
    anchor_help: str
    planes: str
    planes_help: str
    fuse: str
    no_layer: str
    opacity: str
    not_registered: str
    move_layer: str
    adjust_window: str
    pan: str
    zoom: str
    locate: str
    length: str
    angle: str
    region: str
    delete_marks: str
    reset: str
    fit: str
    help: str
    help_title: str
    close: str
    tools: str
    picture: str
    slice_: str  # {n} of {of}
    slice_name: str
    level_width: str  # {center} {width}
    level_width_hu: str
    lookup_table: str
    millimeters: str  # {mm}
    millimeters_at_detector: str
    pixels: str
    degrees: str
    mean: str  # {mean} {sd} {units}
    planes_names: Mapping[str, str]  # axial, coronal, sagittal, and the three of unknown sides
    loading: str
    loaded: str  # {n} of {of}
    failed: str  # {reason}
    no_connection: str
    try_again: str
    without_gpu: str
    as_stored: str
    keys: Sequence[tuple[str, str]]  # the keys and what they do, for the list of help


def viewer(
    panels: Sequence[Panel],
    *,
    key: str,
    texts: ViewerTexts,
    link: bool = True,
    steps: tuple[bool, bool] = (False, False),
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Show studies side by side, or one above the other on a screen that is taller than wide.

    Only addresses and labels travel through the script; the browser fetches the pixels itself and
    keeps them. So a rerun sends no pixel again, and reacts to nothing but another address.

    Parameters
    ----------
    panels : sequence of Panel
        One or two.
    key : str
        Streamlit's key of the component.
    texts : ViewerTexts
    link : bool
        Whether the panels are linked when the visitor sees them for the first time.
    steps : tuple of bool
        Whether there is a previous and a next hit.
    on_step : callable, optional
        Called with -1 or 1 when the visitor asks for the previous or the next hit.
    """
    import streamlit as st

    def stepped() -> None:
        step = getattr(st.session_state.get(key), "step", None)
        if on_step is not None and step in (-1, 1):
            on_step(step)

    registered("viewer", BUILT, "index-*.js")(
        key=key,
        data={
            "panels": [asdict(panel) for panel in panels],
            "texts": asdict(texts),
            "link": link,
            "steps": list(steps),
        },
        on_step_change=stepped,
    )
