"""Search under filters, beside other libraries in environments of their own, in one run.

    python tests/benchmarks/index_peers.py --environment hnswlib=/tmp/peers-hnswlib …

Made-up vectors (:mod:`index_search`), one query at a time, k = 10, the masks of :func:`masks`.
Each way is a process that answers when asked (``index_peers_run.py``), so that one computes at a
time, and all of them answer a query under a mask before the next one is asked. Recall is against
float64 products; ids outside the filter are counted. A way whose first answer takes longer than
``--patience`` is not asked again under that mask, for any query.

Churn: then 30% of the cases get other vectors, in ten steps, and after each the ways that can do so
are searched again without waiting.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from index_peers_run import WAYS, K
from index_search import gallery

RUNNER = Path(__file__).with_name("index_peers_run.py")
SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
NAMES = (
    *(f"{share:.2%} {where}" for share in SHARES for where in ("random", "near", "far")),
    "own patient excluded",
    "300 nearest excluded",
    "nothing allowed",
)
ENVIRONMENT = {
    "hnswlib": "hnswlib",
    "usearch": "usearch",
    "LanceDB": "lancedb",
    "Milvus": "milvus-lite",
    "MedEmbed over": "medembed-milvus",
}
CHURN, STEPS = 0.3, 10
BUILDING, ANSWERING = 3600.0, 60.0
"""Seconds after which a process is taken to hang."""
ALL = len(NAMES)


def masks(exact: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The masks of a query with these scores, shape ``(len(NAMES) + 1, n)``; the last is all."""
    n = len(exact)
    near = np.argsort(-exact)
    found = np.zeros((len(NAMES) + 1, n), dtype=bool)
    for at, name in enumerate(NAMES[: 3 * len(SHARES)]):
        order = {"random": rng.permutation(n), "near": near, "far": near[::-1]}[name.split()[1]]
        found[at, order[: max(1, round(SHARES[at // 3] * n))]] = True
    found[-4:-2] = True
    found[-4, near[:3]] = False
    found[-3, near[:300]] = False
    found[-1] = True
    return found


class Process:
    """A way in its own process."""

    def __init__(self, way: str, python: str, folder: Path) -> None:
        self.name = way
        self.is_dead = False
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  a pipe that nobody reads fills up
        self._process = subprocess.Popen(
            [python, str(RUNNER), way, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        self.about = self._answer(BUILDING)

    def ask(self, **asked: Any) -> dict[str, Any]:
        """Return the answer; one that takes longer than ``ANSWERING`` ends the process."""
        if self.is_dead:
            return {"seconds": ANSWERING, "rows": []}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._answer(ANSWERING)

    def _answer(self, patience: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], patience)[0]:
            print(f"{self.name} did not answer within {patience:.0f} s, and was ended", flush=True)
            self.is_dead = True
            self._process.kill()
            return {"seconds": patience, "rows": []}
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            sys.exit(f"{self.name}: {self._errors.read()[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._errors.close()


def best(vectors: np.ndarray, query: np.ndarray, mask: np.ndarray, exact: np.ndarray) -> set[int]:
    """The nearest eligible rows by float64 products."""
    rows = np.flatnonzero(mask)
    close = rows[np.argsort(-exact[rows])[: 4 * K]]
    true = vectors[close].astype(np.float64) @ query.astype(np.float64)
    return set(close[np.argsort(-true)[:K]].tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--patience", type=float, default=2.0, help="seconds")
    parser.add_argument("--no-churn", action="store_true")
    parser.add_argument("--mask", action="append", default=[], help="only these: part of a name")
    parser.add_argument(
        "--way", action="append", default=[], help="only these: part of a name; NAME. is its end"
    )
    parser.add_argument(
        "--environment", action="append", default=[], metavar="PEER=PATH",
        help=f"one of {', '.join(ENVIRONMENT.values())}, and its virtual environment",
    )  # fmt: skip
    given = parser.parse_args()
    pythons = {
        name: str(Path(path) / "bin" / "python")
        for name, _, path in (one.partition("=") for one in given.environment)
    }
    if unknown := pythons.keys() - set(ENVIRONMENT.values()):
        parser.error(f"unknown peer {', '.join(unknown)}")
    vectors = gallery(given.cases, given.dim, 3)
    queries = gallery(given.queries, given.dim, 4)
    rng = np.random.default_rng(5)
    exact = queries @ vectors.T
    every = np.stack([masks(scores, rng) for scores in exact])
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        np.save(at / "vectors.npy", vectors)
        np.save(at / "queries.npy", queries)
        np.save(at / "masks.npy", np.packbits(every, axis=2, bitorder="little"))
        print(f"load {os.getloadavg()[0]:.2f} before; {os.cpu_count()} cores\n")
        print("| way | version | built in, s | peak, MiB |\n|---|---|---|---|")
        ways = []
        for name in WAYS:
            if given.way and not any(part in f"{name}." for part in given.way):
                continue
            peer = next((e for start, e in ENVIRONMENT.items() if name.startswith(start)), None)
            python = sys.executable if peer is None else pythons.get(peer)
            if python is not None:
                way = Process(name, python, at)
                if way.is_dead:
                    continue
                about = way.about
                built = f"{about['built']:.1f} | {about['peak_mib']:,}"
                print(f"| {name} | {about['version']} | {built} |", flush=True)
                ways.append(way)
        filtered(ways, vectors, queries, exact, every, given)
        if not given.no_churn:
            churn(ways, vectors, queries, given)
        print(f"\nload {os.getloadavg()[0]:.2f} after")
        for way in ways:
            way.close()


def row(name: str, way: str, spent: list[float], right: int, asked: int, outside: int) -> None:
    high = f"{1e3 * float(np.quantile(spent, 0.95)):.2f}"
    recall = f"{right / asked:.4f}" if asked else "–"
    print(
        f"| {name} | {way} | {1e3 * statistics.median(spent):.2f} | {high} | {recall} "
        f"| {outside} | {len(spent)} |",
        flush=True,
    )


def filtered(
    ways: list[Process],
    vectors: np.ndarray,
    queries: np.ndarray,
    exact: np.ndarray,
    every: np.ndarray,
    given: argparse.Namespace,
) -> None:
    print("\n| allowed | way | median, ms | p95, ms | recall@10 | outside the filter | answers |")
    print("|---|---|---|---|---|---|---|")
    for at, name in enumerate(NAMES):
        if given.mask and not any(part in name for part in given.mask):
            continue
        spent: dict[str, list[float]] = defaultdict(list)
        right: dict[str, int] = defaultdict(int)
        counts: dict[str, int] = defaultdict(int)
        outside: dict[str, int] = defaultdict(int)
        slow: set[str] = set()
        for query in range(len(queries)):
            mask = every[query, at]
            true = best(vectors, queries[query], mask, exact[query])
            for turn in range(given.rounds):
                for way in ways:
                    if way.name in slow:
                        continue
                    answer = way.ask(query=query, mask=at)
                    spent[way.name].append(answer["seconds"])
                    if answer["seconds"] > given.patience:
                        slow.add(way.name)
                    found = {r for r in answer["rows"] if r >= 0}
                    outside[way.name] += sum(not mask[r] for r in found)
                    if not turn:
                        right[way.name] += len(found & true)
                        counts[way.name] += len(true)
        for way in ways:
            w = way.name
            row(name, w, spent[w], right[w], counts[w], outside[w])


def churn(
    ways: list[Process], vectors: np.ndarray, queries: np.ndarray, given: argparse.Namespace
) -> None:
    changing = [way for way in ways if way.about["changes"]]
    now = vectors.copy()
    rows = np.random.default_rng(6).permutation(len(vectors))[: int(CHURN * len(vectors))]
    spent: dict[str, list[float]] = defaultdict(list)
    writing: dict[str, float] = defaultdict(float)
    right: dict[str, int] = defaultdict(int)
    everybody = np.ones(len(vectors), dtype=bool)
    for step, part in enumerate(np.array_split(rows, STEPS)):
        rng = np.random.default_rng(step)
        new = vectors[part] + 0.05 * rng.standard_normal(vectors[part].shape)
        now[part] = (new / np.linalg.norm(new, axis=1, keepdims=True)).astype(np.float32)
        for way in changing:
            writing[way.name] += way.ask(change=part.tolist(), seed=step)["seconds"]
        for query in range(len(queries)):
            true = best(now, queries[query], everybody, now @ queries[query])
            for way in changing:
                answer = way.ask(query=query, mask=ALL)
                spent[way.name].append(answer["seconds"])
                right[way.name] += len(set(answer["rows"]) & true)
    print(f"\n{CHURN:.0%} of the cases changed in {STEPS} steps, all eligible\n")
    print("| way | write a case, ms | median, ms | p99, ms | recall@10 |\n|---|---|---|---|---|")
    for way in changing:
        times, w = spent[way.name], way.name
        print(
            f"| {w} | {1e3 * writing[w] / len(rows):.3f} | {1e3 * statistics.median(times):.2f} "
            f"| {1e3 * float(np.quantile(times, 0.99)):.2f} "
            f"| {right[w] / (K * len(times)):.4f} |"
        )


if __name__ == "__main__":
    main()
