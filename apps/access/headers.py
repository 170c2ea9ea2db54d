"""Headers with which a browser keeps to our own address and stores nothing of a patient."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from apps.access.asgi import Asgi, Message, Receive, Send
from apps.access.pages import POLICY
from apps.access.sign_in import PREFIX

__all__ = ["SecurityHeaders"]

_A_YEAR = 365 * 24 * 3600
_POWERS = (
    "accelerometer", "autoplay", "camera", "clipboard-read", "display-capture", "encrypted-media",
    "geolocation", "gyroscope", "hid", "magnetometer", "microphone", "midi", "payment",
    "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip


class SecurityHeaders:
    """ASGI middleware: make the browser block any request to another address.

    Parameters
    ----------
    app : ASGI application
    policy : str
        Content security policy; the pages of the sign-in have a stricter one.
    https : bool
        Whether browsers reach the server by HTTPS.
    lasting : collection of str
        Beginnings of the paths that hold nothing of a patient; only these may be stored by the
        browser.

    References
    ----------
    W3C, Content Security Policy Level 3, Permissions Policy; Fetch Standard, 3.7
    (``Cross-Origin-Resource-Policy``); RFC 6797 (HSTS); RFC 9111, 5.2.2.5 (``no-store``).
    """

    def __init__(
        self,
        app: Asgi,
        policy: str = "default-src 'none'; frame-ancestors 'none'",
        https: bool = False,
        lasting: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._policy = policy.encode("ascii")
        self._lasting = tuple(lasting)
        powers = ", ".join(f"{name}=()" for name in _POWERS)
        self._headers = [
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", powers.encode("ascii")),
        ]
        if https:
            self._headers.append((b"strict-transport-security", b"max-age=%d" % _A_YEAR))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        own_page = path.startswith(PREFIX)
        policy = POLICY.encode("ascii") if own_page else self._policy
        ours = [(b"content-security-policy", policy), *self._headers]
        if not path.startswith(self._lasting):
            ours.append((b"cache-control", b"no-store"))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _joined(message.get("headers", []), ours)
            await send(message)

        await self._app(scope, receive, with_headers)


def _joined(
    given: Collection[tuple[bytes, bytes]], ours: Sequence[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in ours} | {b"server"}
    return [*(header for header in given if header[0].lower() not in names), *ours]
