"""Printed: black on white, one case a page, no controls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apps.serving import CHROMIUM, FLAGS, serving
from tests.apps.test_accessible import new_page, settled

pytestmark = pytest.mark.browser

CONTROLS = (
    "button, input, select, textarea, [role=slider], [role=button], [data-testid=stSidebar],"
    " [data-testid=stHeader]"
)
NOT_WHITE = """() => [...document.querySelectorAll('body *')]
  .filter(e => e.checkVisibility() && e.tagName !== 'IMG')
  .map(e => [getComputedStyle(e).backgroundColor, e.tagName, e.className])
  .filter(([c]) => !['rgba(0, 0, 0, 0)', 'rgb(255, 255, 255)'].includes(c))"""


@pytest.fixture(scope="module")
def page(small_library: Path) -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with serving(small_library) as (port, _), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = new_page(browser, "desk")
        opened.goto(f"http://localhost:{port}/")
        opened.get_by_role("heading", level=1).wait_for(timeout=60_000)
        settled(opened)
        opened.keyboard.type("right pleural effusion")
        opened.keyboard.press("Enter")
        opened.locator(".rr-hit").nth(9).wait_for(timeout=60_000)
        settled(opened)
        opened.emulate_media(media="print")
        yield opened
        browser.close()


def pages(page: Any) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True)))


def is_paper(page: Any) -> None:
    assert page.locator(CONTROLS).filter(visible=True).count() == 0
    assert page.evaluate(NOT_WHITE) == []


def test_results_are_the_query_and_then_a_case_a_page(page: Any) -> None:
    assert pages(page) == 1 + 10
    is_paper(page)
    assert page.locator(".rr-asked").is_visible()
    assert page.locator(".rr-hit").first.is_visible()
    height = page.locator(".rr-thumb img").first.evaluate("e => e.getBoundingClientRect().height")
    assert height > 300, "the picture is as large as the page allows"


def test_a_case_is_its_picture_findings_and_whole_report(page: Any) -> None:
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Open case 1", exact=True).click()
    page.locator(".st-key-case-bar").wait_for(timeout=30_000)
    settled(page)
    page.emulate_media(media="print")
    is_paper(page)
    assert pages(page) <= 2
    for part in (".rr-chip", ".rr-note", ".rr-facts", ".st-key-case-bar .rr-line"):
        assert page.locator(part).first.is_visible(), part
    assert page.locator('[data-testid="stMain"] img').first.is_visible()
    whole = page.locator(".rr-note").inner_text()
    assert whole.count("It has been stable over many weeks of follow-up.") == 8
