"""What goes wrong, in one line: on the page and in the log, and never with a patient's value."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from apps.case_lookup.html import escaped
from medembed.errors import MedEmbedError, ScanError

__all__ = ["line_of", "one_line", "place_of", "quiet_tracebacks", "show_error"]

_LOG = logging.getLogger("medembed.apps")


def line_of(error: MedEmbedError) -> str:
    """What was wrong and what to do; of a scan without its file, whose name may name a patient."""
    if isinstance(error, ScanError):
        return f"{error.what}; {error.hint}" if error.hint else error.what
    return str(error)


def place_of(error: BaseException) -> str:
    """Kind and place of a foreign error, such as ``KeyError at page.py:120``; not its message."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def show_error(error: MedEmbedError) -> None:
    """Say in one line what went wrong; the query stays as it is."""
    st.error(escaped(line_of(error), "markdown"))


@contextmanager
def one_line() -> Iterator[None]:
    """Show whatever goes wrong inside as one line.

    Each fragment needs its own: Streamlit catches what a fragment raises before the page can, and
    logs it with its message.
    """
    try:
        yield
    except MedEmbedError as error:
        show_error(error)
    except Exception as error:  # noqa: BLE001  a traceback could hold a patient's value
        where = place_of(error)
        _LOG.error("reading room: %s", where)
        st.error(escaped(f"Internal error ({where}). Reload the page to continue.", "markdown"))


def quiet_tracebacks() -> None:
    """Log errors from here on, of this process and of any library, without their messages."""
    make = logging.getLogRecordFactory()

    def record(*args: object, **kwargs: object) -> logging.LogRecord:
        made = make(*args, **kwargs)
        if made.exc_info and made.exc_info[1] is not None:
            made.msg = f"{made.msg} ({place_of(made.exc_info[1])})"
            made.exc_info = made.exc_text = None
        return made

    logging.setLogRecordFactory(record)
