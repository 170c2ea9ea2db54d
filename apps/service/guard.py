"""What stands before the routes: the guard of the access room, or that only this machine asks."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import cast

from starlette.types import ASGIApp, Receive, Scope, Send

from apps.case_lookup.middleware import allowed_hosts
from apps.service.problems import Problem, ProblemKind
from apps.service.settings import ServiceSettings
from medembed.errors import InputError

__all__ = ["OwnHost", "guarded"]


def guarded(app: ASGIApp, settings: ServiceSettings) -> ASGIApp:
    """Put before an application whatever decides who may ask.

    Raises
    ------
    InputError
        If others can reach the service and nothing says who may see what.
    """
    if settings.access is None:
        if not settings.is_local:
            raise InputError(
                "others can reach this address, and nothing says who may see what",
                where="--host",
                hint="give --access FILE, or stay on 127.0.0.1",
            )
        return OwnHost(app, settings.host, settings.port)
    if find_spec("apps.access") is None:
        raise InputError("this installation cannot check logins", where="--access")
    access = import_module("apps.access")
    return cast(ASGIApp, access.guarded_service(app, settings.access))


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
        self._hosts = allowed_hosts(host, port)

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
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return False
        if origins and origins != [f"http://{hosts[0]}"]:
            return False
        return sites in ([], ["same-origin"], ["none"])
