"""A million answers under filters: how many lie outside, and how many are not those of a scan.

    python tests/benchmarks/index_filters.py [--answers 1000000]

60,000 made-up vectors (``index_search.py``), in an index with codes whose cases come and go: after
every fifty filters some are removed and some added. The filters leave a random share of the cases,
from one case to all, chosen at random, near a query, far from it, by block, or as a list of ids.
Fifty queries ask under each, one at a time and all at once. Each answer is checked against its
filter; one query of each filter is compared with float64 products of all eligible cases.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np
from index_search import gallery

from medembed.index import CaseIndex

N, DIM, K = 60_000, 64, 10


def filters(n: int, scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One filter, shape ``(n,)``."""
    count = max(1, int(n * 10 ** -rng.uniform(0, np.log10(n))))
    kind = rng.integers(0, 4)
    order = rng.permutation(n) if kind == 0 else np.argsort(-scores if kind == 1 else scores)
    if kind == 3:
        order = (np.arange(n) + rng.integers(0, n)) % n
    mask = np.zeros(n, dtype=bool)
    mask[order[:count]] = True
    return mask


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--answers", type=int, default=1_000_000)
    given = parser.parse_args()
    start, rng = time.perf_counter(), np.random.default_rng(0)
    every = gallery(2 * N, DIM, 3)
    vector_of = {f"C-{i:06d}": every[i] for i in range(2 * N)}
    names = sorted(vector_of)
    index = CaseIndex.build(every[:N], names[:N])
    answers = outside = missed = compared = n_filters = 0
    ways: dict[str, int] = {}
    while answers < given.answers:
        if n_filters % 50 == 49:
            gone = rng.choice(np.array(index.case_ids, dtype=object), 500, replace=False).tolist()
            index.remove(gone)
            new = [name for name in names if name not in index][:500]
            index.add(np.array([vector_of[name] for name in new]), new)
        ids = np.array(index.case_ids, dtype=object)
        queries = gallery(50, DIM, 100 + n_filters)
        scores = index.vectors.astype(np.float64) @ queries[0]
        mask = filters(len(ids), scores, rng)
        allowed = set(ids[mask])
        asked = mask if n_filters % 4 else list(allowed)
        found = [index.search(one, K, asked) for one in queries]
        together = index.search(queries, K, asked)
        for one, hits in enumerate(found):
            ways[hits.plan.method] = ways.get(hits.plan.method, 0) + 1
            for row in (hits.case_ids[0], together.case_ids[one]):
                answers += len(row)
                outside += sum(name not in allowed for name in row)
            missed += int((hits.case_ids[0] != together.case_ids[one]).sum())
        eligible = np.flatnonzero(mask)
        rounded = np.clip(scores[eligible], -1, 1).astype(np.float32)
        best = eligible[np.lexsort((ids[eligible].astype(str), -rounded))[:K]]
        missed += int((ids[best] != found[0].case_ids[0]).sum())
        compared += len(best)
        n_filters += 1
    print(
        f"`python tests/benchmarks/index_filters.py --answers {given.answers}`: {answers:,} "
        f"answers under {n_filters:,} filters: {outside} outside the filter; {missed} of "
        f"{compared:,} compared differ from a scan ({ways}). "
        f"{time.perf_counter() - start:.0f} s, load {os.getloadavg()[0]:.1f}."
    )


if __name__ == "__main__":
    main()
