"""The page's frame: Streamlit's own, with our scripts before all of Streamlit's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = ["framed", "routes"]

_SCRIPTS = ("neutral_names.js", "changed.js")
_FRESH = {"Cache-Control": "no-cache"}


def framed(page: str) -> str:
    """Put our scripts before the first script of a page.

    They have to run first, so that no file reaches Streamlit under its own name. If they do not
    run, the style sheet hides the place to drop files.
    """
    ours = "".join(f'<script src="./room/{name}"></script>\n    ' for name in _SCRIPTS)
    return page.replace("<script", f"{ours}<script", 1)


def routes() -> list[Route]:
    """Give the routes of the frame and of our scripts; they come before Streamlit's own."""
    import streamlit
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    frame = Path(streamlit.__file__).parent / "static" / "index.html"
    page = framed(frame.read_text(encoding="utf-8"))

    def show_page(_: Request) -> Response:
        return HTMLResponse(page, headers=_FRESH)

    def show_script(request: Request) -> Response:
        script = Path(__file__).with_name(request.url.path.rpartition("/")[2]).read_bytes()
        return Response(script, headers=_FRESH, media_type="text/javascript")

    return [Route("/", show_page), *(Route(f"/room/{name}", show_script) for name in _SCRIPTS)]
