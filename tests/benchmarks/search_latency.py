"""Measure how long a search takes, cold and warm, against importing torch.

Run from the project's root on a quiet machine, after ``make demo ARGS=--no-app``::

    python tests/benchmarks/search_latency.py demo-library --rounds 9 > docs/results/search.md

The rounds are interleaved: each runs every command once, so that what else the machine does falls
on all of them alike. The first round warms the file cache and is not counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup

TEXT = "right pleural effusion"
MEDEMBED = [sys.executable, "-c", "from medembed.cli import run; run()"]

HEAD = """\
# How long a search takes

Cold is a new process each time: interpreter, imports, library, index, model, encoding, search.
Warm is `CaseLookup.search` in a process that has searched before, encoding included; an image is
read from its file each time. A saved model encodes on ONNX Runtime; only sides that could not be
exported import torch. Times in seconds over {rounds} interleaved rounds.

`python tests/benchmarks/search_latency.py {library} --rounds {rounds}` · {cases} cases,
{kind} index of {dim} dimensions · {machine} · load average {before} before, {after} after

| what | median | least | most | median less `import torch` |
|---|---|---|---|---|
"""


def cold(*words: str) -> Callable[[], None]:
    """A process of its own, its output thrown away."""

    def run() -> None:
        subprocess.run([*words], check=True, capture_output=True)

    return run


def tasks(library: CaseLibrary, lookup: CaseLookup, image: Path) -> dict[str, Callable[[], None]]:
    case = library.find()[0]
    search = [*MEDEMBED, "search", str(library.path), "--json"]
    return {
        'cold: `python -c "import torch"`': cold(sys.executable, "-c", "import torch"),
        "cold: `medembed --help`": cold(*MEDEMBED, "--help"),
        "cold: `medembed search --case`": cold(*search, "--case", case),
        "cold: `medembed search --text`": cold(*search, "--text", TEXT),
        "cold: `medembed search --image`": cold(*search, "--image", str(image)),
        "warm: by case": lambda: void(lookup.search(case=case)),
        "warm: by text": lambda: void(lookup.search(text=TEXT)),
        "warm: by text, `--where sex=F`": lambda: void(lookup.search(text=TEXT, where="sex=F")),
        "warm: by image file": lambda: void(lookup.search(image=image)),
        "warm: by text and image file": lambda: void(lookup.search(text=TEXT, image=image)),
    }


def void(_: object) -> None:
    """Drop a result."""


def load() -> str:
    return f"{os.getloadavg()[0]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("library", type=Path, help="a library with a model and vectors")
    parser.add_argument("--image", type=Path, help="file to search by; else one of the library")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    before = load()
    with CaseLibrary.open(asked.library) as library, CaseLookup(library) as lookup:
        first = next(iter(library.cases()))
        image = asked.image or library.scan_files(first)[0][0]
        todo = tasks(library, lookup, image)
        seconds: dict[str, list[float]] = {name: [] for name in todo}
        for number in range(asked.rounds + 1):
            for name, task in todo.items():
                start = time.perf_counter()
                task()
                if number:
                    seconds[name].append(time.perf_counter() - start)
            sys.stderr.write(f"round {number} of {asked.rounds}, load {load()}\n")
        index = lookup.index.index
        head = HEAD.format(
            rounds=asked.rounds,
            library=asked.library.name,
            cases=len(index),
            kind=index.kind,
            dim=index.dim,
            machine=f"{os.cpu_count()} cores, Python {platform.python_version()}",
            before=before,
            after=load(),
        )
    torch = statistics.median(next(iter(seconds.values())))
    rows = [
        f"| {name} | {statistics.median(times):.3f} | {min(times):.3f} | {max(times):.3f} | "
        + (f"{statistics.median(times) - torch:+.3f} |" if name.startswith("cold") else "|")
        for name, times in seconds.items()
    ]
    print(head + "\n".join(rows))


if __name__ == "__main__":
    main()
