"""Measure the reading room in real browsers, over a made-up library of any size.

    python tests/benchmarks/reading_room.py [--cases 100000] [--model FOLDER] [--quick]

One server, as ``medembed app`` starts it, and chromium with one window and with eight: from a
dropped image to its hits, from words to hits, a filter change, "More like this", opening a case and
going back. Then twenty users for ten minutes, each with a pause between two actions, while the
server's memory is read; after the last page has closed, how long its uploads stay. ``--quick`` does
all of it in about three minutes, to see that it runs.

The library is that of ``search_end_to_end.py``: random unit vectors, reports from a few hundred
texts. Its cases have no files, so in the server a case's image is one of 32 made beforehand;
everything else is the product. With ``--model`` the vectors are of that model's size and queries
are encoded by it; without, by the toy model. Vectors that were encoded are counted, to see that a
filter change encodes nothing. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from search_end_to_end import FINDINGS, made_up

from medembed.library import CaseLibrary
from medembed.lookup.novelty_calibration import calibrate_novelty
from medembed.model import DualEncoder, toy_model

NAME = "bench"
BLOCK = 20_000
PIXELS = 1024
FLAGS = (
    *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
# in the server: made-up images of cases, and a file that says what it holds, for this script
SERVER = """
import json, os, threading, time, zlib
from pathlib import Path
import numpy as np
from apps.case_lookup import session
from apps.case_lookup.held_queries import HELD
from apps.case_lookup.rendering import DisplaySettings, presets, render
from medembed.model.dual_encoder import DualEncoder
from medembed.scans import Scan

SAYS = Path(os.environ["BENCH_SAYS"])
rng = np.random.default_rng(3)
ROUGH = [rng.random((36, 36)) for _ in range(32)]
SCANS = [Scan(np.kron(rough, np.ones((10, 10))).astype(np.float32) * 4000) for rough in ROUGH]
SMALL = [render(scan, DisplaySettings(next(iter(presets(scan).values())))) for scan in SCANS]
which = lambda case: zlib.crc32(case.case_id.encode()) % 32
session.LibrarySession.scan = lambda self, case, position=0: SCANS[which(case)]
session.LibrarySession.thumbnail = lambda self, case, position=0: SMALL[which(case)]
encoded = [0]
for name in ("encode_notes", "encode_scans"):
    def counting(self, given, *more, real=getattr(DualEncoder, name), **named):
        encoded[0] += len(given)
        return real(self, given, *more, **named)
    setattr(DualEncoder, name, counting)

def say():
    from streamlit.runtime import exists, get_instance
    while True:
        time.sleep(0.5)
        uploads = 0
        if exists():
            stats = get_instance().uploaded_file_mgr.get_stats()
            stats = stats.values() if hasattr(stats, "values") else [stats]
            for group in stats:
                for stat in group:
                    uploads += stat.byte_length
        said = {"encoded": encoded[0], "held": len(HELD._held), "uploads": uploads}
        SAYS.with_suffix(".new").write_text(json.dumps(said))
        SAYS.with_suffix(".new").replace(SAYS)

threading.Thread(target=say, daemon=True).start()
from medembed.cli import run
run()
"""
# the results belong to the query in the sidebar, and nothing runs
SETTLED = """before => {
  const list = document.querySelector('[class*="st-key-outcome-"]');
  const app = document.querySelector("[data-test-script-state]");
  return list !== null && list.className !== before && app !== null
    && app.dataset.testScriptState === "notRunning"
    && document.documentElement.dataset.asked !== "changed"
    && document.querySelectorAll(".rr-hit").length > 0;
}"""
QUIET = """() => {
  const app = document.querySelector("[data-test-script-state]");
  return app !== null && app.dataset.testScriptState === "notRunning";
}"""
LIST = """() => document.querySelector('[class*="st-key-outcome-"]')?.className ?? null"""
FIRST_PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1"""


def build(folder: Path, n: int, model: Path | None) -> None:
    """Build the library with its model, unless it is there."""
    if (folder / "library.sqlite").exists():
        return
    with CaseLibrary.create(folder) as library:
        library.add(made_up(n), batch=BLOCK)
        if model is None:
            made = toy_model()
            made.save(folder / "models" / NAME)
        else:
            shutil.copytree(model, folder / "models" / NAME)
            made = DualEncoder.load(folder / "models" / NAME)
        library.active_model = NAME
        rng, names = np.random.default_rng(3), library.find()
        for at in range(0, n, BLOCK):
            some = names[at : at + BLOCK]
            vectors = rng.standard_normal((len(some), made.dim), dtype=np.float32)
            library.put_vectors(made.fingerprint, "image", some, vectors)
        calibrate_novelty(library)


def radiograph(seed: int) -> bytes:
    """A DICOM image that is in no library."""
    rng = np.random.default_rng(seed)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    sop = DigitalXRayImageStorageForPresentation
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.Modality, data.ViewPosition, data.PatientSex, data.PatientAge = "DX", "PA", "F", "061Y"
    data.Rows = data.Columns = PIXELS
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    rough = np.kron(rng.random((16, 16)), np.ones((PIXELS // 16, PIXELS // 16)))
    fine = rng.integers(0, 200, (PIXELS, PIXELS))
    data.PixelData = (3000 * rough + fine).astype(np.uint16).tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


class User:
    """One browser window, and how long its actions took."""

    def __init__(self, page: Any, seed: int, says: Path, seconds: dict[str, list[float]]) -> None:
        self.page, self.says, self.seconds = page, says, seconds
        self.random = random.Random(seed)
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda line: self.complaints.append(line.text) if line.type == "error" else None,
        )

    async def timed(self, name: str, act: Callable[[], Awaitable[Any]], until: str) -> None:
        before = await self.page.evaluate(LIST)
        start = time.perf_counter()
        await act()
        await self.page.wait_for_function(until, arg=before, polling="raf", timeout=120_000)
        self.seconds[name].append(time.perf_counter() - start)

    async def open(self, address: str) -> None:
        start = time.perf_counter()
        await self.page.goto(address)
        await self.page.wait_for_selector(".rr-foot", timeout=120_000)
        await self.page.wait_for_function(QUIET, timeout=120_000)
        self.seconds["page ready"].append(time.perf_counter() - start)
        self.seconds["first paint"].append(await self.page.evaluate(FIRST_PAINT) / 1000)

    async def drop(self) -> None:
        content = radiograph(self.random.randrange(2**31))
        chosen = {"name": "x.dcm", "mimeType": "application/dicom", "buffer": content}
        take = self.page.set_input_files
        await self.timed("upload → hits", lambda: take("input[type=file]", chosen), SETTLED)

    async def words(self) -> None:
        side = self.random.choice(["right", "left", "mild", "severe", "chronic", "large", "small"])
        one, other = self.random.sample(FINDINGS, 2)
        text = f"{side} {one} without {other} {self.random.randrange(99)}"
        box = self.page.get_by_label("Findings or report text", exact=True)

        async def act() -> None:
            await box.fill(text)
            await box.press("Enter")

        await self.timed("words → hits", act, SETTLED)

    async def filter(self) -> None:
        is_alone = len(self.seconds["page ready"]) == 1  # whatever was encoded, this page did
        if is_alone:
            await asyncio.sleep(1.2)  # the count is written twice a second
        before = encoded(self.says)
        name = self.random.choice(["CR", "DX", "CT", "PA", "AP", "F", "M"])
        pill = self.page.get_by_test_id("stSidebar").get_by_role("button", name=name, exact=True)
        await self.timed("filter → hits", pill.click, SETTLED)
        if is_alone:
            await asyncio.sleep(1.2)
            self.seconds["encoded by a filter change"].append(encoded(self.says) - before)

    async def mark(self) -> None:
        button = self.page.get_by_role("button", name="More like this").first
        await self.timed("more like this → hits", button.click, SETTLED)

    async def undo(self) -> None:
        button = self.page.get_by_role("button", name="Undo")
        if await button.is_enabled():
            await self.timed("undo → hits", button.click, SETTLED)

    async def case(self) -> None:
        opened = self.page.get_by_role("button", name="Open case 1", exact=True)
        shown = "() => location.search.includes('case=') && " + f"({QUIET})()"
        await self.timed("open a case", opened.click, shown)
        back = self.page.get_by_role("button", name="Back to results")
        listed = "() => document.querySelectorAll('.rr-hit').length > 0 && " + f"({QUIET})()"
        await self.timed("back to results", back.click, listed)

    async def round(self, pause: float = 0.0) -> None:
        clear = self.page.get_by_role("button", name="Clear", exact=True)
        for act in (self.drop, self.filter, self.mark, self.undo, self.case, self.words):
            await act()
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * pause)
        await clear.click()
        await self.page.wait_for_selector(".st-key-welcome", timeout=60_000)


@contextmanager
def server(folder: Path, says: Path) -> Iterator[tuple[str, int]]:
    """The reading room as ``medembed app`` starts it; its address and its process."""
    port = 8000 + os.getpid() % 1000
    command = [sys.executable, "-c", SERVER, "app", str(folder), f"--port={port}", "--no-browser"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"BENCH_SAYS": str(says)},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if f":{port}" in line:
                break
        else:
            raise SystemExit("the reading room did not start")
        try:
            yield f"http://localhost:{port}", process.pid
        finally:
            process.send_signal(signal.SIGINT)
            print(process.communicate(timeout=60)[0].strip())


def encoded(says: Path) -> int:
    return int(said(says)["encoded"])


def said(says: Path) -> dict[str, int]:
    while True:
        try:
            found: dict[str, int] = json.loads(says.read_text())
            return found
        except (OSError, ValueError):
            time.sleep(0.2)


def resident(pid: int) -> float:
    """Memory of the server and its workers in MiB."""
    total = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        if str(pid) in (fields.get("Pid", "").strip(), fields.get("PPid", "").strip()):
            total += float(fields.get("VmRSS", "0 kB").split()[0]) / 1024
    return total


async def windows(
    driver: Any, n: int, address: str, says: Path, rounds: int
) -> dict[str, list[float]]:
    """A number of windows, each in its own profile, that act at the same time."""
    seconds: dict[str, list[float]] = defaultdict(list)
    browser = await driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
    users = []
    for number in range(n):
        context = await browser.new_context(viewport={"width": 1440, "height": 900})
        users.append(User(await context.new_page(), number, says, seconds))
    await asyncio.gather(*(user.open(address) for user in users))
    await asyncio.gather(*(user.round() for user in users))  # warms everything
    for name in [name for name in seconds if name not in ("page ready", "first paint")]:
        seconds[name].clear()
    for _ in range(rounds):
        await asyncio.gather(*(user.round() for user in users))
    await browser.close()
    complaints = [line for user in users for line in user.complaints]
    assert not complaints, complaints[:3]
    return seconds


async def crowd(
    driver: Any, n: int, minutes: float, address: str, says: Path, pid: int
) -> tuple[dict[str, list[float]], list[tuple[float, float]], Counter[str]]:
    """Users with pauses for some minutes; memory by second, and what went wrong."""
    seconds: dict[str, list[float]] = defaultdict(list)
    memory: list[tuple[float, float]] = []
    faults: Counter[str] = Counter()
    browser = await driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
    start = time.perf_counter()
    ends = start + 60 * minutes

    async def use(number: int) -> None:
        context = await browser.new_context(viewport={"width": 1440, "height": 900})
        page = await context.new_page()
        user = User(page, 1000 + number, says, seconds)
        seconds["page ready"] += [0.0, 0.0]  # nobody is alone here
        await user.open(address)
        while time.perf_counter() < ends:
            try:
                await user.round(pause=3.0)
            except Exception as error:  # noqa: BLE001  counted, and the user starts anew
                faults[type(error).__name__] += 1
                await page.goto(address)
            faults["error on the page"] += await page.locator('[data-testid="stAlert"]').count()
        faults["browser console"] += len(user.complaints)
        if number % 2:
            await page.close()  # the others leave with the browser

    async def watch() -> None:
        while time.perf_counter() < ends:
            memory.append((time.perf_counter() - start, resident(pid)))
            await asyncio.sleep(5)

    await asyncio.gather(watch(), *(use(number) for number in range(n)))
    await browser.close()
    del seconds["page ready"]
    return seconds, memory, +faults


def table(seconds: dict[str, list[float]]) -> None:
    print("| | n | p50 | p95 | most |\n|---|---|---|---|---|")
    for name, values in seconds.items():
        if not values:
            continue
        if name.startswith("encoded"):
            print(f"| {name} (vectors) | {len(values)} | | | {max(values):.0f} |")
            continue
        middle, high = statistics.median(values), float(np.quantile(values, 0.95))
        print(f"| {name} | {len(values)} | {middle:.3f} s | {high:.3f} s | {max(values):.3f} s |")
    print()


async def measure(asked: argparse.Namespace, address: str, says: Path, pid: int) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        for n in asked.windows:
            seconds = await windows(driver, n, address, says, max(2, asked.rounds // n))
            print(f"{n} {'window' if n == 1 else 'windows at once'}\n")
            table(seconds)
        seconds, memory, faults = await crowd(
            driver, asked.users, asked.minutes, address, says, pid
        )
    print(f"{asked.users} users, {asked.minutes:g} minutes, pauses of 1.5 to 4.5 s\n")
    table(seconds)
    third = len(memory) // 3
    after_warming = [mib for _, mib in memory[third:]]
    minutes = [at / 60 for at, _ in memory[third:]]
    slope = float(np.polyfit(minutes, after_warming, 1)[0]) if third > 2 else float("nan")
    print(
        f"Faults: {dict(faults) or 'none'}. Memory of the server in MiB: {memory[0][1]:.0f} at the "
        f"start, {memory[-1][1]:.0f} at the end, {max(mib for _, mib in memory):.0f} at most; "
        f"{slope:+.1f} a minute over the last two thirds.\n"
    )
    start, now = time.perf_counter(), said(says)
    print(f"Pages closed: {now['uploads']} bytes of uploads, {now['held']} images held.")
    while now["held"] or now["uploads"]:
        if time.perf_counter() - start > asked.wait:
            print(f"After {asked.wait:.0f} s: {now['uploads']} bytes, {now['held']} images held.")
            return
        await asyncio.sleep(1)
        now = said(says)
    print(f"Nothing of them is left after {time.perf_counter() - start:.0f} s.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to build, or a library built before")
    parser.add_argument("--model", type=Path, help="folder of a model; default: the toy model")
    parser.add_argument("--rounds", type=int, default=40, help="of all windows together")
    parser.add_argument("--windows", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--wait", type=float, default=630, help="most seconds for the last upload")
    parser.add_argument("--quick", action="store_true", help="2,000 cases, few of everything")
    asked = parser.parse_args()
    if asked.quick:
        asked.cases, asked.rounds, asked.windows = 2_000, 4, [1, 2]
        asked.users, asked.minutes, asked.wait = 3, 0.5, 20
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary) / "library"
        build(folder, asked.cases, asked.model)
        says = Path(temporary) / "says.json"
        load = os.getloadavg()[0]
        with server(folder, says) as (address, pid):
            print(
                f"`{' '.join(['python', *sys.argv])}` · {asked.cases} cases · {os.cpu_count()} "
                f"cores, Python {platform.python_version()} · load {load:.2f} before\n"
            )
            asyncio.run(measure(asked, address, says, pid))
        print(f"Load after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
