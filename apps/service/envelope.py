"""What every request of the service gets: an id, headers, a limit of rate, and plain errors."""

from __future__ import annotations

import logging
import re
import secrets
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.logged_errors import error_location
from apps.service.person import LOCAL, caller_of
from apps.service.problems import Problem, ProblemKind, problem_of, problem_response
from medembed.errors import MedEmbedError

if TYPE_CHECKING:
    from apps.service.metrics import Metrics
    from apps.service.rate import Buckets

__all__ = ["Envelope", "RateLimit", "request_id_of"]

_LOG = logging.getLogger("medembed.service")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STATE = "medembed.service"
_UNLIMITED = frozenset({"/healthz", "/readyz", "/metrics"})

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


def request_id_of(scope: Scope) -> str:
    """Return the id of a request: the client's own if it is a plain word, else a random one."""
    found = scope.get(_STATE)
    if found is None:
        given = [value for name, value in scope["headers"] if name == b"x-request-id"]
        text = given[0].decode("latin-1") if len(given) == 1 else ""
        found = scope[_STATE] = text if _ID.fullmatch(text) else secrets.token_hex(8)
    return str(found)


class Envelope:
    """ASGI middleware around everything else, the check of who asks included.

    No error leaves with its message, and none is logged with it: both may quote a header.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "websocket":  # the service has none
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        began, status = perf_counter(), 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name for name, _ in _HEADERS}
                kept = [h for h in message.get("headers", []) if h[0].lower() not in own]
                headers = [*kept, *_HEADERS, (b"x-request-id", request_id.encode())]
                message = {**message, "headers": headers}
            await send(message)

        with self._metrics.open_request():
            try:
                await self._app(scope, receive, named)
            except ClientDisconnect:
                status = status or 499
            except Exception as error:  # noqa: BLE001  its message could hold a patient's value
                if not status:
                    problem = as_problem(error, request_id)
                    await problem_response(problem, request_id)(scope, receive, named)
                elif status != 500:  # the server cuts the answer that has begun
                    _LOG.error("request %s: %s", request_id, error_location(error))
        route = getattr(scope.get("route"), "path_format", "unknown")
        self._metrics.answered(scope["method"], route, status or 500, perf_counter() - began)


def as_problem(error: Exception, request_id: str) -> Problem:
    """Return the problem for any error, and log the place of one that is our own fault."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ClientDisconnect):
        return Problem(ProblemKind.BAD_REQUEST, "the request broke off")  # nobody reads it
    if isinstance(error, MedEmbedError):
        problem = problem_of(error)
        if problem.kind is not ProblemKind.FAULT:
            return problem
    _LOG.error("request %s: %s", request_id, error_location(error))
    return Problem(ProblemKind.FAULT, "an internal error; the log names its place by the id below")


class RateLimit:
    """ASGI middleware behind the check of who asks: refuses a client that asks too often.

    Parameters
    ----------
    app : ASGI application
    buckets : Buckets
    metrics : Metrics
    """

    def __init__(self, app: ASGIApp, buckets: Buckets, metrics: Metrics) -> None:
        self._app = app
        self._buckets = buckets
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in _UNLIMITED:
            wait = self._buckets.take(client_of(scope))
            if wait:
                self._metrics.refused("rate")
                raise Problem(ProblemKind.TOO_MANY, "slow down", retry_after=round(wait + 0.5))
        await self._app(scope, receive, send)


def client_of(scope: Any) -> str:
    """Return whose rate counts: a person or token by name, else the address."""
    caller = caller_of(scope)
    address = scope.get("client") or ("",)
    return f"address {address[0]}" if caller.name == LOCAL.name else f"name {caller.name}"
