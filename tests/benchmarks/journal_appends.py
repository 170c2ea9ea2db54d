"""Times of the journal: one append, appends by several processes, and verification.

    python tests/benchmarks/journal_appends.py [FOLDER] [--entries 20000] [--processes 4]

FOLDER decides which disk is measured; the default is a temporary one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from medembed.journal import LOCAL, Action, Journal
from medembed.privacy import Pseudonymizer

NAMES = Pseudonymizer(bytes(32))


def append(folder: Path, n: int, actor: str) -> list[float]:
    """Append a query and ten hits, again and again; give the milliseconds of each entry."""
    times = []
    with Journal(folder, NAMES) as journal:
        journal.record(Action.LOGIN, actor=actor)
        for i in range(n):
            cases = [f"case-{(i * 10 + j) % 5000}" for j in range(10)]
            began = time.perf_counter()
            journal.record(Action.SHOWN, actor=actor, cases=cases, details={"k": 10, "i": i})
            times.append(1000 * (time.perf_counter() - began))
    return times


def report(what: str, times: list[float]) -> None:
    """Print median, 95th and 99th percentile and the longest."""
    low, high, higher = np.percentile(times, [50, 95, 99])
    print(
        f"{what}: median {low:.3f} ms, p95 {high:.3f}, p99 {higher:.3f}, longest {max(times):.1f} "
        f"({len(times)} entries, load {os.getloadavg()[0]:.1f})"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--child", default="")
    given = parser.parse_args()
    if given.child:
        report(given.child, append(given.folder, given.entries, given.child))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        report("one process, 10 cases an entry", append(folder, given.entries, LOCAL))
        words = [sys.executable, __file__, str(folder), "--entries", str(given.entries // 4)]
        running = [
            subprocess.Popen([*words, "--child", f"process{i}"]) for i in range(given.processes)
        ]
        for process in running:
            process.wait()
        with Journal(folder, NAMES) as journal:
            began = time.perf_counter()
            check = journal.check()
            took = time.perf_counter() - began
        size = sum(path.stat().st_size for path in folder.glob("journal*")) / 2**20
        print(
            f"verify: {check.n_entries} entries in {took:.2f} s, whole: {check.is_whole}; "
            f"{size:.1f} MiB"
        )


if __name__ == "__main__":
    main()
