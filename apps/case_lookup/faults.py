"""Report errors in one line, on the page and in the log, without a patient's value."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from apps.case_lookup.html import escaped
from apps.case_lookup.texts import TEXTS
from apps.logged_errors import error_location, strip_error_messages
from medembed.errors import MedEmbedError

__all__ = [
    "error_line",
    "error_location",
    "errors_on_one_line",
    "show_error",
    "strip_error_messages",
]

_LOG = logging.getLogger("medembed.apps")


def error_line(error: MedEmbedError) -> str:
    """Give what is wrong and what to do; for a scan without its path, which may name a patient."""
    return TEXTS.faults.error(error)


def show_error(error: MedEmbedError) -> None:
    """Show an error in one line; the query stays as it is."""
    st.error(escaped(error_line(error), "markdown"))


@contextmanager
def errors_on_one_line() -> Iterator[None]:
    """Show any error raised inside as one line.

    Each fragment needs its own: Streamlit catches and logs a fragment's errors, message
    included, before the page can.
    """
    try:
        yield
    except MedEmbedError as error:
        show_error(error)
    except Exception as error:  # noqa: BLE001  a traceback could hold a patient's value
        where = error_location(error)
        _LOG.error("reading room: %s", where)
        st.error(escaped(TEXTS.faults.internal(where), "markdown"))
