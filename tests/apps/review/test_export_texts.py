"""Texts that try to be more than text, in every field of case, note, attribute and file name."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pydicom
import pytest
from PIL import Image
from support.reviewed import Clock, read_case

from apps.review.document import gather
from apps.review.exports import ExportKind, export
from apps.review.pictures import pictures_of
from medembed.cases import Case, Finding, ScanRef
from medembed.library import CaseLibrary, Condition
from medembed.notes import Note
from medembed.reviews import Impression, Mark, ReviewCase, ReviewQuery, ReviewStore
from medembed.scans import ScanReader
from medembed.scans.scan_hash import scan_sha256
from tests.apps.nasty import NASTY
from tests.apps.review.conftest import Reviewed
from tests.apps.review.test_exports import complaints, drawn

FORMULA = '=HYPERLINK("http://evil.example","x")'
NAME = "=cmd <b>&amp; $x$ \u202ename"


@pytest.fixture
def nasty(tmp_path: Path) -> Iterator[Reviewed]:
    file = tmp_path / "=cmd <img src=x> $E$ \u202e@SUM.png"
    Image.linear_gradient("L").save(file)
    sha256 = scan_sha256([hashlib.sha256(file.read_bytes()).hexdigest()])
    case = Case(
        case_id=f"=C<b>{NAME}",
        patient_id="@P<script>",
        scans=(ScanRef((str(file),), sha256, "=CR<i>", "+PA$x$"),),
        note=Note(f"IMPRESSION: {NASTY}"),
        findings=(Finding("=<b>mass</b> $x$"),),
        modality="=CR<i>",
        view="+PA$x$",
        site=NASTY,
        scanner=NASTY,
        race="=race",
        attributes={"=<b>column</b>": NASTY},
    )
    other = replace(case, case_id="-1+1", patient_id="+49", note=None)
    with CaseLibrary.create(tmp_path / "library") as library, ScanReader(workers=1) as reader:
        library.add([case, other])
        store, clock = ReviewStore(library, Clock()), Clock()
        query = ReviewQuery(("text",), (NAME,), (Condition("site", "=", (NAME,)),), "-1+1", 1)
        link = store.create(NAME, NAME, [ReviewCase(case.case_id, query), ReviewCase("-1+1")]).link
        for case_id in (case.case_id, "-1+1"):
            read_case(
                store, clock, link, case_id, f"{NAME}^=\\",
                Impression(NASTY, ("=<b>mass</b> $x$",)), Impression(FORMULA),
            )  # fmt: skip
            for mark in Mark:
                store.mark(link, case_id, f"{NAME}^=\\", mark)
        yield Reviewed(library, link, reader)


def files(nasty: Reviewed, kind: ExportKind) -> dict[str, bytes]:
    document = gather(nasty.library, nasty.link, with_reports=True)
    picture = pictures_of(nasty.library, nasty.reader)
    return dict(export(nasty.library, document, kind, picture, nasty.reader).files)


def visible(text: str) -> str:
    """What a reader should see of it: invisible characters as their codes, blanks as one."""
    hidden = ("\u202e", "\u202c", "\u2066", "\u2069", "\u200b", "\ufeff", "\u00ad")
    for char in hidden:
        text = text.replace(char, f"[U+{ord(char):04X}]")
    return " ".join(text.split())


def test_csv_has_no_formula_and_no_hidden_character(nasty: Reviewed) -> None:
    content = files(nasty, ExportKind.CSV)["review.csv"].decode("utf-8-sig")
    table = list(csv.reader(io.StringIO(content)))
    assert len(table) == 3
    for cell in (cell for row in table for cell in row):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert "\u202e" not in cell
    assert any(visible(NASTY) in cell for cell in table[1])
    assert f"'{FORMULA}" in table[1]
    assert "'-1+1" in table[2]


ACTIONS = (b"/JavaScript", b"/JS", b"/URI", b"/Launch", b"/OpenAction", b"/AA ", b"/Annots")


def test_pdf_draws_every_character(nasty: Reviewed) -> None:
    with drawn() as pages:
        content = files(nasty, ExportKind.PDF)["review.pdf"]
    assert [action for action in ACTIONS if action in content] == []
    whole = "".join("".join(line for page in pages for line in page).split())
    for text in (NASTY, NAME, FORMULA):
        assert "".join(visible(text).split()) in whole
    assert "\u202e" not in whole


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_teaching_file_shows_the_characters(nasty: Reviewed) -> None:
    page = files(nasty, ExportKind.TEACHING)["teaching-file.html"].decode("utf-8")
    seen = _Seen()
    seen.feed(page)
    assert seen.tags <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "section", "p"),
        *("img", "details", "summary", "pre"),
    }
    assert not {name for name in seen.attributes if name.startswith("on")}
    assert visible(NASTY) in " ".join(seen.text.split())
    assert "\u202e" not in page
    assert not re.search(r"""(?:src|href)=["'](?!data:image/png;base64,)""", page)
    assert html.unescape(page).count("evil.example") == seen.text.count("evil.example")


def test_structured_reports_hold_the_characters_and_are_valid(
    nasty: Reviewed, tmp_path: Path
) -> None:
    made = files(nasty, ExportKind.SR)
    assert len(made) == 2
    for name, content in made.items():
        assert re.fullmatch(r"sr-\d{3}-[a-z0-9-]+\.dcm", name)
        report = pydicom.dcmread(io.BytesIO(content))
        assert report.SpecificCharacterSet == "ISO_IR 192"
        texts = [item.value for item in report.iterall() if item.keyword == "TextValue"]
        assert visible(NASTY) in texts
        assert FORMULA in texts
        assert not [text for text in texts if "\u202e" in text]
        assert complaints(content, tmp_path) == []
