"""A session as PDF on white paper: a page of measures, then one case a page.

Texts are drawn as characters, never parsed: no markup of a report or an impression has an effect.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.review.texts import (
    MARKS,
    STAGES,
    STATES,
    case_facts,
    clock_text,
    findings_text,
    impression_lines,
    kappa_text,
    measure_lines,
    plain_lines,
    query_text,
    report_text,
)
from medembed.counted import counted
from medembed.errors import InputError

if TYPE_CHECKING:
    from apps.review.document import CaseEntry, PictureOf, ReviewDocument
    from medembed.reviews import Reading

__all__ = ["write_pdf"]

_PLAIN, _BOLD = "MedEmbedSans", "MedEmbedSansBold"
_MARGIN, _LEADING = 48.0, 1.35
_PICTURE_HEIGHT = 300.0
_MOST_DISAGREEMENTS = 200


def write_pdf(document: ReviewDocument, picture: PictureOf) -> bytes:
    """Write the PDF.

    Parameters
    ----------
    document : ReviewDocument
    picture : callable
        Gives the picture of a case, None if it cannot be read.

    Raises
    ------
    InputError
        If reportlab is not installed.
    """
    page = _Pages(document.session.name)
    _summary(page, document)
    for entry in document.entries:
        page.next_page()
        _case(page, document, entry, picture)
    return page.finish()


def _summary(page: _Pages, document: ReviewDocument) -> None:
    session, measures = document.session, document.measures
    page.text([session.name], size=16, bold=True)
    page.text(
        [
            f"Review session by {session.creator}, made {session.created}, {session.state.value}",
            f"{len(document.entries)} of {counted(len(session.cases), 'case')} in this document",
        ]
    )
    for reader in (measures.everyone, *measures.readers):
        page.gap()
        page.text([reader.reader or "All readers"], bold=True)
        page.text(measure_lines(reader))
    for one in measures.agreements:
        page.gap()
        page.text([f"{one.first} and {one.second}: {STAGES[one.stage]}"], bold=True)
        page.text(
            [f"{counted(one.n_cases, 'case')} read by both", f"Overall: {kappa_text(one.overall)}"]
        )
        page.text([f"{label}: {kappa_text(kappa)}" for label, kappa in one.by_finding.items()])
        shown = one.disagreements[:_MOST_DISAGREEMENTS]
        page.text(
            [
                f"Disagreement, case {d.case_id}: {findings_text(d.first) or 'none'} / "
                f"{findings_text(d.second) or 'none'}"
                for d in shown
            ]
        )
        if len(shown) < len(one.disagreements):
            page.text([f"and {len(one.disagreements) - len(shown)} more"])


def _case(page: _Pages, document: ReviewDocument, entry: CaseEntry, picture: PictureOf) -> None:
    case = entry.case
    page.text([f"Case {entry.place.position}: {case.case_id}"], size=13, bold=True)
    page.text([case_facts(case), *filter(None, [query_text(entry.place.query)])])
    page.picture(picture(case))
    page.text([f"Recorded findings: {findings_text(list(map(str, case.findings))) or 'none'}"])
    if document.with_reports:
        page.text(["Report"], bold=True)
        page.text(plain_lines(report_text(case)) or ["(none)"])
    for reading in entry.readings:
        _reading(page, reading)
    if not entry.readings:
        page.text(["Not read yet."])


def _reading(page: _Pages, reading: Reading) -> None:
    page.gap()
    page.text([f"{reading.reader} ({STATES[reading.state]})"], bold=True)
    page.text([f"First impression, after {clock_text(reading.impression_seconds)}"], bold=True)
    page.text(impression_lines(reading.impression))
    if reading.revision is not None:
        word = "revised" if reading.is_revised else "unchanged"
        page.text([f"Final impression, {word}, {clock_text(reading.end_seconds)}"], bold=True)
        if reading.is_revised:
            page.text(impression_lines(reading.revision))
    if reading.marks:
        page.text([f"Marked: {', '.join(MARKS[mark] for mark in sorted(reading.marks))}"])


class _Pages:
    """Lines and pictures from top to bottom, on as many A4 pages as it takes."""

    def __init__(self, title: str) -> None:
        try:
            from reportlab.lib.pagesizes import A4
            from reportlab.pdfgen.canvas import Canvas
        except ImportError:
            raise InputError("a PDF needs reportlab", hint="pip install 'medembed[app]'") from None
        self._glyphs = _register_fonts()
        self._width, self._height = A4
        self._stream = io.BytesIO()
        # invariant: no date and no random id, so that equal sessions are equal files
        self._canvas: Any = Canvas(self._stream, pagesize=A4, invariant=1)
        self._canvas.setTitle(self._shown(title))
        self._canvas.setCreator("MedEmbed")
        self._y = self._height - _MARGIN

    def next_page(self) -> None:
        self._canvas.showPage()
        self._y = self._height - _MARGIN

    def gap(self) -> None:
        self._y -= 8

    def text(self, lines: Sequence[str], *, size: float = 9.5, bold: bool = False) -> None:
        from reportlab.pdfbase.pdfmetrics import stringWidth

        font = _BOLD if bold else _PLAIN
        room = self._width - 2 * _MARGIN
        for given in lines:
            for line in _wrapped(self._shown(given), room, lambda s: stringWidth(s, font, size)):
                self._need(size * _LEADING)
                self._y -= size * _LEADING
                self._canvas.setFont(font, size)  # a new page forgets it
                self._canvas.drawString(_MARGIN, self._y, line)

    def picture(self, image: Any) -> None:
        if image is None:
            self.text(["The image cannot be shown."])
            return
        from reportlab.lib.utils import ImageReader

        room = self._width - 2 * _MARGIN
        scale = min(_PICTURE_HEIGHT / image.height, room / image.width)
        width, height = image.width * scale, image.height * scale
        self._need(height + 12)
        self._y -= height + 6
        self._canvas.drawImage(ImageReader(image), _MARGIN, self._y, width, height)
        self._y -= 6

    def _need(self, height: float) -> None:
        if self._y - height < _MARGIN:
            self.next_page()

    def _shown(self, text: str) -> str:
        """One line of visible characters; one that the font lacks becomes its code."""
        line = " ".join(plain_lines(text))
        return "".join(c if ord(c) in self._glyphs else f"[U+{ord(c):04X}]" for c in line)

    def finish(self) -> bytes:
        self._canvas.save()
        return self._stream.getvalue()


@lru_cache(maxsize=1)
def _register_fonts() -> frozenset[int]:
    """Register DejaVu Sans, which matplotlib ships; give the characters that it has."""
    import matplotlib
    from reportlab.pdfbase.pdfmetrics import registerFont
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [
        TTFont(name, str(folder / file))
        for name, file in ((_PLAIN, "DejaVuSans.ttf"), (_BOLD, "DejaVuSans-Bold.ttf"))
    ]
    for font in fonts:
        registerFont(font)
    known = set(fonts[0].face.charToGlyph) & set(fonts[1].face.charToGlyph)
    # a PDF's map back to text, as reportlab writes it, has four digits for a character
    return frozenset(code for code in known if code <= 0xFFFF)


def _wrapped(text: str, room: float, width: Any) -> list[str]:
    """Break a line between words, and a word that is too long between its letters."""
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if width(joined) <= room:
            line = joined
            continue
        if line:
            lines.append(line)
        while width(word) > room:
            cut = next(n for n in range(len(word), 0, -1) if n == 1 or width(word[:n]) <= room)
            lines.append(word[:cut])
            word = word[cut:]  # noqa: PLW2901  what is left of it
        line = word
    return [*lines, line]
