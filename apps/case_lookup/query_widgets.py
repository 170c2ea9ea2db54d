"""The widgets that show the query: what they are called, and how the server sets them.

A browser sends the values of all its widgets with whatever the reader does. If the server has just
set one (by Back, Undo, or a line that was taken out) and the reader acts before the browser has
heard of it, the browser sends the old value, which looks like a change that the reader made. So a
widget that the server sets is a new one from then on: its key carries the round, and what comes
from an earlier round counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

__all__ = ["as_widget", "new_round", "show_value", "widget_key"]

_ROUNDS = "widget-rounds"


def _round(name: str) -> int:
    rounds: dict[str, int] = st.session_state.get(_ROUNDS) or {}
    return rounds.get(name, 0)


def widget_key(name: str) -> str:
    """Return the present key of the widget that shows one part of the query."""
    at = _round(name)
    return f"{name}-{at}" if at else name


def new_round(name: str) -> None:
    """Let go of a widget: the next to be drawn under this name is empty."""
    st.session_state[_ROUNDS] = {**st.session_state.get(_ROUNDS, {}), name: _round(name) + 1}


def show_value(name: str, value: Any) -> None:
    """Make a widget show a value from now on; only before it is drawn."""
    kept = st.session_state
    key = widget_key(name)
    if key in kept and kept[key] != value:
        del kept[key]  # Streamlit forgets what it drew, not what never came to be drawn
        new_round(name)
    kept[widget_key(name)] = value


def as_widget(name: str, acted: Callable[[], None]) -> dict[str, Any]:
    """Give key and callback of a widget, for Streamlit's function that draws it.

    Parameters
    ----------
    name : str
    acted : callable
        Called if the reader changed it.
    """
    at = _round(name)

    def changed() -> None:
        if at == _round(name):
            acted()

    return {"key": widget_key(name), "on_change": changed}
