"""Starts the reading room: Streamlit with our settings, our headers, on one address."""

from __future__ import annotations

import os
import re
import socket
import threading
import tomllib
import webbrowser
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from medembed.errors import InputError

__all__ = ["SecurityHeaders", "settings", "start"]

_HERE = Path(__file__).parent

Message = MutableMapping[str, Any]


class SecurityHeaders:
    """ASGI middleware: the browser itself refuses any request to another address.

    Parameters
    ----------
    app : ASGI application

    References
    ----------
    W3C, Content Security Policy Level 3.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self._headers = (
            (b"content-security-policy", _policy().encode("ascii")),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-opener-policy", b"same-origin"),
        )

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Hand the request on, and add the headers to the answer."""

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


def settings(host: str, port: int) -> dict[str, Any]:
    """Streamlit's options by dotted name: those of ``settings.toml``, and where to listen."""
    options = _flat(tomllib.loads((_HERE / "settings.toml").read_text(encoding="utf-8")))
    options["server.address"] = host
    options["server.port"] = port
    if host not in ("0.0.0.0", "::"):  # noqa: S104  compared with, not bound to
        # a page elsewhere that points its own name at this address is refused (DNS rebinding)
        options["server.allowedHosts"] = ["localhost", "127.0.0.1", "::1", host]
    return options


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            options.update(_flat(value, f"{prefix}{name}."))
        else:
            options[f"{prefix}{name}"] = value
    return options


def start(library: Path, host: str, port: int, opened: Callable[[str], None]) -> None:
    """Serve the reading room until it is stopped.

    Parameters
    ----------
    library : Path
        Folder of the library; must exist.
    host : str
        Address to listen on.
    port : int
    opened : callable
        Called with the page's address once it is served.

    Raises
    ------
    InputError
        Where the address cannot be listened on, or Streamlit is absent.
    """
    _assert_free(host, port)
    try:
        from starlette.middleware import Middleware
        from streamlit.starlette import App
    except ImportError:
        raise InputError(
            "the reading room needs Streamlit", hint="pip install 'medembed[app]'"
        ) from None
    os.environ["MEDEMBED_LIBRARY"] = str(library.resolve())

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        shown = "localhost" if host in ("127.0.0.1", "::1", "0.0.0.0", "::") else host  # noqa: S104
        threading.Thread(target=opened, args=(f"http://{shown}:{port}",), daemon=True).start()
        yield

    app = App(_HERE / "page.py", middleware=[Middleware(SecurityHeaders)], lifespan=lifespan)
    app.run(config=settings(host, port))


def _assert_free(host: str, port: int) -> None:
    """Try the address first, so that a taken port is one line and not a log of Streamlit's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {host} port {port} ({(error.strerror or 'refused').lower()})",
                hint="is the reading room open already? --port takes another",
            ) from None


def show_in_browser(address: str) -> None:
    """Open the page in the user's browser, where there is one."""
    webbrowser.open(address)
