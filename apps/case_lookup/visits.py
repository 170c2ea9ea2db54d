"""End a page's session when the page goes, so that dropped files go with it.

Streamlit keeps a session and its uploads after the socket has closed, and frees those of an
expired session at no certain time. Here, closing or leaving a page ends its session at once, and
so does the end of a sign-in. A page that only lost its connection may come back: the browser
answers a heartbeat (a WebSocket ping) every 30 seconds, and the session ends after ten minutes
without one.

A session of Streamlit, its uploads and its media files belong to the sign-in that began it: an
address that somebody else got hold of opens nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Sequence

from apps.access.asgi import Asgi, Message, Receive, Send, respond
from apps.access.guard import session_handle
from apps.access.session_sockets import SESSION_ENDED

__all__ = ["OpenPages", "forget_uploads", "register_page"]

HEADER = "X-Medembed-Page"
"""Set by the middleware for the script: the socket that a run of the script belongs to."""

LOST_SECONDS = 9 * 60.0
"""From a lost socket to the end of its session; noticing a missed heartbeat adds a minute."""

_LATE_SECONDS = 60.0
_CLOSED = frozenset({1000, 1001, SESSION_ENDED})  # RFC 6455, 7.4.1: page closed, or navigated away
_KEY = HEADER.lower().encode("ascii")
_PROTOCOL = b"sec-websocket-protocol"
_UPLOADS, _MEDIA = "/_stcore/upload_file/", "/media/"
_LOOKS, _LOOK_SECONDS = 20, 0.1

_sessions: dict[str, str] = {}  # by open socket; "" until the script has run
_handles: dict[str, str] = {}  # handle of the sign-in, by open socket
_owners: dict[str, str] = {}  # handle of the sign-in, by session
_sessions_lock = threading.Lock()


def register_page(page: str | None, session_id: str) -> None:
    """Register the session of an open page; the script calls this before it draws anything.

    Parameters
    ----------
    page : str or None
        Value of :data:`HEADER` for this run; None outside the reading room's server.
    session_id : str
        Streamlit's.
    """
    with _sessions_lock:
        if page in _sessions:  # it may have been closed since
            _sessions[page] = session_id
            _owners[session_id] = _handles[page]


def forget_uploads(uploads: Sequence[str]) -> None:
    """Free uploads that the page has cleared; Streamlit would keep them with the session.

    Parameters
    ----------
    uploads : sequence of str
        Their ids, in the session whose script calls this.
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
        How long to wait for a page that lost its socket.
    """

    def __init__(self, app: Asgi, lost_seconds: float = LOST_SECONDS) -> None:
        self._app = app
        self._lost_seconds = lost_seconds
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, and watch how a socket ends."""
        if scope["type"] == "http" and not await _comes_from_its_owner(scope):
            await respond(send, 404)
            return
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        page, handle = secrets.token_hex(16), session_handle(scope)
        code = 1006  # lost, unless the browser reports another code

        async def watched() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code", code)
            return message

        resumed = _resumed(scope)
        with _sessions_lock:
            if _owners.get(resumed, handle) != handle:
                resumed = ""  # another person's: this page begins anew
            _sessions[page], _handles[page] = resumed, handle
        kept = [header for header in scope["headers"] if header[0] != _KEY]
        headers = [*_protocols(kept, resumed), (_KEY, page.encode("ascii"))]
        try:
            await self._app({**scope, "headers": headers}, watched, send)
        finally:
            with _sessions_lock:
                session_id = _sessions.pop(page)
                _handles.pop(page)
            if session_id:
                self._end_or_wait(session_id, code)

    def _end_or_wait(self, session_id: str, code: int) -> None:
        earlier = self._waiting.pop(session_id, None)
        if earlier is not None:
            earlier.cancel()
        if code in _CLOSED:
            self._end(session_id)
        else:
            loop = asyncio.get_running_loop()
            self._waiting[session_id] = loop.call_later(self._lost_seconds, self._end, session_id)

    def _end(self, session_id: str) -> None:
        """End the session unless its page is back; runs on the server's event loop."""
        from streamlit.runtime import get_instance

        self._waiting.pop(session_id, None)
        runtime = get_instance()
        if runtime.is_active_session(session_id):
            return
        runtime.close_session(session_id)
        with _sessions_lock:
            _owners.pop(session_id, None)
        # Streamlit tracks at most 128 closed sessions and keeps the files of the rest
        runtime.uploaded_file_mgr.remove_session_files(session_id)
        # an upload still in transit arrives after the end
        asyncio.get_running_loop().call_later(
            _LATE_SECONDS, runtime.uploaded_file_mgr.remove_session_files, session_id
        )


async def _comes_from_its_owner(scope: Message) -> bool:
    """Whether a request for an upload or a media file comes from the sign-in that it belongs to.

    Without logins there is one person, who owns everything.
    """
    path, handle = scope["path"], session_handle(scope)
    if not handle or not path.startswith((_UPLOADS, _MEDIA)):
        return True
    for _ in range(_LOOKS):  # a run of the script takes its files away and gives them back
        with _sessions_lock:
            own = {session_id for session_id, owner in _owners.items() if owner == handle}
        if path.startswith(_UPLOADS):
            return path.removeprefix(_UPLOADS).partition("/")[0] in own
        if path.removeprefix(_MEDIA).partition(".")[0] in _media_of(own):
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False


def _media_of(sessions: set[str]) -> set[str]:
    """Give the ids of the media files that these sessions show."""
    from streamlit.runtime import get_instance

    held = get_instance().media_file_mgr._files_by_session_and_coord
    return {file for session in sessions for file in list(held.get(session, {}).values())}


def _resumed(scope: Message) -> str:
    """Give the session a page wants to resume: the third of Streamlit's subprotocols."""
    given = b",".join(value for key, value in scope["headers"] if key == _PROTOCOL)
    entries = [entry.strip() for entry in given.decode("latin-1").split(",")]
    return entries[2] if len(entries) > 2 else ""


def _protocols(headers: list[tuple[bytes, bytes]], resumed: str) -> list[tuple[bytes, bytes]]:
    """Drop the session from Streamlit's subprotocols unless it is to be resumed."""
    if resumed:
        return headers
    return [
        (key, b", ".join(value.split(b",")[:2]) if key == _PROTOCOL else value)
        for key, value in headers
    ]
