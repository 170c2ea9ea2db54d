"""What stands before the reading room's routes: headers, origin, guard, and open pages."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from apps.access import Door, Entry, Guard, Kind, Need, SameOrigin, SecurityHeaders, need_by_path
from apps.access.asgi import Message
from apps.access.people import Permission
from apps.case_lookup.visits import OpenPages

if TYPE_CHECKING:
    from starlette.middleware import Middleware

__all__ = ["PAGE_NEEDS", "content_policy", "is_by_a_person", "page_middleware"]

HEALTH = "/_stcore/health"
PAGE_NEEDS: dict[str, Need] = {
    HEALTH: Entry.EVERYBODY,
    "/_stcore/metrics": Permission.METRICS,
    "/_stcore/script-health-check": Permission.METRICS,
    "/pixels": Permission.VIEW,
}
"""What paths need; everything else needs a person who may search."""

_OPENINGS = ("/", "/access/callback", "/access/login", "/access/signed-out")
_BY_TIMER = frozenset({"/_stcore/host-config"})  # asked for again and again when the socket is lost
_LASTING = ("/static/", "/_stcore/bidi-components/", "/component/", "/favicon.png", "/access/style")


def page_middleware(host: str, port: int, door: Door | None) -> list[Middleware]:
    """Give the middleware of the page, the outermost first.

    Parameters
    ----------
    host : str
        Address that the server listens on.
    port : int
    door : Door or None
        None for single-user mode.
    """
    from starlette.middleware import Middleware

    public_url = door.settings.public_url if door is not None else None
    return [
        Middleware(
            SecurityHeaders,
            policy=content_policy(),
            https=bool(public_url and public_url.startswith("https:")),
            lasting=_LASTING,
        ),
        Middleware(
            SameOrigin,
            host=host,
            port=port,
            public_url=public_url,
            openings=_OPENINGS,
            unchecked=(HEALTH,) if door is not None else (),  # for a load balancer
            refused=_recorded(door),
        ),
        Middleware(
            Guard,
            door=door,
            kind=Kind.PAGE,
            need_of=need_by_path(PAGE_NEEDS, Permission.SEARCH),
            is_activity=is_by_a_person,
            is_idle_path=_BY_TIMER.__contains__,
        ),
        Middleware(OpenPages),
    ]


def _recorded(door: Door | None) -> Callable[[], None]:
    """Tell the journal of requests that come from elsewhere."""
    if door is None:
        return lambda: None
    return partial(door.recorder.refusal, "unknown", "origin")


def is_by_a_person(message: Message) -> bool:
    """Whether a message of the page comes from somebody's action, unlike a fragment's timer."""
    from google.protobuf.message import DecodeError
    from streamlit.proto.BackMsg_pb2 import BackMsg

    sent = BackMsg()
    try:
        sent.ParseFromString(message.get("bytes") or b"")
    except DecodeError:
        return False
    return not (sent.WhichOneof("type") == "rerun_script" and sent.rerun_script.is_auto_rerun)


def content_policy() -> str:
    """Give the content security policy of the page: nothing from another address.

    Streamlit's inline scripts are named by their digests.
    """
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
            "frame-src 'none'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
