"""The index page: Streamlit's, with our scripts and styles before Streamlit's.

What is on the screen before Streamlit's scripts have loaded (2 MB) is here: a dark page with the
outline of the reading room and one line that says that it loads. Without it, the page would be
white until then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from apps.case_lookup.html import Markup, tag
from apps.case_lookup.texts import CATALOG, COOKIE, Language, language_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = ["adapted", "preferred_language", "routes"]

_SCRIPTS = (
    "neutral_names.js",
    "changed.js",
    "session_end.js",
    "keyboard.js",
    "accessible.js",
)
_STYLES = ("room.css", "query.css", "print.css")
_KINDS = {".js": "text/javascript", ".css": "text/css"}
_FRESH = {"Cache-Control": "no-cache"}
# A file's name may name a patient: without the script that replaces it, no file is accepted, even
# if the style sheet does not load either.
_NO_FILES = (
    '<style>html:not([data-names="neutral"]) [data-testid="stFileUploader"]{display:none}</style>'
)
_ROOT = '<div id="root">'


def preferred_language(cookies: Mapping[str, str], accepted: str) -> Language:
    """Give the language of the reader's choice, or else the browser's, or else English.

    Parameters
    ----------
    cookies : mapping of str to str
    accepted : str
        The ``Accept-Language`` header; its weights are ignored, since browsers send the languages
        in order (RFC 9110, 12.5.4).

    Examples
    --------
    >>> preferred_language({}, "fr-FR,de;q=0.8,en;q=0.5")
    <Language.GERMAN: 'de'>
    """
    chosen = language_of(cookies.get(COOKIE))
    if chosen is not None:
        return chosen
    offered = (language_of(part.partition(";")[0].strip()) for part in accepted.split(","))
    return next((language for language in offered if language is not None), Language.ENGLISH)


def adapted(page: str, language: Language) -> str:
    """Adapt Streamlit's index page: our scripts, our style sheet, and what shows until it starts.

    The scripts must run first, so that no file reaches Streamlit under its own name. The style
    sheet stands in the body: there it follows the style sheets that Streamlit adds to the head,
    and so prevails over rules of equal weight.
    """
    ours = "".join(f'<script src="./room/{name}"></script>\n    ' for name in _SCRIPTS)
    page = page.replace("<script", f"{_NO_FILES}\n    {ours}<script", 1)
    page = page.replace('<html lang="en">', f'<html lang="{language}">', 1)
    page = page.replace("<title>Streamlit</title>", "<title>MedEmbed</title>", 1)
    texts = CATALOG[language].page
    page = re.sub(
        r"<noscript>.*?</noscript>", tag("noscript", tag("p", texts.no_script)), page, flags=re.S
    )
    styles = "".join(f'<link rel="stylesheet" href="./room/{name}">\n    ' for name in _STYLES)
    return page.replace(_ROOT, f"{styles}{_ROOT}{_outline(texts.loading)}", 1)


def _outline(loading: str) -> Markup:
    """Draw the outline of the page; Streamlit replaces it once it runs."""
    bars = [tag("i", class_="rr-bone") for _ in range(7)]
    cards = [tag("i", class_="rr-bone rr-bone-card") for _ in range(6)]
    return tag(
        "div",
        tag("div", tag("strong", "MedEmbed"), *bars, class_="rr-outline-side"),
        tag("main", tag("p", loading, role="status"), *cards, class_="rr-outline-main"),
        class_="rr-outline",
    )


def routes() -> list[Route]:
    """Give the routes of the index page, our scripts and styles; they precede Streamlit's."""
    import streamlit
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    index = Path(streamlit.__file__).parent / "static" / "index.html"
    page = index.read_text(encoding="utf-8")
    pages = {language: adapted(page, language) for language in Language}

    def show_page(request: Request) -> Response:
        accepted = request.headers.get("accept-language", "")
        language = preferred_language(request.cookies, accepted)
        varying = {**_FRESH, "Vary": "Accept-Language, Cookie", "Content-Language": language.value}
        return HTMLResponse(pages[language], headers=varying)

    def show_file(request: Request) -> Response:
        file = Path(__file__).with_name(request.url.path.rpartition("/")[2])
        return Response(file.read_bytes(), headers=_FRESH, media_type=_KINDS[file.suffix])

    files = (*_SCRIPTS, *_STYLES)
    return [Route("/", show_page), *(Route(f"/room/{name}", show_file) for name in files)]
