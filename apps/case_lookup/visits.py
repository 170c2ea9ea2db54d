"""How long a page's session lives: what was dropped on a page goes when the page goes.

Streamlit keeps a session, with the files that were dropped, after its socket has closed, and lets
go of those of an expired one at no certain time. Here a page that is closed or left ends its
session at once. A page whose socket is merely lost may come back: the browser answers a heartbeat
(a WebSocket ping, every 30 seconds), and ten minutes without one end the session.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Sequence

from apps.case_lookup.middleware import Asgi, Message, Receive, Send

__all__ = ["OpenPages", "enter", "forget"]

HEADER = "X-Medembed-Page"
"""Ours, between the middleware and the script: which socket a run of the script belongs to."""

LOST_SECONDS = 9 * 60.0
"""From a lost socket to the end; up to a minute passes before a missing heartbeat is noticed."""

_LATE_SECONDS = 60.0
_CLOSED = frozenset({1000, 1001})  # RFC 6455, 7.4.1: the page was closed, or another one opened
_KEY = HEADER.lower().encode("ascii")

_sessions: dict[str, str] = {}  # of each open socket, "" until the script has run
_entering = threading.Lock()


def enter(page: str | None, session_id: str) -> None:
    """Note the session of an open page; the script does so before it draws anything.

    Parameters
    ----------
    page : str or None
        Value of :data:`HEADER` for this run; None outside of the room's server.
    session_id : str
        Streamlit's.
    """
    with _entering:
        if page in _sessions:  # it may have been closed since
            _sessions[page] = session_id


def forget(uploads: Sequence[str]) -> None:
    """Let go of uploads that the page has cleared; Streamlit would keep them with the session.

    Parameters
    ----------
    uploads : sequence of str
        Their ids, of the session whose script calls this.
    """
    from streamlit.runtime import exists, get_instance
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    run = get_script_run_ctx()
    if run is not None and exists():
        for upload in uploads:
            get_instance().uploaded_file_mgr.remove_file(run.session_id, upload)


class OpenPages:
    """ASGI middleware: ends the session of a page that is closed, or lost for ten minutes.

    Parameters
    ----------
    app : ASGI application
    lost_seconds : float
        How long a page whose socket was lost is waited for.
    """

    def __init__(self, app: Asgi, lost_seconds: float = LOST_SECONDS) -> None:
        self._app = app
        self._lost_seconds = lost_seconds
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand the request on; watch how a socket ends."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        page = secrets.token_hex(16)
        code = 1006  # lost, unless the browser says more

        async def watched() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code", code)
            return message

        with _entering:
            _sessions[page] = _resumed(scope)
        kept = [header for header in scope["headers"] if header[0] != _KEY]
        headers = [*kept, (_KEY, page.encode("ascii"))]
        try:
            await self._app({**scope, "headers": headers}, watched, send)
        finally:
            with _entering:
                session_id = _sessions.pop(page)
            if session_id:
                self._left(session_id, code)

    def _left(self, session_id: str, code: int) -> None:
        earlier = self._waiting.pop(session_id, None)
        if earlier is not None:
            earlier.cancel()
        if code in _CLOSED:
            self._end(session_id)
        else:
            loop = asyncio.get_running_loop()
            self._waiting[session_id] = loop.call_later(self._lost_seconds, self._end, session_id)

    def _end(self, session_id: str) -> None:
        """End the session unless its page has come back; runs on the server's event loop."""
        from streamlit.runtime import get_instance

        self._waiting.pop(session_id, None)
        runtime = get_instance()
        if runtime.is_active_session(session_id):
            return
        runtime.close_session(session_id)
        # Streamlit holds at most 128 closed sessions, and lets the files of others lie
        runtime.uploaded_file_mgr.remove_session_files(session_id)
        # an upload that was on its way arrives after the end
        asyncio.get_running_loop().call_later(
            _LATE_SECONDS, runtime.uploaded_file_mgr.remove_session_files, session_id
        )


def _resumed(scope: Message) -> str:
    """The session that a page asks to come back to: the third of Streamlit's subprotocols."""
    given = b",".join(value for key, value in scope["headers"] if key == b"sec-websocket-protocol")
    entries = [entry.strip() for entry in given.decode("latin-1").split(",")]
    return entries[2] if len(entries) > 2 else ""
