"""Streamlit's index page, with our scripts before Streamlit's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = ["insert_scripts", "routes"]

_SCRIPTS = ("neutral_names.js", "changed.js", "session_end.js")
_FRESH = {"Cache-Control": "no-cache"}


def insert_scripts(page: str) -> str:
    """Insert our scripts before the first script of a page.

    They must run first, so that no file reaches Streamlit under its own name. If they do not run,
    the style sheet hides the drop zone.
    """
    ours = "".join(f'<script src="./room/{name}"></script>\n    ' for name in _SCRIPTS)
    return page.replace("<script", f"{ours}<script", 1)


def routes() -> list[Route]:
    """Give the routes of the index page and our scripts; they take precedence over Streamlit's."""
    import streamlit
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    index = Path(streamlit.__file__).parent / "static" / "index.html"
    page = insert_scripts(index.read_text(encoding="utf-8"))

    def show_page(_: Request) -> Response:
        return HTMLResponse(page, headers=_FRESH)

    def show_script(request: Request) -> Response:
        script = Path(__file__).with_name(request.url.path.rpartition("/")[2]).read_bytes()
        return Response(script, headers=_FRESH, media_type="text/javascript")

    return [Route("/", show_page), *(Route(f"/room/{name}", show_script) for name in _SCRIPTS)]
