"""Measure serving and embedding on ONNX Runtime against torch and a plain MONAI loop.

Run from the project's root on a quiet machine, after ``make demo ARGS=--no-app``::

    python tests/benchmarks/serving.py demo-library --rounds 7 > docs/results/serving.md

Every table's rounds are interleaved: each runs every row once, so that what else the machine does
falls on all of them alike; the first round is not counted. Embedding decodes every file: the
library's pixel cache is not used. The library's vectors are written anew, with the same values.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.model import DualEncoder, embed_cases, find_model
from medembed.model.embed_engines import InProcess
from medembed.model.embed_worker import EmbedWorker
from medembed.model.int8 import measure_int8_loss
from medembed.model.mean_vectors import unit_rows
from medembed.model.onnx_side import OnnxSide, SideName
from medembed.model.report_text import note_text
from medembed.model.torch_side import TorchSide
from medembed.scans import read_scan

TEXT = "right pleural effusion"
MEDEMBED = [sys.executable, "-c", "from medembed.cli import run; run()"]
BATCHES = (1, 8, 32)
Tasks = dict[str, Callable[[], Any]]


def load() -> str:
    return f"{os.getloadavg()[0]:.2f}"


def interleaved(tasks: Tasks, rounds: int) -> dict[str, list[float]]:
    """Seconds of each task in each round but the first."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if number:
                seconds[name].append(time.perf_counter() - start)
        sys.stderr.write(f"round {number} of {rounds}, load {load()}\n")
    return seconds


# embedding ---------------------------------------------------------------------------------------


def monai_loop(files: Sequence[Path], model: DualEncoder, batch: int) -> Callable[[], None]:
    """The loop that one would write: MONAI's transforms, a DataLoader, the same torch network."""
    from monai.data import DataLoader, Dataset
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Resize, ScaleIntensity

    plain = {".png", ".jpg", ".jpeg"}
    reader = "PILReader" if files[0].suffix.lower() in plain else "PydicomReader"
    size = model.preprocess.shape[1:]
    steps = Compose(
        [
            LoadImage(reader=reader, image_only=True),
            EnsureChannelFirst(),
            lambda image: image.squeeze()[None],  # a single image is read as a volume of one slice
            Resize(size),
            ScaleIntensity(),
        ]
    )
    side = model.image_side()

    def run() -> None:
        data = Dataset([str(file) for file in files], steps)
        batches = DataLoader(data, batch_size=batch, num_workers=2)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            for images in batches:
                side(torch.as_tensor(images).expand(-1, model.preprocess.shape[0], *size))

    return run


def embedding(library: CaseLibrary, model: DualEncoder, most: int, rounds: int) -> Iterator[str]:
    cases = [c for c in library.cases() if len(c.scans) == 1 and len(c.scans[0].files) == 1][:most]
    ids = [case.case_id for case in cases]
    files = [library.scan_files(case)[0][0] for case in cases]
    with tempfile.TemporaryDirectory() as empty, EmbedWorker(model, Path(empty)) as worker:
        work = embed_cases._Embedding(library, model, InProcess(model, Path(empty)), None)
        chunks = list(work._tasks({"image": ids, "note": []}))
        pixels = [p for chunk in chunks for p in worker.decode(chunk).pixels]

        def embed() -> None:
            for task, outcome in work.engine.run(chunks):
                work._keep(task, outcome)

        tasks: Tasks = {
            "`medembed embed`: decode, preprocess, encode, write": embed,
            "decode and preprocess alone": lambda: [worker.decode(chunk) for chunk in chunks],
            "encode alone": lambda: model.encode_pixels(pixels),
            "plain MONAI Dataset and DataLoader, torch": monai_loop(files, model, 32),
            "the same, batches of 4 for 32": monai_loop(files, model, 4),
        }
        seconds = interleaved(tasks, rounds)
    rate = {name: len(ids) / statistics.median(times) for name, times in seconds.items()}
    ours, decode, encode, plain, small = rate.values()
    yield f"\n## Embedding {len(ids)} images\n\n| what | images per second | least | most |"
    yield "|---|---|---|---|"
    for name, times in seconds.items():
        yield (
            f"| {name} | {rate[name]:.1f} | {len(ids) / max(times):.1f} "
            f"| {len(ids) / min(times):.1f} |"
        )
    shared = 1 / (1 / decode + 1 / encode)
    yield (
        f"\n{ours / plain:.1f} times the plain loop, {ours / small:.1f} times with small batches; "
        f"{ours / min(decode, encode):.2f} of the slowest stage alone. Alone, a stage has all "
        f"{os.cpu_count()} cores; sharing them, the two reach at most {shared:.1f} images per "
        f"second, of which this is {ours / shared:.2f}."
    )


# searching ---------------------------------------------------------------------------------------


def process(*words: str) -> Callable[[], None]:
    """A process of its own; its modules are compiled in the first round, as an installer does."""
    kept = {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run() -> None:
        subprocess.run([*words], check=True, capture_output=True, env=kept)

    return run


def searching(library: CaseLibrary, rounds: int) -> Iterator[str]:
    image = library.scan_files(next(iter(library.cases())))[0]
    scan = read_scan(image if len(image) > 1 else image[0])
    search = [*MEDEMBED, "search", str(library.path), "--json"]
    with CaseLookup(library) as lookup:
        lookup.model.warm_up()
        tasks: Tasks = {
            'cold: `python -c "import torch"`': process(sys.executable, "-c", "import torch"),
            "cold: `medembed search --text`": process(*search, "--text", TEXT),
            "cold: `medembed search --image`": process(*search, "--image", str(image[0])),
            "warm: by words": lambda: lookup.search(text=TEXT),
            "warm: by words, encoding alone": lambda: lookup.model.encode_notes([TEXT]),
            "warm: by image, without decoding": lambda: lookup.search(image=scan),
            "warm: by image, encoding alone": lambda: lookup.model.encode_scans([scan]),
        }
        seconds = interleaved(tasks, rounds)
    yield "\n## Searching\n\n| what | median, ms | least | most | of `import torch` |"
    yield "|---|---|---|---|---|"
    first = statistics.median(next(iter(seconds.values())))
    for name, times in seconds.items():
        share = f"{statistics.median(times) / first:.2f}" if name.startswith("cold") else ""
        yield (
            f"| {name} | {1000 * statistics.median(times):.1f} | {1000 * min(times):.1f} "
            f"| {1000 * max(times):.1f} | {share} |"
        )


# the two runtimes --------------------------------------------------------------------------------


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the ten nearest of each row, itself left out, that both find."""
    near = []
    for rows in (first, second):
        scores = rows @ rows.T
        np.fill_diagonal(scores, -np.inf)
        near.append(np.argsort(-scores, axis=1)[:, :10])
    return float((near[0][:, :, None] == near[1][:, None, :]).sum() / near[0].size)


def inputs(library: CaseLibrary, model: DualEncoder, name: SideName) -> list[tuple[Any, ...]]:
    """Inputs of up to 256 cases in batches of 32."""
    cases = list(library.select(library.find()[:256]))
    if name == "text":
        texts = [note_text(case.note) for case in cases if case.note]
        return [model.tokens(texts[at : at + 32]) for at in range(0, len(texts), 32)]
    paths = [library.scan_files(case)[0] for case in cases if case.scans]
    scans = (read_scan(files if len(files) > 1 else files[0]) for files in paths)
    rows = np.concatenate([model.preprocess.pixels(scan)[:1] for scan in scans])
    return [(model.preprocess.normalize(rows[at : at + 32]),) for at in range(0, len(rows), 32)]


def runtimes(library: CaseLibrary, model: DualEncoder, rounds: int) -> Iterator[str]:
    folder = find_model(library)
    variant = folder.with_name(f"{folder.name}-int8")
    quantized = DualEncoder.load(variant) if (variant / "model.json").is_file() else None
    torch.set_num_threads(1)
    yield (
        "\n## ONNX Runtime and torch, one thread\n\n"
        "| side | runtime | batch 1, ms | batch 8, ms | batch 32, ms "
        "| largest difference | overlap@10 | inputs |\n|---|---|---|---|---|---|---|---|"
    )
    for name in ("image", "text"):
        side: SideName = "image" if name == "image" else "text"
        module = model.image_side() if side == "image" else model.text_side()
        runners: dict[str, OnnxSide | TorchSide] = {"torch": TorchSide(module)}
        if model.serving.get(side, {}).get("runtime") == "onnx":
            runners["ONNX Runtime"] = OnnxSide(side, model.sides.onnx_file(side), threads=1)
        if quantized:
            runners["ONNX Runtime, int8"] = OnnxSide(
                side, quantized.sides.onnx_file(side), threads=1
            )
        batches = inputs(library, model, side)
        tasks: Tasks = {}
        for kind, runner in runners.items():
            for n in BATCHES:
                given = tuple(array[:n] for array in batches[0])
                tasks[f"{kind}/{n}"] = lambda runner=runner, given=given: runner.run(*given)
        seconds = interleaved(tasks, 3 * rounds)
        rows = {
            kind: np.concatenate([unit_rows(runner.run(*batch)) for batch in batches])
            for kind, runner in runners.items()
        }
        for kind, found in rows.items():
            times = [1000 * statistics.median(seconds[f"{kind}/{n}"]) for n in BATCHES]
            difference = float(np.abs(found - rows["torch"]).max())
            yield (
                f"| {side} | {kind} | {' | '.join(f'{ms:.1f}' for ms in times)} | {difference:.1e} "
                f"| {overlap(found, rows['torch']):.3f} | {len(found)} |"
            )
    if quantized is not None:
        loss = measure_int8_loss(library, model.fingerprint, quantized.fingerprint)
        if loss.recall_at_10_int8 is not None and loss.overlap_at_10 is not None:
            yield (
                f"\nint8 on the whole library: overlap@10 {loss.overlap_at_10:.3f} "
                f"({loss.n_queries} queries among {loss.n_cases} cases), text→image R@10 "
                f"{loss.recall_at_10_int8:.3f}, in float32 {loss.recall_at_10_float32:.3f} "
                f"({loss.n_pairs} notes)."
            )
    else:
        yield "\nNo int8 variant: make one with `medembed embed LIBRARY --precision int8`."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("library", type=Path, help="a library with an active model and vectors")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=512, help="images to embed in each round")
    asked = parser.parse_args()
    before = load()
    lines: list[str] = []
    with CaseLibrary.open(asked.library) as library:
        model = DualEncoder.load(find_model(library))
        providers = {model.provider("image"), model.provider("text")}
        lines += searching(library, asked.rounds)
        lines += embedding(library, model, asked.images, asked.rounds)
        lines += runtimes(library, model, asked.rounds)
        n_cases = len(library)
    import onnxruntime

    print(
        f"""\
# Serving and embedding on ONNX Runtime

Cold is a new process each time: interpreter, imports, library, index, model, encoding, search. Warm
is a process that has searched before. Medians over interleaved rounds; the first is not counted.

`python tests/benchmarks/serving.py {asked.library.name} --rounds {asked.rounds}` ·
{n_cases} cases · {os.cpu_count()} cores, Python {platform.python_version()},
torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__} ({", ".join(sorted(providers))}) ·
load average {before} before, {load()} after"""
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
