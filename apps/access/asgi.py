"""The parts of an ASGI request that the guard reads, and its short answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

__all__ = [
    "ANSWERS",
    "Asgi",
    "Message",
    "Receive",
    "Send",
    "client_address",
    "cookie",
    "header_values",
    "is_navigation",
    "refuse_socket",
    "respond",
    "without_headers",
]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1

ANSWERS = {
    401: b"Sign in first.\n",
    403: b"Not allowed for your account.\n",
    404: b"Not found.\n",
    405: b"Method not allowed.\n",
    429: b"Too many failed attempts; try again later.\n",
    503: b"Too busy; try again later.\n",
}


def header_values(scope: Message, name: bytes) -> list[str]:
    """Give every value of a header, in lower-case bytes named ``name``."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def without_headers(scope: Message, prefix: bytes) -> list[tuple[bytes, bytes]]:
    """Give the headers but those that begin with ``prefix``."""
    return [header for header in scope["headers"] if not header[0].lower().startswith(prefix)]


def cookie(scope: Message, name: str) -> str:
    """Give a cookie's value; empty if it is missing, or given more than once.

    A page of a neighboring name can set a second cookie of the same name. Which of the two comes
    first is not defined, so neither counts.
    """
    found = []
    for line in header_values(scope, b"cookie"):
        for part in line.split(";"):
            key, equals, value = part.strip().partition("=")
            if equals and key == name:
                found.append(value)
    return found[0] if len(found) == 1 else ""


def client_address(scope: Message) -> str:
    """Give the client's address; behind a trusted proxy the server has put in the client's own."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def is_navigation(scope: Message) -> bool:
    """Whether a person opens an address, unlike a script or a picture of a page."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return False
    mode = header_values(scope, b"sec-fetch-mode")
    if mode:
        return mode == ["navigate"]
    return any("text/html" in value for value in header_values(scope, b"accept"))


async def respond(
    send: Send,
    status: int,
    body: bytes | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    kind: bytes = b"text/plain; charset=utf-8",
) -> None:
    """Send a whole response; without a body, the line that goes with the status."""
    content = ANSWERS.get(status, b"") if body is None else body
    lines = [(b"content-type", kind), (b"content-length", str(len(content)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content})


async def refuse_socket(receive: Receive, send: Send) -> None:
    """Refuse a socket before it is open; the browser gets status 403."""
    await receive()  # the connect message
    await send({"type": "websocket.close", "code": POLICY_VIOLATION})
