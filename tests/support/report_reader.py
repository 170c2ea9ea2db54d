"""A reader of the board's page: its words, its figures, and every element that it opens."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from evaluation.report import render

VOID = {"meta", "link", "br", "hr", "img", "input", "path", "line", "rect", "circle"}


class Page(HTMLParser):
    """The page as a reader has it: words, figures, and every element that was opened."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.figures: list[tuple[str, str, bool]] = []
        self.opened: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self._figure: tuple[str, bool] | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.opened.append((tag, own))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "data":
            self._figure = (str(own["value"]), own.get("class") in {"tally", "derived"})

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.stack, f"</{tag}> without a start"
            assert self.stack.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self._figure:
            self.figures.append((self._figure[0], data, self._figure[1]))
            self._figure = None
        elif not {"style", "svg", "script"} & set(self.stack):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def shown(report: dict[str, Any]) -> Page:
    page = Page(render(report))
    assert not page.stack
    return page
