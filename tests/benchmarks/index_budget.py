"""Whether the recall that an index promises is the one that others meet.

    python tests/benchmarks/index_budget.py [--cases 200000] [--dim 512] [--queries 500]

A graph is made and measured as `medembed index` does it, with one promise after the other. Then
queries that were never in the index ask, with nothing left out, with their four nearest left out,
and with their nearest 300 left out; the hits are compared with those of an exact search. The lower
limit that was stored should be below what is met. Times are medians of one query at a time,
approximate and exact interleaved. Vectors as in `index_search.py`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np
from index_search import gallery

from medembed.index import Budget, CaseIndex

K = 10
PROMISES = (None, 0.9, 0.95, 0.99)


def met(
    index: CaseIndex, exact: CaseIndex, queries: np.ndarray, left_out: int
) -> tuple[float, ...]:
    """Mean and worst share found, share of answers that say exact, and milliseconds of both."""
    shares, said, spent, spent_exact = [], [], [], []
    for query in queries:
        allowed = None
        if left_out:
            allowed = ~index.mask(exact.search(query, left_out).case_ids[0].tolist())
        begin = time.perf_counter()
        hits = index.search(query, K, allowed)
        between = time.perf_counter()
        truth = exact.search(query, K, allowed)
        spent.append(1000 * (between - begin))
        spent_exact.append(1000 * (time.perf_counter() - between))
        shares.append(float((hits.scores[0] >= truth.scores[0, -1]).mean()))
        said.append(hits.plan.method == "exact")
    times = statistics.median(spent), statistics.median(spent_exact)
    return float(np.mean(shares)), min(shares), float(np.mean(said)), *times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=500)
    given = parser.parse_args()
    vectors, queries = gallery(given.cases, given.dim, 3), gallery(given.queries, given.dim, 4)
    ids = [f"C-{i:012d}" for i in range(given.cases)]
    exact = CaseIndex.build(vectors, ids)
    exact.search(queries[0])  # makes its codes
    print(f"{given.cases:,} × {given.dim}; load {os.getloadavg()[0]:.2f}")
    for promise in PROMISES:
        before = time.perf_counter()
        index = CaseIndex.build(vectors, ids, "hnsw", budget=Budget(min_recall=promise))
        took = time.perf_counter() - before
        print(f"\npromise {promise}: {took:.0f} s; {index.choice}")
        for one in index.choice.recalls:
            print(f"  stored: {one.left_out}: {one} ({one.method}, {one.queries} queries)")
        for left_out in (0, 4, 300):
            mean, worst, said, own, all_of_them = met(index, exact, queries, left_out)
            print(
                f"  met, {left_out} nearest left out: mean {mean:.3f}, worst {worst:.1f}, "
                f"{said:.0%} say exact; {own:.2f} ms, exact {all_of_them:.2f} ms"
            )


if __name__ == "__main__":
    main()
