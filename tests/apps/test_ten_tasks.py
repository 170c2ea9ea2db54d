"""The ten tasks of docs/guides/ten-tasks.md, each by its documented clicks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from medembed.library import CaseLibrary
from medembed.reviews import Impression, Mark, ReviewCase, ReviewSession, ReviewStore
from tests.apps.conftest import write_radiograph
from tests.apps.serving import CHROMIUM, FLAGS, serving

GUIDE = Path(__file__).parents[2] / "docs/guides/ten-tasks.md"
MOST_ACTIONS = 6


def sections() -> dict[int, tuple[str, list[str]]]:
    """Title and actions of each task."""
    found = {}
    for part in re.split(r"^## ", GUIDE.read_text(encoding="utf-8"), flags=re.M)[1:]:
        head, body = part.split("\n", 1)
        number, title = re.fullmatch(r"(\d+)\. (.+)", head).groups()  # type: ignore[union-attr]
        found[int(number)] = title, re.findall(r"^\d+\. (.+(?:\n   .+)*)", body, flags=re.M)
    return found


def test_each_of_the_ten_tasks_takes_at_most_six_actions() -> None:
    tasks = sections()
    assert list(tasks) == list(range(1, 11))
    for title, actions in tasks.values():
        assert 1 <= len(actions) <= MOST_ACTIONS, title
        assert "*You see*" in GUIDE.read_text(encoding="utf-8").split(f". {title}\n")[1], title


class Reader:
    """Acts on the page and counts its actions."""

    def __init__(self, page: Any) -> None:
        self.page, self.actions = page, 0

    def drop(self, content: bytes) -> None:
        self.actions += 1
        chosen = {"name": "x.dcm", "mimeType": "application/dicom", "buffer": content}
        self.page.set_input_files("input[type=file]", chosen)

    def type(self, words: str) -> None:
        self.actions += 1
        self.page.get_by_label("Findings or report text", exact=True).fill(words)

    def press(self, key: str) -> None:
        self.actions += 1
        self.page.keyboard.press(key)

    def click(self, name: str | re.Pattern[str], nth: int = 0, *, exact: bool = False) -> None:
        self.actions += 1
        self.page.get_by_role("button", name=name, exact=exact).nth(nth).click()

    def click_text(self, text: str) -> None:
        self.actions += 1
        self.page.get_by_text(text, exact=True).first.click()

    def set_slider(self, label: str, end: int, steps: int) -> None:
        """Move one end of a slider by keys, as one action."""
        self.actions += 1
        thumb = self.page.get_by_role("slider", name=label).nth(end)
        thumb.focus()
        for _ in range(abs(steps)):
            self.page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")

    def did(self, task: int) -> None:
        """As many actions as the guide lists."""
        assert self.actions == len(sections()[task][1]), sections()[task]


@pytest.fixture(scope="module")
def library_of_page(small_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that the tests may change."""
    return Path(shutil.copytree(small_library, tmp_path_factory.mktemp("room") / "library"))


@pytest.fixture(scope="module")
def address(library_of_page: Path) -> Iterator[str]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with serving(library_of_page) as (port, _):
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def reader(browser: Any, address: str) -> Iterator[Reader]:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(address)
    page.wait_for_selector('[data-test-script-state="notRunning"] .rr-foot', timeout=60_000)
    page.wait_for_timeout(300)
    yield Reader(page)
    page.close()
    assert complaints == []


@pytest.fixture
def hits(reader: Reader) -> Any:
    return reader.page.locator(".rr-hit")


def settle(page: Any) -> None:
    """Wait until the page shows what it will show."""
    page.wait_for_timeout(200)
    page.wait_for_selector('[data-test-script-state="notRunning"]', timeout=60_000)
    page.wait_for_timeout(300)


def lines(reader: Reader) -> Any:
    return reader.page.locator('[class*="st-key-refinement-"]')


@pytest.mark.browser
def test_1_search_by_your_own_image(reader: Reader, hits: Any, radiograph: bytes) -> None:
    from playwright.sync_api import expect

    reader.drop(radiograph)
    expect(hits).to_have_count(10, timeout=60_000)
    expect(reader.page.get_by_alt_text("Query: Your image").first).to_be_visible()
    expect(reader.page.get_by_text("View PA: 13 cases in the archive")).to_be_visible()
    reader.did(1)


@pytest.mark.browser
def test_2_search_by_words_that_deny_something(reader: Reader, hits: Any) -> None:
    from playwright.sync_api import expect

    reader.type("right effusion without pneumothorax")
    reader.press("Enter")
    expect(hits).to_have_count(10, timeout=60_000)
    expect(reader.page.get_by_role("button", name="no pneumothorax ×")).to_be_visible()
    expect(reader.page.get_by_text(re.compile("fit everything you asked for"))).to_be_visible()
    reader.did(2)


@pytest.mark.browser
def test_3_refine_three_times_and_undo(reader: Reader, hits: Any, address: str) -> None:
    from playwright.sync_api import expect

    page = reader.page
    reader.type("right effusion")
    reader.press("Enter")
    expect(hits).to_have_count(10, timeout=60_000)
    steps = [page.url]
    reader.actions = 0
    reader.click("More like this")
    expect(lines(reader)).to_have_count(2, timeout=30_000)
    steps.append(page.url)
    reader.click("Less like this", nth=2)
    expect(lines(reader)).to_have_count(3, timeout=30_000)
    steps.append(page.url)
    reader.click(re.compile("^F$"))
    expect(lines(reader)).to_have_count(4, timeout=30_000)
    steps.append(page.url)
    reader.click("Undo")
    expect(lines(reader)).to_have_count(3, timeout=30_000)
    reader.did(3)
    # Back, Forward and reload lead along the same states
    assert page.url == steps[2]
    page.go_back()
    expect(lines(reader)).to_have_count(4, timeout=30_000)
    page.go_back()
    expect(lines(reader)).to_have_count(3, timeout=30_000)
    page.go_back()
    expect(lines(reader)).to_have_count(2, timeout=30_000)
    assert page.url == steps[1]
    page.go_forward()
    expect(lines(reader)).to_have_count(3, timeout=30_000)
    settle(page)
    shown = page.locator(".rr-hit strong").all_inner_texts()
    page.reload()
    expect(lines(reader)).to_have_count(3, timeout=60_000)
    expect(hits.first).to_be_visible(timeout=30_000)
    settle(page)
    assert page.locator(".rr-hit strong").all_inner_texts() == shown
    assert page.url == steps[2]


@pytest.mark.browser
def test_back_is_followed_however_fast_it_is_pressed(reader: Reader, hits: Any) -> None:
    """The widgets still send the values of the page that was left."""
    from playwright.sync_api import expect

    page = reader.page
    reader.type("right effusion")
    reader.press("Enter")
    expect(hits).to_have_count(10, timeout=60_000)
    reader.click("More like this")
    expect(lines(reader)).to_have_count(2, timeout=30_000)
    reader.click(re.compile("^F$"))
    expect(lines(reader)).to_have_count(3, timeout=30_000)
    last = page.url
    for wait_ms in (0, 30, 80, 150, 300):
        for _ in range(2):
            page.go_back()
            page.wait_for_timeout(wait_ms)
        expect(lines(reader)).to_have_count(1, timeout=30_000)
        settle(page)
        expect(lines(reader)).to_have_count(1)
        for _ in range(2):
            page.go_forward()
            page.wait_for_timeout(wait_ms)
        expect(lines(reader)).to_have_count(3, timeout=30_000)
        settle(page)
        assert page.url == last


@pytest.mark.browser
def test_4_compare_with_linked_scrolling(
    reader: Reader, hits: Any, small_library: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    reader.drop(write_radiograph(tmp_path / "x.dcm", 45).read_bytes())
    expect(hits).to_have_count(10, timeout=60_000)
    reader.actions = 0
    reader.click("Open case 1")
    expect(reader.page.locator(".st-key-viewer")).to_be_visible(timeout=30_000)
    reader.actions += 1
    reader.page.locator(".st-key-viewer").hover()
    reader.page.mouse.wheel(0, 120)
    reader.did(4)


@pytest.mark.browser
def test_5_find_a_patients_prior(reader: Reader, hits: Any) -> None:
    from playwright.sync_api import expect

    page = reader.page
    page.goto(f"{page.url}?words=right+effusion&patients=one")
    expect(hits).to_have_count(7, timeout=60_000)
    reader.click(re.compile("^1 day before"))
    expect(page.get_by_role("button", name="Back to results")).to_be_visible(timeout=30_000)
    assert "case=" in page.url
    reader.did(5)


@pytest.mark.browser
def test_6_decide_that_there_is_nothing_like_it(
    reader: Reader, hits: Any, radiograph: bytes
) -> None:
    from playwright.sync_api import expect

    reader.drop(radiograph)
    expect(hits).to_have_count(10, timeout=60_000)
    answers = reader.page.locator(".rr-novel, .rr-known, .rr-untold")
    expect(answers.first).to_be_visible()
    above = answers.first.bounding_box()
    first = hits.first.bounding_box()
    assert above is not None
    assert first is not None
    assert above["y"] < first["y"]
    reader.did(6)


@pytest.mark.browser
def test_7_search_by_a_region(reader: Reader, hits: Any, radiograph: bytes) -> None:
    from playwright.sync_api import expect

    reader.drop(radiograph)
    expect(hits).to_have_count(10, timeout=60_000)
    reader.click_text("Search by a region")
    page = reader.page
    frame = page.locator(".st-key-region-marker .frame")
    frame.scroll_into_view_if_needed()
    expect(frame.locator("img")).to_be_visible()
    page.wait_for_timeout(500)
    area = frame.bounding_box()

    def at(across: float, down: float) -> tuple[float, float]:
        return area["x"] + across * area["width"], area["y"] + down * area["height"]

    page.mouse.move(*at(0.1, 0.2))
    page.mouse.down()
    page.mouse.move(*at(0.4, 0.5))
    page.mouse.move(*at(0.6, 0.8))
    page.mouse.up()
    reader.actions += 1
    rows = page.get_by_role("slider", name="Top to bottom")
    expect(rows.nth(0)).to_have_value("20", timeout=30_000)
    expect(rows.nth(1)).to_have_value("80")
    columns = page.get_by_role("slider", name="Left to right")
    expect(columns.nth(1)).to_have_value("60")
    reader.click("Search with this region")
    expect(lines(reader)).to_have_count(2, timeout=30_000)
    ends = parse_qs(urlsplit(page.url).query)["region"][0].split(",")
    assert [round(float(end), 1) for end in ends] == [0.2, 0.1, 0.8, 0.6]
    reader.did(7)
    # the same without a mouse
    settle(page)
    reader.set_slider("Top to bottom", 1, -5)
    reader.click("Search with this region")
    expect(lines(reader)).to_have_count(2, timeout=30_000)
    page.wait_for_url(re.compile(r"region=0\.2.*0\.75"), timeout=30_000)


@pytest.fixture
def board(library_of_page: Path) -> ReviewSession:
    """A session of three cases, of which Ben has finished the second."""
    with CaseLibrary.open(library_of_page) as library:
        store = ReviewStore(library)
        cases = [ReviewCase(f"C-{n:04d}") for n in (1, 3, 5)]
        made = store.create("Board", "Anna", cases)
        at = (made.link, "C-0003", "Ben")
        store.open_case(*at)
        store.write_impression(*at, Impression("Effusion"))
        store.reveal(*at)
        store.revise(*at, Impression("Effusion, right"))
        store.finish(*at)
        return made


@pytest.mark.browser
def test_8_make_a_shortlist_for_the_tumor_board(
    reader: Reader, board: ReviewSession, address: str
) -> None:
    from playwright.sync_api import expect

    page = reader.page
    page.goto(f"{address}?review={board.link}&reader=Anna")
    reader.actions += 1
    page.locator(".st-key-review_position").get_by_text("1", exact=True).click()
    reader.actions += 1
    expect(page.get_by_role("textbox", name="First impression")).to_be_visible(timeout=60_000)
    reader.click_text("Tumor board shortlist")
    settle(page)
    reader.click("Overview")
    expect(page.get_by_text("Tumor board shortlist: 1 case")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("button", name="Make a session of the shortlist")).to_be_visible()
    reader.did(8)


@pytest.mark.browser
def test_9_review_blind_then_reveal(
    reader: Reader, board: ReviewSession, library_of_page: Path, address: str
) -> None:
    from playwright.sync_api import expect

    page = reader.page
    page.goto(f"{address}?review={board.link}")
    reader.actions += 1
    page.get_by_role("textbox", name="Your name or initials").fill("Cleo")
    reader.actions += 1
    reader.click("Begin")
    box = page.get_by_role("textbox", name="First impression")
    expect(box).to_be_visible(timeout=60_000)
    assert "IMPRESSION" not in page.content()
    box.fill("Effusion")
    reader.actions += 1
    reader.click("Reveal")
    expect(page.get_by_role("textbox", name="Final impression")).to_be_visible(timeout=30_000)
    assert "IMPRESSION" in page.content()
    reader.click("Finish case")
    expect(page.get_by_text("Final impression (unchanged)")).to_be_visible(timeout=30_000)
    reader.did(9)
    with CaseLibrary.open(library_of_page) as library:
        (read,) = ReviewStore(library).readings(board.link, "Cleo")
    assert read.is_finished


@pytest.mark.browser
def test_10_export_a_teaching_case(
    reader: Reader, board: ReviewSession, library_of_page: Path, address: str
) -> None:
    from playwright.sync_api import expect

    page = reader.page
    page.goto(f"{address}?review={board.link}&reader=Ben&at=2")
    expect(page.get_by_text("Final impression (revised)")).to_be_visible(timeout=60_000)
    reader.click_text("Teaching file")
    settle(page)
    reader.click("Overview")
    reader.click("Teaching file", exact=True)
    button = page.get_by_role("button", name=re.compile("^Download .*html"))
    expect(button).to_be_visible(timeout=60_000)
    reader.actions += 1
    with page.expect_download() as download:
        button.click()
    text = download.value.path().read_text(encoding="utf-8")
    assert "Effusion, right" in text
    assert "data:image/" in text
    reader.did(10)
    with CaseLibrary.open(library_of_page) as library:
        (read,) = ReviewStore(library).readings(board.link, "Ben")
    assert read.marks == {Mark.TEACHING}


@pytest.mark.browser
def test_a_dropped_image_survives_a_reload_and_not_another_browser(
    browser: Any, reader: Reader, hits: Any, radiograph: bytes
) -> None:
    from playwright.sync_api import expect

    page = reader.page
    reader.drop(radiograph)
    expect(hits).to_have_count(10, timeout=60_000)
    settle(page)
    shown = page.locator(".rr-hit strong").all_inner_texts()
    address = page.url
    assert "image=" in address
    page.reload()
    expect(hits).to_have_count(10, timeout=60_000)
    settle(page)
    assert page.locator(".rr-hit strong").all_inner_texts() == shown
    expect(page.get_by_alt_text("Query: Your image").first).to_be_visible()
    stranger = browser.new_context().new_page()
    stranger.goto(address)
    expect(stranger.get_by_text("Drop it again; everything else was kept.")).to_be_visible(
        timeout=60_000
    )
    assert stranger.locator(".rr-hit").count() == 0
    assert stranger.locator("img.rr-query").count() == 0
    stranger.context.close()
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_text("Find the most similar past cases")).to_be_visible(timeout=30_000)
    page.goto(address)
    expect(page.get_by_text("Drop it again; everything else was kept.")).to_be_visible(
        timeout=60_000
    )


@pytest.mark.browser
def test_pasted_names_are_in_no_address_and_survive_a_reload(reader: Reader, hits: Any) -> None:
    from playwright.sync_api import expect

    page = reader.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    reader.type("Jane Doe, born 3.4.1950: right pleural effusion")
    reader.press("Enter")
    expect(hits).to_have_count(10, timeout=60_000)
    page.reload()
    expect(hits).to_have_count(10, timeout=60_000)
    box = page.get_by_label("Findings or report text", exact=True)
    expect(box).to_have_value("Jane Doe, born 3.4.1950: right pleural effusion")
    assert "typed=" in page.url
    assert not [url for url in [*asked, page.url] if "Doe" in url or "1950" in url]


@pytest.mark.browser
def test_the_own_case_and_patient_stand_apart(
    reader: Reader, hits: Any, small_library: Path
) -> None:
    from playwright.sync_api import expect

    with CaseLibrary.open(small_library) as library:
        content = library.scan_files(library.case("C-0004"))[0][0].read_bytes()
    reader.drop(content)
    expect(reader.page.get_by_role("button", name="Case C-0004")).to_be_visible(timeout=60_000)
    expect(reader.page.locator(".st-key-own-studies button")).to_have_count(1)
    assert reader.page.locator(".rr-hit strong", has_text="44 y").count() == 0
