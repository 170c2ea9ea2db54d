"""Keep what stays in memory for good out of garbage collection.

Streamlit collects garbage after each run of the page's script, and would look at everything that
a model and its libraries consist of: a tenth of a second, in which no page is answered. What is
there between two runs is therefore frozen (``gc.freeze``), and looked at about once a minute, so
that what died meanwhile goes: an earlier model, a closed page.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

__all__ = ["keep_settled", "settle"]

_SCRIPT = "ScriptRunner"
"""How the names of Streamlit's threads begin that run the page's script."""

_SECONDS = 60.0
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.05


def settle(patience_seconds: float = _PATIENCE_SECONDS) -> bool:
    """Collect garbage once, everything included, and freeze what is left.

    Only while no script runs: what a run still uses, such as a dropped image, is not frozen.

    Parameters
    ----------
    patience_seconds : float
        How long to wait for such a moment.

    Returns
    -------
    bool
        Whether there was one.
    """
    until = time.monotonic() + patience_seconds
    while any(thread.name.startswith(_SCRIPT) for thread in threading.enumerate()):
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOK_SECONDS)
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    return True


def keep_settled(wait: Callable[[], None], seconds: float = _SECONDS) -> None:
    """Settle once ``wait`` returns, and from then on again if a script has run; never returns."""
    wait()
    collections = -1
    while True:
        if collections != (collections := _collections()):
            settle()
            collections = _collections()
        time.sleep(seconds)


def _collections() -> int:
    return int(gc.get_stats()[-1]["collections"])
