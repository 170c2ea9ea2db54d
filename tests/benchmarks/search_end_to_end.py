"""Measure where the time of a search goes, in a made-up library of any size.

    python tests/benchmarks/search_end_to_end.py [--cases 100000] [--dim 512] [--queries 40]

The library has random unit vectors, reports from a few hundred texts, and no image files: a model
that answers at once stands in for the encoder, so that encoding costs nothing. It is built in
``--folder`` and used again if it is there. Queries by a case, by words and by an image, each
without conditions, with new ones (never asked before), with the same ones again, and with the words
of a report as a condition. Each query is another one. The rounds are interleaved.

A stage counts without the stages inside it. "Rest" is everything but encoding and vector search.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from medembed.cases import Case, Finding, ScanRef
from medembed.columns import LibraryColumns
from medembed.embeddings import unit_rows
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.lookup.novelty_calibration import calibrate_novelty
from medembed.notes import read_note

FINGERPRINT = "e" * 64
BLOCK = 20_000

STAGES = {
    "conditions": ["medembed.columns.case_filter:CaseFilter.mask"],
    "exclusion": [
        f"medembed.lookup.patient_exclusion:{name}"
        for name in ("cases_of_patients", "origin_of_case", "origin_of_scan", "origin_of_files")
    ],
    "vectors": [
        "medembed.index.case_index:CaseIndex.search",
        "medembed.lookup.fused:fused_hits",
    ],
    "words": [
        "medembed.lookup.query_text:QueryTextReader.read",
        "medembed.lookup.query_text:QueryTextReader.notes",
        "medembed.lookup.statements:Statements.agreement",
        "medembed.lookup.note_words:NoteWords.match",
    ],
    "novelty": ["medembed.lookup.novelty_check:NoveltyCheck.judge"],
    "hits": [
        "medembed.lookup.case_lookup:CaseLookup._hits",
        "medembed.lookup.hit_groups:group_by_patient",
        "medembed.lookup.hit_groups:thin",
    ],
    "encoding": ["__main__:RandomModel.encode_notes", "__main__:RandomModel.encode_scans"],
}
"""What is timed, by stage; names that this version does not have are left out."""

FINDINGS = (
    *("effusion", "pneumothorax", "cardiomegaly", "consolidation", "edema", "atelectasis"),
    *("nodule", "mass", "fracture", "emphysema"),
)
WORDS = ("right pleural effusion", "large pneumothorax", "no cardiomegaly", "pulmonary edema")


class RandomModel:
    """Stands in for an encoder: any text or scan is a random direction."""

    fingerprint = FINGERPRINT
    max_length = 64

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._rng = np.random.default_rng(7)

    def _vectors(self, n: int) -> np.ndarray:
        return unit_rows(self._rng.standard_normal((n, self._dim), dtype=np.float32))

    def encode_notes(self, texts: list[str]) -> np.ndarray:
        return self._vectors(len(texts))

    def encode_scans(self, scans: list[Any]) -> np.ndarray:
        return self._vectors(len(scans))

    def tokens(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(texts), 8), int), np.ones((len(texts), 8), int)


class Clock:
    """Seconds of each stage of one query, without those of the stages inside it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.spent: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []
        self._thread = threading.get_ident()

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*given: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return function(*given, **named)
            self._inner.append(0.0)
            start = self.now()
            try:
                return function(*given, **named)
            finally:
                took = self.now() - start
                self.spent[stage] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        return run

    def attach(self) -> None:
        for stage, names in STAGES.items():
            for name in names:
                module, _, path = name.partition(":")
                try:
                    owner: Any = importlib.import_module(module)
                    *parents, last = path.split(".")
                    for parent in parents:
                        owner = getattr(owner, parent)
                    real = getattr(owner, last)
                except (ImportError, AttributeError):
                    continue
                timed = self.timed(stage, real)
                setattr(owner, last, timed)
                if not parents:  # a function may have been imported by name
                    for other in list(sys.modules.values()):
                        if getattr(other, "__name__", "").startswith("medembed.") and (
                            getattr(other, last, None) is real
                        ):
                            setattr(other, last, timed)


def made_up(n: int) -> Iterator[Case]:
    """Cases of a hospital: two or three a patient, a report each, a few findings."""
    rng = np.random.default_rng(1)
    notes = [
        read_note(
            f"FINDINGS: {'No' if i % 3 else 'Large'} {'right' if i % 2 else 'left'} pleural "
            f"effusion. {FINDINGS[i % 10].capitalize()} is seen. Device number {i}.\n"
            f"IMPRESSION: {FINDINGS[(i // 10) % 10].capitalize()}."
        )
        for i in range(300)
    ]
    for i in range(n):
        named = rng.choice(len(FINDINGS), rng.integers(0, 4), replace=False)
        yield Case(
            case_id=f"C-{i:09d}",
            patient_id=f"P-{int(rng.integers(0, max(1, n // 3))):09d}",
            scans=(
                ScanRef((f"/none/{i}.dcm",), f"{i:064x}", "CR", "PA", pixel_sha256=f"{i:064x}"),
            ),
            note=notes[int(rng.integers(0, 300))],
            findings=tuple(Finding(FINDINGS[at], "") for at in named),
            study_date=date(2010, 1, 1) + timedelta(days=int(rng.integers(0, 5000))),
            modality=("CR", "DX", "CT")[int(rng.integers(0, 3))],
            view=("PA", "AP", "LATERAL")[int(rng.integers(0, 3))],
            sex=("F", "M", "F", "M", "unknown")[int(rng.integers(0, 5))],
            age_years=float(rng.integers(18, 95)),
            race=("a", "b", "c", "unknown")[int(rng.integers(0, 4))],
            site=f"site {int(rng.integers(0, 12))}",
            scanner=f"scanner {int(rng.integers(0, 40))}",
            attributes={"body_part": "CHEST", "study_id": f"S-{i:09d}", "ward": f"w{i % 70}"},
        )


def build(folder: Path, n: int, dim: int) -> CaseLibrary:
    """Build the library, or open the one that is there."""
    if (folder / "library.sqlite").exists():
        return CaseLibrary.open(folder)
    library = CaseLibrary.create(folder)
    start = time.perf_counter()
    library.add(made_up(n), batch=BLOCK)
    sys.stderr.write(f"{n} cases in {time.perf_counter() - start:.0f} s\n")
    rng = np.random.default_rng(3)
    names = library.find()
    for at in range(0, n, BLOCK):
        some = names[at : at + BLOCK]
        vectors = rng.standard_normal((len(some), dim), dtype=np.float32)
        library.put_vectors(FINGERPRINT, "image", some, vectors)
    sys.stderr.write(f"and vectors in {time.perf_counter() - start:.0f} s\n")
    calibrate_novelty(library)
    return library


def queries(library: CaseLibrary) -> dict[str, Callable[[int], dict[str, Any]]]:
    """How each kind asks its i-th query."""
    names = library.find()
    rng = np.random.default_rng(5)

    def by_case(i: int) -> dict[str, Any]:
        return {"case": names[(i * 7919) % len(names)]}

    def by_words(i: int) -> dict[str, Any]:
        return {"text": WORDS[i % len(WORDS)]}

    def by_image(i: int) -> dict[str, Any]:
        return {"image": rng.random((64, 64), dtype=np.float32) + i}

    return {"case": by_case, "words": by_words, "image": by_image}


CONDITIONS: dict[str, Callable[[int], list[str]]] = {
    "none": lambda i: [],
    "new": lambda i: ["sex=F", f"age>={30 + i * 0.001}", "finding=effusion"],
    "again": lambda i: ["sex=F", "age>=60", "finding=effusion", "site in site 1,site 2"],
    "rare": lambda i: [f"ward=w{i % 70}", "site=site 3", "finding!=mass"],
    "report": lambda i: ["note~pneumothorax", f"age>={40 + i * 0.001}"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="where to build, or a library built before")
    parser.add_argument("--cpu", action="store_true", help="CPU time of the process, not wall")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary) / "library"
        with build(folder, asked.cases, asked.dim) as library:
            now = time.process_time if asked.cpu else time.perf_counter
            measure(library, asked.queries, asked.dim, now)


def measure(
    library: CaseLibrary, n_queries: int, dim: int, now: Callable[[], float] = time.perf_counter
) -> None:
    clock = Clock(now)
    clock.attach()
    load = os.getloadavg()[0]
    with CaseLookup(library, RandomModel(dim)) as lookup:  # type: ignore[arg-type]
        start = time.perf_counter()
        lookup.index  # noqa: B018  opened
        opened = time.perf_counter() - start
        start = time.perf_counter()
        LibraryColumns(library).current()
        columns = time.perf_counter() - start
        start = time.perf_counter()
        LibraryColumns(library).current()
        columns_again = time.perf_counter() - start
        ask = queries(library)
        seen: dict[tuple[str, str], list[tuple[float, dict[str, float]]]] = defaultdict(list)
        wrong = 0
        for i in range(n_queries + 2):
            for kind, query in ask.items():
                for which, where in CONDITIONS.items():
                    given = query(i)
                    clock.spent.clear()
                    start = clock.now()
                    result = lookup.search(where=where(i), rerank=False, **given)
                    took = clock.now() - start
                    spent = dict(clock.spent)
                    if i >= 2:  # the first ones warm everything
                        seen[kind, which].append((took, spent))
                    if i % 10 == 0 and where(i):
                        right = set(library.find(where(i)))
                        wrong += sum(hit.case_id not in right for hit in result)
        report(library, seen, load, wrong, (opened, columns, columns_again), dim)


def report(
    library: CaseLibrary,
    seen: dict[tuple[str, str], list[tuple[float, dict[str, float]]]],
    load: float,
    wrong: int,
    opening: tuple[float, float, float],
    dim: int,
) -> None:
    print(
        f"`{' '.join(['python', *sys.argv])}` · {len(library)} cases, {dim} dimensions · "
        f"{os.cpu_count()} cores, Python {platform.python_version()} · load {load:.2f} before, "
        f"{os.getloadavg()[0]:.2f} after\n"
    )
    print(
        f"Index opened or built in {opening[0]:.2f} s, columns built in {opening[1]:.2f} s (or "
        f"read, if they were there), read in {opening[2]:.3f} s. Hits outside the conditions: "
        f"{wrong}.\n"
    )
    print("Milliseconds; median of each stage.\n")
    print(f"| query | conditions | p50 | p95 | {' | '.join(STAGES)} | other | rest, share |")
    print("|---|---|---|---|" + "---|" * (len(STAGES) + 2))
    for (kind, which), each in seen.items():
        totals = [took for took, _ in each]
        row = [statistics.median(totals), float(np.quantile(totals, 0.95))]
        row += [statistics.median(spent.get(stage, 0.0) for _, spent in each) for stage in STAGES]
        row.append(statistics.median(took - sum(spent.values()) for took, spent in each))
        rest = statistics.median(
            1 - (spent.get("vectors", 0.0) + spent.get("encoding", 0.0)) / took
            for took, spent in each
        )
        cells = " | ".join(f"{1e3 * value:.2f}" for value in row)
        print(f"| {kind} | {which} | {cells} | {rest:.0%} |")


if __name__ == "__main__":
    main()
