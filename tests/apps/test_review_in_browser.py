"""A review in headless chromium: blind, revealed, finished, and resumed in another browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medembed.library import CaseLibrary
from medembed.reviews import Impression, Mark, ReviewStore
from tests.apps.serving import CHROMIUM, CONTRAST, FLAGS, serving

pytestmark = pytest.mark.browser


def test_two_readers_read_a_session_blind_and_compare(small_library: Path, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import Page, expect, sync_playwright

    place = Path(shutil.copytree(small_library, tmp_path / "library"))
    complaints: list[str] = []

    def opened(page: Page, address: str) -> Page:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda line: complaints.append(line.text) if line.type == "error" else None,
        )
        page.goto(address)
        return page

    with serving(place) as (port, _), sync_playwright() as driver:
        address = f"http://localhost:{port}"
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = opened(browser.new_page(viewport={"width": 1440, "height": 1000}), address)
        page.get_by_label("Findings or report text", exact=True).fill("right pleural effusion")
        page.keyboard.press("Enter")
        expect(page.locator(".rr-hit")).to_have_count(10, timeout=60_000)
        page.get_by_text("Start a review session with these cases").click()
        page.get_by_role("textbox", name="Name of the session").fill("Tumor board")
        page.get_by_role("textbox", name="Your name or initials").fill("Anna")
        page.get_by_role("button", name="Start session").click()
        expect(page.get_by_text("Finished 0 of 10 cases")).to_be_visible(timeout=30_000)
        page.screenshot(path=tmp_path / "overview.png")
        assert page.evaluate(CONTRAST) == []
        shared = page.get_by_test_id("stCode").inner_text().strip()
        assert "reader" not in shared

        # blind: what the browser got has no word of the report
        page.get_by_role("button", name="Begin").click()
        box = page.get_by_role("textbox", name="First impression")
        expect(box).to_be_visible(timeout=30_000)
        expect(page.locator(".mv-reading")).to_have_count(1, timeout=30_000)
        expect(page.locator(".mv-reading")).not_to_be_empty(timeout=30_000)
        blind = page.content()
        assert "IMPRESSION" not in blind
        assert "stable over many weeks" not in blind
        expect(page.locator(".rr-chip")).to_have_count(0)
        page.screenshot(path=tmp_path / "blind.png")
        assert page.evaluate(CONTRAST) == []
        page.get_by_role("button", name="Reveal").click()
        expect(page.get_by_text("needs a text or a finding")).to_be_visible()

        box.fill("Effusion on the right")
        page.get_by_role("button", name="Reveal").click()  # leaves the box and reveals in one
        expect(page.get_by_role("textbox", name="Final impression")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("button", name="Finish case")).to_be_visible()
        assert (
            page.get_by_role("textbox", name="Final impression").input_value()
            == "Effusion on the right"
        )
        page.screenshot(path=tmp_path / "revealed.png")
        assert page.evaluate(CONTRAST) == []

        # another browser, the same address: the same place
        other = opened(driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_page(),
                       page.url)  # fmt: skip
        expect(other.get_by_role("textbox", name="Final impression")).to_have_value(
            "Effusion on the right", timeout=60_000
        )
        other.get_by_text("Tumor board shortlist").click()
        other.get_by_role("textbox", name="Final impression").fill("Effusion, small")
        other.get_by_role("button", name="Finish case").click()
        expect(other.get_by_text("Final impression (revised)")).to_be_visible(timeout=30_000)
        page.reload()
        expect(page.get_by_text("Final impression (revised)")).to_be_visible(timeout=60_000)
        page.get_by_role("button", name="Next case").click()
        expect(page.get_by_role("textbox", name="First impression")).to_be_visible(timeout=30_000)
        assert "at=2" in page.url

        # a second reader follows the shared link, reads the same case and compares
        second = opened(browser.new_page(viewport={"width": 390, "height": 844}), shared)
        second.get_by_role("textbox", name="Your name or initials").fill("Ben")
        second.get_by_role("button", name="Begin").click()
        second.get_by_role("textbox", name="First impression").fill("Normal")
        second.get_by_role("button", name="Reveal").click()
        expect(second.get_by_role("textbox", name="Final impression")).to_be_visible(timeout=30_000)
        assert second.evaluate("document.documentElement.scrollWidth") <= 390
        second.get_by_role("button", name="Finish case").click()
        expect(second.get_by_text("Reader Anna")).to_be_visible(timeout=30_000)
        second.get_by_role("button", name="Overview").first.click()
        expect(second.get_by_text("Anna and Ben: first impressions")).to_be_visible(timeout=30_000)
        second.get_by_role("button", name="CSV", exact=True).click()
        with second.expect_download() as download:
            second.get_by_role("button", name="Download review.csv").click(timeout=30_000)
        assert download.value.path().read_bytes().startswith(b"\xef\xbb\xbf")
        second.screenshot(path=tmp_path / "narrow.png")
        browser.close()

    assert complaints == []
    with CaseLibrary.open(place) as library:
        store = ReviewStore(library)
        (session,) = store.sessions()
        anna, ben = (store.readings(session.link, name)[0] for name in ("Anna", "Ben"))
        assert anna.impression == Impression("Effusion on the right")
        assert anna.revision == Impression("Effusion, small")
        assert anna.marks == {Mark.SHORTLIST}
        assert ben.revision == Impression("Normal")
        assert anna.end_seconds is not None
        assert anna.end_seconds > 0
