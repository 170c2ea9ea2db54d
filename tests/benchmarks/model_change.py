"""Search while a library changes its model: whole answers, failures, and how long they take.

    python tests/benchmarks/model_change.py LIBRARY OTHER [--changes 40] [--readers 4] [--steady 30]

Copies the library, whose active model and OTHER have vectors of every case, and searches the copy
by text, case, image, and text with case, in threads of one process. First without a change, for
STEADY seconds; then while another process's code changes over and back. Each answer is compared
with that of a lookup of its model alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from medembed.library import CaseLibrary
from medembed.lookup import ActiveLookup, CaseLookup, Result
from medembed.model.use_model import go_back, use_model

_PATIENCE_SECONDS = 120.0


def answer(result: Result) -> list[tuple[str, float]]:
    return [(hit.case_id, round(hit.score, 5)) for hit in result.hits]


def queries(library: CaseLibrary) -> list[dict[str, Any]]:
    case = next(case for case in library.cases("split=test") if case.scans)
    return [
        {"text": "left pleural effusion"},
        {"case": case.case_id},
        {"image": list(library.scan_files(case)[0])},
        {"text": "no edema", "case": case.case_id},
    ]


class Readers:
    """Threads that search until they are stopped."""

    def __init__(self, lookup: ActiveLookup, right: dict[str, list[Any]], n: int) -> None:
        self.seconds: list[float] = []
        self.by_model: dict[str, int] = {}
        self.failed: list[str] = []
        self.wrong = 0
        self._stop = threading.Event()
        asked = queries(lookup.library)
        self._threads = [
            threading.Thread(target=self._read, args=(lookup, right, i % 4, asked[i % 4]))
            for i in range(n)
        ]
        for thread in self._threads:
            thread.start()

    def _read(
        self, lookup: ActiveLookup, right: dict[str, list[Any]], at: int, query: dict[str, Any]
    ) -> None:
        while not self._stop.is_set():
            start = time.perf_counter()
            try:
                result = lookup.search(**query)
            except Exception as error:  # noqa: BLE001  any failure counts
                self.failed.append(repr(error))
                continue
            self.seconds.append(time.perf_counter() - start)
            self.by_model[result.fingerprint] = self.by_model.get(result.fingerprint, 0) + 1
            self.wrong += answer(result) != right[result.fingerprint][at] or not result.hits

    def stop(self, title: str) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        ordered = sorted(self.seconds)
        p95, p99 = (ordered[int(share * len(ordered))] for share in (0.95, 0.99))
        each = ", ".join(f"{name[:8]} {n}" for name, n in sorted(self.by_model.items()))
        print(
            f"{title}: {len(ordered)} searches ({each}), {len(self.failed)} failed, "
            f"{self.wrong} not wholly of one model; median {statistics.median(ordered) * 1e3:.0f}, "
            f"p95 {p95 * 1e3:.0f}, p99 {p99 * 1e3:.0f}, longest {ordered[-1] * 1e3:.0f} ms"
        )
        for line in sorted(set(self.failed)):
            print(f"  {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("other")
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--steady", type=float, default=30.0)
    args = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(args.library, Path(folder) / "copy")
        with CaseLibrary.open(Path(folder) / "copy") as library:
            right = {}
            for name in (str(library.active_model), args.other):
                with CaseLookup(library, name) as alone:
                    right[alone.fingerprint] = [
                        answer(alone.search(**query)) for query in queries(library)
                    ]
            with ActiveLookup(library) as lookup, CaseLibrary.open(library.path) as writer:
                readers = Readers(lookup, right, args.readers)
                time.sleep(args.steady)
                readers.stop("one model")
                readers = Readers(lookup, right, args.readers)
                followed = []
                for number in range(args.changes):
                    done = go_back(writer) if number else use_model(writer, args.other)
                    start = time.perf_counter()
                    while lookup.current.fingerprint != done.fingerprint:
                        time.sleep(0.005)
                        if time.perf_counter() - start > _PATIENCE_SECONDS:
                            raise SystemExit("the readers did not follow")
                    followed.append(time.perf_counter() - start)
                readers.stop(f"{args.changes} changes")
                print(
                    f"readers follow after {statistics.median(followed):.2f} s (median), "
                    f"{max(followed):.2f} s (longest)"
                )


if __name__ == "__main__":
    main()
