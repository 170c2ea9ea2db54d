"""Measure how many files an ingest takes in per second, against plain pydicom on the same files.

Run from the project's root on a quiet machine::

    python tests/benchmarks/ingest.py --rounds 5 > docs/results/ingest.md

The files are made up: radiographs, a CT series, ultrasound clips, uncompressed and compressed.
The peer reads each file once with ``pydicom.dcmread`` and decodes ``pixel_array``, in one process.
An ingest reads a header, decodes every pixel in confined workers, hashes the file and each frame,
resolves patients and stores cases durably. The rounds are interleaved: each runs every task once,
so that what else the machine does falls on all of them alike. A first round is not counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, generate_uid

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.example_files import CT, make_dataset

from medembed.library import CaseLibrary, ingest
from medembed.scans import ScanReader
from medembed.sources import DicomFolderSource

US_CLIP = "1.2.840.10008.5.1.4.1.1.3.1"

HEAD = """\
# How fast an ingest is

Made-up files. *pydicom*: `dcmread` and `pixel_array`, one process, nothing else done. *ingest*:
`medembed.library.ingest` into a new library: headers, pixels in confined workers, SHA-256 of each
file, digests of each frame, patients, cases on disk. One reader serves a whole ingest; its workers
run when the time starts. *with start*: as the command does it, the workers started within the time;
this cost is the same for any number of files. *again*: the same files a second time. Times are
medians in ms a file over {rounds} interleaved rounds; *rate* is the median over the rounds of
pydicom's time divided by that of the ingest, with the least and the most.

`python tests/benchmarks/ingest.py --rounds {rounds} --scale {scale}` · {machine} · {workers}
workers by default · load average {before} before, {after} after

| files | number | pydicom | ingest | one worker | with start | again | rate | rate, one worker |
|---|---|---|---|---|---|---|---|---|
"""


def body(rows: int, columns: int, top: int, seed: int) -> npt.NDArray[np.uint16]:
    """A smooth picture with the noise of a detector, so that it compresses like one."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    dome = np.exp(-((x * 1.2) ** 2 + y**2) * 2) + 0.2 * np.sin(9 * x + seed) * np.cos(7 * y)
    noise = random.normal(0, 0.004, (rows, columns))
    return np.clip((dome + 0.3 + noise) / 1.6 * top, 0, top).astype(np.uint16)


def radiographs(folder: Path, count: int, syntax: str = "") -> None:
    for seed in range(count):
        ds = make_dataset(seed, 8)
        pixels = np.roll(body(2048, 2048, 4095, 1), 16 * seed, axis=1)
        fill(ds, pixels, syntax)
        save(ds, folder / f"{seed}.dcm")


def slices(folder: Path, count: int) -> None:
    base = body(512, 512, 3000, 2)
    for seed in range(count):
        series, place = divmod(seed, 100)
        ds = make_dataset(series, 8, SOPClassUID=CT, Modality="CT", ViewPosition=None)
        ds.SOPInstanceUID = generate_uid(entropy_srcs=["slice", str(seed)])
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame", str(series)])
        ds.ImagePositionPatient = [0, 0, 3.0 * place]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.InstanceNumber = [0.7, 0.7], place
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
        fill(ds, np.roll(base, seed, axis=0), "")
        save(ds, folder / f"{series}" / f"{place}.dcm")


def clips(folder: Path, count: int) -> None:
    frame = (body(480, 640, 255, 3)).astype(np.uint8)
    for seed in range(count):
        frames = np.stack([np.roll(frame, 3 * i + seed, axis=1) for i in range(30)])
        ds = make_dataset(seed, 8, SOPClassUID=US_CLIP, Modality="US", ViewPosition=None)
        ds.NumberOfFrames, ds.Rows, ds.Columns = 30, 480, 640
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        ds.add_new("PixelData", "OB", frames.tobytes())
        save(ds, folder / f"{seed}.dcm")


def fill(ds: Dataset, pixels: npt.NDArray[np.uint16], syntax: str) -> None:
    ds.Rows, ds.Columns = pixels.shape
    ds.add_new("PixelData", "OW", pixels.tobytes())
    if syntax:
        ds.compress(syntax, pixels, generate_instance_uid=False)


def save(ds: Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


KINDS: dict[str, tuple[Callable[[Path, int], None], int]] = {
    "CR 2048 × 2048, 16 bits": (radiographs, 24),
    "CR, JPEG 2000 lossless": (lambda at, n: radiographs(at, n, JPEG2000Lossless), 12),
    "CR, JPEG-LS lossless": (lambda at, n: radiographs(at, n, JPEGLSLossless), 12),
    "CT 512 × 512, series of 100": (slices, 400),
    "US clip, 30 × 480 × 640, 8 bits": (clips, 12),
}


def plain(files: list[Path]) -> float:
    began = time.perf_counter()
    for file in files:
        pydicom.dcmread(file).pixel_array  # noqa: B018  decoding is what is timed
    return time.perf_counter() - began


def taken_in(source: Path, library: CaseLibrary, reader: ScanReader | None) -> float:
    began = time.perf_counter()
    report = ingest(library, DicomFolderSource(source), reader=reader)
    taken = time.perf_counter() - began
    if report.refusals or not len(library):
        raise SystemExit(f"refused: {report.refused_by_code}, cases: {len(library)}")
    return taken


def one_round(source: Path, files: list[Path]) -> Iterator[tuple[str, float]]:
    """Yield the name and the seconds of each task."""
    yield "pydicom", plain(files)
    for name, workers in (("ingest", default_workers()), ("one worker", 1)):
        with tempfile.TemporaryDirectory() as folder, ScanReader(workers=workers) as reader:
            list(reader.map("header", files[:1] * workers * 2))  # starts the workers
            with CaseLibrary.create(Path(folder) / "library") as library:
                yield name, taken_in(source, library, reader)
                if workers == default_workers():
                    yield "again", taken_in(source, library, reader)
    with (
        tempfile.TemporaryDirectory() as folder,
        CaseLibrary.create(Path(folder) / "library") as library,
    ):
        yield "with start", taken_in(source, library, None)


def default_workers() -> int:
    return min(os.cpu_count() or 1, 8)


def line(kind: str, count: int, rounds: list[dict[str, float]]) -> str:
    def each(name: str) -> str:
        return f"{statistics.median(one[name] for one in rounds) / count * 1000:.2f}"

    def rate(name: str) -> str:
        rates = [one["pydicom"] / one[name] for one in rounds]
        return f"{statistics.median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f})"

    times = (each(name) for name in ("pydicom", "ingest", "one worker", "with start", "again"))
    cells = (kind, str(count), *times, rate("ingest"), rate("one worker"))
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="times the numbers of files")
    parser.add_argument("--only", default="", help="only kinds whose name contains this")
    asked = parser.parse_args()
    before = os.getloadavg()[0]
    lines = []
    for kind, (write, number) in KINDS.items():
        if asked.only not in kind:
            continue
        with tempfile.TemporaryDirectory() as folder:
            source, count = Path(folder), max(2, round(number * asked.scale))
            write(source, count)
            files = sorted(path for path in source.rglob("*.dcm"))
            rounds = [dict(one_round(source, files)) for _ in range(asked.rounds + 1)][1:]
            lines.append(line(kind, count, rounds))
            sys.stderr.write(f"{lines[-1]}\n")
    head = HEAD.format(
        rounds=asked.rounds,
        scale=asked.scale,
        machine=f"{os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}",
        workers=default_workers(),
        before=f"{before:.2f}",
        after=f"{os.getloadavg()[0]:.2f}",
    )
    sys.stdout.write(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
