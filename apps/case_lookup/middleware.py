"""Check the origin of every request, and restrict what the browser may do."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from pathlib import Path
from typing import Any

__all__ = ["SameOrigin", "SecurityHeaders", "allowed_hosts"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  for comparison, not to bind
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ADDRESS = re.compile(r"[0-9.]+|\[[0-9a-f:.]+\]")
_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1


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
    """ASGI middleware: accept requests from the reading room's own page only.

    It refuses pages of other sites, pages on other ports of this machine, and pages whose name
    was pointed at this address (DNS rebinding). The ``Host`` must be the server's, port included;
    the ``Origin`` must equal it; ``Sec-Fetch-Site``, if sent, must name the page itself or a
    person who opened it. A socket or a changing request without an ``Origin`` does not come from
    a browser and is refused, too.

    Parameters
    ----------
    app : ASGI application
    host : str
        Address that the server listens on. If that is every address of the machine, any numeric
        ``Host`` is valid: rebinding needs a name.
    port : int

    References
    ----------
    RFC 6454 (web origin); RFC 6455, 10.2; W3C, Fetch Metadata Request Headers.
    """

    def __init__(self, app: Asgi, host: str, port: int) -> None:
        self._app = app
        self._hosts = allowed_hosts(host, port)
        self._any_address = host in ANY_ADDRESS
        self._port = port

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket") or self._is_own(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # the connect message; closing before accepting answers 403
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            kind = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": kind})
            line = b"Refused: not a request from the reading room's own page.\n"
            await send({"type": "http.response.body", "body": line})

    def _is_own(self, scope: Message) -> bool:
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or len(origins) > 1 or not self._is_host(hosts[0]):
            return False
        if origins:
            return origins[0] == f"http://{hosts[0]}"
        if scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS:
            return False
        site = _values(scope, b"sec-fetch-site")
        return site in ([], ["same-origin"], ["none"]) or _is_opening(scope)

    def _is_host(self, host: str) -> bool:
        if host in self._hosts:
            return True
        name = host if self._port == 80 else host.removesuffix(f":{self._port}")
        ours = self._port == 80 or name != host
        return self._any_address and ours and _ADDRESS.fullmatch(name) is not None


def _values(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1").lower() for key, value in scope["headers"] if key == name]


def _is_opening(scope: Message) -> bool:
    """Whether a person follows a link from elsewhere to the page itself."""
    mode, target = _values(scope, b"sec-fetch-mode"), _values(scope, b"sec-fetch-dest")
    return (mode, target) == (["navigate"], ["document"]) and scope["path"] == "/"


class SecurityHeaders:
    """ASGI middleware: make the browser block any request to another address.

    Parameters
    ----------
    app : ASGI application

    References
    ----------
    W3C, Content Security Policy Level 3; Fetch Standard, 3.7 (``Cross-Origin-Resource-Policy``).
    """

    def __init__(self, app: Asgi) -> None:
        self._app = app
        self._headers = (
            (b"content-security-policy", _policy().encode("ascii")),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to the response."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in self._headers}
                kept = [h for h in message.get("headers", []) if h[0].lower() not in names]
                message["headers"] = [*kept, *self._headers]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def _policy() -> str:
    import streamlit

    page = Path(streamlit.__file__).parent / "static" / "index.html"
    inline = re.findall(rb"<script>(.*?)</script>", page.read_bytes(), re.DOTALL)
    allowed = [f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in inline]
    return "; ".join(
        (
            "default-src 'self'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "style-src 'self' 'unsafe-inline'",  # Streamlit sets styles from its scripts
            " ".join(("script-src 'self' 'wasm-unsafe-eval'", *allowed)),
            "worker-src 'self' blob:",
            "connect-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
