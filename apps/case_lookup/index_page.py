"""The page's frame: Streamlit's own, with one script of ours before all of Streamlit's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = ["framed", "routes"]

_SCRIPT = Path(__file__).with_name("neutral_names.js")
_ADDRESS = "/room/neutral-names.js"


def framed(page: str) -> str:
    """Put our script before the first script of a page.

    It has to run first, so that no file reaches Streamlit under its own name. Where it does not
    run, the style sheet hides the place to drop files.
    """
    return page.replace("<script", f'<script src=".{_ADDRESS}"></script>\n    <script', 1)


def routes() -> list[Route]:
    """Give the routes of the frame and of the script; they stand before Streamlit's own."""
    import streamlit
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    frame = Path(streamlit.__file__).parent / "static" / "index.html"
    page, script = framed(frame.read_text(encoding="utf-8")), _SCRIPT.read_bytes()
    fresh = {"Cache-Control": "no-cache"}

    def show_page(_: Request) -> Response:
        return HTMLResponse(page, headers=fresh)

    def show_script(_: Request) -> Response:
        return Response(script, headers=fresh, media_type="text/javascript")

    return [Route("/", show_page), Route(_ADDRESS, show_script)]
