"""The guard: one ASGI middleware before every route, which lets nothing pass without a person."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from enum import Enum, StrEnum, auto
from typing import TypeAlias
from urllib.parse import quote

from apps.access.asgi import (
    Asgi,
    Message,
    Receive,
    Send,
    client_address,
    header_values,
    is_navigation,
    refuse_socket,
    respond,
    without_headers,
)
from apps.access.door import Door, TooManyAttempts
from apps.access.pages import not_allowed_page
from apps.access.people import LOCAL_PERSON, NOBODY, PERSON, Permission, Person
from apps.access.session_sockets import SessionSocket
from apps.access.sessions import Session
from apps.access.sign_in import PREFIX
from apps.access.texts import texts_for
from medembed.errors import ConfigError

__all__ = ["Entry", "Guard", "Kind", "Need", "session_handle"]

HANDLE_HEADER = b"x-medembed-session"
"""Names the session to the page's script; a client's own header of this name is removed."""

_OURS = b"x-medembed-"
_NO_STORE = (b"cache-control", b"no-store")
_LOG = logging.getLogger("medembed.access")
_LOOK_SECONDS = 5.0
_HANDLE = "medembed.session"


class Entry(Enum):
    """What a path needs if it is no permission."""

    EVERYBODY = auto()
    SIGNED_IN = auto()


Need: TypeAlias = Permission | Entry
"""What a path needs."""

NeedOf: TypeAlias = Callable[[Message], Need]


class Kind(StrEnum):
    """How somebody shows who they are."""

    PAGE = "page"
    SERVICE = "service"


def session_handle(scope: Message) -> str:
    """Give the handle of a request's session; empty without logins."""
    return str(scope.get(_HANDLE, ""))


class Guard:
    """ASGI middleware: default deny, for every request and every socket.

    A request gets through if its path is open to everybody, or if it shows a live session (page)
    or a valid token (service) of a person with the permission that the path needs. Whoever is not
    known gets 401, from a page a way to sign in; whoever lacks a permission gets 403.

    Parameters
    ----------
    app : ASGI application
    door : Door or None
        None for single-user mode: everything is :data:`~apps.access.people.LOCAL_PERSON`'s.
    kind : Kind
    need_of : callable
        What a path needs, from the scope.
    is_activity : callable
        Whether a message of a socket shows that somebody is there, unlike one sent by a timer.
    is_idle_path : callable
        Whether a request is sent by a timer, and so shows nobody either.
    look_seconds : float
        How often an open socket looks whether its session goes on.
    """

    def __init__(
        self,
        app: Asgi,
        door: Door | None,
        kind: Kind,
        need_of: NeedOf,
        is_activity: Callable[[Message], bool] = lambda _: True,
        is_idle_path: Callable[[str], bool] = lambda _: False,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._app = app
        self._door = door
        self._kind = kind
        self._need_of = need_of
        self._is_activity = is_activity
        self._is_idle_path = is_idle_path
        self._look_seconds = look_seconds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let the request pass with its person, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] in ("http", "websocket"):
            # in place: what is around the guard may want to know the route that was found
            scope["headers"] = without_headers(scope, _OURS)
            await self._at_the_door(scope, receive, send)

    async def _at_the_door(self, scope: Message, receive: Receive, send: Send) -> None:
        door, sign_in = self._door, self._door.sign_in if self._door else None
        if door is None:
            scope[PERSON] = LOCAL_PERSON
            await self._app(scope, receive, send)
            return
        if sign_in is not None and scope["type"] == "http" and sign_in.is_open(scope["path"]):
            await sign_in(scope, send)
            return
        need = self._need_of(scope)
        if need is Entry.EVERYBODY:
            scope[PERSON] = NOBODY
            await self._app(scope, receive, send)
            return
        try:
            session = sign_in.session_of(scope) if sign_in and self._kind is Kind.PAGE else None
            person = session.person if session else self._person_of_token(scope)
        except TooManyAttempts as refusal:
            door.recorder.refusal("unknown", "too-many-attempts")
            wait = (b"retry-after", str(math.ceil(refusal.seconds)).encode())
            await self._refuse(scope, receive, send, 429, [wait])
            return
        except ConfigError as error:  # nobody gets in by a file that cannot be read
            _LOG.error("tokens cannot be checked: %s", error)
            await self._refuse(scope, receive, send, 503)
            return
        if person is None:
            if not is_navigation(scope) or self._kind is Kind.SERVICE:
                shown = self._kind is Kind.SERVICE and header_values(scope, b"authorization")
                door.recorder.refusal("unknown", "token" if shown else "no-login")
            await self._ask_to_sign_in(scope, receive, send)
        elif isinstance(need, Permission) and not person.may(need):
            door.recorder.refusal(person.name, f"permission:{need.value}")
            await self._forbid(scope, receive, send)
        elif session is None:
            scope[PERSON] = person
            await self._app(scope, receive, send)
        else:
            await self._within(session, scope, receive, send)

    def _person_of_token(self, scope: Message) -> Person | None:
        """Give whom the token of a request of the service stands for."""
        lines = header_values(scope, b"authorization")
        if self._door is None or self._kind is not Kind.SERVICE or not lines:
            return None
        scheme, _, token = lines[0].partition(" ")
        if len(lines) != 1 or scheme.lower() != "bearer":
            return None
        return self._door.person_of_token(token.strip(), client_address(scope))

    async def _within(self, session: Session, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request of a session on; a socket closes when the session ends."""
        assert self._door is not None
        if not self._is_idle_path(scope["path"]):
            self._door.sessions.touch(session)
        scope[PERSON], scope[_HANDLE] = session.person, session.handle
        scope["headers"].append((HANDLE_HEADER, session.handle.encode("ascii")))
        if scope["type"] == "http":
            await self._app(scope, receive, send)
            return
        socket = SessionSocket(
            session, self._door.sessions, receive, send, self._is_activity, self._look_seconds
        )
        try:
            await self._app(scope, socket.receive, socket.send)
        finally:
            await socket.stop()

    async def _ask_to_sign_in(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._kind is Kind.SERVICE:
            challenge = (b"www-authenticate", b'Bearer realm="medembed"')
            await self._refuse(scope, receive, send, 401, [challenge])
        elif is_navigation(scope):
            query = scope["query_string"].decode("latin-1")
            after = quote(scope["path"] + (f"?{query}" if query else ""), safe="")
            target = f"{PREFIX}login?next={after}".encode("ascii")
            await respond(send, 303, b"", [(b"location", target), _NO_STORE])
        else:
            await self._refuse(scope, receive, send, 401)

    async def _forbid(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._kind is Kind.PAGE and is_navigation(scope):
            page = not_allowed_page(texts_for(scope), f"{PREFIX}logout")
            await respond(send, 403, page, [_NO_STORE], b"text/html; charset=utf-8")
        else:
            await self._refuse(scope, receive, send, 403)

    async def _refuse(
        self,
        scope: Message,
        receive: Receive,
        send: Send,
        status: int,
        headers: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        if scope["type"] == "websocket":
            await refuse_socket(receive, send)
        else:
            await respond(send, status, headers=[*(headers or []), _NO_STORE])
