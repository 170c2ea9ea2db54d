"""What stands before the routes: the guard of the access room, whose refusals become problems."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.service.problems import PROBLEM_TYPE, Problem, ProblemKind
from apps.service.settings import ServiceSettings
from medembed.errors import InputError

__all__ = ["OwnHost", "PlainRefusals", "guarded"]

_LINES = {
    401: (ProblemKind.NO_LOGIN, "send a token that is valid: Authorization: Bearer TOKEN"),
    403: (ProblemKind.FORBIDDEN, "your account lacks the permission, or this is a page's request"),
    429: (ProblemKind.TOO_MANY, "too many attempts that failed"),
    503: (ProblemKind.NOT_READY, "tokens cannot be checked now"),
}
"""The guard's refusals."""

_KEPT = (b"www-authenticate", b"retry-after")


def guarded(app: ASGIApp, settings: ServiceSettings) -> ASGIApp:
    """Put before an application whatever decides who may ask.

    Raises
    ------
    InputError
        If others can reach the service and nothing says who may see what.
    """
    if find_spec("apps.access") is None:
        return _alone(app, settings)
    access = import_module("apps.access")
    guard = access.guarded_service(
        app,
        settings.access,
        library=settings.library,
        host=settings.host,
        port=settings.port,
    )
    return PlainRefusals(cast(ASGIApp, guard))


def _alone(app: ASGIApp, settings: ServiceSettings) -> ASGIApp:
    if settings.access is not None:
        raise InputError("this installation cannot check logins", where="--access")
    if not settings.is_local:
        raise InputError(
            "others can reach this address, and nothing says who may see what",
            where="--host",
            hint="give --access FILE, or stay on 127.0.0.1",
        )
    return OwnHost(app, settings.host, settings.port)


class PlainRefusals:
    """ASGI middleware around the guard: what it refuses in plain text becomes a problem.

    Parameters
    ----------
    app : ASGI application
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        problem: Problem | None = None

        async def watched(message: Message) -> None:
            nonlocal problem
            if message["type"] == "http.response.start":
                problem = _refusal(message)
            if problem is None:
                await send(message)

        await self._app(scope, receive, watched if scope["type"] == "http" else send)
        if problem is not None:
            raise problem


def _refusal(message: Message) -> Problem | None:
    headers = {name.lower(): value for name, value in message.get("headers", [])}
    is_ours = headers.get(b"content-type", b"").startswith(PROBLEM_TYPE.encode())
    if message["status"] not in _LINES or is_ours:
        return None
    kind, line = _LINES[message["status"]]
    kept = {name.decode(): headers[name].decode("latin-1") for name in _KEPT if name in headers}
    return Problem(kind, line, headers=kept)


class OwnHost:
    """ASGI middleware: no page of a browser gets anything, by whatever name it came here.

    A page of another site, or of another port of this machine, sends its ``Origin``; a page whose
    name was pointed at this address (DNS rebinding) sends that name as ``Host``.

    Parameters
    ----------
    app : ASGI application
    host : str
        Address that the service listens on.
    port : int
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._app = app
        names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host.lower()}
        self._hosts = {name if port == 80 else f"{name}:{port}" for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and not self._is_own(scope):
            raise Problem(ProblemKind.FORBIDDEN, "not a request to this service's own address")
        await self._app(scope, receive, send)

    def _is_own(self, scope: Scope) -> bool:
        hosts, origins, sites = (
            [value.decode("latin-1").lower() for name, value in scope["headers"] if name == wanted]
            for wanted in (b"host", b"origin", b"sec-fetch-site")
        )
        if scope["path"] == "/healthz":
            return True
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return False
        if origins and origins != [f"http://{hosts[0]}"]:
            return False
        return sites in ([], ["same-origin"], ["none"])
