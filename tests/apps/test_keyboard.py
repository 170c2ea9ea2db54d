"""The page by keyboard alone, and where the focus goes (keyboard.js)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.case_lookup.texts import COOKIE, ENGLISH, GERMAN, Language
from tests.apps.serving import CHROMIUM, FLAGS, serving
from tests.apps.test_accessible import new_page, settled

pytestmark = pytest.mark.browser

FOCUSED = """() => {
  const e = document.activeElement;
  const classes = [...(e.closest('[class*="st-key-"]')?.classList ?? [])];
  return classes.find(c => c.startsWith('st-key-')) ?? e.tagName;
}"""

MARKED = """() => {
  for (let e = document.activeElement, i = 0; i < 5 && e; i++, e = e.parentElement) {
    const style = getComputedStyle(e);
    if (style.outlineStyle !== 'none' && style.outlineWidth !== '0px') return true;
    if (style.boxShadow !== 'none') return true;
  }
  return false;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(small_library: Path) -> Iterator[str]:
    with serving(small_library) as (port, _):
        yield f"http://localhost:{port}/"


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    opened = new_page(browser, "desk")
    opened.goto(address)
    opened.get_by_role("heading", level=1).wait_for(timeout=60_000)
    settled(opened)
    yield opened
    assert opened.seen == []
    opened.context.close()


def focused(page: Any) -> str:
    return str(page.evaluate(FOCUSED))


def search(page: Any) -> None:
    page.keyboard.press("Escape")  # the first page waits in the field, where "/" is a letter
    page.keyboard.press("/")
    page.keyboard.type("right pleural effusion")
    page.keyboard.press("Enter")
    page.locator(".rr-hit").nth(9).wait_for(timeout=60_000)
    settled(page)


def hits(page: Any) -> list[str]:
    """List the hits as they lie on the page: the hits of one patient together."""
    given = page.locator("[class*='st-key-open-']").evaluate_all(
        "all => all.map(e => [...e.classList].find(c => c.startsWith('st-key-open-')))"
    )
    assert len(given) == 10
    return [str(name) for name in given]


def test_a_search_is_typed_at_once_and_hits_are_opened_and_left_by_keys_alone(page: Any) -> None:
    assert focused(page) == "st-key-text", "the first page waits for words"
    page.keyboard.type("right pleural effusion")
    page.keyboard.press("Enter")
    page.locator(".rr-hit").nth(9).wait_for(timeout=60_000)
    settled(page)
    first, second, third, *_ = hits(page)
    page.keyboard.press("ArrowDown")
    assert focused(page) == first
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    assert focused(page) == third
    page.keyboard.press("k")
    assert focused(page) == second
    card = page.locator(f".{second.replace('open', 'hit')}")
    assert card.evaluate("e => getComputedStyle(e).boxShadow") != "none"
    page.keyboard.press("Enter")
    page.locator(".st-key-case-bar").wait_for(timeout=30_000)
    settled(page)
    assert focused(page) == "st-key-case-bar", "a reader hears which case this is"
    page.go_back()  # Alt+← in a browser with a window
    page.locator(".rr-hit").nth(9).wait_for(timeout=30_000)
    settled(page)
    assert focused(page) == second, "back at the hit that was opened"


def test_the_first_and_the_last_hit_are_ends(page: Any) -> None:
    search(page)
    page.keyboard.press("Escape")
    assert focused(page) == "BODY"
    last = hits(page)[-1]
    page.keyboard.press("k")
    assert focused(page) == last
    page.keyboard.press("j")
    assert focused(page) == last
    assert page.locator(f".{last.replace('open', 'hit')}").evaluate(
        "e => e.getBoundingClientRect().bottom <= innerHeight + 1"
    ), "scrolled into view"


def test_keys_do_nothing_while_somebody_types(page: Any) -> None:
    search(page)
    page.keyboard.press("End")
    page.keyboard.type(" j/k?")
    field = page.get_by_label(ENGLISH.sidebar.text, exact=True)
    assert field.input_value() == "right pleural effusion j/k?"
    assert page.locator("dialog.rr-keys[open]").count() == 0
    assert focused(page) == "st-key-text"


@pytest.mark.parametrize("modifier", ["Control", "Alt", "Meta"])
def test_keys_with_a_modifier_stay_the_browsers(page: Any, modifier: str) -> None:
    search(page)
    page.keyboard.press("Escape")
    page.keyboard.press(f"{modifier}+j")
    assert focused(page) == "BODY"


def test_question_mark_lists_the_keys_and_escape_closes_the_list(page: Any) -> None:
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    listed = page.get_by_role("dialog", name="Keys")
    assert listed.is_visible()
    for effect in ENGLISH.page.key_effects:
        assert listed.get_by_text(effect, exact=True).is_visible()
    page.keyboard.press("j")  # the page behind does not move
    page.keyboard.press("Escape")
    assert listed.is_hidden()
    page.get_by_role("button", name=ENGLISH.page.keys_button).click()
    assert listed.is_visible()
    page.get_by_role("button", name=ENGLISH.page.close, exact=True).click()
    assert listed.is_hidden()


def test_single_keys_can_be_switched_off_and_stay_so(page: Any) -> None:
    search(page)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_role("button", name=ENGLISH.page.keys_off).click()
    page.keyboard.press("Escape")
    page.reload()
    page.locator(".rr-hit").first.wait_for(timeout=60_000)
    settled(page)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("dialog.rr-keys[open]").count() == 0
    page.get_by_role("button", name=ENGLISH.page.keys_button).click()
    page.get_by_role("button", name=ENGLISH.page.keys_on).click()
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    assert page.locator("dialog.rr-keys[open]").count() == 1


def test_switched_off_single_keys_do_not_reach_the_viewer_either(page: Any) -> None:
    search(page)
    page.get_by_role("button", name=ENGLISH.page.keys_button).click()
    page.get_by_role("button", name=ENGLISH.page.keys_off).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name=ENGLISH.results.open_case(1), exact=True).click()
    invert = page.get_by_role("button", name=ENGLISH.viewer.invert)
    invert.wait_for(timeout=60_000)
    page.keyboard.press("i")
    assert invert.get_attribute("aria-pressed") != "true"
    page.get_by_role("button", name=ENGLISH.page.keys_button).click()
    page.get_by_role("button", name=ENGLISH.page.keys_on).click()
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    page.wait_for_timeout(300)
    assert invert.get_attribute("aria-pressed") == "true"


def test_streamlits_own_keys_are_off(page: Any) -> None:
    page.keyboard.press("Escape")
    page.keyboard.press("c")  # would offer to clear the cache
    page.wait_for_timeout(300)
    assert page.locator('[role="dialog"]:visible').count() == 0


def test_the_first_tab_offers_to_skip_to_the_cases(page: Any) -> None:
    search(page)
    skip = page.get_by_role("link", name=ENGLISH.page.skip)
    for _ in range(12):
        page.keyboard.press("Shift+Tab")
        if skip.evaluate("e => e === document.activeElement"):
            break
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "BODY", "nothing comes before it"
    page.keyboard.press("Tab")
    assert skip.bounding_box()["y"] >= 0, "it can be seen"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "stMain"
    assert "#" not in page.url


def test_tab_reaches_every_control_and_each_shows_the_focus(page: Any) -> None:
    search(page)
    page.get_by_role("link", name=ENGLISH.page.skip).focus()
    seen: set[str] = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        name = focused(page)
        if name == "BODY":
            break
        seen.add(name)
        if not name.startswith("st-key-open-"):
            assert page.evaluate(MARKED), f"{name} does not show the focus"
    wanted = {"st-key-text", "st-key-f_sex", "st-key-f_finding", "st-key-f_age", "st-key-show-keys"}
    wanted |= {f"st-key-open-{rank}" for rank in range(1, 11)}
    assert wanted <= seen


# the language ------------------------------------------------------------------------------


def test_the_language_is_the_browsers_until_one_is_chosen(browser: Any, address: str) -> None:
    page = new_page(browser, "desk", Language.GERMAN)
    page.goto(address)
    assert page.evaluate("document.documentElement.lang") == "de"
    page.get_by_role("heading", name=GERMAN.welcome.title).wait_for(timeout=60_000)
    settled(page)
    page.get_by_label(GERMAN.sidebar.text, exact=True).fill("right effusion")
    page.keyboard.press("Enter")
    page.locator(".rr-hit").nth(9).wait_for(timeout=60_000)
    settled(page)
    page.locator(".st-key-f_sex button").first.click()
    page.locator(".rr-force .rr-chip").wait_for()
    settled(page)
    assert page.context.cookies() == [] or COOKIE not in {c["name"] for c in page.context.cookies()}
    page.get_by_text("English", exact=True).click()
    page.get_by_role("button", name=ENGLISH.sidebar.search, exact=True).wait_for()
    settled(page)
    assert page.evaluate("document.documentElement.lang") == "en"
    field = page.get_by_label(ENGLISH.sidebar.text, exact=True)
    assert field.input_value() == "right effusion", "the query is kept"
    assert page.locator(".rr-force .rr-chip").all_inner_texts() == ["sex F"], "and so are filters"
    cookie = next(c for c in page.context.cookies() if c["name"] == COOKIE)
    assert (cookie["value"], cookie["sameSite"]) == ("en", "Strict")
    page.goto(address)  # later, in the same browser
    page.get_by_role("heading", name=ENGLISH.welcome.title).wait_for(timeout=60_000)
    assert page.seen == []
    page.context.close()


def test_a_browser_in_another_language_gets_english(browser: Any, address: str) -> None:
    context = browser.new_context(locale="fr-FR")
    page = context.new_page()
    page.goto(address)
    page.get_by_role("heading", name=ENGLISH.welcome.title).wait_for(timeout=60_000)
    context.close()
