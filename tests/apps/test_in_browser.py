"""The reading room as a radiologist uses it, in headless chromium."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from apps.case_lookup.texts import ENGLISH
from tests.apps.serving import CHROMIUM, CONTRAST, FLAGS, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(small_library: Path) -> Iterator[str]:
    """Address of a running reading room."""
    with serving(small_library) as (port, _):
        yield f"http://localhost:{port}"


def test_a_radiologist_finds_compares_and_reads(
    served: str, radiograph: bytes, tmp_path: Path
) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import expect, sync_playwright

    address = served
    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda opened: asked.append(opened.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda line: complaints.append(line.text) if line.type == "error" else None,
        )
        page.goto(address)
        expect(page.get_by_text("Find the most similar past cases")).to_be_visible(timeout=60_000)
        expect(page.get_by_test_id("stMainMenu")).to_have_count(0)
        expect(page.get_by_text("Deploy")).to_have_count(0)
        assert page.evaluate(CONTRAST) == []

        page.get_by_label("Findings or report text", exact=True).fill("right pleural effusion")
        page.keyboard.press("Enter")
        expect(page.locator(".rr-hit")).to_have_count(10, timeout=60_000)
        page.screenshot(path=tmp_path / "words.png")
        assert page.evaluate(CONTRAST) == []

        page.set_input_files(
            "input[type=file]",
            {"name": "Planted_Name.dcm", "mimeType": "application/dicom", "buffer": radiograph},
        )
        expect(page.get_by_alt_text("Query: Your image")).to_be_visible(timeout=30_000)
        expect(page.get_by_text("Image weight")).to_be_visible()
        assert "Planted" not in page.locator("body").inner_text()

        expect(page.locator(".rr-hit")).to_have_count(10)  # the results of the text alone are gone
        page.get_by_role("button", name="Open case 1", exact=True).click()
        readings = page.locator(".mv-reading")
        expect(readings).to_have_count(2, timeout=60_000)
        expect(readings.last).not_to_be_empty(timeout=30_000)
        parts = parse_qs(urlsplit(page.url).query)
        assert set(parts) == {"words", "image", "case"}
        assert re.fullmatch(r"C-\d{4}", parts["case"][0])
        as_sent = readings.last.inner_text()
        page.get_by_label("Window", exact=True).select_option("full")
        expect(readings.last).not_to_have_text(as_sent)
        expect(page.locator(".rr-still")).to_be_hidden()
        page.screenshot(path=tmp_path / "case.png")
        assert page.evaluate(CONTRAST) == []

        page.go_back()
        expect(page.locator(".rr-hit")).to_have_count(10)
        page.wait_for_timeout(500)
        assert page.evaluate(CONTRAST) == []
        browser.close()

    web = [url for url in asked if not url.startswith(("data:", "blob:"))]
    assert {urlsplit(url).hostname for url in web} == {"localhost"}
    assert not [url for url in web if re.search(r"/media/[0-9a-f]{20,}", url)]
    assert not [url for url in asked if "Planted" in url or "effusion" in url]
    assert complaints == []
    assert (tmp_path / "words.png").stat().st_size > 10_000


def test_nothing_is_cut_off_on_a_phone(served: str) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(served)
        page.get_by_test_id("stExpandSidebarButton").click(timeout=60_000)
        page.get_by_label("Findings or report text", exact=True).fill("right pleural effusion")
        page.keyboard.press("Enter")
        expect(page.locator(".rr-hit")).to_have_count(10, timeout=60_000)
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
        opener = page.get_by_test_id("stExpandSidebarButton")
        expect(opener).to_be_visible()
        right = "all => Math.max(...all.map(e => e.getBoundingClientRect().right))"
        assert page.locator(".rr-hit, .rr-score").evaluate_all(right) <= 390
        below = opener.bounding_box()
        words = page.locator(".rr-asked").bounding_box()
        assert below is not None
        assert words is not None
        assert words["y"] >= below["y"] + below["height"], "the button lies on the words"
        browser.close()


def test_a_lost_connection_is_explained_without_the_internet(small_library: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import expect, sync_playwright

    with serving(small_library) as (port, process), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"http://127.0.0.1:{port}")
        expect(page.locator(".rr-foot")).to_be_visible(timeout=60_000)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        title = page.locator("[role=dialog] > h2")
        expect(title).to_be_visible(timeout=60_000)
        shown = "e => getComputedStyle(e, '::after').content"
        assert title.evaluate(shown) == f'"{ENGLISH.faults.lost}"'
        body = page.locator("[role=dialog] > h2 + div")
        assert body.evaluate(shown) == f'"{ENGLISH.faults.lost_hint}"'
        expect(body.locator("> *")).to_be_hidden()
        browser.close()
