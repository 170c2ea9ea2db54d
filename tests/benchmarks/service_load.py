"""Queries per second and p95 of the service, beside clip-retrieval's back end, same vectors.

clip-retrieval needs pyarrow below 16 and NumPy below 2, so it gets an environment of its own; of
its requirements, only what its back end imports for a search by vector is installed::

    python3 -m venv /tmp/peers-clip
    /tmp/peers-clip/bin/pip install --no-deps clip-retrieval==2.45.0
    /tmp/peers-clip/bin/pip install "numpy<2" "pyarrow<16" "pandas<2.3" "faiss-cpu<1.9" flask \
        flask-restful flask-cors fire fsspec h5py tqdm prometheus-client pillow requests

    python tests/benchmarks/service_load.py --peer /tmp/peers-clip/bin/python --cases 100000

A library of random unit vectors is made (:mod:`search_end_to_end`), or taken from ``--folder`` if
it is there. The peer gets the same vectors as a FAISS flat index, and a parquet file with case id,
sex, age, modality and report of each case as its metadata. Both are asked over HTTP by the same
clients with the same vectors as queries (k = 10, no encoding on either side), on connections that
stay open. Each server runs alone while it is measured, and rounds are interleaved. The ten best
cases of both must be the same ones, but for equal scores.

Ours returns more: percentile, worth, reports, patients' other studies, novelty; a journal entry is
written for each answer, if the library has a journal. The rows by case are ours only.
The load average is printed with each round; quote medians.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from search_end_to_end import FINGERPRINT, build

from medembed.library import CaseLibrary

K = 10
CLIENTS = (1, 8)
RUNNER = Path(__file__).with_name("service_load_peer.py")
START = "from medembed.cli import run; run()"

Ask = Callable[[int], tuple[str, bytes]]


def percentile(seconds: list[float], share: float) -> float:
    return float(np.quantile(seconds, share))


def load(port: int, ask: Ask, clients: int, requests: int) -> tuple[list[float], float, int]:
    """Seconds of each request, of all together, and the number of errors."""
    seconds: list[float] = []
    errors = 0
    lock = threading.Lock()
    turn = iter(range(requests))

    def run() -> None:
        nonlocal errors
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                number = next(turn, None)
            if number is None:
                connection.close()
                return
            path, body = ask(number)
            start = time.perf_counter()
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            took = time.perf_counter() - start
            with lock:
                seconds.append(took)
                errors += answer.status != 200

    threads = [threading.Thread(target=run) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds, time.perf_counter() - start, errors


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, path: str) -> Iterator[int]:
    """Run a server until the block ends; it is up once ``path`` answers 200."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 600
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    break
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"the server did not start: {' '.join(command)}")
            time.sleep(0.2)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)


def ours(library: Path, workers: int) -> tuple[list[str], int, str]:
    port = free_port()
    options = [
        "--rate=0",
        "--accept-vectors",
        f"--workers={workers}",
        f"--port={port}",
        "--queue=500",
    ]
    return [sys.executable, "-c", START, "serve", str(library), *options], port, "/readyz"


def peers(python: str, folder: Path) -> tuple[list[str], int, str]:
    port = free_port()
    return [python, str(RUNNER), str(folder), str(port)], port, "/indices-list"


def hand_over(library: CaseLibrary, folder: Path) -> None:
    """Write vectors and metadata where the peer finds them, in the library's order."""
    import pandas as pd

    names, vectors = library.vectors(FINGERPRINT, "image")
    np.save(folder / "vectors.npy", vectors)
    rows = [
        {
            "case_id": case.case_id,
            "sex": case.sex,
            "age": case.age_years,
            "modality": case.modality,
            "caption": case.note.text if case.note else "",
        }
        for case in library.select(names)
    ]
    (folder / "metadata").mkdir()
    pd.DataFrame(rows).to_parquet(folder / "metadata" / "metadata_0.parquet")
    (folder / "indices.json").write_text(json.dumps({"cases": str(folder)}))


def same_hits(our_port: int, their_port: int, vectors: np.ndarray) -> int:
    """Return how many of some queries have other ten best cases, ties aside."""
    differ = 0
    for vector in vectors:
        mine = post(our_port, *our_vector(vector))["hits"]
        theirs = post(their_port, *their_vector(vector))
        ids, other = [hit["case_id"] for hit in mine], [hit["case_id"] for hit in theirs]
        near = np.allclose([h["score"] for h in mine], [h["similarity"] for h in theirs], atol=1e-4)
        differ += ids != other and not near
    return differ


def post(port: int, path: str, body: bytes) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def our_vector(vector: np.ndarray) -> tuple[str, bytes]:
    return "/v1/search", json.dumps({"vector": vector.tolist(), "k": K}).encode()


def their_vector(vector: np.ndarray) -> tuple[str, bytes]:
    query = {
        "embedding_input": vector.tolist(),
        "modality": "image",
        "num_images": K,
        "num_result_ids": K,
        "indice_name": "cases",
    }
    return "/knn-service", json.dumps(query).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--requests", type=int, default=400, help="of each row in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--peer", help="Python of clip-retrieval's environment")
    parser.add_argument("--folder", type=Path, help="where to build, or a library built before")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary) / "library"
        with build(folder, asked.cases, asked.dim) as library:
            names = library.find()
            given = Path(temporary) / "peer"
            given.mkdir()
            if asked.peer:
                hand_over(library, given)
        measure(asked, folder, names, given)


def measure(asked: argparse.Namespace, folder: Path, names: list[str], given: Path) -> None:
    rng = np.random.default_rng(11)
    vectors = rng.standard_normal((asked.requests, asked.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    servers: dict[str, tuple[tuple[list[str], int, str], dict[str, Ask]]] = {}
    for workers in asked.workers:
        servers[f"MedEmbed, {workers} worker{'s' if workers > 1 else ''}"] = (
            ours(folder, workers),
            {
                "vector": lambda i: our_vector(vectors[i]),
                "case": lambda i: body({"case": names[(i * 7919) % len(names)], "k": K}),
                "case, sex=F, age>=60": lambda i: body(
                    {"case": names[(i * 7919) % len(names)], "k": K, "where": ["sex=F", "age>=60"]}
                ),
            },
        )
    if asked.peer:
        theirs = {"vector": lambda i: their_vector(vectors[i])}
        servers["clip-retrieval, Flask"] = (peers(asked.peer, given), theirs)
        (our, _), (their, _) = next(iter(servers.values())), servers["clip-retrieval, Flask"]
        with running(*our) as a, running(*their) as b:
            print(f"queries with other hits: {same_hits(a, b, vectors[:50])} of 50", flush=True)
    found: dict[tuple[str, str, int], list[tuple[float, float, float, int]]] = {}
    for number in range(asked.rounds):
        for server, (start, asks) in servers.items():
            with running(*start) as port:
                for kind, ask in asks.items():
                    load(port, ask, 2, min(20, asked.requests))  # opened and warm
                    for clients in CLIENTS:
                        seconds, total, errors = load(port, ask, clients, asked.requests)
                        row = (
                            len(seconds) / total,
                            statistics.median(seconds),
                            percentile(seconds, 0.95),
                            errors,
                        )
                        found.setdefault((server, kind, clients), []).append(row)
        sys.stderr.write(f"round {number + 1} of {asked.rounds}, load {os.getloadavg()[0]:.2f}\n")
    print(
        f"{asked.cases} cases, {asked.dim} dimensions, k = {K}, {asked.requests} requests a row "
        f"and round, medians of {asked.rounds} rounds; {os.cpu_count()} cores, Python "
        f"{platform.python_version()}\n"
    )
    print("| server | query by | clients | queries/s | median ms | p95 ms | errors |")
    print("|---|---|---|---|---|---|---|")
    for (server, kind, clients), rows in found.items():
        rate, median, p95 = (statistics.median(row[i] for row in rows) for i in range(3))
        errors = sum(row[3] for row in rows)
        print(
            f"| {server} | {kind} | {clients} | {rate:.0f} | {1000 * median:.1f} | "
            f"{1000 * p95:.1f} | {errors} |"
        )


def body(query: dict[str, Any]) -> tuple[str, bytes]:
    return "/v1/search", json.dumps(query).encode()


if __name__ == "__main__":
    main()
