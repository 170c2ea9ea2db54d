"""Takes the README's pictures of the reading room, 1440 × 900.

    python tests/benchmarks/screenshot.py LIBRARY docs/results/reading-room.png

makes ``reading-room.png`` (a dropped image and words, and what they find) and, beside it,
``reading-room-case.png`` (the first of the cases found). Needs chromium and playwright.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

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
    dropped = image_of(chosen.library, chosen.where)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", START, "app", str(chosen.library), f"--port={port}"]
    with subprocess.Popen([*command, "--no-browser"], stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            print(server.stderr.readline().strip())
            take(f"http://localhost:{port}", dropped, chosen.words, chosen.out)
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
        keep(page, out.with_stem(f"{out.stem}-case"))
        browser.close()


def calm(page: Any) -> None:
    """Wait until the page has been drawn and nothing is pointed at."""
    page.mouse.move(1430, 890)
    page.evaluate("document.activeElement.blur()")
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
