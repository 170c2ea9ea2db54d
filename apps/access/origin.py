"""Accept a browser's request only if it comes from our own page, by scheme, host and port."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from apps.access.asgi import Asgi, Message, Receive, Send, header_values, refuse_socket, respond

__all__ = ["ANY_ADDRESS", "SameOrigin", "allowed_hosts"]

ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  for comparison, not to bind
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ADDRESS = re.compile(r"[0-9.]+|\[[0-9a-f:.]+\]")
_REFUSED = b"Refused: not a request from the reading room's own page.\n"


def allowed_hosts(host: str, port: int) -> frozenset[str]:
    """Give the valid ``Host`` headers, port included, of a server that listens on ``host``.

    Parameters
    ----------
    host : str
        Address or name that the server listens on.
    port : int

    Examples
    --------
    >>> sorted(allowed_hosts("127.0.0.1", 8501))
    ['127.0.0.1:8501', '[::1]:8501', 'localhost:8501']
    """
    names = set(_LOOPBACK)
    names |= {socket.gethostname(), socket.getfqdn()} if host in ANY_ADDRESS else {host}
    return frozenset(_with_port(name.lower(), port) for name in names)


def _with_port(name: str, port: int) -> str:
    bracketed = f"[{name}]" if ":" in name else name
    return bracketed if port == 80 else f"{bracketed}:{port}"  # as a browser writes it


class SameOrigin:
    """ASGI middleware: accept requests from the server's own page only.

    It refuses pages of other sites, pages on other ports of this machine, and pages whose name
    was pointed at this address (DNS rebinding). The ``Host`` must be the server's, port included;
    the ``Origin`` must equal it, scheme included; ``Sec-Fetch-Site``, if sent, must name the page
    itself or a person who opened it.

    Parameters
    ----------
    app : ASGI application
    host : str
        Address that the server listens on. If that is every address of the machine, any numeric
        ``Host`` is valid: rebinding needs a name.
    port : int
    public_url : str, optional
        Scheme, host and port under which browsers reach the server, usually through a TLS proxy.
        Then nothing else is accepted. Forwarded headers are never asked: a client can send them.
    programs : bool
        Whether a socket or a changing request without an ``Origin`` is accepted. It does not come
        from a browser; a program shows its token.
    openings : collection of str
        Paths that a person may come to by a link of another site.
    unchecked : collection of str
        Paths that any host may ask for, such as a load balancer's check of health.
    refused : callable
        Called for each request that is refused.

    References
    ----------
    RFC 6454 (web origin); RFC 6455, 10.2; W3C, Fetch Metadata Request Headers.
    """

    def __init__(
        self,
        app: Asgi,
        host: str,
        port: int,
        public_url: str | None = None,
        *,
        programs: bool = False,
        openings: Collection[str] = ("/",),
        unchecked: Collection[str] = (),
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._app = app
        self._port = port
        self._scheme = "http"
        self._hosts = allowed_hosts(host, port)
        self._any_address = host in ANY_ADDRESS
        if public_url is not None:
            public = urlsplit(public_url)
            self._scheme = public.scheme
            self._hosts = frozenset({public.netloc})
            self._any_address = False
        self._programs = programs
        self._openings = frozenset(openings)
        self._unchecked = frozenset(unchecked)
        self._refused = refused

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket") or self._is_own(scope):
            await self._app(scope, receive, send)
            return
        self._refused()
        if scope["type"] == "websocket":
            await refuse_socket(receive, send)
        else:
            await respond(send, 403, _REFUSED)

    def _is_own(self, scope: Message) -> bool:
        if scope["type"] == "http" and scope["path"] in self._unchecked:
            return scope["method"] in _SAFE_METHODS
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or len(origins) > 1 or not self._is_host(hosts[0]):
            return False
        if origins:
            return origins[0] == f"{self._scheme}://{hosts[0]}"
        site = _values(scope, b"sec-fetch-site")
        is_changing = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if is_changing:
            return self._programs and not site
        return site in ([], ["same-origin"], ["none"]) or self._is_opening(scope)

    def _is_host(self, host: str) -> bool:
        if host in self._hosts:
            return True
        name = host if self._port == 80 else host.removesuffix(f":{self._port}")
        ours = self._port == 80 or name != host
        return self._any_address and ours and _ADDRESS.fullmatch(name) is not None

    def _is_opening(self, scope: Message) -> bool:
        """Whether a person follows a link from elsewhere to the page itself."""
        mode, target = _values(scope, b"sec-fetch-mode"), _values(scope, b"sec-fetch-dest")
        is_document = (mode, target) == (["navigate"], ["document"])
        return is_document and scope["path"] in self._openings


def _values(scope: Message, name: bytes) -> list[str]:
    return [value.lower() for value in header_values(scope, name)]
