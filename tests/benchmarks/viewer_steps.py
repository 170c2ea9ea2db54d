"""How long a step of the viewer takes in the browser: scrolling, windowing, zooming, linked.

    python tests/benchmarks/viewer_steps.py [--steps 200] [--graphics]

makes a library of two simulated CTs (512 × 512 × 150) and two radiographs (2500 × 2000), opens one
beside the other in headless chromium, and prints p50, p95 and the longest time in milliseconds
from an event (a turn of the wheel, a move of the mouse, a key) until *both* pictures have been
drawn and the next frame begins. With ``--graphics`` chromium imitates a graphics card.
Needs chromium and playwright. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

sys.path.insert(0, str(Path(__file__).parents[2]))

from medembed.cases import Case, ScanRef
from medembed.library import CaseLibrary
from medembed.model import toy_model
from medembed.scans import Scan
from medembed.scans.scan_hash import scan_sha256
from tests.apps.serving import CHROMIUM, FLAGS, serving

GRAPHICS = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
SIZE = {"width": 1440, "height": 900}
ROOT = "1.2.826.0.1.3680043.8.498.78"

STEPS = """async ([kind, steps]) => {
  const root = [...document.querySelectorAll('*')].map(e => e.shadowRoot)
    .find(shadow => shadow && shadow.querySelector('.mv'));
  const canvases = [...root.querySelectorAll('.mv-canvas')];
  const box = canvases[0].getBoundingClientRect();
  const at = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 };
  const common = { bubbles: true, composed: true, cancelable: true };
  const drawn = () => Promise.all(canvases.map(canvas => new Promise(done =>
    canvas.addEventListener('CORNERSTONE_IMAGE_RENDERED', done, { once: true }))));
  const mouse = (name, more) => new MouseEvent(name,
    { ...common, ...at, button: 0, buttons: 1, ...more });
  const key = name => window.dispatchEvent(new KeyboardEvent('keydown', { ...common, key: name }));
  const act = {
    scroll: i => canvases[0].dispatchEvent(new WheelEvent('wheel',
      { ...common, ...at, deltaY: Math.floor(i / 60) % 2 ? -120 : 120 })),
    drag: i => document.dispatchEvent(mouse('mousemove',
      { clientX: at.clientX + 40 * Math.sin(i / 7), clientY: at.clientY + 3 * (i % 9) })),
    window: i => key(i % 2 ? '[' : ']'),
    zoom: i => key(Math.floor(i / 4) % 2 ? '-' : '+'),
    invert: () => key('i'),
  }[kind];
  if (kind === 'drag') canvases[0].dispatchEvent(mouse('mousedown'));
  await new Promise(done => setTimeout(done, 500));
  const times = [];
  for (let i = 0; i < steps; i += 1) {
    const started = performance.now();
    const done = drawn();
    act(i);
    const patience = new Promise(give => setTimeout(() => give(true), 2000));
    const late = await Promise.race([done.then(() => false), patience]);
    if (late) { times.push(null); continue; }
    await new Promise(frame => requestAnimationFrame(frame));
    times.push(performance.now() - started);
    await new Promise(pause => setTimeout(pause, 20));
  }
  if (kind === 'drag') document.dispatchEvent(mouse('mouseup', { buttons: 0 }));
  return times;
}"""


LOADED = """() => [...document.querySelectorAll('*')].map(e => e.shadowRoot).filter(Boolean)
  .flatMap(shadow => [...shadow.querySelectorAll('.mv-panel')])
  .map(panel => (panel.dataset.loaded || '0/1').split('/'))
  .filter(([n, of]) => n === of).length === 2"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--graphics", action="store_true", help="let chromium imitate a card")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = make_library(Path(folder))
        with serving(library) as (port, _):
            print(json.dumps(measure(f"http://localhost:{port}", chosen.steps, chosen.graphics)))


def make_library(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    path = folder / "library"
    with CaseLibrary.create(path) as library:
        for number in range(4):
            files = ct(folder, number, rng) if number < 2 else [radiograph(folder, number, rng)]
            digest = scan_sha256([sha256(file.read_bytes()).hexdigest() for file in files])
            modality = "CT" if number < 2 else "DX"
            reference = ScanRef(tuple(map(str, files)), digest, modality, "unknown")
            library.add(
                [
                    Case(
                        case_id=f"C-{number}",
                        patient_id=f"P-{number}",
                        scans=(reference,),
                        study_date=date(2020, 1, 1),
                        modality=modality,
                    )
                ]
            )
        model = toy_model()
        model.save(path / "models" / "toy")
        library.active_model = "toy"
        small = [Scan(rng.normal(size=(16, 16)).astype(np.float32)) for _ in range(4)]
        vectors = model.encode_scans(small)
        library.put_vectors(model.fingerprint, "image", library.find(), vectors)
    return path


def ct(folder: Path, number: int, rng: np.random.Generator) -> list[Path]:
    rows, columns = np.mgrid[-1:1:512j, -1:1:512j]
    files = []
    for index in range(150):
        body = np.where(rows**2 + (columns / 0.8) ** 2 < 0.8, 1064, 24)
        body[np.hypot(rows - 0.1, columns - 0.3) < 0.25 * np.sin((index + 1) / 50)] = 200
        data = header(number, CTImageStorage, index)
        data.Modality = "CT"
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, -1024, "HU"
        data.PixelSpacing, data.SliceThickness = [0.7, 0.7], 2
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [0, 0, 2.0 * index]
        pixels = body + rng.integers(-20, 20, body.shape)
        files.append(write(folder / f"{number}-{index}.dcm", data, pixels))
    return files


def radiograph(folder: Path, number: int, rng: np.random.Generator) -> Path:
    data = header(number, DigitalXRayImageStorageForPresentation, 0)
    data.Modality, data.ImagerPixelSpacing = "DX", [0.14, 0.14]
    data.WindowCenter, data.WindowWidth = 2048, 4096
    pixels = np.add.outer(np.arange(2500), np.arange(2000)) % 4096
    return write(folder / f"{number}.dcm", data, pixels + rng.integers(0, 50, pixels.shape))


def header(number: int, sop_class: str, index: int) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop_class
    data.SOPInstanceUID = f"{ROOT}.{number}.{index + 1}"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{ROOT}.1{number}", f"{ROOT}.2{number}"
    data.FrameOfReferenceUID, data.PatientID = f"{ROOT}.3{number}", f"P-{number}"
    data.InstanceNumber = index + 1
    return data


def write(file: Path, data: Dataset, pixels: np.ndarray) -> Path:
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.PixelData = pixels.clip(0).astype(np.uint16).tobytes()
    data.save_as(file, enforce_file_format=True)
    return file


@contextmanager
def compared(address: str, case_id: str, other: str, flags: tuple[str, ...]) -> Iterator[Any]:
    """Open one case beside another, which was found as similar to it."""
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        page = browser.new_page(viewport=SIZE)
        page.goto(f"{address}/?case={case_id}")
        page.get_by_role("button", name="Find similar cases").click(timeout=120_000)
        card = page.locator("[class*=st-key-hit-]").filter(has_text=other).first
        buttons = page.locator(".rr-hit")
        expect(buttons).to_have_count(3, timeout=120_000)
        card = page.locator("[class*='st-key-open-'] button")
        for number in range(card.count()):
            card.nth(number).click()
            page.locator(".mv-panel[data-panel=case]").wait_for(timeout=60_000)
            if f"case={other}" in page.url:
                break
            page.go_back()
            expect(buttons).to_have_count(3, timeout=60_000)
        page.wait_for_function(LOADED, timeout=120_000)
        page.locator(".mv-view").first.focus()
        yield page
        browser.close()


def measure(address: str, steps: int, graphics: bool) -> dict[str, Any]:
    flags = GRAPHICS if graphics else ()
    found: dict[str, Any] = {"steps": steps, "imitated_card": graphics}
    plans = {
        ("C-0", "C-1"): ("scroll", "drag", "window", "zoom", "invert"),
        ("C-2", "C-3"): ("drag", "window", "zoom"),
    }
    for (one, other), kinds in plans.items():
        with compared(address, one, other, flags) as page:
            found["drawn_by"] = page.locator(".mv").get_attribute("data-graphics")
            for kind in kinds:
                times = page.evaluate(STEPS, [kind, steps])
                known = np.array([time for time in times if time is not None])
                name = f"{'ct' if one == 'C-0' else 'radiograph'}_{kind}_ms"
                found[name] = {
                    "p50": round(float(np.percentile(known, 50)), 1) if len(known) else None,
                    "p95": round(float(np.percentile(known, 95)), 1) if len(known) else None,
                    "max": round(float(known.max()), 1) if len(known) else None,
                    "missed": len(times) - len(known),
                }
    return found


if __name__ == "__main__":
    main()
