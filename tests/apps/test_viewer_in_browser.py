"""The viewer as a radiologist uses it, in headless chromium."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from apps.case_lookup.texts import GERMAN
from medembed.library import CaseLibrary
from medembed.model import toy_model
from medembed.scans import read_scan
from tests.apps.conftest import make_case, write_ct, write_radiograph
from tests.apps.serving import CHROMIUM, FLAGS, serving

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium")]

GRAPHICS = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
N_SLICES = (8, 12, 24, 10)  # of the four CTs; the first two are of one patient


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four CTs of three patients, and four radiographs of two others."""
    folder = tmp_path_factory.mktemp("files")
    path = tmp_path_factory.mktemp("room") / "viewer-library"
    files = [write_ct(folder, n, slices) for n, slices in enumerate(N_SLICES)]
    files += [[write_radiograph(folder / f"{n}.dcm", n)] for n in range(4, 8)]
    with CaseLibrary.create(path) as opened:
        report = opened.add(make_case(n, names) for n, names in enumerate(files))
        assert report.added == len(files)
        model = toy_model()
        model.save(path / "models" / "toy")
        opened.active_model = "toy"
        scans = [read_scan(names if len(names) > 1 else names[0]) for names in files]
        opened.put_vectors(model.fingerprint, "image", opened.find(), model.encode_scans(scans))
    return path


@pytest.fixture(scope="module")
def served(library: Path) -> Iterator[str]:
    with serving(library) as (port, _):
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@contextmanager
def page_of(driver: Any, address: str, flags: tuple[str, ...] = ()) -> Iterator[Any]:
    """A page that must neither complain nor ask anybody else."""
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda opened: asked.append(opened.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.asked = asked
    try:
        page.goto(address)
        yield page
        assert complaints == []
        web = [url for url in asked if not url.startswith(("data:", "blob:"))]
        assert {urlsplit(url).hostname for url in web} == {"localhost"}
    finally:
        browser.close()


@pytest.fixture
def page(driver: Any, served: str) -> Iterator[Any]:
    with page_of(driver, served) as opened:
        yield opened


class Shown:
    """What one panel shows."""

    def __init__(self, page: Any, name: str) -> None:
        self.box = page.locator(f'.mv-panel[data-panel="{name}"]')
        self.view = self.box.locator(".mv-view:not(.mv-layer)").first
        self.page = page

    def place(self) -> tuple[int, int]:
        n, of = self.view.locator(".mv-place").inner_text().split(" / ")
        return int(n), int(of)

    def window(self) -> tuple[float, float]:
        level, width = re.findall(r"-?[\d.]+", self.view.locator(".mv-reading").inner_text())
        return float(level), float(width)

    def pixels(self) -> np.ndarray:
        """The picture on the screen, without what is written on it."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 60)))"
        )
        shot = self.view.locator("canvas").first.evaluate("c => c.toDataURL('image/png')")
        import base64

        image = Image.open(io.BytesIO(base64.b64decode(shot.partition(",")[2]))).convert("L")
        return np.asarray(image, np.int16)

    def center(self) -> tuple[float, float]:
        box = self.view.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, right: float, down: float, button: str = "left") -> None:
        x, y = self.center()
        self.page.mouse.move(x, y)
        self.page.mouse.down(button=button)
        self.page.mouse.move(x + right / 2, y + down / 2)
        self.page.mouse.move(x + right, y + down)
        self.page.mouse.up(button=button)

    def wheel(self, steps: int) -> None:
        self.page.mouse.move(*self.center())
        for _ in range(abs(steps)):
            self.page.mouse.wheel(0, 120 if steps > 0 else -120)


def soon(claim: Callable[[], bool], page: Any, seconds: float = 15.0) -> None:
    """Wait until a claim holds; fail if it never does."""
    for _ in range(int(seconds * 20)):
        if claim():
            return
        page.wait_for_timeout(50)
    assert claim()


def compare_ct(page: Any, library: Path) -> tuple[Shown, Shown]:
    """Drop a CT of 6 slices and open the first CT found: the two stand side by side."""
    from playwright.sync_api import expect

    folder = library.parent / "dropped"
    folder.mkdir(exist_ok=True)
    files = write_ct(folder, 41, 6)
    page.set_input_files("input[type=file]", files)
    expect(page.locator(".rr-hit").first).to_be_visible(timeout=60_000)
    pick = page.locator(".st-key-f_modality").get_by_role("button", name="CT")
    pick.click()
    expect(page.locator(".rr-force .rr-chip")).to_be_visible(timeout=30_000)
    expect(page.locator(".rr-hit")).to_have_count(4)
    page.get_by_role("button", name="Open case 1", exact=True).click()
    return ready(page, "query"), ready(page, "case")


def ready(page: Any, name: str) -> Shown:
    from playwright.sync_api import expect

    shown = Shown(page, name)
    expect(shown.view.locator(".mv-reading")).not_to_be_empty(timeout=60_000)
    soon(lambda: bool(shown.pixels().max() > 0), page)
    return shown


def test_query_and_hit_side_by_side_obey_every_control(page: Any, library: Path) -> None:
    query, case = compare_ct(page, library)
    box, other = query.view.bounding_box(), case.view.bounding_box()
    assert box["y"] == other["y"]
    assert box["x"] + box["width"] <= other["x"]

    # slices: the same fraction of the way
    assert query.place() == (4, 6)
    query.wheel(2)
    soon(lambda: query.place() == (6, 6), page)
    soon(lambda: case.place()[0] == case.place()[1], page)
    case.view.focus()
    page.keyboard.press("Home")
    soon(lambda: (query.place()[0], case.place()[0]) == (1, 1), page)

    # window: dragged, by preset, by key
    before = query.pixels(), case.pixels()
    query.drag(60, 40)
    soon(lambda: query.window() != (40, 400), page)
    assert case.window() == query.window()
    soon(lambda: bool((case.pixels() != before[1]).any()), page)
    page.keyboard.press("2")
    soon(lambda: query.window() == (-600, 1500), page)
    assert case.window() == (-600, 1500)
    page.keyboard.press("w")
    soon(lambda: case.window() == (400, 1800), page)

    # invert, rotate, zoom, pan: in both pictures
    for act in ("i", "o", "+", "Shift+ArrowRight"):
        before = query.pixels(), case.pixels()
        page.keyboard.press(act)
        soon(lambda seen=before: bool((query.pixels() != seen[0]).any()), page)
        soon(lambda seen=before: bool((case.pixels() != seen[1]).any()), page)
    before = query.pixels(), case.pixels()
    query.drag(0, 80, "right")
    soon(lambda: bool((query.pixels() != before[0]).any()), page)
    soon(lambda: bool((case.pixels() != before[1]).any()), page)

    page.keyboard.press("r")
    soon(lambda: query.window() == (40, 400), page)
    soon(lambda: case.window() == (40, 400), page)


def test_unlinked_each_obeys_alone_and_an_anchor_links_by_hand(page: Any, library: Path) -> None:
    query, case = compare_ct(page, library)
    page.get_by_role("button", name="Link", exact=True).click()
    before = case.place(), case.window(), case.pixels()
    query.wheel(-2)
    soon(lambda: query.place() == (2, 6), page)
    query.drag(60, 40)
    soon(lambda: query.window() != (40, 400), page)
    page.keyboard.press("i")
    assert (case.place(), case.window()) == before[:2]
    assert (case.pixels() == before[2]).all()

    case.view.focus()
    page.keyboard.press("Home")
    soon(lambda: case.place()[0] == 1, page)
    page.keyboard.press("a")  # slice 2 here is slice 1 there; all are 5 mm apart
    query.wheel(2)
    soon(lambda: query.place() == (4, 6), page)
    soon(lambda: case.place()[0] == 3, page)
    page.keyboard.press("a")
    query.wheel(-3)
    soon(lambda: (query.place()[0], case.place()[0]) == (1, 1), page)


def test_the_next_hit_by_key_keeps_the_settings_and_the_place(page: Any, library: Path) -> None:
    from playwright.sync_api import expect

    query, case = compare_ct(page, library)
    first = page.url
    page.keyboard.press("2")
    page.keyboard.press("i")
    query.wheel(2)
    soon(lambda: case.place()[0] == case.place()[1], page)
    n_query = len([url for url in page.asked if "/pixels/query/" in url])
    page.keyboard.press("j")
    expect(page.get_by_text("Hit 2 of 4")).to_be_visible(timeout=30_000)
    assert page.url != first
    case = ready(page, "case")
    soon(lambda: case.place()[0] == case.place()[1], page)
    assert query.place() == (6, 6)
    assert case.window() == (-600, 1500)
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("Hit 1 of 4")).to_be_visible(timeout=30_000)
    assert page.url == first
    again = [url for url in page.asked if "/pixels/query/" in url]
    assert len(again) == n_query, "the query's pixels were fetched once"
    page.go_back()
    page.go_forward()


def test_a_rerun_of_the_script_fetches_no_pixels(page: Any, library: Path) -> None:
    from playwright.sync_api import expect

    query, _ = compare_ct(page, library)
    page.wait_for_timeout(500)
    n_asked = len(page.asked)
    page.locator(".st-key-language").get_by_text("Deutsch").click()
    expect(page.get_by_role("button", name=GERMAN.case.to_results)).to_be_visible(timeout=30_000)
    page.wait_for_timeout(500)
    assert [url for url in page.asked[n_asked:] if "/pixels/" in url] == []
    assert query.place() == (4, 6)


def test_three_planes_of_a_ct_that_meet_in_a_point(page: Any, library: Path) -> None:
    from playwright.sync_api import expect

    _, case = compare_ct(page, library)
    page.get_by_role("button", name="Planes").click()
    views = case.box.locator(".mv-view")
    expect(views).to_have_count(3, timeout=30_000)
    expect(case.box.locator(".mv-title")).to_have_text(["Axial", "Coronal", "Sagittal"])
    page.keyboard.press("c")
    x, y = case.center()
    page.mouse.click(x, y)
    places = [views.nth(i).locator(".mv-place").inner_text for i in (1, 2)]
    soon(lambda: places[0]() == "17 / 32", page)
    before = places[1]()
    page.mouse.click(x + 30, y)
    soon(lambda: places[1]() != before, page)
    assert case.box.locator(".mv-lines i").count() == 6
    letters = views.nth(1).locator(".mv-edge").all_inner_texts()
    assert letters == ["H", "L", "F", "R"]
    page.get_by_role("button", name="Planes").click()
    expect(views).to_have_count(1)


def test_a_length_is_measured_in_millimeters(page: Any, library: Path) -> None:
    query, _ = compare_ct(page, library)
    page.keyboard.press("d")
    query.drag(120, 0)
    label = query.view.locator("svg text")
    soon(lambda: "mm" in " ".join(label.all_text_contents()), page)
    assert "detector" not in " ".join(label.all_text_contents())
    page.keyboard.press("x")
    soon(lambda: label.count() == 0, page)
    page.keyboard.press("Escape")
    before = query.window()
    query.drag(40, 0)
    soon(lambda: query.window() != before, page)


def test_a_prior_lies_over_the_current_study(page: Any, served: str) -> None:
    from playwright.sync_api import expect

    page.goto(f"{served}/?case=C-0001")
    case = ready(page, "case")
    page.get_by_label("Overlay a prior").select_option(index=1)
    layer = case.box.locator(".mv-layer")
    expect(layer).to_have_count(1, timeout=30_000)
    expect(page.get_by_text("not registered")).to_be_visible()
    page.get_by_label("Opacity of the overlay").fill("0.8")
    assert layer.evaluate("e => getComputedStyle(e).opacity") == "0.8"
    page.get_by_label("Overlay a prior").select_option(index=0)
    expect(layer).to_have_count(0)


def test_keys_are_listed_and_typing_is_not_a_key(page: Any, library: Path) -> None:
    from playwright.sync_api import expect

    query, _ = compare_ct(page, library)
    query.view.focus()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys and mouse")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Keys and mouse")).to_be_hidden()
    before = page.url
    page.get_by_label("Findings or report text", exact=True).press_sequentially("jiwr2")
    assert page.url == before
    assert query.window() == (40, 400)


def test_portrait_stacks_the_pictures_and_a_phone_cuts_nothing_off(
    page: Any, library: Path
) -> None:
    query, case = compare_ct(page, library)
    page.set_viewport_size({"width": 1080, "height": 1920})
    page.wait_for_timeout(500)
    above, below = query.view.bounding_box(), case.view.bounding_box()
    assert above["x"] == below["x"]
    assert above["y"] + above["height"] <= below["y"]
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    right = "all => Math.max(...all.map(e => e.getBoundingClientRect().right))"
    assert page.locator(".mv-panel, .mv-button:visible").evaluate_all(right) <= 390


def test_a_radiograph_is_drawn_true(driver: Any, served: str, library: Path) -> None:
    """Gray levels, sides and proportions, against the file's own pixels."""
    with page_of(driver, f"{served}/?case=C-0004") as page:
        drawn_true(page, library)


def test_with_a_graphics_card_it_is_drawn_true_as_well(
    driver: Any, served: str, library: Path
) -> None:
    """The card is imitated, and the viewer is not told."""
    with page_of(driver, "about:blank", GRAPHICS) as page:
        page.asked.append(served)
        page.add_init_script(
            "const ask = WebGL2RenderingContext.prototype.getParameter;"
            "WebGL2RenderingContext.prototype.getParameter = function (name) {"
            " return name === 0x9246 ? 'a card' : ask.call(this, name); };"
        )
        page.goto(f"{served}/?case=C-0004")
        drawn_true(page, library)
        assert page.locator(".mv").get_attribute("data-graphics") == "card"


def drawn_true(page: Any, library: Path) -> None:
    case = ready(page, "case")
    with CaseLibrary.open(library) as opened:
        (file,) = opened.scan_files(opened.case("C-0004"))[0]
    data = dcmread(file)
    stored = data.pixel_array.astype(float)
    center, width = float(data.WindowCenter), float(data.WindowWidth)
    wanted = np.clip((stored - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255
    shown = case.pixels()
    lit = shown > 0
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    picture = shown[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert picture.shape[1] / picture.shape[0] == pytest.approx(40 / 48, rel=0.02)
    # the middles of the four quadrants, where nothing is interpolated with a neighbor of another
    for row, column in ((12, 10), (12, 30), (36, 10), (36, 30)):
        at = [
            round((i + 0.5) / n * m)
            for i, n, m in ((row, 48, picture.shape[0]), (column, 40, picture.shape[1]))
        ]
        patch = picture[at[0] - 20 : at[0] + 20, at[1] - 20 : at[1] + 20].mean()
        assert patch == pytest.approx(
            wanted[row - 2 : row + 3, column - 2 : column + 3].mean(), abs=3
        )


def test_without_webgl_the_processor_draws(driver: Any, served: str) -> None:
    with page_of(
        driver, f"{served}/?case=C-0002", ("--disable-gpu", "--disable-webgl", "--disable-3d-apis")
    ) as page:
        case = ready(page, "case")
        assert page.locator(".mv").get_attribute("data-graphics") == "none"
        before = case.pixels()
        case.view.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("2")
        soon(lambda: case.window() == (-600, 1500), page)
        soon(lambda: bool((case.pixels() != before).any()), page)
        page.keyboard.press("m")
        soon(lambda: case.box.locator(".mv-view").count() == 3, page)
        page.keyboard.press("m")


def test_without_the_viewers_script_the_page_shows_the_still_picture(
    driver: Any, served: str
) -> None:
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.route(
        "**/index-*.js",
        lambda route: route.abort() if "bidi" in route.request.url else route.continue_(),
    )
    page.goto(f"{served}/?case=C-0004")
    picture = page.locator(".rr-still img")
    picture.wait_for(state="visible", timeout=60_000)
    soon(lambda: picture.evaluate("i => i.naturalWidth / i.naturalHeight") == 40 / 48, page)
    browser.close()


def test_a_scan_that_cannot_be_read_says_why(driver: Any, library: Path, tmp_path: Path) -> None:
    import shutil

    from playwright.sync_api import expect

    path = tmp_path / "moved-library"
    shutil.copytree(library, path)
    with CaseLibrary.open(path) as opened:
        files = opened.scan_files(opened.case("C-0007"))[0]
    moved = tmp_path / "elsewhere.dcm"
    shutil.move(files[0], moved)
    try:
        with serving(path) as (port, _):
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"http://localhost:{port}/?case=C-0007")
            line = page.locator(".mv-message")
            expect(line).to_contain_text("moved or deleted", timeout=60_000)
            assert str(tmp_path) not in page.content()
            shutil.move(moved, files[0])
            page.get_by_role("button", name="Try again").click()
            ready(page, "case")
            browser.close()
    finally:
        if moved.exists():
            shutil.move(moved, files[0])
