"""Takes the pictures of the reading room that README and guides show, 1440 × 900.

    python tests/benchmarks/screenshot.py LIBRARY docs/results/reading-room.png

makes ``reading-room.png`` (a dropped image and words, and what they find) and, beside it, pictures
whose names add a word to it: ``-region`` (a box on the image, and what it finds), ``-case`` (the
image beside the first hit), ``-blind`` and ``-revealed`` (a case of a review session before and
after the reveal), ``-overview`` (a session that two have read), ``-phone`` (390 × 844),
``-portrait`` (1080 × 1920, in German). It works on a copy of the library. Needs chromium and
playwright.
"""

from __future__ import annotations

import argparse
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from PIL import Image

from medembed.library import CaseLibrary

WORDS = "right pleural effusion"
FINDING = "finding=effusion:right"
FILTER = "PA"
SIZE = {"width": 1440, "height": 900}
MOST_BYTES = 400_000
START = "from medembed.cli import run; run()"
FLAGS = ("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--words", default=WORDS)
    parser.add_argument("--where", default=FINDING, help="what the dropped image shows")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(shutil.copytree(chosen.library, Path(folder) / chosen.library.name))
        serve_and_take(library, chosen)


def serve_and_take(library: Path, chosen: argparse.Namespace) -> None:
    dropped = image_of(library, chosen.where)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", START, "app", str(library), f"--port={port}"]
    with subprocess.Popen([*command, "--no-browser"], stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            print(server.stderr.readline().strip())
            take(f"http://localhost:{port}", dropped, chosen.words, chosen.out)
            take_other_sizes(f"http://localhost:{port}", chosen.words, chosen.out)
        finally:
            server.terminate()


def image_of(path: Path, where: str) -> Path:
    """Give the file of a held-out radiograph that ``where`` holds for."""
    with CaseLibrary.open(path) as library:
        for more in (["split=test", "view=PA"], ["view=PA"], []):
            for case in library.cases([where, *more]):
                files = library.scan_files(case)[0]
                if len(files) == 1:
                    return files[0]
    raise SystemExit(f"no single image with {where}")


def take(address: str, dropped: Path, words: str, out: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.goto(address)
        page.get_by_label("Findings or report text", exact=True).fill(words, timeout=60_000)
        page.keyboard.press("Enter")
        expect(page.locator(".rr-hit").first).to_be_visible(timeout=120_000)
        page.get_by_role("button", name=FILTER, exact=True).click()
        expect(page.locator(".rr-force .rr-chip")).to_be_visible(timeout=60_000)
        page.set_input_files("input[type=file]", dropped)
        expect(page.get_by_alt_text("Query: Your image")).to_be_visible(timeout=60_000)
        calm(page)
        keep(page, out)
        page.get_by_role("button", name="Open case 1", exact=True).click()
        expect(page.locator(".mv-reading").last).not_to_be_empty(timeout=60_000)
        calm(page)
        keep(page, named(out, "case"))
        page.get_by_role("button", name="Back to results").click()
        take_region(page, out)
        take_review(page, address, words, out)
        browser.close()


def named(out: Path, word: str) -> Path:
    return out.with_stem(f"{out.stem}-{word}")


def take_region(page: Any, out: Path) -> None:
    """Mark the lower left of the image, where a right effusion lies, and search by it alone."""
    from playwright.sync_api import expect

    page.get_by_role("button", name=re.compile("^“.*×$")).first.click()  # without the words
    page.get_by_text("Search by a region").click()
    frame = page.locator(".st-key-region-marker .frame")
    expect(frame.locator("img")).to_be_visible(timeout=30_000)
    calm(page)
    frame.scroll_into_view_if_needed()
    area = frame.bounding_box()
    page.mouse.move(area["x"] + 0.12 * area["width"], area["y"] + 0.5 * area["height"])
    page.mouse.down()
    page.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 0.7 * area["height"])
    page.mouse.move(area["x"] + 0.46 * area["width"], area["y"] + 0.88 * area["height"])
    page.mouse.up()
    calm(page)
    page.get_by_role("button", name="Search with this region").click()
    expect(page.get_by_role("button", name="Marked region ×")).to_be_visible(timeout=60_000)
    calm(page)
    keep(page, named(out, "region"))


def take_review(page: Any, address: str, words: str, out: Path) -> None:
    """Make a session of what the words find; two readers read its first three cases."""
    from playwright.sync_api import expect

    page.goto(address)
    page.get_by_label("Findings or report text", exact=True).fill(words, timeout=60_000)
    page.keyboard.press("Enter")
    expect(page.locator(".rr-hit").first).to_be_visible(timeout=60_000)
    page.get_by_text("Start a review session with these cases").click()
    page.get_by_role("textbox", name="Name of the session").fill("Chest conference")
    page.get_by_role("textbox", name="Your name or initials").fill("AB")
    page.get_by_role("button", name="Start session").click()
    expect(page.get_by_text("Finished 0 of")).to_be_visible(timeout=30_000)
    link = page.url.partition("review=")[2].partition("&")[0]
    for reader, impressions in (
        ("CD", ["Effusion on the right", "No effusion", "Effusion on the right"]),
        ("AB", ["Effusion on the right", "Effusion on the right", "Effusion, cardiomegaly"]),
    ):
        for at, impression in enumerate(impressions, 1):
            page.goto(f"{address}?review={link}&reader={reader}&at={at}")
            box = page.get_by_role("textbox", name="First impression")
            expect(box).to_be_visible(timeout=60_000)
            expect(page.locator(".mv-reading").last).not_to_be_empty(timeout=60_000)
            calm(page)
            shown = reader == "AB" and at == 1
            if shown:
                keep(page, named(out, "blind"))
            box.fill(impression)
            page.get_by_role("button", name="Reveal").click()
            final = page.get_by_role("textbox", name="Final impression")
            expect(final).to_be_visible(timeout=30_000)
            calm(page)
            if shown:
                keep(page, named(out, "revealed"))
            if reader == "AB" and at == 2:
                final.fill("Small effusion on the right")
            if at == 1:
                page.get_by_text("Tumor board shortlist").click()
            calm(page)
            page.get_by_role("button", name="Finish case").click()
            expect(page.get_by_text("Final impression (")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Overview").first.click()
    expect(page.get_by_text("Finished 3 of")).to_be_visible(timeout=30_000)
    page.get_by_text("Revisions and times").click()
    calm(page)
    keep(page, named(out, "overview"))


def take_other_sizes(address: str, words: str, out: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, size, language in (
            ("phone", {"width": 390, "height": 844}, "en"),
            ("portrait", {"width": 1080, "height": 1920}, "de"),
        ):
            context = browser.new_context(viewport=size, locale=language)
            page = context.new_page()
            page.goto(f"{address}?words={quote_plus(words)}")
            expect(page.locator(".rr-hit").first).to_be_visible(timeout=60_000)
            calm(page)
            keep(page, named(out, name))
            context.close()
        browser.close()


def calm(page: Any) -> None:
    """Wait until the page has been drawn, at its top, and nothing is pointed at."""
    page.mouse.move(page.viewport_size["width"] - 10, page.viewport_size["height"] - 10)
    page.evaluate("document.activeElement.blur()")
    page.get_by_test_id("stMain").evaluate("all => all.scrollTo(0, 0)")
    page.get_by_test_id("stSpinner").first.wait_for(state="hidden")
    page.wait_for_timeout(1500)


def keep(page: Any, out: Path) -> None:
    """Write a picture of 256 colors, small enough for the repository."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "full.png"
        page.screenshot(path=full)
        with Image.open(full) as image:
            image.convert("RGB").quantize(256).save(out, optimize=True)
    size = out.stat().st_size
    print(f"{out}: {size / 1000:.0f} kB")
    if size > MOST_BYTES:
        raise SystemExit(f"more than {MOST_BYTES / 1000:.0f} kB")


if __name__ == "__main__":
    main()
