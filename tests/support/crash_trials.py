"""Trials of crashes: an operation is ended at one of its write steps, and the library checked."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from support.crash_steps import Fault, Steps
from support.example_cases import make_case
from support.example_files import write_dicom
from support.small_pairs import write_library

from medembed.cases import Case
from medembed.errors import MedEmbedError, ScanError
from medembed.index import open_index
from medembed.index.index_check import verify_indexes
from medembed.library import CaseLibrary, ingest, ingestion, sweeping
from medembed.library.backup import back_up, restore
from medembed.library.verification import Check, CheckState, verify_files, verify_store
from medembed.model import DualEncoder, embed_library, embed_worker, toy_model
from medembed.model.embed_engines import InProcess
from medembed.notes.vocabulary import load_vocabulary
from medembed.scans.read import header_from, inspect_from, listed, scan_from
from medembed.scans.safe_open import open_file
from medembed.scans.worker_pool import _split
from medembed.sources import DicomFolderSource

__all__ = ["OPERATIONS", "Trials"]

MODEL = "f" * 64
N_CASES, N_MORE = 8, 9
Tell = Callable[[str], None]


class ReaderHere:
    """Reads files in this process: the steps of workers are none of a library's."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.workers = 1

    def __enter__(self) -> ReaderHere:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    close = __exit__

    def map(self, task: str, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            try:
                if task == "read":
                    files, frame = _split(item)
                    yield scan_from(listed(files), frame, open_file, where="")
                else:
                    yield (inspect_from if task == "inspect" else header_from)(item, open_file)
            except ScanError as error:
                yield error


def vectors_of(n: int, seed: int) -> npt.NDArray[np.float32]:
    values = np.random.default_rng(seed).standard_normal((n, 16)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)  # type: ignore[no-any-return]


# what is done: each tells what is acknowledged, and can be called again after a crash


def _add(world: Path, tell: Tell) -> None:
    with CaseLibrary.open(world / "library") as library:
        for start in range(0, N_MORE, 3):
            ids = [f"case-{i}" for i in range(start, start + 3)]
            library.add([make_case(i) for i in range(start, start + 3)])
            for one in ids:
                tell(f"case {one}")


def _ingest(world: Path, tell: Tell) -> None:
    ingestion._BATCH = 3
    with CaseLibrary.open(world / "library") as library:
        ingest(library, DicomFolderSource(world / "source"), reader=ReaderHere())  # type: ignore[arg-type]
        tell("source")


def _vectors(world: Path, tell: Tell) -> None:
    with CaseLibrary.open(world / "library") as library:
        ids = library.find()
        for start in range(0, len(ids), 3):
            rows = vectors_of(len(ids), 5)[start : start + 3]
            library.put_vectors(MODEL, "image", ids[start : start + 3], rows)
            for one in ids[start : start + 3]:
                tell(f"vector {one}")


def _embed(world: Path, tell: Tell) -> None:
    embed_worker.ScanReader = ReaderHere  # type: ignore[misc,assignment]
    InProcess.cases = 3
    with CaseLibrary.open(world / "library") as library:
        model = _toy()

        def progress(done: int, total: int | None) -> None:
            tell(f"embedded {done}")

        embed_library(library, model, progress)


def _index(world: Path, tell: Tell) -> None:
    with CaseLibrary.open(world / "library") as library:
        ids = library.find()
        library.put_vectors(MODEL, "image", ids[:4], vectors_of(4, 9))
        open_index(library, MODEL)
        library.put_vectors(MODEL, "image", ids[4:], vectors_of(len(ids) - 4, 10))
        for one in ids:
            tell(f"stored {one}")
        open_index(library, MODEL)


def _erase(world: Path, tell: Tell) -> None:
    with CaseLibrary.open(world / "library") as library:
        patient = "P-001"
        if patient in library.patients().values():
            library.erase(patient)
        tell("erased")


def _backup(world: Path, tell: Tell) -> None:
    with CaseLibrary.open(world / "library") as library:
        if not (world / "out" / "new.zip").exists():
            back_up(library, world / "out" / "new.zip")
        tell("backup")


def _restore(world: Path, tell: Tell) -> None:
    if not (world / "out" / "again").exists():
        restore(world / "out" / "old.zip", world / "out" / "again")
    tell("restored")


def _create(world: Path, tell: Tell) -> None:
    CaseLibrary.open(world / "out" / "fresh", create=True).close()
    tell("created")


OPERATIONS: dict[str, Callable[[Path, Tell], None]] = {
    "add": _add,
    "ingest": _ingest,
    "vectors": _vectors,
    "embed": _embed,
    "index": _index,
    "erase": _erase,
    "backup": _backup,
    "restore": _restore,
    "create": _create,
}

_MODELS: list[DualEncoder] = []


def _toy() -> DualEncoder:
    if not _MODELS:
        _MODELS.append(toy_model())
    return _MODELS[0]


# the checks


class Lost(Exception):
    """Something acknowledged is gone, or something cannot be read."""


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Lost(what)


def _verify(library: CaseLibrary) -> list[Check]:
    checks = [*verify_store(library), *verify_files(library), *verify_indexes(library)]
    for check in checks:
        _require(
            check.state in (CheckState.OK, CheckState.REPAIRED),
            f"{check.what}: {check.state.value}, {check.detail}",
        )
    return checks


def _check_library(folder: Path, told: list[str], base: dict[str, Case]) -> None:
    with CaseLibrary.open(folder) as library:
        _verify(library)
        there = {case.case_id: case for case in library.cases()}
        erased = {one for one, case in base.items() if case.patient_id == "P-001"}
        kept = {one for one in base if one in there}
        _require(kept >= set(base) - erased, "a case from before is gone")
        _require(not kept & erased or kept == set(base), "a patient is erased by half")
        for one in kept:
            _require(repr(there[one]) == repr(base[one]), f"{one} has changed")
        if "erased" in told:
            _require(not kept & erased, "an erased patient is there")
        if not kept & erased:
            for path in folder.rglob("*"):
                left = path.is_file() and b"P-001" in path.read_bytes()
                _require(not left, f"{path.name} names an erased patient")
        for line in told:
            what, _, one = line.partition(" ")
            if what == "case":
                wanted = make_case(int(one.removeprefix("case-")))
                case = there.get(one)
                _require(
                    case is not None
                    and (case.patient_id, case.findings, case.scans[0].sha256)
                    == (wanted.patient_id, wanted.findings, wanted.scans[0].sha256),
                    f"{one} was acknowledged",
                )
        if "source" in told:
            _require(len(there) >= len(kept) + N_MORE, "an ingested case is gone")
        _check_vectors(library, told)


def _check_vectors(library: CaseLibrary, told: list[str]) -> None:
    stored = {
        space.fingerprint: dict(zip(*library.vectors(space.fingerprint, "image"), strict=True))
        for space in library.embedding_sets()
        if space.kind == "image"
    }
    for fingerprint, vectors in stored.items():
        _require(all(np.isfinite(v).all() for v in vectors.values()), "a vector is not finite")
        index = open_index(library, fingerprint).index
        for one, vector in vectors.items():
            hits = index.search(vector[None], 1)
            same = hits.case_ids[0][0] == one or fingerprint != MODEL  # the toy's vectors tie
            _require(same and hits.scores[0][0] > 1 - 1e-4, f"{one} does not find itself")
    acknowledged = [line.split(" ")[1] for line in told if line.startswith(("vector ", "stored "))]
    ids = library.find()
    first = vectors_of(len(ids), 5)
    for one in acknowledged:
        _require(one in stored.get(MODEL, {}), f"the vector of {one} was acknowledged")
    for line in told:
        if line.startswith("vector "):
            one = line.split(" ")[1]
            _require(
                bool(np.allclose(stored[MODEL][one], first[ids.index(one)], atol=1e-6)),
                f"the vector of {one} is another",
            )
    done = max(
        (int(line.split(" ")[1]) for line in told if line.startswith("embedded ")), default=0
    )
    if done:
        n_stored = sum(
            space.n_vectors
            for space in library.embedding_sets()
            if space.fingerprint == _toy().fingerprint
        )
        _require(n_stored >= done, f"{done} vectors were acknowledged, {n_stored} are there")


def _check_world(name: str, world: Path, told: list[str], base: dict[str, Case]) -> float:
    """Check everything after a crash, and once more after the operation was repeated.

    Returns
    -------
    float
        Seconds until the library was open for the first time.
    """
    sweeping._YOUNG_SECONDS = 0.0  # no other writer is at work
    out = world / "out"
    began = time.perf_counter()
    if name == "create":
        CaseLibrary.open(out / "fresh", create="created" not in told).close()
    elif name == "restore":
        if (out / "again").exists() or "restored" in told:
            CaseLibrary.open(out / "again").close()
    else:
        CaseLibrary.open(world / "library").close()
    seconds = time.perf_counter() - began
    _check_library(world / "library", told, base)
    if (out / "again").exists():
        _check_library(out / "again", [], base)
    if "backup" in told or (out / "new.zip").exists():
        restore(out / "new.zip", out / "restored")
        _check_library(out / "restored", [], base)
        shutil.rmtree(out / "restored")
    OPERATIONS[name](world, told.append)
    _check_library(world / "library", told, base)
    if name == "restore":
        _check_library(out / "again", [], base)
    if name == "backup":
        restore(out / "new.zip", out / "restored")
        _check_library(out / "restored", [], base)
    with CaseLibrary.open(world / "library") as library:
        if name == "erase":
            _require("P-001" not in library.patients().values(), "not erased")
    left = [path for path in sweeping.drafts(world / "library") if path.name.endswith(".writing")]
    _require(not left, "a draft is left in the library")
    left = [path for path in out.glob(".*") if path.is_file() or any(path.iterdir())]
    _require(not left, "a draft is left beside a backup")
    return seconds


# running


@dataclass(frozen=True)
class Outcome:
    """How a child process ended, and the lines that it wrote before."""

    status: int
    lines: tuple[str, ...]

    @property
    def told(self) -> list[str]:
        return [line[2:] for line in self.lines if line.startswith("t ")]

    @property
    def error(self) -> str:
        return next((line[2:] for line in self.lines if line.startswith("e ")), "")


def in_child(work: Callable[[Callable[[str], None]], None], kill_after: float = 0.0) -> Outcome:
    """Run ``work`` in a fork of this process; kill it after some seconds if asked to."""
    ours, theirs = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:  # pragma: no cover  ends without a report
        status = 1
        try:
            os.close(ours)
            write = os.write
            work(lambda line: void(write(theirs, f"{line}\n".encode())))
            status = 0
        except BaseException as error:  # noqa: BLE001  reported to the parent
            kind = "line" if isinstance(error, MedEmbedError | OSError) else "trace"
            line = f"e {kind} {type(error).__name__}: {error}".replace("\n", " ")
            os.write(theirs, f"{line}\n".encode())
            if kind == "trace" and os.environ.get("CRASH_TRACE"):
                import traceback

                traceback.print_exc()
        finally:
            os._exit(status)
    os.close(theirs)
    if kill_after:
        time.sleep(kill_after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with os.fdopen(ours, "rb") as stream:
        lines = stream.read().decode().splitlines()
    return Outcome(os.waitpid(pid, 0)[1], tuple(lines))


def void(_: object) -> None:
    """Drop a result."""


class Trials:
    """Prepares a small library once, and crashes each operation on copies of it.

    Parameters
    ----------
    folder : Path
        For the copies, on a file system with a few MiB.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: list[float] = []
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self._base: dict[str, Case] = {}
        self._steps: dict[str, list[str]] = {}
        self._time: dict[str, float] = {}
        _toy()  # here once, and not in each fork
        load_vocabulary()
        template = folder / "template"
        outcome = in_child(lambda _: self._prepare(template))
        if outcome.status:
            raise RuntimeError(outcome.error)
        base = in_child(lambda say: self._describe(template, say))
        if base.status:
            raise RuntimeError(base.error)
        self._ids = base.told

    @staticmethod
    def _prepare(template: Path) -> None:
        template.mkdir(parents=True)
        (template / "out").mkdir()
        with write_library(template, N_CASES, patients=N_CASES // 2) as library:
            ids = library.find()
            library.put_vectors(MODEL, "image", ids, vectors_of(len(ids), 3))
            open_index(library, MODEL)
            back_up(library, template / "out" / "old.zip")
        for seed in range(N_MORE):
            write_dicom(template / "source" / f"{seed}.dcm", seed)

    @staticmethod
    def _describe(template: Path, say: Callable[[str], None]) -> None:
        with CaseLibrary.open(template / "library") as library:
            for one in library.find():
                say(f"t {one}")

    @staticmethod
    def _cases(world: Path) -> dict[str, Case]:
        with CaseLibrary.open(world / "library") as library:
            return {case.case_id: case for case in library.cases()}

    def steps(self, name: str) -> list[str]:
        """Return the names of the write steps of an operation, in order."""
        if name not in self._steps:
            world = self._copy()
            began = time.perf_counter()

            def record(say: Callable[[str], None]) -> None:
                steps = Steps()
                steps.watch()
                OPERATIONS[name](world, void)
                say(f"t {json.dumps(steps.names)}")

            outcome = in_child(record)
            self._time[name] = time.perf_counter() - began
            if outcome.status:
                raise RuntimeError(f"{name}: {outcome.error}")
            self._steps[name] = json.loads(outcome.told[0])
            shutil.rmtree(world)
        return self._steps[name]

    def _copy(self) -> Path:
        world = self.folder / f"world-{random.randrange(10**9)}"
        shutil.copytree(self.folder / "template", world)
        return world

    def crash(self, name: str, fault: Fault) -> str:
        """End one operation at one step and check the library.

        Returns
        -------
        str
            What is wrong; empty if nothing is.
        """
        steps = self.steps(name)
        world = self._copy()
        shown = steps[fault.at] if fault.at < len(steps) else "end"
        self.counts[name, shown, fault.kind] += 1

        def work(say: Callable[[str], None]) -> None:
            Steps(fault).watch()
            OPERATIONS[name](world, lambda line: say(f"t {line}"))

        outcome = in_child(work)
        if fault.kind != "full" and outcome.status and outcome.error:
            return self._wrong(name, shown, fault.kind, outcome.error, world)
        if outcome.error.startswith("trace"):
            return self._wrong(name, shown, fault.kind, outcome.error, world)
        return self._check(name, shown, fault.kind, outcome.told, world)

    def crash_any_time(self, name: str, random_share: float) -> str:
        """Kill one operation at any time, in the middle of a write as well."""
        self.steps(name)
        world = self._copy()
        self.counts[name, "any time", "any time"] += 1
        outcome = in_child(
            lambda say: OPERATIONS[name](world, lambda line: say(f"t {line}")),
            kill_after=max(0.001, self._time[name] * random_share),
        )
        if outcome.error:
            return self._wrong(name, "any time", "kill", outcome.error, world)
        return self._check(name, "any time", "kill", outcome.told, world)

    def fill_disk(self, name: str, disk: Path, left: int) -> str:
        """Run one operation on an own file system with only ``left`` bytes free."""
        self.steps(name)
        for one in disk.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        world = disk / "world"
        shutil.copytree(self.folder / "template", world)
        self.counts[name, "small disk", "small disk"] += 1
        ballast = disk / "ballast"
        free = os.statvfs(disk)
        os.posix_fallocate(
            descriptor := os.open(ballast, os.O_CREAT | os.O_WRONLY),
            0,
            max(1, free.f_bavail * free.f_frsize - left),
        )
        os.close(descriptor)
        outcome = in_child(lambda say: OPERATIONS[name](world, lambda line: say(f"t {line}")))
        ballast.unlink()
        if outcome.status and not outcome.error.startswith("line"):
            return self._wrong(name, f"{left} bytes", "small disk", outcome.error, world)
        return self._check(name, f"{left} bytes", "small disk", outcome.told, world)

    def _check(self, name: str, shown: str, kind: str, told: list[str], world: Path) -> str:
        base = self.folder / "template"

        def check(say: Callable[[str], None]) -> None:
            cases = self._cases(base)
            say(f"t {_check_world(name, world, list(told), cases)}")

        outcome = in_child(check)
        if outcome.status:
            return self._wrong(name, shown, kind, outcome.error, world)
        self.seconds.append(float(outcome.told[-1]))
        shutil.rmtree(world)
        return ""

    @staticmethod
    def _wrong(name: str, shown: str, kind: str, what: str, world: Path) -> str:
        return f"{name}, {kind} {shown}: {what or 'it died'} (kept: {world.name})"
