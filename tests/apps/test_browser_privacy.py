"""Privacy in a real browser: file names, texts of cases, requests of other pages."""

from __future__ import annotations

import base64
import http.server
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from apps.case_lookup.html import escaped
from apps.case_lookup.texts import ENGLISH
from medembed.library import CaseLibrary
from medembed.model import toy_model
from medembed.notes import Note
from medembed.scans import read_scan
from tests.apps.conftest import make_case, write_radiograph
from tests.apps.nasty import NASTY
from tests.apps.serving import CHROMIUM, FLAGS, START, free_port, serving

pytestmark = pytest.mark.browser

NAME = "DOE^JANE_1950.dcm"
DROP = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const held = new DataTransfer();
  held.items.add(new File([bytes], name));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.querySelector("h1").dispatchEvent(new DragEvent(kind,
      {dataTransfer: held, bubbles: true, cancelable: true, composed: true}));
}"""
# a folder, as a file manager drops it
DROP_FOLDER = """([names, contents]) => {
  const files = names.map((name, i) =>
    new File([Uint8Array.from(atob(contents[i]), (c) => c.charCodeAt(0))], name));
  const entries = files.map((file) =>
    ({isFile: true, name: file.name, file: (done) => done(file)}));
  const rest = [entries.slice(0, 2), entries.slice(2), []];  // a browser hands them out in parts
  const folder = {isDirectory: true, name: "DOE^JANE",
    createReader: () => ({readEntries: (done) => done(rest.shift() ?? [])})};
  const event = new DragEvent("drop", {bubbles: true, cancelable: true, composed: true});
  const items = [{kind: "file", webkitGetAsEntry: () => folder}];
  Object.defineProperty(event, "dataTransfer", {value: {types: ["Files"], files: [], items}});
  document.querySelector("h1").dispatchEvent(event);
}"""
# a slow server, so that a run can be observed and stopped
SLOW = """
import time
from apps.case_lookup.session import LibrarySession
search = LibrarySession.search
def slow(self, request):
    time.sleep(4.0 * bool(request.where))
    return search(self, request)
LibrarySession.search = slow
"""
FOREIGN = """<!doctype html><script>
const room = "localhost:PORT";

const socket = new WebSocket(`ws://${room}/_stcore/stream`, ["streamlit"]);
const opened = new Promise((done) => {
  socket.onopen = () => done("open");
  socket.onerror = () => done("refused");
});
const read = (mode) => fetch(`http://${room}/`, {mode})
  .then((answer) => answer.text()).then((text) => text.length || "empty", () => "refused");
const picture = new Promise((done) => {
  const image = new Image();
  image.onload = () => done("shown");
  image.onerror = () => done("refused");
  image.src = `http://${room}/favicon.png`;
});
Promise.all([opened, read("cors"), read("no-cors"), picture]).then((a) => { window.answers = a; });
</script>"""


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
def room(small_library: Path) -> Iterator[tuple[int, Popen[str]]]:
    with serving(small_library, SLOW + START) as running:
        yield running


@pytest.fixture
def page(browser: Any, room: tuple[int, Popen[str]]) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1440, "height": 900})
    opened.sent = watched(opened)
    visit(opened, room[0])
    yield opened
    opened.close()


def visit(page: Any, port: int, path: str = "") -> None:
    page.goto(f"http://localhost:{port}/{path}")
    page.wait_for_selector('[data-test-script-state="notRunning"] .rr-foot', timeout=60_000)
    page.wait_for_timeout(500)


def watched(page: Any) -> list[bytes]:
    """Record everything that the page sends and receives, and the addresses it requests."""
    seen: list[bytes] = []

    def note(payload: Any) -> None:
        seen.append(payload if isinstance(payload, bytes) else str(payload).encode())

    def socket(opened: Any) -> None:
        opened.on("framesent", note)
        opened.on("framereceived", note)

    page.on("websocket", socket)
    page.on("request", lambda request: note(request.url))
    page.on("request", lambda request: note(request.post_data_buffer or b""))
    page.on("console", lambda line: note(line.text))
    return seen


def everything(page: Any) -> str:
    """Give the whole page: markup, accessible text, title and inputs."""
    inputs = (
        "[...document.querySelectorAll('input')].map(i => [...(i.files ?? [])].map(f => f.name))"
    )
    tree = page.locator("body").aria_snapshot()
    return f"{page.content()} {tree} {page.title()} {page.evaluate(inputs)} {page.url}"


def choose(page: Any, content: bytes) -> None:
    chosen = {"name": NAME, "mimeType": "application/dicom", "buffer": content}
    page.set_input_files("input[type=file]", chosen)


def drop(page: Any, content: bytes) -> None:
    page.evaluate(DROP, [NAME, base64.b64encode(content).decode()])


def test_files_held_over_the_page_show_what_a_drop_does(page: Any) -> None:
    shown = "getComputedStyle(document.querySelector('[data-testid=\"stApp\"]'), '::after').content"
    drag = """(kind) => { const held = new DataTransfer();
      held.items.add(new File(["x"], "x.png"));
      document.querySelector("h1").dispatchEvent(new DragEvent(kind, {dataTransfer: held,
        bubbles: true, cancelable: true, composed: true})); }"""
    assert page.evaluate(shown) == "none"
    page.evaluate(drag, "dragover")
    assert page.evaluate(shown) == f'"{ENGLISH.page.drop}"'
    page.wait_for_timeout(1000)
    assert page.evaluate(shown) == "none", "the files left the window"


@pytest.mark.parametrize("way", [choose, drop])
def test_a_file_name_appears_nowhere(page: Any, radiograph: bytes, way: Any) -> None:
    from playwright.sync_api import expect

    way(page, radiograph.replace(b"Planted^Name", b"            "))
    expect(page.get_by_alt_text("Query: Your image")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Remove image-1.dcm").hover()
    page.wait_for_timeout(300)
    shown = everything(page)
    sent = b"".join(page.sent)
    for part in ("DOE", "JANE", "1950"):
        assert part not in shown
        assert part.encode() not in sent
    assert len(page.sent) > 20, "what is sent was seen"
    assert b"image-1.dcm" in sent, "the upload was seen"


def test_the_folder_of_a_series_can_be_dropped(page: Any, small_library: Path) -> None:
    from playwright.sync_api import expect

    with CaseLibrary.open(small_library) as library:
        files = library.scan_files(library.case("C-0013"))[0]
    names = [f"DOE^JANE_{number}.dcm" for number in range(len(files))]
    contents = [base64.b64encode(file.read_bytes()).decode() for file in files]
    page.evaluate(DROP_FOLDER, [names, contents])
    expect(page.get_by_alt_text("Query: Your image")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("button", name="Case C-0013")).to_be_visible()
    assert "JANE" not in everything(page)
    assert b"JANE" not in b"".join(page.sent)


def test_the_name_of_a_refused_file_appears_nowhere(page: Any) -> None:
    from playwright.sync_api import expect

    choose(page, b"no scan at all")
    expect(page.get_by_text("Cannot use this file")).to_be_visible(timeout=30_000)
    assert "JANE" not in everything(page)
    assert b"JANE" not in b"".join(page.sent)


def test_without_the_renaming_script_no_file_is_accepted(
    browser: Any, room: tuple[int, Popen[str]]
) -> None:
    page = browser.new_page()
    page.route("**/room/*.js", lambda route: route.abort())
    visit(page, room[0])
    assert not page.get_by_test_id("stFileUploader").is_visible()
    page.close()


def uploaded_bytes(port: int) -> int:
    """Give the size of uploads that Streamlit reports; it is updated every 5 seconds."""
    time.sleep(5.2)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(int(line.split()[-1]) for line in lines if "UploadedFileManager" in line)


def test_a_dropped_file_is_removed_by_clear_and_with_its_page(
    browser: Any, room: tuple[int, Popen[str]], radiograph: bytes
) -> None:
    from playwright.sync_api import expect

    page = browser.new_page()
    visit(page, room[0])
    choose(page, radiograph)
    expect(page.get_by_alt_text("Query: Your image")).to_be_visible(timeout=30_000)
    assert uploaded_bytes(room[0]) == len(radiograph)
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_text("Find the most similar past cases")).to_be_visible()
    assert uploaded_bytes(room[0]) == 0
    choose(page, radiograph)
    expect(page.get_by_alt_text("Query: Your image")).to_be_visible(timeout=30_000)
    page.close()
    assert uploaded_bytes(room[0]) == 0


def opacity(page: Any) -> float:
    script = "e => Number(getComputedStyle(e).opacity)"
    return float(page.locator(".st-key-answer").evaluate(script))


def test_results_are_dimmed_as_soon_as_the_sidebar_changes(
    page: Any, room: tuple[int, Popen[str]]
) -> None:
    from playwright.sync_api import expect

    words, changed = (
        page.get_by_label("Findings or report text", exact=True),
        page.locator(".st-key-changed"),
    )
    words.fill("right pleural effusion")
    page.keyboard.press("Enter")
    expect(page.locator(".rr-hit")).to_have_count(10, timeout=60_000)
    page.wait_for_timeout(500)
    assert opacity(page) == 1
    expect(changed).to_be_hidden()
    words.fill("left")  # typed, not sent
    expect(changed).to_be_visible()
    assert opacity(page) == pytest.approx(0.3)
    words.fill("right pleural effusion")
    expect(changed).to_be_hidden()
    page.wait_for_timeout(300)
    assert opacity(page) == 1
    os.kill(room[1].pid, signal.SIGSTOP)  # the server does not notice
    try:
        page.get_by_role("button", name="F", exact=True).click()
        expect(changed).to_be_visible()
        assert opacity(page) == pytest.approx(0.3)
        expect(page.locator(".rr-force")).to_have_text("No filters")
    finally:
        os.kill(room[1].pid, signal.SIGCONT)
    expect(page.locator(".rr-force .rr-chip")).to_have_text(["sex F"], timeout=30_000)
    expect(changed).to_be_hidden()
    page.wait_for_timeout(300)
    assert opacity(page) == 1


def test_the_server_dims_results_while_it_searches(
    browser: Any, room: tuple[int, Popen[str]]
) -> None:
    """Without our script, so that only the server's style is seen."""
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.route("**/room/changed.js", lambda route: route.abort())
    visit(page, room[0])
    page.get_by_label("Findings or report text", exact=True).fill("right pleural effusion")
    page.keyboard.press("Enter")
    expect(page.locator(".rr-hit")).to_have_count(10, timeout=60_000)
    page.wait_for_timeout(500)
    assert opacity(page) == 1
    page.get_by_role("button", name="M", exact=True).click()  # searches for four seconds
    page.wait_for_timeout(1500)
    expect(page.locator(".rr-force")).to_have_text("No filters")
    assert opacity(page) == pytest.approx(0.3)
    expect(page.locator(".st-key-changed")).to_be_visible()
    expect(page.locator(".rr-force .rr-chip")).to_have_text(["sex M"], timeout=30_000)
    page.wait_for_timeout(500)
    assert opacity(page) == 1
    page.close()


# texts -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nasty_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cases with the nasty text in report, site, scanner, view and attributes."""
    folder = tmp_path_factory.mktemp("nasty")
    files = [write_radiograph(folder / f"{n}.dcm", n) for n in range(4)]
    path = folder / "library"
    with CaseLibrary.create(path) as library:
        for number, file in enumerate(files):
            plain = make_case(number, [file])
            sites = [NASTY, "north", "*south*", NASTY]
            nasty = replace(
                plain,
                note=Note(NASTY, (), ()),
                site=sites[number],
                scanner=NASTY,
                view=NASTY if number % 2 else "PA",
                attributes={"ward": NASTY},
                scans=(replace(plain.scans[0], view=NASTY), replace(plain.scans[0], view="AP")),
            )
            library.add([nasty])
        model = toy_model()
        model.save(path / "models" / "toy")
        library.active_model = "toy"
        scans = [read_scan(file) for file in files]
        library.put_vectors(model.fingerprint, "image", library.find(), model.encode_scans(scans))
    return path


def test_the_text_of_a_case_is_always_plain_text(browser: Any, nasty_library: Path) -> None:
    from playwright.sync_api import expect

    joined = {ord("\u2060"): None}
    literal = escaped(NASTY, "text")
    with serving(nasty_library) as (port, _):
        page = browser.new_page(viewport={"width": 1440, "height": 2400})
        sent = watched(page)
        visit(page, port)
        page.get_by_text("Date, site, number of results").click()
        page.get_by_label("Findings or report text", exact=True).fill("effusion")
        page.keyboard.press("Enter")
        expect(page.locator(".rr-hit")).to_have_count(4, timeout=60_000)
        page.wait_for_timeout(1000)

        def is_text(where: str, whole: bool = True) -> None:
            found = page.locator(where)
            assert found.count() > 0, where
            shown = [text.translate(joined) for text in found.all_inner_texts()]
            wanted = literal if whole else literal[:100]
            flat = [" ".join(text.split()) for text in shown]
            assert any(wanted in text for text in flat), (where, flat)
            inside = found.locator("a, strong, em, code, del, .katex, img, script, [style*=color]")
            assert inside.count() == 0, (
                where,
                inside.evaluate_all("all => all.map(e => e.outerHTML)"),
            )

        is_text(".rr-text", whole=False)
        is_text(".st-key-f_site button", whole=True)
        is_text(".st-key-f_view button", whole=True)
        page.locator(".st-key-f_site button").filter(has_text="script").first.click()
        expect(page.locator(".rr-hit")).to_have_count(2, timeout=30_000)
        is_text(".rr-force .rr-chip")
        page.get_by_role("button", name="Open case 1", exact=True).click()
        expect(page.locator(".mv-reading")).not_to_be_empty(timeout=60_000)
        page.wait_for_timeout(1000)
        for where in (
            ".rr-note",
            ".rr-facts",
            ".st-key-studies button",
            ".mv-panel .mv-choice option",
        ):
            is_text(where)
        assert page.title() == "MedEmbed"
        assert page.locator("a[href*=evil], img[src*=evil], .katex").count() == 0
        assert not [line for line in sent if line.startswith(b"http") and b"evil" in line]
        page.close()


# other pages -------------------------------------------------------------------------------


def test_a_page_on_another_port_reads_nothing_of_the_reading_room(
    browser: Any, room: tuple[int, Popen[str]]
) -> None:
    body = FOREIGN.replace("PORT", str(room[0])).encode()

    class Foreign(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    port = free_port()
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Foreign) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://localhost:{port}/")
        page.wait_for_function("window.answers !== undefined", timeout=20_000)
        assert page.evaluate("window.answers") == ["refused", "refused", "refused", "refused"]
        page.close()
        server.shutdown()
