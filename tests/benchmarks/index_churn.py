"""Build, save, open, add, remove and compact an index: time and peak memory of each step.

    python tests/benchmarks/index_churn.py [--cases 1000000] [--dim 512] [--folder DIR]

Each step runs in a process of its own. Its peak memory is what the system counted (``VmHWM``, with
interpreter, libraries, and pages of mapped files, which the system takes back when it needs them),
and beside it the process's own (``RssAnon``, sampled every 5 ms). The vectors lie in a file, as
unit float32 rows, and are mapped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

KEY = b"k" * 32
STEPS = (
    "import only",
    "build",
    "build, save",
    "open",
    "open, first search",
    "open, 100 searches",
    "open, add 1, save",
    "open, add 1000 one by one, save each 100",
    "open, remove 1000, save",
    "open with that log, first search",
    "open, compact",
    "open, hash everything",
)


def gallery(path: Path, n: int, dim: int) -> None:
    """Write unit rows of a library-like shape."""
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (n, dim))
    rng = np.random.default_rng(3)
    scale = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
    centers = np.random.default_rng(2).standard_normal((200, dim), dtype=np.float32)
    for at in range(0, n, 20_000):
        m = min(20_000, n - at)
        block = rng.standard_normal((m, dim), dtype=np.float32) + centers[rng.integers(0, 200, m)]
        block *= scale
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        rows[at : at + m] = block
    rows.flush()


def run(step: str, home: Path, n: int) -> None:
    """Run one step, and print its seconds and peak memory as JSON."""
    import faiss  # noqa: F401  its import is none of the step

    from medembed.index import CaseIndex

    folder = home / "index"
    vectors = np.load(home / "vectors.npy", mmap_mode="r")
    ids = [f"C-{i:08d}" for i in range(n)] if step.startswith("build") else []
    queries = np.array(vectors[:: max(1, n // 100)][:100])
    new = -np.array(vectors[:1000])
    begin = time.perf_counter()
    spent: list[float] = []

    def opened() -> CaseIndex:
        return CaseIndex.load(folder, key=KEY)

    def first_search() -> None:
        opened().search(queries[0], 10)

    def searches() -> None:
        nonlocal begin
        index = opened()
        index.search(queries[0], 10)
        for query in queries:
            before = time.perf_counter()
            index.search(query, 10)
            spent.append(time.perf_counter() - before)

    def add_one() -> None:
        index = opened()
        index.add(new[:1], ["new"])
        index.save(folder, key=KEY)

    def add_many() -> None:
        index = opened()
        for at in range(1000):
            before = time.perf_counter()
            index.add(new[at : at + 1], [f"new-{at}"])
            if at % 100 == 99:
                index.save(folder, key=KEY)
            spent.append(time.perf_counter() - before)

    def remove() -> None:
        index = opened()
        index.remove([f"C-{i:08d}" for i in range(0, n, max(1, n // 1000))][:1000])
        index.save(folder, key=KEY)

    def build() -> CaseIndex:
        return CaseIndex.build(vectors, ids)

    steps: dict[str, Callable[[], object]] = {
        "import only": lambda: None,
        "build": build,
        "build, save": lambda: build().save(folder, key=KEY),
        "open": opened,
        "open, first search": first_search,
        "open, 100 searches": searches,
        "open, add 1, save": add_one,
        "open, add 1000 one by one, save each 100": add_many,
        "open, remove 1000, save": remove,
        "open with that log, first search": first_search,
        "open, compact": lambda: opened().compact(folder, key=KEY),
        "open, hash everything": lambda: CaseIndex.load_with_extra(folder, key=KEY, trusting=False),
    }
    own = [0]
    is_over = threading.Event()

    def sample() -> None:
        while not is_over.wait(0.005):
            own[0] = max(own[0], memory("RssAnon"))

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        steps[step]()
    finally:
        is_over.set()
        sampling.join()
    seconds = time.perf_counter() - begin
    each = 1e3 * float(np.median(spent)) if spent else None
    # not ru_maxrss, which a process inherits from the one that started it
    print(json.dumps({"seconds": seconds, "peak": memory("VmHWM"), "own": own[0], "each": each}))


def memory(name: str) -> int:
    """Bytes, of this process."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        run(given.step, given.folder, given.cases)
        return
    home = Path(tempfile.mkdtemp(dir=given.folder))
    size = 4 * given.cases * given.dim
    try:
        gallery(home / "vectors.npy", given.cases, given.dim)
        print(
            f"`python tests/benchmarks/index_churn.py --cases {given.cases} --dim {given.dim}` · "
            f"vectors {size / 2**20:.0f} MiB · {os.cpu_count()} cores · load "
            f"{os.getloadavg()[0]:.2f} before\n"
        )
        print(
            "| step | seconds | median of one, ms | peak memory, MiB | of the vectors "
            "| own memory, MiB | of the vectors |\n|---|---|---|---|---|---|---|"
        )
        for step in STEPS:
            words = [sys.executable, __file__, "--cases", str(given.cases), "--step", step]
            done = subprocess.run(
                [*words, "--folder", str(home)], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout)
            each = "" if found["each"] is None else f"{found['each']:.2f}"
            print(
                f"| {step} | {found['seconds']:.3f} | {each} | {found['peak'] / 2**20:.0f} "
                f"| {found['peak'] / size:.2f} | {found['own'] / 2**20:.0f} "
                f"| {found['own'] / size:.2f} |",
                flush=True,
            )
        print(f"\nload {os.getloadavg()[0]:.2f} after")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
