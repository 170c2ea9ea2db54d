"""A socket of a session: it closes when the session ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from apps.access.asgi import Message, Receive, Send
from apps.access.sessions import Session, Sessions

__all__ = ["SESSION_ENDED", "SessionSocket"]

SESSION_ENDED = 4401
"""Close code of a socket whose session ended (RFC 6455, 7.4.2: for private use)."""


class SessionSocket:
    """Receives and sends for an application as long as the session lasts.

    Parameters
    ----------
    session : Session
    sessions : Sessions
    receive, send : callable
        Of the server.
    is_activity : callable
        Whether a message shows that somebody is there.
    look_seconds : float
        How often to look whether a limit of the session has passed.
    """

    def __init__(
        self,
        session: Session,
        sessions: Sessions,
        receive: Receive,
        send: Send,
        is_activity: Callable[[Message], bool],
        look_seconds: float,
    ) -> None:
        self._session = session
        self._sessions = sessions
        self._receive = receive
        self._send = send
        self._is_activity = is_activity
        self._look_seconds = look_seconds
        self._waiting: asyncio.Task[Any] | None = None
        self._is_closed = False

    async def receive(self) -> Message:
        """Wait for a message, or for the end of the session."""
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._receive())  # type: ignore[arg-type]
        end = asyncio.create_task(self._session.end.wait())
        try:
            while self._sessions.is_live(self._session):
                if self._waiting.done():
                    return self._taken()
                await asyncio.wait(
                    {self._waiting, end},
                    timeout=self._look_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            end.cancel()
        await self._say_why()
        return {"type": "websocket.disconnect", "code": SESSION_ENDED}

    def _taken(self) -> Message:
        assert self._waiting is not None
        message: Message = self._waiting.result()
        self._waiting = None
        if message["type"] == "websocket.receive" and self._is_activity(message):
            self._sessions.touch(self._session)
        return message

    async def _say_why(self) -> None:
        """Close the browser's end; it may be gone already."""
        if self._is_closed:
            return
        self._is_closed = True
        why = self._session.ended.value if self._session.ended else ""
        with suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.close", "code": SESSION_ENDED, "reason": why})

    async def send(self, message: Message) -> None:
        """Send what the application sends.

        Raises
        ------
        OSError
            If the session is over, as a server raises it when the client is gone.
        """
        if self._is_closed:
            raise OSError("the session is over")
        if message["type"] == "websocket.close":
            self._is_closed = True
        await self._send(message)

    async def stop(self) -> None:
        """Stop waiting for a message."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)
