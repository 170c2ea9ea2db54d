"""Exact search under filters, beside FAISS, in one run.

    python tests/benchmarks/index_search.py [--cases 200000] [--dim 512] [--rounds 5] [--queries 20]

Made-up vectors of a library-like shape: clusters, a falling spectrum, and a direction that all
share. One query at a time, k = 10, at several shares of eligible cases, chosen at random, near the
query, or far from it. Peers: FAISS flat, FAISS flat with Panorama, IVF over all its lists; all
exact. The rounds are interleaved; recall is against float64 products; ids outside the filter are
counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import faiss
import numpy as np

from medembed.embeddings import unit_rows
from medembed.index import CaseIndex

K = 10
SHARES = (1.0, 0.5, 0.1, 0.01, 0.001, 0.0001)


def gallery(n: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors: 200 clusters, a spectrum falling like 1 / sqrt(i), a shared direction."""
    rng = np.random.default_rng(seed)
    scale = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((dim, dim)))[0].astype(np.float32)
    centers = np.random.default_rng(2).standard_normal((200, dim), dtype=np.float32)
    out = np.empty((n, dim), dtype=np.float32)
    for at in range(0, n, 50_000):
        m = min(50_000, n - at)
        rows = rng.standard_normal((m, dim), dtype=np.float32) + centers[rng.integers(0, 200, m)]
        rows *= scale
        rows[:, 0] += 2.0
        out[at : at + m] = rows @ turn
        out[at : at + m] /= np.linalg.norm(out[at : at + m], axis=1, keepdims=True)
    return out


def peers(vectors: np.ndarray) -> dict[str, faiss.Index]:
    """FAISS's exact indexes."""
    dim = vectors.shape[1]
    made: dict[str, faiss.Index] = {"FAISS flat": faiss.IndexFlatIP(dim)}
    panorama = getattr(faiss, "IndexFlatIPPanorama", None)
    if panorama is not None:
        made["FAISS flat, Panorama"] = panorama(dim, 8)
    coarse = faiss.IndexFlatIP(dim)
    lists = faiss.IndexIVFFlat(coarse, dim, 256, faiss.METRIC_INNER_PRODUCT)
    lists.cp.niter = 4
    lists.train(vectors[:: max(1, len(vectors) // 30_000)])
    lists.nprobe = 256
    lists.own_fields = True
    coarse.this.disown()
    made["FAISS IVF, all lists"] = lists
    for index in made.values():
        index.add(vectors)
    return made


def faiss_search(index: faiss.Index, mask: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    def search(query: np.ndarray) -> np.ndarray:
        if mask is None:
            return index.search(query, K)[1][0]
        bits = np.packbits(mask, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)
        if isinstance(index, faiss.IndexIVF):
            given = faiss.SearchParametersIVF(sel=selector, nprobe=256)
        else:
            given = faiss.SearchParameters(sel=selector)
        return index.search(query, K, params=given)[1][0]

    return search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--full-only", action="store_true", help="without filters")
    given = parser.parse_args()
    vectors = gallery(given.cases, given.dim, 3)
    queries = unit_rows(gallery(given.queries, given.dim, 4))
    ids = [f"C-{i:08d}" for i in range(given.cases)]
    before = time.perf_counter()
    index = CaseIndex.build(vectors, ids)
    index.search(vectors[0], K)  # makes the codes
    built = time.perf_counter() - before
    coded = index._state.first_pass
    made = peers(vectors)
    print(
        f"`python tests/benchmarks/index_search.py --cases {given.cases} --dim {given.dim} "
        f"--rounds {given.rounds}` · FAISS {faiss.__version__}, {os.cpu_count()} cores · load "
        f"{os.getloadavg()[0]:.2f} before\n"
    )
    if coded is not None:
        print(f"built in {built:.1f} s; largest error of the codes {coded.error:.4f}\n")
    print("| eligible | where | way | median, ms | p95, ms | recall@10 | outside the filter |")
    print("|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(5)
    for share in SHARES[: 1 if given.full_only else None]:
        for where in ("random",) if share == 1 else ("random", "near", "far"):
            measure(index, made, vectors, queries, share, where, given.rounds, rng)
    batches(index, made["FAISS flat"], given)
    print(f"\nload {os.getloadavg()[0]:.2f} after")


def batches(index: CaseIndex, flat: faiss.Index, given: argparse.Namespace) -> None:
    """Many queries at once, in interleaved rounds."""
    print("\n| queries at once | way | queries per second |\n|---|---|---|")
    for size in (32, 256, 1024):
        asked = gallery(size, given.dim, 6)
        spent: dict[str, list[float]] = {"MedEmbed": [], "FAISS flat": []}
        for _ in range(given.rounds + 1):
            for name, times in spent.items():
                before = time.perf_counter()
                index.search(asked, K) if name == "MedEmbed" else flat.search(asked, K)
                times.append(time.perf_counter() - before)
        for name, times in spent.items():
            print(f"| {size} | {name} | {size / statistics.median(times[1:]):.0f} |", flush=True)


def measure(
    index: CaseIndex,
    made: dict[str, faiss.Index],
    vectors: np.ndarray,
    queries: np.ndarray,
    share: float,
    where: str,
    rounds: int,
    rng: np.random.Generator,
) -> None:
    n = len(vectors)
    times: dict[str, list[float]] = {}
    right: dict[str, int] = {}
    outside: dict[str, int] = {}
    asked = 0
    for query in queries:
        exact = vectors @ query
        if share == 1:
            mask = None
            eligible = np.arange(n)
        else:
            order = rng.permutation(n) if where == "random" else np.argsort(exact)
            order = order[::-1] if where == "near" else order
            mask = np.zeros(n, dtype=bool)
            mask[order[: max(1, int(share * n))]] = True
            eligible = np.flatnonzero(mask)
        close = eligible[np.argsort(-exact[eligible])[: 4 * K]]
        true = vectors[close].astype(np.float64) @ query.astype(np.float64)
        best = set(close[np.argsort(-true)[:K]].tolist())
        asked += len(best)

        def ours(one: np.ndarray, mask: np.ndarray | None = mask) -> np.ndarray:
            return np.array([int(name[2:]) for name in index.search(one, K, mask).case_ids[0]])

        ways = {"MedEmbed": ours}
        ways |= {name: faiss_search(other, mask) for name, other in made.items()}
        for turn in range(rounds + 1):
            for name, way in ways.items():
                before = time.perf_counter()
                rows = way(query[np.newaxis])
                spent = time.perf_counter() - before
                if turn:
                    times.setdefault(name, []).append(spent)
                    continue
                found = {int(row) for row in rows if row >= 0}
                right[name] = right.get(name, 0) + len(found & best)
                wrong = 0 if mask is None else sum(not mask[row] for row in found)
                outside[name] = outside.get(name, 0) + wrong
    for name, spent in times.items():
        print(
            f"| {share:.2%} | {where} | {name} | {1e3 * statistics.median(spent):.2f} "
            f"| {1e3 * float(np.quantile(spent, 0.95)):.2f} | {right[name] / asked:.4f} "
            f"| {outside[name]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
