"""Bytes and CPU time a vector, measured here, and what they come to for very large libraries.

    OMP_NUM_THREADS=1 python tests/benchmarks/index_plan.py [--cases 200000] [--dim 512]

The figures behind docs/guides/beyond-one-machine.md. CPU time of one thread, so that a busy machine
disturbs it little; a machine with more memory channels and wider registers is faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from index_search import gallery

from medembed.index.exact import best_rows
from medembed.index.first_pass import FirstPass
from medembed.index.hnsw import HnswGraph
from medembed.index.milvus_index import MilvusIndex

GOALS = (10**7, 10**8, 10**9)
CORES, USABLE_GB = 16, 96
"""Of the machine of the plan: 128 GB, a quarter of it for everything else."""


def cpu(task: Callable[[], Any], times: int = 1) -> tuple[float, Any]:
    """Median CPU seconds, and what the task returned."""
    spent, found = [], None
    for _ in range(times):
        before = time.process_time()
        found = task()
        spent.append(time.process_time() - before)
    return statistics.median(spent), found


def resident() -> int:
    """Bytes of memory in use now."""
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    given = parser.parse_args()
    n, dim = given.cases, given.dim
    print(f"{n:,} × {dim}; load {os.getloadavg()[0]:.2f}\n")
    vectors = gallery(n, dim, 3)
    queries = gallery(10, dim, 4)
    ids = [f"C-{i:012d}" for i in range(n)]
    rank = np.arange(n, dtype=np.intp)

    before = resident()
    numbered, index = cpu(lambda: MilvusIndex(ids, vectors, "", None, key=b"k" * 32))  # type: ignore[arg-type]
    client = (resident() - before) / n
    scan = statistics.median(
        cpu(lambda q=q: best_rows(q[None], vectors, rank, 10), 3)[0] for q in queries
    )
    coding, codes = cpu(lambda: FirstPass.build(vectors))
    coded = statistics.median(cpu(lambda q=q: codes.best(q, 10), 3)[0] for q in queries)
    linking, graph = cpu(lambda: HnswGraph.build(vectors))
    walk = statistics.median(cpu(lambda q=q: graph.candidates(q[None], 26), 3)[0] for q in queries)
    del index
    bytes_of = {
        "float32 vector": 4.0 * dim,
        "code of one byte a dimension": sum(memoryview(b).nbytes for b in codes.to_buffers()) / n,
        "links of the graph (HNSW)": len(graph.to_bytes()) / n - 4.0 * dim,
        "what the searching process keeps of a case": client,
    }
    work = {
        "scan of float32": (scan, True),
        "scan of codes": (coded, True),
        "walk through the graph": (walk, False),
        "number and digest": (numbered, True),
        "building the codes": (coding, True),
        "building the graph": (linking, True),
    }
    print("| a vector | bytes | " + " | ".join(f"GB at {g:.0e}" for g in GOALS) + " |")
    print("|---|---|" + "---|" * len(GOALS))
    for name, size in bytes_of.items():
        print(
            f"| {name} | {size:,.0f} | "
            + " | ".join(f"{size * g / 1e9:,.0f}" for g in GOALS)
            + " |"
        )
    print("\n| work | CPU µs a vector | " + " | ".join(f"CPU s at {g:.0e}" for g in GOALS) + " |")
    print("|---|---|" + "---|" * len(GOALS))
    for name, (seconds, linear) in work.items():
        if linear:
            each = " | ".join(f"{seconds / n * g:,.1f}" for g in GOALS)
            print(f"| {name} | {1e6 * seconds / n:.4f} | {each} |")
        else:  # grows like the logarithm
            each = " | ".join(f"{seconds * np.log(g) / np.log(n):,.5f}" for g in GOALS)
            print(f"| {name}, one query | – | {each} |")
    print(f"\nmachines of {CORES} cores and {USABLE_GB} GB to use, one copy of everything\n")
    print("| cases | held as | GB | machines | a query, CPU ms | ms, all cores at work |")
    print("|---|---|---|---|---|---|")
    ways = (
        ("float32, all compared", bytes_of["float32 vector"], scan / n, True),
        ("codes, all compared", bytes_of["code of one byte a dimension"], coded / n, True),
        (
            "codes and graph",
            bytes_of["code of one byte a dimension"] + bytes_of["links of the graph (HNSW)"],
            walk,
            False,
        ),
    )
    for goal in GOALS:
        for name, size, each, linear in ways:
            gb = size * goal / 1e9
            machines = -(-gb // USABLE_GB)
            spent = each * goal if linear else machines * each
            wall = spent / (CORES * machines) if linear else each
            times = f"{1e3 * spent:,.1f} | {1e3 * wall:,.1f}"
            print(f"| {goal:.0e} | {name} | {gb:,.0f} | {machines:.0f} | {times} |")


if __name__ == "__main__":
    main()
