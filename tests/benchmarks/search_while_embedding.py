"""Search while another process embeds: how much longer does a search take?

    python tests/benchmarks/search_while_embedding.py LIBRARY [--seconds 20] [--rounds 3]

Copies the library and drops the vectors of all cases but the first 100: once those of the active
model (new vectors reach the index while it is searched), once those of another of its models. In
turns, one process searches by text, by case, and by text with conditions, alone and while
``medembed embed`` writes. Embedding computes on all cores, which slows whatever else runs; so the
same searches are timed beside a process that computes and writes nothing, too. What exceeds that is
what writing costs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medembed.library import CaseLibrary
from medembed.lookup import ActiveLookup

LEFT = 100
BUSY = "import numpy as np\na = np.ones((512, 512), np.float32)\nwhile True: a = a @ a * 1e-6"


def without_vectors(library: CaseLibrary, fingerprint: str) -> None:
    """Drop vectors as a library has it whose cases are new."""
    names, vectors = library.vectors(fingerprint, "image")
    first = dict(zip(names, vectors, strict=True))
    library.drop_vectors(fingerprint)
    kept = [name for name in library.find()[:LEFT] if name in first]
    library.put_vectors(fingerprint, "image", kept, np.array([first[name] for name in kept]))


@contextlib.contextmanager
def beside(command: list[str]) -> Iterator[subprocess.Popen[bytes] | None]:
    if not command:
        yield None
        return
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def searched(
    lookup: ActiveLookup, queries: list[dict[str, Any]], command: list[str], seconds: float
) -> tuple[list[float], int]:
    """Seconds of each search, and how many searches ended before the process beside did."""
    spent = []
    with beside(command) as process:
        if process is not None:
            time.sleep(4)  # an embedding loads its model first
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and (process is None or process.poll() is None):
            start = time.perf_counter()
            lookup.search(**queries[len(spent) % len(queries)])
            spent.append(time.perf_counter() - start)
            time.sleep(0.05)
    return spent, len(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(
        f"`{' '.join(['python', *sys.argv])}` · {os.cpu_count()} cores · load "
        f"{os.getloadavg()[0]:.2f} before\n"
    )
    print("| beside | searches | median, ms | p95, ms | p95 of alone |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(given.library, copy)
        with CaseLibrary.open(copy) as library, ActiveLookup(library) as lookup:
            names = library.find()[:LEFT]
            queries = [
                {"text": "left pleural effusion"},
                {"case": names[3]},
                {"text": "no edema", "where": ["sex=F"]},
                {"case": names[50], "where": ["age>=50"]},
            ]
            active = str(library.active_model)
            others = [
                folder.parent.name
                for folder in sorted((copy / "models").glob("[!.]*/model.json"))
                if folder.parent.name != active
            ]
            prints = {lookup.current.model.fingerprint: active}
            from medembed.model import DualEncoder

            for name in others:
                prints[DualEncoder.load(copy / "models" / name).fingerprint] = name
            of = {name: fingerprint for fingerprint, name in prints.items()}
            embed = [str(Path(sys.executable).with_name("medembed")), "embed", str(copy), "--model"]
            ways: dict[str, tuple[list[str], str]] = {
                "nothing": ([], ""),
                "a process that computes": ([sys.executable, "-c", BUSY], ""),
                "embed, active model": ([*embed, active], of[active]),
            }
            if others:
                ways["embed, another model"] = ([*embed, others[0]], of[others[0]])
            seen: dict[str, list[float]] = defaultdict(list)
            for _ in range(given.rounds):
                for name, (command, dropped) in ways.items():
                    if dropped:
                        without_vectors(library, dropped)
                    for query in queries:
                        lookup.search(**query)
                    seen[name] += searched(lookup, queries, command, given.seconds)[0]
        alone = statistics.quantiles(seen["nothing"], n=20)[-1]
        for name, spent in seen.items():
            p95 = statistics.quantiles(spent, n=20)[-1]
            print(
                f"| {name} | {len(spent)} | {1e3 * statistics.median(spent):.1f} "
                f"| {1e3 * p95:.1f} | {p95 / alone:.2f} |"
            )
    print(f"\nload {os.getloadavg()[0]:.2f} after")


if __name__ == "__main__":
    main()
