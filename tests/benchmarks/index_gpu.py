"""Exact search by a GPU's candidates beside the index of this machine's processor, in one run.

    python tests/benchmarks/index_gpu.py [--cases 1000000] [--dim 512] [--rounds 5] [--in-place]

Needs a GPU that FAISS sees; ``--in-place`` puts FAISS's flat index for processors there, to try the
script. Same made-up vectors as index_search.py, one query and 64 at a time, k = 10, at several
shares of eligible cases. The rounds are interleaved, the answers compared bit by bit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from index_search import gallery
from support.gpu_index import CountingIndex

from medembed.index import CaseIndex
from medembed.index.gpu_rows import GpuRows

K = 10
SHARES = (1.0, 0.5, 0.1, 0.01)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-place", action="store_true")
    given = parser.parse_args()
    made = gallery(given.cases + 64, given.dim, seed=0)
    vectors, queries = made[:-64], made[-64:]
    local = CaseIndex.build(vectors, [f"C-{i:08d}" for i in range(given.cases)])
    rows = None
    if given.in_place:
        import faiss

        rows = GpuRows(faiss.IndexFlatIP)
    gpu = CountingIndex.of(local, rows)
    local.search(queries[:1], K)  # codes are made
    start = time.perf_counter()
    gpu.search(queries[:1], K)
    print(f"{given.cases} x {given.dim}, load {os.getloadavg()[0]:.1f}")
    print(f"first search, rows copied: {time.perf_counter() - start:.2f} s\n")
    print("| queries | eligible | processor ms | GPU ms | left to the processor |")
    print("|---|---|---|---|---|")
    rng = np.random.default_rng(3)
    for size in (1, 64):
        for share in SHARES:
            mask = None if share == 1.0 else rng.random(given.cases) < share
            times: dict[str, list[float]] = {"local": [], "gpu": []}
            gpu.n_left = 0
            for turn in range(given.rounds):
                asked = queries[turn % 64 : turn % 64 + 1] if size == 1 else queries
                found = {}
                for name, index in (("local", local), ("gpu", gpu)):
                    start = time.perf_counter()
                    found[name] = index.search(asked, K, mask)
                    times[name].append(1000 * (time.perf_counter() - start))
                assert (found["local"].case_ids == found["gpu"].case_ids).all()
                assert (found["local"].scores == found["gpu"].scores).all()
            open_share = gpu.n_left / (size * given.rounds)
            one, other = (statistics.median(times[name]) for name in ("local", "gpu"))
            print(f"| {size} | {share:.0%} | {one:.2f} | {other:.2f} | {open_share:.0%} |")
    print(f"\nanswers identical; the GPU gave up: {gpu._gpu.has_failed}")


if __name__ == "__main__":
    main()
