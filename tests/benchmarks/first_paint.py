"""First paint of the reading room, and the time until words can be typed.

    python tests/benchmarks/first_paint.py LIBRARY [--times 10] [--json]

Starts the reading room on a library, opens its page in headless chromium with an empty cache each
time, and reads the browser's own clock: first paint, first contentful paint, the largest paint,
and when the field for words takes a key. Run it on a quiet machine. Needs chromium and playwright.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

START = "from medembed.cli import run; run()"
FLAGS = ("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking")
LIMIT_MS = 1500.0
OBSERVE = """
window.largest = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.largest = entry.startTime;
}).observe({type: "largest-contentful-paint", buffered: true});
const waiting = new MutationObserver(() => {
  const field = document.querySelector(".st-key-text input");
  if (field === null || window.typed !== undefined) return;
  window.typed = performance.now();
  waiting.disconnect();
});
waiting.observe(document, {subtree: true, childList: true});
"""
READ = """() => {
  const at = (name) => performance.getEntriesByName(name, "paint")[0].startTime;
  const files = performance.getEntriesByType("resource").filter(f => f.startTime < window.typed);
  return {"first paint": at("first-paint"), "first contentful paint": at("first-contentful-paint"),
    "largest contentful paint": window.largest, "words can be typed": window.typed,
    "kB before that": files.reduce((sum, f) => sum + f.decodedBodySize, 0) / 1000};
}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", START, "app", str(chosen.library), f"--port={port}"]
    with subprocess.Popen([*command, "--no-browser"], stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            server.stderr.readline()
            rows = measured(f"http://localhost:{port}/", chosen.times)
        finally:
            server.terminate()
    names = list(rows[0])
    summary = {name: spread([row[name] for row in rows]) for name in names}
    worst = summary["first contentful paint"]["most"]
    result = {
        "times": len(rows),
        "load": os.getloadavg()[0],
        "ms": summary,
        "within": worst < LIMIT_MS,
    }
    if chosen.json:
        print(json.dumps(result))
    else:
        print(f"{len(rows)} visits with an empty cache, load {result['load']:.2f}")
        for name, values in summary.items():
            print(f"  {name:26} median {values['median']:7.0f}   most {values['most']:7.0f}")
        print(
            f"first contentful paint under {LIMIT_MS:.0f} ms: {'yes' if result['within'] else 'NO'}"
        )
    return 0 if result["within"] else 1


def measured(address: str, times: int) -> list[dict[str, float]]:
    """Visit the page with a new profile each time; the first visit also starts the model."""
    from playwright.sync_api import sync_playwright

    rows = []
    with sync_playwright() as driver:
        for _ in range(times):
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            rows.append(visit(browser.new_page(viewport={"width": 1440, "height": 900}), address))
            browser.close()
    return rows


def visit(page: Any, address: str) -> dict[str, float]:
    page.add_init_script(OBSERVE)
    page.goto(address)
    page.locator(".st-key-text input").wait_for(state="attached", timeout=60_000)
    page.wait_for_timeout(500)
    return {name: float(value) for name, value in page.evaluate(READ).items()}


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "most": max(values)}


if __name__ == "__main__":
    sys.exit(main())
