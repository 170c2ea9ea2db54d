"""The page in every state and at every size: axe-core, contrast, nothing cut off, no complaints."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.case_lookup.texts import CATALOG, Language, Texts
from apps.review.exports import ExportKind
from tests.apps.axe import serious, source
from tests.apps.serving import CHROMIUM, CONTRAST, FLAGS, serving

pytestmark = pytest.mark.browser

SIZES = {
    "phone": (390, 844),
    "desk": (1440, 900),
    "portrait": (1080, 1920),
    "4K": (3840, 2160),
}
# the elements that reach beyond the right edge, apart from those that scroll inside another
CUT_OFF = """() => [...document.querySelectorAll('[data-testid="stMain"] *')]
  .filter(e => e.checkVisibility({checkOpacity: true, visibilityProperty: true}))
  .filter(e => e.getBoundingClientRect().width > 0 && e.closest('.st-key-frame') === null)
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => `${e.tagName} ${e.className}`).slice(0, 5)"""
Step = Callable[[Any, Texts], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    source()
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(small_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    own = tmp_path_factory.mktemp("reviewed") / "library"
    shutil.copytree(small_library, own)
    with serving(own) as (port, _):
        yield f"http://localhost:{port}/"


def new_page(browser: Any, size: str, language: Language = Language.ENGLISH) -> Any:
    """Open a page whose complaints and outside requests are recorded in ``page.seen``."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        locale={"en": "en-US", "de": "de-DE"}[language],
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.seen = []
    page.on("pageerror", lambda error: page.seen.append(str(error)))
    page.on("console", lambda line: page.seen.append(line.text) if line.type == "error" else None)
    page.on(
        "request",
        lambda request: (
            None
            if re.match(r"(data|blob):|https?://localhost[:/]", request.url)
            else page.seen.append(request.url)
        ),
    )
    return page


def settled(page: Any) -> None:
    """Wait until the script has ended and the page is drawn."""
    page.wait_for_selector('[data-test-script-state="notRunning"] .rr-foot', state="attached")
    page.wait_for_timeout(400)


def open_sidebar(page: Any) -> None:
    opener = page.get_by_test_id("stExpandSidebarButton")
    if opener.is_visible():
        opener.click()
        page.wait_for_timeout(400)


def close_sidebar(page: Any) -> None:
    """Close the sidebar where it covers the page."""
    if page.viewport_size["width"] < 768:
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
        page.wait_for_timeout(400)


# each goes on from the one before ---------------------------------------------------------------


def welcome(page: Any, texts: Texts) -> None:
    page.get_by_role("heading", level=1).wait_for(timeout=60_000)
    settled(page)


def keys(page: Any, texts: Texts) -> None:
    page.keyboard.press("Escape")  # leaves the field that has the focus
    page.keyboard.press("?")
    page.get_by_role("dialog", name=texts.page.keys).wait_for()


def open_findings(page: Any, texts: Texts) -> None:
    page.keyboard.press("Escape")
    open_sidebar(page)
    page.get_by_role("combobox", name=texts.sidebar.findings).click()
    page.get_by_role("option").first.wait_for()


def open_dates(page: Any, texts: Texts) -> None:
    page.keyboard.press("Escape")
    page.get_by_text(texts.sidebar.more_filters).click()
    page.locator(".st-key-f_date_from [role=spinbutton]").first.click()
    page.keyboard.press("Alt+ArrowDown")
    page.get_by_role("gridcell").first.wait_for()


def open_help(page: Any, texts: Texts) -> None:
    page.keyboard.press("Escape")
    page.get_by_text(texts.sidebar.more_filters).click()
    page.get_by_test_id("stTooltipIcon").first.hover()
    page.get_by_role("tooltip").wait_for()


def results(page: Any, texts: Texts) -> None:
    page.mouse.move(0, 0)
    words = page.get_by_label(texts.sidebar.text, exact=True)
    words.fill("right pleural effusion")
    words.press("Enter")
    page.locator(".rr-hit").nth(9).wait_for(timeout=60_000)
    settled(page)
    close_sidebar(page)


def chosen_chips(page: Any, texts: Texts) -> None:
    open_sidebar(page)
    picker = page.get_by_role("combobox", name=texts.sidebar.findings)
    picker.click()
    page.get_by_role("option").first.click()
    page.keyboard.press("Escape")
    page.locator(".st-key-f_sex button").first.click()
    page.locator(".rr-force .rr-chip").nth(1).wait_for()
    settled(page)


def stale(page: Any, texts: Texts) -> None:
    page.get_by_label(texts.sidebar.text, exact=True).fill("left")
    page.locator(".st-key-changed").wait_for()


def no_match(page: Any, texts: Texts) -> None:
    words = page.get_by_label(texts.sidebar.text, exact=True)
    words.fill("right pleural effusion")
    words.press("Enter")
    settled(page)
    page.get_by_role("combobox", name=texts.sidebar.findings).click()
    for side in ("right", "left"):  # no case has the finding on one side alone and on the other
        name = texts.words.finding("effusion", side)
        page.get_by_role("option", name=name, exact=True).click()
    page.keyboard.press("Escape")
    page.locator(".rr-notice").wait_for()
    settled(page)


def error(page: Any, texts: Texts) -> None:
    page.get_by_role("button", name=texts.sidebar.clear_filters).click()
    settled(page)
    broken = {"name": "a.dcm", "mimeType": "application/dicom", "buffer": b"no scan at all"}
    page.set_input_files("input[type=file]", broken)
    page.get_by_test_id("stAlert").wait_for()
    settled(page)


def with_image(page: Any, texts: Texts) -> None:
    page.get_by_role("button", name=texts.sidebar.clear, exact=True).click()
    settled(page)
    page.set_input_files("input[type=file]", page.radiograph)
    page.locator(".st-key-query .rr-query").first.wait_for(timeout=30_000)
    settled(page)
    words = page.get_by_label(texts.sidebar.text, exact=True)
    words.fill("effusion")
    words.press("Enter")
    page.locator(".st-key-share").wait_for()
    settled(page)


def case(page: Any, texts: Texts) -> None:
    close_sidebar(page)
    page.get_by_role("button", name=texts.results.open_case(1), exact=True).click()
    page.locator(".st-key-case-bar").wait_for(timeout=30_000)
    settled(page)


def printed(page: Any, texts: Texts) -> None:
    page.emulate_media(media="print", reduced_motion="reduce")


def no_case(page: Any, texts: Texts) -> None:
    page.emulate_media(media="screen", reduced_motion="reduce")
    page.goto(page.url.split("?")[0] + "?case=nobody")
    page.locator(".rr-notice").wait_for(timeout=60_000)
    settled(page)


def offer(page: Any, texts: Texts) -> None:
    page.goto(page.url.split("?")[0] + "?words=right+pleural+effusion")
    page.locator(".rr-hit").nth(9).wait_for(timeout=60_000)
    settled(page)
    page.get_by_text(texts.review.offer).click()
    page.get_by_role("textbox", name=texts.review.name).wait_for()
    page.wait_for_timeout(400)


def overview(page: Any, texts: Texts) -> None:
    page.get_by_role("textbox", name=texts.review.name).fill("Board")
    page.get_by_role("textbox", name=texts.review.your_name).fill("Anna")
    page.get_by_role("button", name=texts.review.make).click()
    page.get_by_text(texts.review.nothing_visible).wait_for(timeout=60_000)
    page.wait_for_timeout(400)


def blind(page: Any, texts: Texts) -> None:
    page.get_by_role("button", name=texts.review.begin).click()
    page.get_by_role("textbox", name=texts.review.first).wait_for(timeout=60_000)
    page.locator(".mv-reading").wait_for(timeout=60_000)
    page.wait_for_timeout(400)


def revealed(page: Any, texts: Texts) -> None:
    page.get_by_role("textbox", name=texts.review.first).fill("Effusion")
    page.get_by_role("button", name=texts.review.reveal).click()
    page.get_by_role("button", name=texts.review.finish).wait_for(timeout=60_000)
    page.wait_for_timeout(400)


def measured(page: Any, texts: Texts) -> None:
    page.get_by_role("button", name=texts.review.finish).click()
    page.get_by_role("button", name=texts.review.next_case).wait_for(timeout=60_000)
    page.locator(".st-key-r-overview button").click()
    page.get_by_text(texts.review.measures).click()
    page.get_by_text(texts.review.export_kinds[ExportKind.TEACHING], exact=True).wait_for(
        timeout=60_000
    )
    page.wait_for_timeout(400)


STATES: tuple[Step, ...] = (
    welcome,
    keys,
    open_findings,
    open_dates,
    open_help,
    results,
    chosen_chips,
    stale,
    no_match,
    error,
    with_image,
    case,
    printed,
    no_case,
    offer,
    overview,
    blind,
    revealed,
    measured,
)


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("size", list(SIZES))
def test_axe_finds_nothing_serious_in_any_state(
    browser: Any,
    address: str,
    radiograph: bytes,
    tmp_path: Path,
    size: str,
    language: Language,
) -> None:
    page = new_page(browser, size, language)
    page.radiograph = {"name": "a.dcm", "mimeType": "application/dicom", "buffer": radiograph}
    page.goto(address)
    found: dict[str, list[str]] = {}
    cut: dict[str, list[str]] = {}
    for step in STATES:
        step(page, CATALOG[language])
        page.screenshot(path=tmp_path / f"{size}-{language}-{step.__name__}.png")
        found |= {step.__name__: bad} if (bad := serious(page)) else {}
        if step is not printed:
            cut |= {step.__name__: wide} if (wide := page.evaluate(CUT_OFF)) else {}
        if step not in (stale, printed, open_help):  # what is out of date is dimmed on purpose
            faint = page.evaluate(CONTRAST)
            found |= {f"{step.__name__}, contrast": faint} if faint else {}
    assert found == {}
    assert cut == {}
    assert page.seen == []
    page.context.close()


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("size", list(SIZES))
def test_what_is_drawn_before_streamlit_runs_is_dark_and_accessible(
    browser: Any, address: str, size: str, language: Language
) -> None:
    page = new_page(browser, size, language)
    page.route("**/static/js/**", lambda route: route.abort())  # they have not arrived yet
    page.goto(address)
    assert page.locator(".rr-outline").is_visible()
    assert page.get_by_role("status").inner_text() == CATALOG[language].page.loading
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 16, 18)"
    assert serious(page) == []
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()


def test_text_grows_with_the_screen_and_with_the_browsers_setting(
    browser: Any, address: str
) -> None:
    sizes = {}
    for size in SIZES:
        page = new_page(browser, size)
        page.goto(address)
        script = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
        sizes[size] = page.evaluate(script)
        page.context.close()
    assert sizes["phone"] == 16
    assert 16 <= sizes["desk"] < 17
    assert 17 < sizes["portrait"] < 20
    assert 34 < sizes["4K"] < 37


def test_a_lost_connection_is_told_in_an_accessible_dialog(
    browser: Any, small_library: Path
) -> None:
    with serving(small_library) as (port, process):
        page = new_page(browser, "desk", Language.GERMAN)
        page.goto(f"http://localhost:{port}/")
        welcome(page, CATALOG[Language.GERMAN])
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        page.locator("[role=dialog] > h2[slot=title]").wait_for(timeout=60_000)
        page.wait_for_timeout(500)
        assert serious(page) == []
        page.context.close()


def test_a_control_that_removes_a_file_says_which(browser: Any, address: str) -> None:
    page = new_page(browser, "desk", Language.GERMAN)
    page.goto(address)
    welcome(page, CATALOG[Language.GERMAN])
    chosen = {"name": "a.dcm", "mimeType": "application/dicom", "buffer": b"no scan at all"}
    page.set_input_files("input[type=file]", chosen)
    page.get_by_test_id("stAlert").wait_for()
    settled(page)
    assert page.get_by_role("button", name="Entfernen: image-1.dcm").is_visible()
    assert page.get_by_role("button", name="Choose files").count() == 0
    page.context.close()
