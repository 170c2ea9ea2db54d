"""Keep the messages of foreign errors out of the log: one may quote a patient's header."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

__all__ = ["error_location", "strip_error_messages"]


def error_location(error: BaseException) -> str:
    """Give type and place of an error (``KeyError at page.py:120``), but not its message."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def strip_error_messages() -> None:
    """Strip messages and tracebacks from all errors that this process logs from now on."""
    make = logging.getLogRecordFactory()

    def record(*args: object, **kwargs: object) -> logging.LogRecord:
        made = make(*args, **kwargs)
        if made.exc_info and made.exc_info[1] is not None:
            made.msg = f"{made.msg} ({error_location(made.exc_info[1])})"
            made.exc_info = made.exc_text = None
        return made

    logging.setLogRecordFactory(record)
