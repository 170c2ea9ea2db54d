"""The board's page as a reader has it: from a file, in chromium, on screen and on paper."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.report_cases import make_report
from support.report_changes import make_changed_report

from evaluation.report import write_report
from tests.apps.serving import CHROMIUM, CONTRAST, FLAGS

pytestmark = pytest.mark.browser

A4_BETWEEN_MARGINS = 680
"""180 mm in CSS pixels: what the print style leaves of the width."""

OUT_OF_SIGHT = """() => [...document.querySelectorAll('.fold tr, .fold dd')]
  .filter(e => !e.checkVisibility({contentVisibilityAuto: true})).length"""
CUT = """() => {
  const width = document.documentElement.clientWidth + 1;
  const unseen = e => e.closest('svg') || e.closest('.vh')
    || getComputedStyle(e).clipPath !== 'none';
  return [...document.querySelectorAll('main *')]
    .filter(e => e.checkVisibility() && !unseen(e))
    .filter(e => e.getBoundingClientRect().right > width
      || (e.scrollWidth > e.clientWidth + 2 && getComputedStyle(e).overflowX !== 'visible'))
    .map(e => `${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`).slice(0, 5);
}"""
INK = "getComputedStyle(e).color"
TEXTS = CONTRAST.replace(INK, "getComputedStyle(e)[e.closest('svg') ? 'fill' : 'color']")
ROWS_ON_PAPER = """() => [...document.querySelectorAll('main tbody tr, .finding, .banner')]
  .filter(e => e.checkVisibility())
  .map(e => [getComputedStyle(e).breakInside, e.getBoundingClientRect().height])"""
HEADS_ON_PAPER = """() => [...document.querySelectorAll('thead')]
  .map(e => getComputedStyle(e).display)"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_changed_report(), tmp_path_factory.mktemp("report"))["html"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None or not shutil.which(CHROMIUM):
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Iterator[Any]:
    """Opens the page, at a size and in a scheme; counts requests, collects complaints."""
    contexts = []

    def at(width: int = 1280, scheme: str = "light", **options: Any) -> Any:
        options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme} | options
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda line: page.complaints.append(line.text))
        page.goto(page_file.as_uri())
        return page

    yield at
    for context in contexts:
        context.close()


def out_of_sight(page: Any) -> int:
    """Rows that are folded away, once the page has been drawn anew."""
    page.evaluate("new Promise(on => requestAnimationFrame(() => requestAnimationFrame(on)))")
    return int(page.evaluate(OUT_OF_SIGHT))


def height(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollHeight"))


def pages_of(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_it_opens_from_a_file_and_asks_nobody(opened: Any, page_file: Path) -> None:
    page = opened()
    page.mouse.wheel(0, 30_000)
    page.wait_for_load_state("networkidle")
    assert page.asked == [page_file.as_uri()]
    assert page.complaints == []


def test_the_answer_is_on_the_first_screen(opened: Any) -> None:
    for width in (1280, 400):
        page = opened(width)
        box = page.locator("#answer h2").first.bounding_box()
        assert (
            "Gaps were found. Results are worse for: Female"
            in page.locator("#answer h2").inner_text()
        )
        assert box["y"] + box["height"] < 800
        if width == 1280:
            worst = page.locator(".worst").bounding_box()
            assert worst["y"] + worst["height"] < 800


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_screen(opened: Any, width: int) -> None:
    page = opened(width)
    for _ in ("folded", "unfolded"):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(CUT) == []
        page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_every_text_has_enough_contrast(opened: Any, scheme: str, width: int) -> None:
    page = opened(width, scheme)
    assert TEXTS != CONTRAST  # the words of a drawing have a fill
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert page.evaluate(TEXTS) == []
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 150) == (scheme == "dark")


def test_it_is_whole_without_scripts(opened: Any) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator("#answer h2").is_visible()
    first = page.locator("#groups .outcome details.fold").last
    row = first.locator("tbody tr").last
    assert first.get_attribute("open") is None
    first.locator("summary").click()
    row.wait_for(state="visible", timeout=5_000)


def test_it_is_short_and_opens_to_all_of_it(opened: Any) -> None:
    page = opened()
    folded = height(page)
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert height(page) > 1.4 * folded
    assert out_of_sight(page) == 0


def test_a_page_without_changes_fits_into_nine_thousand_pixels(opened: Any, tmp_path: Path) -> None:
    page = opened()
    page.goto(write_report(make_report(3), tmp_path)["html"].as_uri())
    assert height(page) < 9_000


def test_folds_open_and_close_by_the_keyboard(opened: Any) -> None:
    page = opened()
    for summary in page.locator("main details.fold > summary").all():
        summary.focus()
        outline = "e => getComputedStyle(e).outlineStyle"
        page.keyboard.press("Enter")
        assert summary.evaluate("e => e.parentElement.open")
        page.keyboard.press("Tab")
        page.keyboard.press("Shift+Tab")
        assert summary.evaluate(outline) == "solid"
        page.keyboard.press("Enter")
        assert not summary.evaluate("e => e.parentElement.open")


def test_one_tick_shows_all_that_is_folded(opened: Any) -> None:
    page = opened()
    assert out_of_sight(page) > 30
    page.locator("#unfold").focus()
    page.keyboard.press("Space")
    assert page.locator("#unfold").is_checked()
    assert out_of_sight(page) == 0


def test_the_contents_lead_to_every_part(opened: Any) -> None:
    wide, small = opened(1280), opened(400)
    assert wide.locator("nav a").first.is_visible()
    assert not small.locator("nav a").first.is_visible()
    small.locator("nav summary").click()
    for page in (wide, small):
        for link in page.locator("nav a").all():
            link.click()
            place = page.locator(link.get_attribute("href"))
            assert place.locator("h2").first.is_visible()


BOARD = {
    "with changes": make_changed_report,
    "without changes": lambda: make_report(3),
    "no gap": lambda: make_report(5, gaps={}),
    "many outcomes declared": lambda: _all_declared(make_changed_report()),
    "nothing": dict,
}


def _all_declared(report: dict[str, Any]) -> dict[str, Any]:
    asked = {(row["attribute"], row["outcome"]) for row in report["outcomes"]["table"]}
    primary = [{"attribute": attribute, "outcome": outcome} for attribute, outcome in sorted(asked)]
    rows = [row | {"primary": True} for row in report["outcomes"]["table"]]
    return report | {
        "protocol": report["protocol"] | {"primary": primary},
        "outcomes": report["outcomes"] | {"table": rows},
        "gate": {"passed": False, "reasons": [f"reason {i}" for i in range(60)]},
    }


@pytest.mark.parametrize("name", list(BOARD))
def test_a_board_prints_six_sheets_at_most(opened: Any, tmp_path: Path, name: str) -> None:
    page = opened()
    page.goto(write_report(BOARD[name](), tmp_path)["html"].as_uri())
    assert 1 <= pages_of(page.pdf(format="A4", prefer_css_page_size=True)) <= 6


def test_the_first_sheet_holds_the_answer_and_the_declared_questions(opened: Any) -> None:
    page = opened(A4_BETWEEN_MARGINS)
    page.emulate_media(media="print")
    for place in (".banner", ".gate", ".worst", ".questions", ".tallies"):
        box = page.locator(place).first.bounding_box()
        assert box["y"] + box["height"] < 268 / 25.4 * 96, place  # mm between the margins of A4


def test_paper_shows_what_is_open_and_says_what_it_leaves_out(opened: Any) -> None:
    page = opened()
    board = pages_of(page.pdf(format="A4", prefer_css_page_size=True))
    page.emulate_media(media="print")
    assert out_of_sight(page) > 30
    assert page.locator(".printed").is_visible()
    page.emulate_media(media="screen")
    assert not page.locator(".printed").is_visible()
    page.locator("#unfold").check()
    page.emulate_media(media="print")
    assert out_of_sight(page) == 0
    assert not page.locator(".printed").is_visible()
    assert pages_of(page.pdf(format="A4", prefer_css_page_size=True)) > board + 5


def test_tables_on_paper_are_not_cut(opened: Any) -> None:
    page = opened(A4_BETWEEN_MARGINS)
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    page.emulate_media(media="print")
    assert page.evaluate(CUT) == []
    assert page.evaluate("document.documentElement.scrollWidth") == A4_BETWEEN_MARGINS
    assert set(page.evaluate(HEADS_ON_PAPER)) == {"table-header-group"}
    rows = page.evaluate(ROWS_ON_PAPER)
    assert len(rows) > 100
    assert {inside for inside, _ in rows} == {"avoid"}
    assert max(tall for _, tall in rows) < 900  # 268 mm between the margins are 1013 px
