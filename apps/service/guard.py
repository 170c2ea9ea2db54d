"""What stands before the routes: the guard of the access room, whose refusals become problems."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.access import guarded_service
from apps.access.access_file import LOOPBACK_HOSTS
from apps.service.problems import PROBLEM_TYPE, Problem, ProblemKind
from apps.service.settings import ServiceSettings

__all__ = ["PlainRefusals", "guarded", "is_open_to_all"]

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
    guard = guarded_service(
        app,
        settings.access,
        library=settings.library,
        host=settings.host,
        port=settings.port,
        no_login=settings.no_login,
    )
    return PlainRefusals(guard)


def is_open_to_all(settings: ServiceSettings) -> bool:
    """Whether others than this machine can reach the service, and need no token."""
    return settings.no_login and settings.host not in LOOPBACK_HOSTS


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
