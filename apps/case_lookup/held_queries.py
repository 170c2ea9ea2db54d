"""What stands in an address as a token: dropped images, and words that may name a patient.

A page that is reloaded is a new session of Streamlit, and the browser does not send its files
again. So they are kept here, in memory, until ten minutes after the last page that used them has
gone. A token opens nothing by itself: it must come from the browser and the person to which it was
given.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.case_lookup.signed_in import person_on_page
from medembed.library import library_vocabulary
from medembed.library.statements import words_in_reports
from medembed.notes.unknown import unread_words

if TYPE_CHECKING:
    from apps.case_lookup.dropped import DroppedImage
    from medembed.library import CaseLibrary

__all__ = ["HELD", "HeldQueries", "browser_key", "may_stand_in_address", "session_id"]

KEPT_SECONDS = 9.5 * 60
"""From a page's end to the removal of what it held; a sweep adds its interval."""

_SWEEP_SECONDS = 15.0
_MOST_BYTES = 512 * 2**20
"""Of all that one browser has: what was used last stays."""
_LONGEST = 160
_NUMBERS = re.compile(r"\d{4,}|\d+[./-]\d+[./-]\d+")


@dataclass
class _Held:
    thing: DroppedImage | str
    browser: str
    size: int
    sessions: set[str] = field(default_factory=set)
    used: float = 0.0  # when a page that uses it was last known to be open
    order: int = 0


class HeldQueries:
    """Keeps dropped images and words by token. Safe to use from several threads.

    Parameters
    ----------
    is_open : callable
        Whether the page of this session is open.
    clock : callable
        Seconds, rising.
    kept_seconds : float
    """

    def __init__(
        self,
        is_open: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        self._is_open, self._clock, self._kept_seconds = is_open, clock, kept_seconds
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._n_uses = 0
        self._sweeper: threading.Thread | None = None

    def keep(self, thing: DroppedImage | str, browser: str, session: str) -> str:
        """Keep an image or a text; return its token.

        Parameters
        ----------
        thing : DroppedImage or str
        browser : str
            As :func:`browser_key` gives it; empty for none: only this session gets it back.
        session : str
            Of the page that uses it.
        """
        token = secrets.token_urlsafe(16)
        size = len(thing) if isinstance(thing, str) else _size(thing)
        with self._lock:
            self._held[token] = _Held(thing, browser, size)
            self._use(token, session)
            self._limit(browser)
            self._start_sweeping()
        return token

    def take(self, token: str, browser: str, session: str) -> DroppedImage | str | None:
        """Return what was kept under a token; None if it has gone, or is another browser's."""
        with self._lock:
            held = self._held.get(token)
            if held is None:
                return None
            is_own = bool(browser) and secrets.compare_digest(held.browser, browser)
            if not (is_own or session in held.sessions):
                return None
            self._use(token, session)
            return held.thing

    def has(self, token: str, session: str) -> bool:
        """Return whether this session, still open, has what was kept under a token."""
        with self._lock:
            held = self._held.get(token)
            return held is not None and session in held.sessions and self._is_open(session)

    def forget(self, session: str) -> None:
        """Remove at once what this session's page used."""
        with self._lock:
            self._held = {
                token: held for token, held in self._held.items() if session not in held.sessions
            }

    def sweep(self) -> int:
        """Remove what no open page has used for the time to keep; return how much is left."""
        with self._lock:
            now = self._clock()
            for token, held in [*self._held.items()]:
                if any(self._is_open(session) for session in held.sessions):
                    held.used = now
                elif now - held.used > self._kept_seconds:
                    del self._held[token]
            return len(self._held)

    def _use(self, token: str, session: str) -> None:
        self._n_uses += 1
        held = self._held[token]
        held.sessions.add(session)
        held.used, held.order = self._clock(), self._n_uses

    def _limit(self, browser: str) -> None:
        own = [(h.order, token, h.size) for token, h in self._held.items() if h.browser == browser]
        total = 0
        for position, (_, token, size) in enumerate(sorted(own, reverse=True)):
            total += size
            if position and total > _MOST_BYTES:
                del self._held[token]

    def _start_sweeping(self) -> None:
        if self._sweeper is None or not self._sweeper.is_alive():
            self._sweeper = threading.Thread(target=self._keep_sweeping, name="held", daemon=True)
            self._sweeper.start()

    def _keep_sweeping(self) -> None:
        while True:
            time.sleep(_SWEEP_SECONDS)
            left = self.sweep()
            with self._lock:
                if not left and not self._held:
                    self._sweeper = None
                    return


def _size(image: DroppedImage) -> int:
    return 0 if image.scan is None else int(image.scan.pixels.nbytes)


def _is_open(session: str) -> bool:
    from streamlit.runtime import exists, get_instance

    return exists() and get_instance().is_active_session(session)


HELD = HeldQueries(_is_open)
"""Of this process."""


def session_id() -> str:
    """Return the id of the session whose script calls this; empty outside of one."""
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    run = get_script_run_ctx()
    return "" if run is None else run.session_id


def browser_key() -> str:
    """Return a digest that tells browser and person of the running script; empty without cookie.

    Streamlit gives every browser a random token in a cookie, masked anew at each load of the page.
    Who signs in after somebody else at the same browser has another key.
    """
    import streamlit as st
    from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string

    token = None
    with suppress(KeyError):
        token, _ = decode_xsrf_token_string(st.context.cookies["_streamlit_xsrf"])
    if not token:
        return ""
    name = person_on_page().name.encode()
    return hashlib.sha256(b"medembed-held\0" + token + b"\0" + name).hexdigest()


def may_stand_in_address(library: CaseLibrary, words: str) -> bool:
    """Return whether words may be written out in an address.

    An address stays in the browser's history and in logs of proxies, and a pasted report may name
    a patient. Only a short text may stand there, in words that the library's reports or the
    vocabulary of findings have, without a date or a long number.
    """
    if len(words) > _LONGEST or _NUMBERS.search(words):
        return False
    unread = set(unread_words(words, library_vocabulary(library)))
    return unread == words_in_reports(library, unread)
